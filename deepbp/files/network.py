"""Networks in files."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

import attrs
import numpy as np
from attrs import define, field

from deepbp._validation import as_dtype, as_shape
from deepbp._version import __version__
from deepbp.errors import ArgumentTypeError, ConfigurationError, FileFormatError
from deepbp.files.objects import FROM_THE_CONFIGURATION, Classes, Description, Revival
from deepbp.initializers import Initializer
from deepbp.layers import Builder, Layer
from deepbp.layers.layer import _members
from deepbp.parameters import Buffer, Parameter
from deepbp.sequential import Sequential
from deepbp.storage.contents import Spec, check_version
from deepbp.typing import Array, Shape

Part: TypeAlias = Parameter | Buffer


def named_parts(network: Layer[Any]) -> dict[str, Part]:
    """All parameters and buffers, each once, by the first path that leads there.

    Raises ConfigurationError where two have one name, and one would be lost.
    """
    found = [(name, part) for name, part in network._walk() if isinstance(part, Part)]
    if len(named := dict(found)) < len(found):
        raise ConfigurationError("the network: expected names that differ, got two parameters of one name")
    return named


def _slots(network: Layer[Any]) -> Iterator[tuple[str, Layer[Any], str, Part]]:
    """Every place that holds a parameter or buffer: its path, the layer, the name there, and what it holds."""
    for path, layer in {"": network, **network.named_layers()}.items():
        for name, found in _members(layer):
            if isinstance(found, Part):
                yield f"{path}.{name}" if path else name, layer, name, found


def ties(network: Layer[Any], parts: dict[str, Part]) -> dict[str, str]:
    """Paths that lead to an array which has the name of another path, as where two layers share their weights."""
    names = {id(part): name for name, part in parts.items()}
    return {path: names[id(found)] for path, _, _, found in _slots(network) if names[id(found)] != path}


def tie(network: Layer[Any], tied: dict[str, str]) -> None:
    """Put the array with that name where each of these paths leads. Unknown paths and names are left alone."""
    slots = list(_slots(network)) if tied else []
    held = {path: found for path, _, _, found in slots}
    for path, layer, name, found in slots:
        part = held.get(tied.get(path, path), found)
        if part is not found and type(part) is type(found) and part.value.shape == found.value.shape:
            _put(layer, name, part)


def _put(layer: Layer[Any], name: str, part: Part) -> None:
    field, _, key = name.partition(".")
    names = {a.name for a in attrs.fields(type(layer))}
    if name in names:
        object.__setattr__(layer, name, part)
        return
    field, key = (field, key) if field in names else ("layers", name)
    value = getattr(layer, field)
    if isinstance(value, dict):
        value[key] = part
    else:
        items = list(value)
        items[int(key)] = part
        object.__setattr__(layer, field, type(value)(items))


class Placeholder(np.ndarray[Any, Any]):
    """An array of any shape in the memory of one number: all its places are the same. It can be written to."""

    @classmethod
    def of(cls, shape: Shape, dtype: Any) -> "Placeholder":
        """A new one."""
        one = np.ones(1, dtype).view(cls)
        return cast(Placeholder, np.lib.stride_tricks.as_strided(one, shape, (0,) * len(shape), subok=True))

    def __deepcopy__(self, memo: dict[int, Any] | None, /) -> "Placeholder":
        return self.of(self.shape, self.dtype)


@define(eq=False)
class DryBuilder(Builder):
    """A builder whose arrays are placeholders, of shapes that a file has numbers for."""

    allowed: Collection[Shape] = field(kw_only=True)

    def _draw(self, shape: Shape, initializer: Initializer) -> Array:
        shape = as_shape(shape, "shape")
        if shape not in self.allowed:
            raise FileFormatError(f"needs an array of shape {shape}, and the file has none of this shape")
        return Placeholder.of(shape, self.dtype)

    def with_rng(self, rng: np.random.Generator) -> "DryBuilder":
        other = DryBuilder(rng, self.dtype, allowed=self.allowed)
        other._made = self._made
        return other


TYPES = {"deepbp": str, "dtype": str, "input_shape": list, "objects": list, "ties": dict, "frozen": list}


def build_dry(
    description: Mapping[str, Any], specs: Mapping[str, Spec], arguments: Mapping[str, Array], classes: Classes
) -> tuple[Sequential, dict[str, Part]]:
    """The network, with placeholders for its numbers, and its parameters and buffers: those that the specs tell of.

    ``arguments`` are the arrays among the constructors' arguments. Raises FileFormatError for anything that is not as
    ``describe_model`` has written it, before memory is taken for more than the objects themselves.
    """
    _check_types(description)
    specs = {name: spec for name, spec in specs.items() if not name.startswith(FROM_THE_CONFIGURATION)}
    classes.check(description["objects"])
    revival = Revival(classes, arguments, _maker_of_parts(specs))
    for entry in description["objects"]:
        revival.add(entry)
    unused = [name for name in arguments if name not in revival.used]
    if unused:
        raise FileFormatError(f"array {unused[0]!r}: the file has it, and no argument is this array")
    network = revival.objects[-1] if revival.objects else None
    if not isinstance(network, Sequential):
        raise FileFormatError(f"objects: expected a Sequential as the last, got {type(network).__name__}")
    _build(network, description, {spec.shape for spec in specs.values()})
    for one in revival.objects:
        if isinstance(one, Sequential) and one.built and one._input_shape not in (None, one.built.input_shape):
            raise FileFormatError(f"a Sequential was built for {one._input_shape}, and gets {one.built.input_shape}")
    tie(network, description["ties"])
    parts = _checked_parts(network, specs)
    if (made := ties(network, parts)) != description["ties"]:
        raise FileFormatError(f"ties: the architecture has {made!r:.100}, got {description['ties']!r:.100}")
    frozen = description["frozen"]
    if len(set(frozen)) < len(frozen) or not all(isinstance(parts.get(name), Parameter) for name in frozen):
        raise FileFormatError(f"frozen: expected names of parameters, each once, got {frozen!r:.100}")
    return network, parts


def _check_types(description: Mapping[str, Any]) -> None:
    if description.keys() - {"kind", "version"} != TYPES.keys():
        raise FileFormatError(f"expected kind, version, {', '.join(TYPES)}, got {list(description)!r:.200}")
    for key, expected in TYPES.items():
        if not isinstance(description[key], expected):
            raise FileFormatError(f"{key}: expected a {expected.__name__}, got {description[key]!r:.100}")
    for name in (*description["frozen"], *description["ties"].values()):
        if not isinstance(name, str):
            raise FileFormatError(f"frozen, ties: expected names, got {name!r:.100}")


def _maker_of_parts(specs: Mapping[str, Spec]) -> Any:
    """Makes the parameters and buffers that are arguments of constructors, each once."""
    made: dict[tuple[type, str], Part] = {}

    def make(kind: type[Parameter] | type[Buffer], name: str) -> Part:
        if (kind, name) not in made:
            made[kind, name] = kind(Placeholder.of(specs[name].shape, specs[name].dtype))
        return made[kind, name]

    return make


def _build(network: Sequential, description: Mapping[str, Any], shapes: Collection[Shape]) -> None:
    try:
        shape, dtype = as_shape(description["input_shape"]), as_dtype(description["dtype"])
        builder = DryBuilder(network.generator, dtype, allowed=shapes)
        with np.errstate(all="ignore"):
            builder.build(network, shape)
    except Exception as error:  # of a constructor's argument that only shows now, of any layer
        raise FileFormatError(f"the architecture cannot be built: {error!s:.1000}") from error


def _checked_parts(network: Sequential, specs: Mapping[str, Spec]) -> dict[str, Part]:
    """The network's parameters and buffers, which must be exactly those that the file has arrays for."""
    try:
        parts = named_parts(network)
    except ConfigurationError as error:
        raise FileFormatError(str(error)) from None
    for name, part in parts.items():
        needed = Spec(part.value.dtype.name, part.value.shape)
        if name not in specs:
            raise FileFormatError(f"array {name!r}: the architecture has it, and the file does not")
        if specs[name] != needed:
            raise FileFormatError(
                f"array {name!r}: the architecture has {needed.dtype} of shape {needed.shape}, the file "
                f"{specs[name].dtype} of shape {specs[name].shape}"
            )
    strange = [name for name in specs if name not in parts]
    if strange:
        raise FileFormatError(f"array {strange[0]!r}: the file has it, and the architecture has no place for it")
    return parts


