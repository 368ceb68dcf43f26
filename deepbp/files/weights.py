"""Parameters and buffers from a file into a network that stands already."""

import os
from collections.abc import Mapping

from attrs import frozen

from deepbp.arrays import as_type
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.files.arrays import Spec
from deepbp.files.describing import FROM_THE_CONFIGURATION
from deepbp.files.dry_building import Placeholder
from deepbp.files.formats import open_file
from deepbp.files.opening import LIMIT
from deepbp.files.parts import Part, named_parts
from deepbp.files.renaming import Convention, targets
from deepbp.files.training import KIND, network_of
from deepbp.sequential import Sequential
from deepbp.typing import Shape


@frozen
class WeightsReport:
    """What became of the arrays in a file: it prints itself.

    Attributes:
        loaded: the network's names of those that were taken over.
        missing: of those that the network has, and the file does not.
        unexpected: the file's names of those that have no place in the network.
        other_shapes: by the network's name, the shape in the file and the one in the network.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    other_shapes: dict[str, tuple[Shape, Shape]]

    @property
    def complete(self) -> bool:
        """Whether file and network agree."""
        return not (self.missing or self.unexpected or self.other_shapes)

    def __repr__(self) -> str:
        shapes = [f"{name} {file} for {own}" for name, (file, own) in self.other_shapes.items()]
        groups = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": shapes}
        lines = [f"{len(group)} {what}: {', '.join(group)}" for what, group in groups.items() if group]
        return "\n".join([f"{len(self.loaded)} loaded", *lines])


def load_weights(
    network: Sequential,
    path: str | os.PathLike[str],
    *,
    strict: bool = True,
    names: Mapping[str, str] | None = None,
    convention: Convention = "deepbp",
    limit: int = LIMIT,
) -> WeightsReport:
    """Take over the parameters and buffers in a file: of deepbp, or a ``.safetensors`` file of PyTorch's.

    All or nothing: where something is refused, the network is as it was. A training in progress goes on with the new
    values, and its optimizer's state as it was.

    Args:
        network: which is built.
        path: of the file.
        strict: whether all of the network's arrays, and no others, must be there; otherwise those that fit are taken.
        names: the file's names to the network's, for those that differ: of arrays, ``{"fc1.weight": "0.weight"}``, or
            of whole layers, ``{"fc1": "0"}``.
        convention: ``"pytorch"`` for a ``state_dict``: its matrices are transposed, its names are translated, and
            layers that are numbered, as in ``nn.Sequential``, are taken in the order of their numbers.
        limit: the largest file to be read, in bytes.

    Returns:
        What was loaded, what is missing in the file, what was unexpected there, and what has another shape.

    Raises:
        ConfigurationError: when ``strict`` and the two do not agree; for names that are not there.
        DataError: for a number that the network's dtype cannot hold.
        FileFormatError, OSError: as ``load`` does.
    """
    network._known()
    if not isinstance(strict, bool):
        raise ArgumentTypeError(f"strict: expected True or False, got {strict!r}")
    parts = named_parts(network)
    with open_file(path, limit) as stored:
        specs: Mapping[str, Spec] = stored.specs
        if stored.description is not None and stored.description.get("kind") == KIND:
            _, specs = network_of(stored.description, specs)
        found = [name for name in specs if not name.startswith(FROM_THE_CONFIGURATION)]
        placed = targets(found, parts, network, names, convention)
        shapes = {
            target.name: target.turn(Placeholder.of(stored.specs[name].shape, bool)).shape
            for name, target in placed.items()
        }
        report = _compared(parts, shapes, [name for name, target in placed.items() if target.name not in parts])
        if strict and not report.complete:
            said = str(report).replace("\n", "; ")
            raise ConfigurationError(f"{path}: expected what this network has: {said}: strict=False takes what fits")
        wanted = set(report.loaded)
        arrays = {
            target.name: as_type(target.turn(stored.array(name)), f"array {name!r}", parts[target.name].value.dtype)
            for name, target in placed.items()
            if target.name in wanted
        }
    for name, array in arrays.items():
        parts[name].value = array
    return report


def _compared(parts: Mapping[str, Part], shapes: Mapping[str, Shape], unexpected: list[str]) -> WeightsReport:
    """What there is in the network and of which shape, against what a file brings for it."""
    both = {name: (shapes[name], part.value.shape) for name, part in parts.items() if name in shapes}
    return WeightsReport(
        loaded=tuple(name for name, (file, own) in both.items() if file == own),
        missing=tuple(name for name in parts if name not in shapes),
        unexpected=tuple(unexpected),
        other_shapes={name: pair for name, pair in both.items() if pair[0] != pair[1]},
    )
