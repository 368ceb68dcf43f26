"""Parameters and buffers from a file into an existing network, also from PyTorch's ``state_dict``."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import prod
from os import PathLike
from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args

import numpy as np
from attrs import frozen

from deepbp._validation import as_type, require_built
from deepbp.errors import ArgumentTypeError, ConfigurationError, shown
from deepbp.errors.validators import check_word
from deepbp.files.foreign_arrays import (
    Combined,
    as_numpy,
    from_keras,
    from_pytorch,
)
from deepbp.files.network import TRAINING, AbstractArray, Part, network_of, state_dict
from deepbp.files.objects import FROM_THE_CONFIGURATION
from deepbp.layers import (
    AveragePool1D,
    AveragePool2D,
    BatchNorm,
    Bilinear,
    Conv1D,
    Conv2D,
    ConvTranspose1D,
    ConvTranspose2D,
    Dense,
    DepthwiseConv2D,
    Embedding,
    Flatten,
    GroupNorm,
    Layer,
    LayerNorm,
    MaxPool1D,
    MaxPool2D,
    PReLU,
    RMSNorm,
)
from deepbp.layers.chain import restore_column_names
from deepbp.layers.observed_pass import flattened
from deepbp.storage import LIMIT
from deepbp.storage.contents import Spec, StoredArrays
from deepbp.storage.formats import Readable, open_file
from deepbp.typing import Array, Shape

Conversion: TypeAlias = Callable[[Array], Array]
"""Converts the memory layout of an array in PyTorch to the layout here."""

Translation: TypeAlias = Mapping[str, tuple[str, Conversion]]
"""PyTorch's names of a module's arrays, with the name and the conversion here."""

Convention: TypeAlias = Literal["deepbp", "keras", "pytorch"]


def kernels_last(array: Array) -> Array:
    """PyTorch's convolutions have weights (O, C / groups, KH, KW), and its transposed ones (C, O / groups, KH, KW)."""
    return np.transpose(array, (*range(2, array.ndim), 1, 0)) if array.ndim > 1 else array


def outputs_last(array: Array) -> Array:
    """PyTorch's Bilinear has its outputs along the first axis of its weights, (O, I, J)."""
    return np.moveaxis(array, 0, -1) if array.ndim else array


CONVOLUTIONS = (Conv1D, Conv2D, ConvTranspose1D, ConvTranspose2D, DepthwiseConv2D)
CHANNELS_FIRST = (*CONVOLUTIONS, AveragePool1D, AveragePool2D, MaxPool1D, MaxPool2D)
"""Layers whose images or sequences have their channels along the first axis in PyTorch, and along the last here."""