KIND = "model"
VERSION = 1
TRAINING = "training"  # the kind of file that Trainer.save writes, with a network inside
TRAINING_VERSION = 2


def describe_model(network: Sequential) -> tuple[dict[str, Any], dict[str, Array]]:
    """The description of a built network, and its arrays by name.

    Raises:
        ArgumentTypeError: for anything but a Sequential, and for a configuration that cannot be stored: functions.
        NotBuiltError: when its sizes are not known.
        ConfigurationError: when it could not be read again.
    """
    if not isinstance(network, Sequential):
        raise ArgumentTypeError(f"network: expected a Sequential, got {network!r}: put it in one, Sequential([...])")
    built, parts, classes = network._known(), named_parts(network), Classes.of()
    objects = Description(classes, {id(part): name for name, part in parts.items()})
    objects.add(network)
    arrays = {**{name: part.value for name, part in parts.items()}, **objects.arrays}
    description = {
        "kind": KIND,
        "version": VERSION,
        "deepbp": __version__,
        "dtype": built.dtype.name,
        "input_shape": list(built.input_shape),
        "objects": objects.objects,
        "ties": ties(network, parts),
        "frozen": [name for name, part in parts.items() if isinstance(part, Parameter) and part.frozen],
    }
    try:
        build_dry(description, Spec.of_all(arrays), objects.arrays, classes.and_those(objects.used))
    except FileFormatError as error:
        raise ConfigurationError(f"network: it could not be read again: {error}") from error.__cause__
    return description, arrays


