"""Parameters and buffers from a file into an existing network, also from PyTorch's ``state_dict``."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from attrs import frozen

from deepbp._validation import as_type, require_built
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.errors.validators import check_word
from deepbp.files.network import TRAINING, AbstractArray, Part, network_of, state_dict
from deepbp.files.objects import FROM_THE_CONFIGURATION
from deepbp.layers import BatchNorm, Bilinear, Dense, Embedding, GroupNorm, Layer, LayerNorm, PReLU, RMSNorm
from deepbp.layers.chain import restore_column_names
from deepbp.storage.contents import LIMIT, Spec
from deepbp.storage.formats import Readable, open_file
from deepbp.typing import Array, Shape

Conversion: TypeAlias = Callable[[Array], Array]
"""Converts the memory layout of an array in PyTorch to the layout here."""

Translation: TypeAlias = Mapping[str, tuple[str, Conversion]]
"""PyTorch's names of a module's arrays, with the name and the conversion here."""

Convention: TypeAlias = Literal["deepbp", "pytorch"]


def outputs_last(array: Array) -> Array:
    """PyTorch's Bilinear has its outputs along the first axis of its weights, (O, I, J)."""
    return np.moveaxis(array, 0, -1) if array.ndim else array


NORMALISATION: Translation = {"weight": ("gain", np.asarray), "bias": ("shift", np.asarray)}
AVERAGES: Translation = {
    name: (name.replace("var", "variance"), np.asarray) for name in ("running_mean", "running_var")
}
TRANSLATIONS: dict[type[Layer[Any]], Translation] = {
    # PyTorch's Linear computes x Wᵀ + b, with W of shape (outputs, inputs).
    Dense: {"weight": ("weight", np.transpose), "bias": ("bias", np.asarray)},
    Bilinear: {"weight": ("weight", outputs_last), "bias": ("bias", np.asarray)},
    Embedding: {"weight": ("table", np.asarray)},
    PReLU: {"weight": ("slope", np.asarray)},
    BatchNorm: {**NORMALISATION, **AVERAGES},
    LayerNorm: NORMALISATION,
    GroupNorm: NORMALISATION,
    RMSNorm: NORMALISATION,
}
COUNTER = "num_batches_tracked"  # of a BatchNorm in PyTorch, without a counterpart here


def translation(layer: Layer[Any]) -> Translation:
    """The translation of a layer's arrays; empty for a layer that PyTorch does not have."""
    return next((found for cls, found in TRANSLATIONS.items() if isinstance(layer, cls)), {})


def paired(modules: Iterable[str], layers: Iterable[str]) -> dict[str, str]:
    """Match modules in a file with layers: by name, or in the order of their numbers where nothing else differs.

    Raises ConfigurationError where neither applies, as a file does not keep the order of its modules.
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


def _by_number(name: str) -> list[tuple[int, str]]:
    digits = [number.lstrip("0") for number in re.findall(r"\d+", name)]
    return [(len(number), number) for number in digits]  # in their order, also where int refuses so many digits


class Target(NamedTuple):
    """Where an array of a file goes: its name in the network, and its conversion."""

    name: str
    convert: Conversion


def targets(
    found: Iterable[str], parts: Mapping[str, Part], network: Layer[Any], names: Any, convention: Convention
) -> dict[str, Target]:
    """The target of each array that the file has, by its name there.

    Raises:
        ArgumentTypeError: for ``names`` that are no mapping of text to text.
        ConfigurationError: for unknown names, and for two arrays with the same target.
    """
    check_word("convention", convention, get_args(Convention))
    layers: dict[str, Layer[Any]] = {"": network, **network.named_layers()}
    found = [name for name in found if convention == "deepbp" or _leaf(name) != COUNTER]
    if names is None and convention == "pytorch":
        owners = dict.fromkeys(_owner(name) for name in parts)
        names = paired(dict.fromkeys(map(_owner, found)), owners) if found else {}
    names = _checked({} if names is None else names, found, layers, parts)
    made = {name: _target(name, names, layers, convention) for name in found}
    place, times = Counter(target.name for target in made.values()).most_common(1)[0] if made else ("", 0)
    if times > 1:
        raise ConfigurationError(f"names: {times} arrays would go to {place!r}")
    return made


def _target(name: str, names: Mapping[str, str], layers: Mapping[str, Layer[Any]], convention: Convention) -> Target:
    # A name is given for the array itself, or else for a layer that contains it.
    given = names.get(name)
    inside = next((owner for owner in _owners(name) if owner in names), None)
    renamed = given or (name if inside is None else f"{names[inside]}{name[len(inside) :]}".lstrip("."))
    if convention == "deepbp" or _owner(renamed) not in layers:
        return Target(renamed, np.asarray)
    own, convert = translation(layers[_owner(renamed)]).get(_leaf(name), (_leaf(name), np.asarray))
    return Target(given or f"{_owner(renamed)}.{own}".lstrip("."), convert)


def _checked(
    names: Any, found: list[str], layers: Mapping[str, Layer[Any]], parts: Mapping[str, Part]
) -> Mapping[str, str]:
    if not isinstance(names, Mapping) or not all(isinstance(one, str) for pair in names.items() for one in pair):
        raise ArgumentTypeError(f"names: expected the file's names to the network's, got {names!r}")
    owners = {_owner(name) for name in found}
    for theirs, ours in names.items():
        if theirs not in found and not any(f"{owner}.".startswith(f"{theirs}.") for owner in owners):
            raise ConfigurationError(f"names: the file has no {theirs!r}, only {', '.join(found)}")
        if ours not in (parts if theirs in found else layers):
            raise ConfigurationError(f"names: the network has no {ours!r}, only {', '.join(parts)}")
    return names


def _owners(name: str) -> Iterator[str]:
    """The paths of the layers that contain an array, from the innermost."""
    while name := _owner(name):
        yield name


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


@frozen
class WeightsReport:
    """Which arrays ``load_weights`` has loaded, and which it has not; ``print`` shows them.

    >>> from deepbp.files import WeightsReport
    >>> report = WeightsReport(loaded=("0.weight",), missing=("0.bias",), unexpected=(), other_shapes={})
    >>> print(report)
    1 loaded
    1 missing: 0.bias
    >>> report.complete
    False

    Attributes:
        loaded: names of the arrays that were loaded.
        missing: names of the arrays that the network has and the file does not.
        unexpected: names, in the file, of the arrays that the network does not have.
        other_shapes: by name, the shape in the file and the shape in the network.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    other_shapes: dict[str, tuple[Shape, Shape]]

    @property
    def complete(self) -> bool:
        """Whether the file and the network have the same arrays."""
        return not (self.missing or self.unexpected or self.other_shapes)

    def __repr__(self) -> str:
        shapes = [f"{name} {file} for {own}" for name, (file, own) in self.other_shapes.items()]
        groups = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": shapes}
        lines = [f"{len(group)} {what}: {', '.join(group)}" for what, group in groups.items() if group]
        return "\n".join([f"{len(self.loaded)} loaded", *lines])


