"""Weights from files into a network that already exists."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from attrs import frozen

from deepbp._validation import as_type
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.files.network import TRAINING, Part, Placeholder, named_parts, network_of
from deepbp.files.objects import FROM_THE_CONFIGURATION
from deepbp.layers import BatchNorm, Bilinear, Dense, Embedding, GroupNorm, Layer, LayerNorm, PReLU, RMSNorm
from deepbp.sequential import Sequential
from deepbp.storage.contents import LIMIT, Spec
from deepbp.storage.formats import open_file
from deepbp.typing import Array, Shape

Turn: TypeAlias = Callable[[Array], Array]
"""Brings an array from the way it lies in PyTorch to the way it lies here."""

Translation: TypeAlias = Mapping[str, tuple[str, Turn]]
"""PyTorch's names of a module's arrays to the names here."""


def as_it_is(array: Array) -> Array:
    """Lies the same in both."""
    return array


def transposed(array: Array) -> Array:
    """PyTorch's Linear computes x Wᵀ + b, with W of shape (outputs, inputs)."""
    return array.T


def outputs_last(array: Array) -> Array:
    """PyTorch's Bilinear has its outputs along the first axis of its weights, (O, I, J)."""
    return array.transpose(*range(1, array.ndim), 0) if array.ndim else array


NORMALISATION: Translation = {"weight": ("gain", as_it_is), "bias": ("shift", as_it_is)}
AVERAGES: Translation = {name: (name.replace("var", "variance"), as_it_is) for name in ("running_mean", "running_var")}
TRANSLATIONS: dict[type[Layer[Any]], Translation] = {
    Dense: {"weight": ("weight", transposed), "bias": ("bias", as_it_is)},
    Bilinear: {"weight": ("weight", outputs_last), "bias": ("bias", as_it_is)},
    Embedding: {"weight": ("table", as_it_is)},
    PReLU: {"weight": ("slope", as_it_is)},
    BatchNorm: {**NORMALISATION, **AVERAGES},
    LayerNorm: NORMALISATION,
    GroupNorm: NORMALISATION,
    RMSNorm: NORMALISATION,
}
COUNTER = "num_batches_tracked"  # of a BatchNorm there, which nothing here needs


def translation(layer: Layer[Any]) -> Translation:
    """Of the arrays of this layer; empty for one that PyTorch does not have."""
    return next((found for cls, found in TRANSLATIONS.items() if isinstance(layer, cls)), {})


def paired(modules: Iterable[str], layers: Iterable[str]) -> dict[str, str]:
    """Which module with parameters is which layer: of the same name, or in order where only numbers differ.

    Raises ConfigurationError where that cannot be told: a file does not keep the order of its modules.
    """
    modules, layers = list(modules), list(layers)
    if set(modules) <= set(layers):
        return {module: module for module in modules}
    if len(modules) != len(layers) or len({re.sub(r"\d+", "0", module) for module in modules}) > 1:
        raise ConfigurationError(
            f"names: which of the modules {modules} is which of the layers {layers} cannot be told: say it, with "
            f"names={{{modules[0]!r}: {layers[0] if layers else '0'!r}, ...}}"
        )
    return dict(zip(sorted(modules, key=_by_number), layers, strict=True))


def _by_number(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


Convention: TypeAlias = Literal["deepbp", "pytorch"]


class Target(NamedTuple):
    """The network's name of an array in a file, and how the array is to be turned."""

    name: str
    turn: Turn


def targets(
    found: Iterable[str], parts: Mapping[str, Part], network: Layer[Any], names: Any, convention: Convention
) -> dict[str, Target]:
    """Where each of the arrays that were found goes, by its name in the file.

    Raises:
        ArgumentTypeError: when ``names`` are no names by name.
        ConfigurationError: for names that are not there, and where two arrays would go to one place.
    """
    if convention not in ("deepbp", "pytorch"):
        raise ConfigurationError(f"convention: expected 'deepbp' or 'pytorch', got {convention!r}")
    layers: dict[str, Layer[Any]] = {"": network, **network.named_layers()}
    found = [name for name in found if convention == "deepbp" or _leaf(name) != COUNTER]
    if names is None and convention == "pytorch":
        owners = dict.fromkeys(_owner(name) for name in parts)
        names = paired(dict.fromkeys(map(_owner, found)), owners) if found else {}
    names = _checked(names or {}, found, layers, parts)
    made = {name: _target(name, names, layers, convention) for name in found}
    place, times = Counter(target.name for target in made.values()).most_common(1)[0] if made else ("", 0)
    if times > 1:
        raise ConfigurationError(f"names: {times} arrays would go to {place!r}")
    return made


def _target(name: str, names: Mapping[str, str], layers: Mapping[str, Layer[Any]], convention: Convention) -> Target:
    given = names.get(name)  # for this very array, or for a layer that it is inside of
    inside = next((owner for owner in _owners(name) if owner in names), None)
    renamed = given or (name if inside is None else f"{names[inside]}{name[len(inside) :]}".lstrip("."))
    if convention == "deepbp" or _owner(renamed) not in layers:
        return Target(renamed, as_it_is)
    own, turn = translation(layers[_owner(renamed)]).get(_leaf(name), (_leaf(name), as_it_is))
    return Target(given or f"{_owner(renamed)}.{own}".lstrip("."), turn)


def _checked(
    names: Any, found: list[str], layers: Mapping[str, Layer[Any]], parts: Mapping[str, Part]
) -> Mapping[str, str]:
    if not isinstance(names, Mapping) or not all(isinstance(one, str) for pair in names.items() for one in pair):
        raise ArgumentTypeError(f"names: expected the file's names to the network's, got {names!r}")
    known = {one for name in found for one in (name, *_owners(name))}
    for theirs, ours in names.items():
        if theirs not in known:
            raise ConfigurationError(f"names: the file has no {theirs!r}, only {', '.join(found)}")
        if ours not in (parts if theirs in found else layers):
            raise ConfigurationError(f"names: the network has no {ours!r}, only {', '.join(parts)}")
    return names


def _owners(name: str) -> Iterator[str]:
    """The layers that an array is inside of, from the inmost."""
    while name := _owner(name):
        yield name


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


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
        if stored.description is not None and stored.description.get("kind") == TRAINING:
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