def revive_model(
    description: dict[str, Any],
    specs: Mapping[str, Spec],
    read: Callable[[str], Array],
    custom: Sequence[Any] = (),
) -> Sequential:
    """The network that was described, with its arrays, of which ``read`` gives one by name.

    Everything is held against the ``specs``, what the arrays are, before the first parameter is read.

    Raises:
        ArgumentTypeError, ConfigurationError: for ``custom`` that is no list of classes or functions, each of another
            name.
        FileFormatError: where the description is not that of a network, or not that of these arrays.
    """
    classes = Classes.of(custom)
    _check_kind(description)
    arguments = {name: read(name) for name in specs if name.startswith(FROM_THE_CONFIGURATION)}
    network, parts = build_dry(description, specs, arguments, classes)
    frozen = set(description["frozen"])
    for name, part in parts.items():
        if isinstance(part, Parameter):
            part.__setstate__((read(name), None, name in frozen))
        else:
            object.__setattr__(part, "value", read(name))  # past the hook that copies into the old array
    return network


def network_of(description: Mapping[str, Any], specs: Mapping[str, Spec]) -> tuple[dict[str, Any], dict[str, Spec]]:
    """The description and the array specs of the network in a training file, for ``deepbp.load``."""
    check_version(description.get("version"), TRAINING_VERSION, "the training")
    network = description.get("network")
    if not isinstance(network, dict):
        raise FileFormatError(
            "expected a network, got a training whose model is none that a file can describe: make the trainer anew, "
            "and use trainer.load(path)"
        )
    return network, {name: spec for name, spec in specs.items() if not name.startswith(f"{TRAINING}/")}


def _check_kind(description: Mapping[str, Any]) -> None:
    kind = description.get("kind")
    if kind != KIND:
        raise FileFormatError(f"expected a file of a {KIND}, got one of kind {kind!r:.100}")
    check_version(description.get("version"), VERSION, f"the {KIND}")