def load_weights(
    network: Layer[Any],
    path: Readable,
    *,
    strict: bool = True,
    names: Mapping[str, str] | None = None,
    convention: Convention = "deepbp",
    limit: int = LIMIT,
) -> WeightsReport:
    """Load parameters and buffers from a file, of deepbp or of PyTorch, into an existing network.

    Loading either succeeds or leaves the network as it was. A training in progress continues with the new values and
    the state that its optimizer has. The names of columns are loaded, too, if the file has exactly its arrays.

    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense, ReLU
    >>> Sequential([Dense(4), ReLU(), Dense(2)], input_shape=3, rng=0).save("net.npz").name
    'net.npz'
    >>> other = Sequential([Dense(4), ReLU(), Dense(9)], input_shape=3, rng=1)
    >>> print(other.load_weights("net.npz", strict=False))
    2 loaded
    2 of another shape: 2.weight (4, 2) for (4, 9), 2.bias (2,) for (9,)

    Args:
        network: the built network.
        path: of the file, or a binary stream, or ``bytes``; the name of one of PyTorch's ends in ``.safetensors``.
        strict: whether the file must have exactly the arrays of the network; otherwise those that fit are loaded.
        names: names in the file, with the network's names, where they differ: of arrays,
            ``{"fc1.weight": "0.weight"}``, or of whole layers, ``{"fc1": "0"}``.
        convention: ``"pytorch"`` for a ``state_dict``: matrices are transposed, names are translated, and numbered
            modules, as in ``nn.Sequential``, are matched in the order of their numbers.
        limit: the largest file to be read, in bytes.

    Returns:
        What was loaded, what is missing in the file, what was unexpected there, and what has another shape.

    Raises:
        ConfigurationError: when ``strict`` and the arrays differ; for unknown names.
        DataError: for a number that the network's dtype cannot hold.
        FileFormatError, OSError: as ``load`` does.
    """
    built = require_built(network, network.built)
    if not isinstance(strict, bool):
        raise ArgumentTypeError(f"strict: expected True or False, got {strict!r}")
    parts = state_dict(network)
    with open_file(path, limit) as stored:
        specs: Mapping[str, Spec] = stored.specs
        description = stored.description
        if description is not None and description.get("kind") == TRAINING:
            description, specs = network_of(description, specs)
        found = [name for name in specs if not name.startswith(FROM_THE_CONFIGURATION)]
        placed = targets(found, parts, network, names, convention)
        shapes = {
            target.name: target.convert(AbstractArray.of(stored.specs[name].shape, bool)).shape
            for name, target in placed.items()
        }
        report = _compared(parts, shapes, [name for name, target in placed.items() if target.name not in parts])
        if strict and not report.complete:
            said = str(report).replace("\n", "; ")
            place = "the file" if isinstance(path, bytes) else f"{path}"
            raise ConfigurationError(f"{place}: expected what this network has: {said}: strict=False takes what fits")
        wanted = set(report.loaded)
        arrays = {
            target.name: as_type(target.convert(stored.array(name)), f"array {name!r}", parts[target.name].value.dtype)
            for name, target in placed.items()
            if target.name in wanted
        }
    if report.complete and description is not None:
        columns = description.get("columns")
        fits = isinstance(columns, list | None) and (columns is None or built.input_shape == (len(columns),))
        restore_column_names(network, description if fits else {})
    for name, array in arrays.items():
        parts[name].value = array
    return report


def _compared(parts: Mapping[str, Part], shapes: Mapping[str, Shape], unexpected: list[str]) -> WeightsReport:
    """Compare the arrays of the network with the shapes that a file has for them."""
    both = {name: (shapes[name], part.value.shape) for name, part in parts.items() if name in shapes}
    return WeightsReport(
        loaded=tuple(name for name, (file, own) in both.items() if file == own),
        missing=tuple(name for name in parts if name not in shapes),
        unexpected=tuple(unexpected),
        other_shapes={name: pair for name, pair in both.items() if pair[0] != pair[1]},
    )