NORMALISATION: Translation = {"weight": ("gain", np.asarray), "bias": ("shift", np.asarray)}
AVERAGES: Translation = {
    name: (name.replace("var", "variance"), np.asarray) for name in ("running_mean", "running_var")
}
TRANSLATIONS: dict[type[Layer[Any]], Translation] = {
    # PyTorch's Linear computes x Wᵀ + b, with W of shape (outputs, inputs).
    Dense: {"weight": ("weight", np.transpose), "bias": ("bias", np.asarray)},
    **{kind: {"weight": ("weight", kernels_last), "bias": ("bias", np.asarray)} for kind in CONVOLUTIONS},
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


def flattened_images(network: Layer[Any]) -> dict[str, Shape]:
    """The layers that take flattened images or sequences of channels, by their paths, with the shapes before Flatten.

    PyTorch has such rows in the order (C, H, W). They end at the first Dense, whose outputs have no such order.
    """
    signals: list[tuple[Shape | None, bool]] = [(None, False)]  # the shape before Flatten; channels first in PyTorch
    found: dict[str, Shape] = {}
    for node in flattened(network):
        shape, channels = signals[node.inputs[0]] if node.inputs else (None, False)
        before = node.input_shapes[0][len(node.steps) :] if node.inputs else ()
        channels = channels or isinstance(node.layer, CHANNELS_FIRST)
        if isinstance(node.layer, Flatten):
            shape = before if len(before) == 3 or (channels and len(before) == 2) else None
        elif shape is not None:
            found[node.place] = shape
            if isinstance(node.layer, Dense) or node.output_shape[len(node.steps) :] != before:
                shape = None
        signals.append((shape, channels))
    return found


def in_order_of(shape: Shape, convert: Conversion) -> Conversion:
    """The conversion, and the rows of a flattened image moved from the order (C, H, W) to (H, W, C)."""

    def converted(array: Array) -> Array:
        made = convert(array)
        if made.shape[:1] != (prod(shape),):
            return made
        images = made.reshape(shape[-1], *shape[:-1], *made.shape[1:])
        return np.moveaxis(images, 0, len(shape) - 1).reshape(made.shape)

    return converted


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


def combined(shapes: Mapping[str, Shape], network: Layer[Any], convention: Convention) -> dict[str, Combined]:
    """The arrays that are made of several, or of parts, of a file with arrays of these shapes."""
    check_word("convention", convention, get_args(Convention))
    if convention == "keras":
        return from_keras(shapes, network)
    return from_pytorch(shapes) if convention == "pytorch" else {}


def targets(
    found: Iterable[str], parts: Mapping[str, Part], network: Layer[Any], names: Any, convention: Convention
) -> dict[str, Target]:
    """The target of each array that the file has, by its name there.

    Raises:
        ArgumentTypeError: for ``names`` that are no mapping of text to text.
        ConfigurationError: for unknown names, and for two arrays with the same target.
    """
    layers: dict[str, Layer[Any]] = {"": network, **network.named_layers()}
    found = [name for name in found if convention == "deepbp" or leaf_of(name) != COUNTER]
    if names is None and convention == "pytorch":
        owners = dict.fromkeys(owner_of(name) for name in parts)
        names = paired(dict.fromkeys(map(owner_of, found)), owners) if found else {}
    names = _checked({} if names is None else names, found, layers, parts)
    made = {name: _target(name, names, layers, convention) for name in found}
    if convention == "pytorch":
        made = _with_flattened(made, flattened_images(network), layers)
    place, times = Counter(target.name for target in made.values()).most_common(1)[0] if made else ("", 0)
    if times > 1:
        raise ConfigurationError(f"names: {times} arrays would go to {place!r}")
    return made


def _target(name: str, names: Mapping[str, str], layers: Mapping[str, Layer[Any]], convention: Convention) -> Target:
    # A name is given for the array itself, or else for a layer that contains it.
    given = names.get(name)
    inside = next((owner for owner in _owners(name) if owner in names), None)
    renamed = given or (name if inside is None else f"{names[inside]}{name[len(inside) :]}".lstrip("."))
    if convention != "pytorch" or owner_of(renamed) not in layers:
        return Target(renamed, np.asarray)
    own, convert = translation(layers[owner_of(renamed)]).get(leaf_of(name), (leaf_of(name), np.asarray))
    return Target(given or f"{owner_of(renamed)}.{own}".lstrip("."), convert)


def _with_flattened(
    made: dict[str, Target], images: Mapping[str, Shape], layers: Mapping[str, Layer[Any]]
) -> dict[str, Target]:
    """The targets, with the rows of flattened images in the order that they have here."""

    def own(target: Target) -> Target:
        owner = owner_of(target.name)
        if owner not in images or (isinstance(layers[owner], Dense) and leaf_of(target.name) == "bias"):
            return target
        return target._replace(convert=in_order_of(images[owner], target.convert))

    return {name: own(target) for name, target in made.items()}


def _checked(
    names: Any, found: list[str], layers: Mapping[str, Layer[Any]], parts: Mapping[str, Part]
) -> Mapping[str, str]:
    if not isinstance(names, Mapping) or not all(isinstance(one, str) for pair in names.items() for one in pair):
        raise ArgumentTypeError(f"names: expected the file's names to the network's, got {shown(names)}")
    owners = {owner_of(name) for name in found}
    for theirs, ours in names.items():
        if theirs not in found and not any(f"{owner}.".startswith(f"{theirs}.") for owner in owners):
            raise ConfigurationError(f"names: the file has no {theirs!r}, only {', '.join(found)}")
        if ours not in (parts if theirs in found else layers):
            raise ConfigurationError(f"names: the network has no {ours!r}, only {', '.join(parts)}")
    return names


def _owners(name: str) -> Iterator[str]:
    """The paths of the layers that contain an array, from the innermost."""
    while name := owner_of(name):
        yield name


def owner_of(name: str) -> str:
    """The path of the layer that holds an array."""
    return name.rpartition(".")[0]


def leaf_of(name: str) -> str:
    """The name of an array in its layer."""
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


def opened_weights(
    source: Readable | Mapping[str, Any] | Sequence[Any], limit: int
) -> AbstractContextManager[StoredArrays]:
    """Open a file, or arrays, also of other libraries, in the place of one."""
    if not isinstance(source, Mapping | list | tuple):
        return open_file(cast(Readable, source), limit)
    named = source if isinstance(source, Mapping) else {f"arr_{i}": array for i, array in enumerate(source)}
    arrays = {name: as_numpy(array) for name, array in named.items()}
    return nullcontext(StoredArrays(None, Spec.of_all(arrays), arrays.__getitem__))


def load_weights(
    network: Layer[Any],
    path: Readable | Mapping[str, Any] | Sequence[Any],
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
        path: of the file, or a binary stream, or ``bytes``; the name of one of PyTorch's ends in ``.safetensors``. Or
            the arrays themselves: a mapping of names, such as a ``state_dict()``, or the list of ``get_weights()``.
        strict: whether the file must have exactly the arrays of the network; otherwise those that fit are loaded.
        names: names in the file, with the network's names, where they differ: of arrays,
            ``{"fc1.weight": "0.weight"}``, or of whole layers, ``{"fc1": "0"}``.
        convention: ``"pytorch"`` for a ``state_dict``: matrices and kernels are transposed, the rows of a ``Dense``
            behind the ``Flatten`` of an image are moved from the order (C, H, W) to (H, W, C), names are translated,
            and numbered modules, as in ``nn.Sequential``, are matched in the order of their numbers; the two biases of
            recurrent modules become one. ``"keras"`` for the arrays ``arr_0``, ``arr_1``, … of
            ``model.get_weights()``: they are taken in the order of the layers, and the gates of a GRU are reordered.
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
        raise ArgumentTypeError(f"strict: expected True or False, got {shown(strict)}")
    parts = state_dict(network)
    with opened_weights(path, limit) as stored:
        specs: Mapping[str, Spec] = stored.specs
        description = stored.description
        if description is not None and description.get("kind") == TRAINING:
            description, specs = network_of(description, specs)
        found = [name for name in specs if not name.startswith(FROM_THE_CONFIGURATION)]
        theirs = {name: stored.specs[name].shape for name in found}
        made = combined(theirs, network, convention)
        used = {source for one in made.values() for source in one.sources}
        placed = targets([*made, *(name for name in found if name not in used)], parts, network, names, convention)
        theirs |= {name: one.shape for name, one in made.items()}
        shapes = {
            target.name: target.convert(AbstractArray.of(theirs[name], bool)).shape for name, target in placed.items()
        }
        report = _compared(parts, shapes, [name for name, target in placed.items() if target.name not in parts])
        if strict and not report.complete:
            said = str(report).replace("\n", "; ")
            place = (
                f"{path}"
                if isinstance(path, str | PathLike)
                else "the arrays"
                if isinstance(path, Mapping | list | tuple)
                else "the file"
            )
            raise ConfigurationError(f"{place}: expected what this network has: {said}: strict=False takes what fits")
        wanted = set(report.loaded)

        def read(name: str) -> Array:
            if name not in made:
                return stored.array(name)
            return made[name].combine(*map(stored.array, made[name].sources))

        arrays = {
            target.name: as_type(target.convert(read(name)), f"array {name!r}", parts[target.name].value.dtype)
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
