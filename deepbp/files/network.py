"""Serialization of networks: the architecture as JSON, parameters and buffers as arrays.

A network is deserialized in two steps. First it is built without numbers, by an abstract build whose arrays take no
memory, and compared with the dtypes and shapes in the file. Only then are the arrays read.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache, partial
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar, cast, overload

import attrs
import numpy as np
from attrs import define, field

from deepbp._validation import as_dtype, as_shape, require_built
from deepbp._version import __version__
from deepbp.errors import ArgumentTypeError, ConfigurationError, FileFormatError, shown
from deepbp.files.objects import FROM_THE_CONFIGURATION, Classes, Deserializer, Serializer
from deepbp.initializers import Initializer
from deepbp.layers import Builder, Chain, Layer
from deepbp.layers.chain import column_names_of, restore_column_names
from deepbp.layers.layer import members
from deepbp.losses import Loss
from deepbp.parameters import Buffer, Parameter
from deepbp.processes import Processes
from deepbp.storage.atomic import FileLike, is_stream
from deepbp.storage.contents import Spec, check_version
from deepbp.storage.formats import Readable, contents_of, open_file, write_file
from deepbp.storage.json_codec import from_json, to_json
from deepbp.typing import AnySize, Array, Shape

Part: TypeAlias = Parameter | Buffer
Network = TypeVar("Network", bound=Chain)

KIND, VERSION = "model", 1
TRAINING, TRAINING_VERSION = "training", 2
KEYS = {"deepbp": str, "dtype": str, "input_shape": list, "objects": list, "ties": dict, "frozen": list}
OPTIONAL = {"columns": list, "target_columns": list, "classes": list, "loss": int}


@overload
def save(network: Chain, path: str | os.PathLike[str]) -> Path: ...


@overload
def save(network: Chain, path: BinaryIO) -> BinaryIO: ...


def save(network: Chain, path: FileLike) -> Path | BinaryIO:
    """Serialize a built ``Sequential`` to a file, atomically, or to a binary stream, and return the path or the stream.

    The file holds the architecture, all parameters and buffers, and which of them are frozen, and what the
    outputs stand for: the loss of the training and the names of classes. It holds neither the
    state of a training, which ``Trainer.save`` writes, nor the state of the network's random generator.

    >>> from deepbp import Sequential, files
    >>> from deepbp.layers import Dense
    >>> files.save(Sequential([Dense(2)], input_shape=3, rng=0), "net.npz").name
    'net.npz'
    >>> files.load("net.npz")
    Sequential([Dense(2)], input_shape=(3,), rng=0)

    Args:
        network: the built network.
        path: a name ending in ``.npz`` or in ``.safetensors``, or a stream such as ``io.BytesIO()``, which gets an npz
            file, unless its ``name`` ends in ``.safetensors``.

    Raises:
        ArgumentTypeError: for a configuration that a file cannot hold, such as a lambda; names the place.
        NotBuiltError: when the sizes are not known yet.
        ConfigurationError: for another ending; for a network that could not be loaded again.
        OSError: when the folder does not exist, the disk is full, and so on.
    """
    write_file(path, *describe_model(network))
    return path if is_stream(path) else Path(path)  # type: ignore[arg-type]  # a path, then


def load_network(path: Readable, kind: type[Network], custom: Sequence[Any], limit: int) -> Network:
    """Deserialize the network of this class in a file of a model or a training; ``deepbp.load`` has the details."""
    with open_file(path, limit) as stored:
        if stored.description is None:
            raise FileFormatError(
                "expected a network, got arrays that deepbp did not write: build the network, and use "
                "net.load_weights(path, convention='pytorch')"
            )
        description, specs = stored.description, stored.specs
        if description.get("kind") == TRAINING:
            description, specs = network_of(description, specs)
        return deserialize_model(description, specs, stored.array, kind, custom)


def describe_model(network: Chain) -> tuple[dict[str, Any], dict[str, Array]]:
    """Serialize a built ``Sequential`` to a JSON object and arrays by name.

    Raises:
        ArgumentTypeError: for another layer, and for a configuration that cannot be stored.
        NotBuiltError: when the sizes are not known yet.
        ConfigurationError: when the network could not be deserialized again.
    """
    if not isinstance(network, Chain) or not hasattr(type(network), "from_configuration"):
        raise ArgumentTypeError(
            f"network: expected a Sequential, got {shown(network)}: put it in one, Sequential([...])"
        )
    built, state, classes = require_built(network, network.built), state_dict(network), Classes.of(type(network))
    serializer = Serializer(classes=classes, names={id(part): name for name, part in state.items()})
    loss = _position_of_loss(serializer, built.loss)
    serializer.add(network)
    arrays = {**{name: part.value for name, part in state.items()}, **serializer.arrays}
    description = {
        "kind": KIND,
        "version": VERSION,
        "deepbp": __version__,
        "dtype": built.dtype.name,
        "input_shape": [None if type(size) is AnySize else size for size in built.input_shape],
        "objects": serializer.objects,
        "ties": shared_parts(network, state),
        "frozen": [name for name, part in state.items() if part.frozen],
    }
    description |= column_names_of(network) | ({} if loss is None else {"loss": loss})
    try:
        classes = classes.with_custom(serializer.used)
        abstract_build(description, Spec.of_all(arrays), dict(serializer.arrays), type(network), classes)
    except FileFormatError as error:
        raise ConfigurationError(f"network: it could not be read again: {error}") from error.__cause__
    return description, arrays


def save_training(path: FileLike, model: Layer[Any], parts: dict[str, Array], training: dict[str, Any]) -> None:
    """Write the state of a training, and the network, if a file can describe it, or else the arrays ``parts``."""
    try:
        network, arrays = describe_model(model)  # type: ignore[arg-type]  # raises for other layers
    except (ArgumentTypeError, ConfigurationError):  # the file resumes a training all the same
        network, arrays = None, parts
    state = to_json(training, TRAINING, arrays)
    write_file(path, {"kind": TRAINING, "version": TRAINING_VERSION, "network": network, "training": state}, arrays)


def load_training(
    path: Readable,
    processes: Processes | None,
    check: Callable[[dict[str, str]], None],
    restore: Callable[[dict[str, Any], dict[str, Array]], None],
) -> None:
    """Read a training file: ``restore`` gets the state of the training, and the model's parameters and buffers.

    Args:
        path: the file; of several processes, the first one reads it.
        processes: None for one.
        check: gets the dtypes and shapes of parameters and buffers, before they are read.
        restore: what it raises for a state that makes no sense becomes a FileFormatError.
    """
    if processes is not None:
        path = processes.of_first(partial(contents_of, path))
    with open_file(path) as stored:
        description = stored.description
        if description is None:
            raise FileFormatError("expected a file of Trainer.save, got arrays that deepbp did not write")
        if description.get("kind") != TRAINING:
            found = description.get("kind")
            raise FileFormatError(f"expected a file of Trainer.save, got one of kind {found!r:.100}")
        check_version(description.get("version"), TRAINING_VERSION, "the training")
        if description.keys() != {"kind", "version", "network", "training"}:
            raise FileFormatError(f"expected a network and a training, got {list(description)!r:.200}")
        beside = (f"{TRAINING}/", FROM_THE_CONFIGURATION)
        specs = {name: spec for name, spec in stored.specs.items() if not name.startswith(beside)}
        check({name: f"{spec.dtype} of shape {spec.shape}" for name, spec in specs.items()})
        arrays = {name: stored.array(name) for name in stored.specs}
        try:
            state = from_json(description["training"], arrays, description["version"])
            restore(state, {name: one for name, one in arrays.items() if not name.startswith(FROM_THE_CONFIGURATION)})
        except (FileFormatError, ConfigurationError):
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise FileFormatError(f"expected the state of a training, got something else: {error!r}") from error


def _position_of_loss(serializer: Serializer, loss: Loss[Any] | None) -> int | None:
    """Serialize the loss that gives the outputs their meaning; None for one of a user's own, which is not stored."""
    trial = Serializer(classes=serializer.classes, names={})
    try:
        trial.encode(loss, "loss")
    except ArgumentTypeError:
        return None
    stored = loss is not None and all(map(serializer.classes.is_own, trial.used))
    return serializer.add(loss) if stored else None


def deserialize_model(
    description: dict[str, Any],
    specs: Mapping[str, Spec],
    read: Callable[[str], Array],
    kind: type[Network],
    custom: Sequence[Any] = (),
) -> Network:
    """Deserialize a network: the architecture from its description, and each array with ``read``, by its name.

    Raises:
        ArgumentTypeError, ConfigurationError: for invalid ``custom`` classes; see ``Classes.of``.
        FileFormatError: for an invalid description, and for one that does not fit the arrays.
    """
    classes = Classes.of(kind, custom)
    if description.get("kind") != KIND:
        raise FileFormatError(f"expected a file of a {KIND}, got one of kind {description.get('kind')!r:.100}")
    check_version(description.get("version"), VERSION, f"the {KIND}")
    arguments = {name: read(name) for name in specs if name.startswith(FROM_THE_CONFIGURATION)}
    network, state = abstract_build(description, specs, arguments, kind, classes)
    frozen = set(description["frozen"])
    for name, part in state.items():
        part.adopt(read(name))
        if isinstance(part, Parameter):
            part.freeze(name in frozen)
        else:
            part.frozen = name in frozen
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


def state_dict(network: Layer[Any]) -> dict[str, Part]:
    """All parameters and buffers, each once, by the first path that leads to it.

    Raises ConfigurationError where two of them have the same name.
    """
    found = [(name, part) for name, part in network.named_members() if isinstance(part, Part)]
    if len(named := dict(found)) < len(found):
        raise ConfigurationError("the network: expected names that differ, got two parameters of one name")
    return named


def shared_parts(network: Layer[Any], state: Mapping[str, Part]) -> dict[str, str]:
    """Weight tying: the other paths that lead to a parameter or buffer, with its name in the state."""
    names = {id(part): name for name, part in state.items()}
    return {path: names[id(part)] for path, _, _, part in _occurrences(network) if names[id(part)] != path}


def share_parts(network: Layer[Any], shared: Mapping[str, str]) -> None:
    """Make each of these paths lead to the parameter or buffer of that name. Ignores unknown paths and names."""
    occurrences = list(_occurrences(network)) if shared else []
    held = {path: part for path, _, _, part in occurrences}
    for path, layer, name, own in occurrences:
        part = held.get(shared.get(path, path), own)
        if part is not own and type(part) is type(own) and part.value.shape == own.value.shape:
            _replace_member(layer, name, part)


def _replace_member(layer: Layer[Any], name: str, member: Part) -> None:
    """Replace the member of a name as ``members`` returns it; no converter or validator runs."""
    attribute, _, key = name.partition(".")
    names = {a.name for a in attrs.fields(type(layer))}
    if name in names:
        object.__setattr__(layer, name, member)
        return
    attribute, key = (attribute, key) if attribute in names else ("layers", name)
    held = getattr(layer, attribute)
    if isinstance(held, dict):
        held[key] = member
    else:
        items = list(held)
        items[int(key)] = member
        object.__setattr__(layer, attribute, type(held)(items))


def _occurrences(network: Layer[Any]) -> Iterator[tuple[str, Layer[Any], str, Part]]:
    """Every path to a parameter or buffer, with the layer that holds it, its name there, and the object."""
    for path, layer in {"": network, **network.named_layers()}.items():
        for name, found in members(layer):
            if isinstance(found, Part):
                yield f"{path}.{name}" if path else name, layer, name, found


class AbstractArray(np.ndarray[Any, Any]):
    """A writable array of any shape in the memory of one number, which all its elements share."""

    @classmethod
    def of(cls, shape: Shape, dtype: Any) -> "AbstractArray":
        """Create one."""
        one = np.ones(1, dtype).view(cls)
        return cast(AbstractArray, np.lib.stride_tricks.as_strided(one, shape, (0,) * len(shape), subok=True))

    def __deepcopy__(self, memo: dict[int, Any] | None, /) -> "AbstractArray":
        return self.of(self.shape, self.dtype)


MOST_NUMBERS = 2**31


@define(eq=False)
class AbstractBuilder(Builder):
    """A builder of abstract arrays, which refuses shapes that no array in the file has, and samples without bounds."""

    allowed: Collection[Shape] = field(kw_only=True)

    def build(self, layer: Layer[Any], input_shape: Shape) -> Shape:
        output_shape = Builder.build(self, layer, input_shape)
        if prod(output_shape) > MOST_NUMBERS:
            raise FileFormatError(
                f"expected at most {MOST_NUMBERS:,} numbers per sample between layers, got {prod(output_shape):,}"
            )
        return output_shape

    def _draw(self, shape: Shape, initializer: Initializer) -> Array:
        shape = as_shape(shape, "shape")
        if shape not in self.allowed:
            raise FileFormatError(f"needs an array of shape {shape}, and the file has none of this shape")
        return AbstractArray.of(shape, self.dtype)


def abstract_build(
    description: Mapping[str, Any],
    specs: Mapping[str, Spec],
    arguments: dict[str, Array],
    kind: type[Network],
    classes: Classes,
) -> tuple[Network, dict[str, Part]]:
    """Build a network from its description with abstract arrays, and compare it with the specs of the arrays.

    ``arguments`` are the arrays among the constructors' arguments, which are removed as they are used. Raises
    FileFormatError for anything that ``describe_model`` does not write, before memory is allocated for more than the
    objects themselves.
    """
    _check_keys(description)
    specs = {name: spec for name, spec in specs.items() if not name.startswith(FROM_THE_CONFIGURATION)}
    classes.check_custom(description["objects"])
    make_part = cache(lambda kind, name: kind(AbstractArray.of(specs[name].shape, specs[name].dtype)))
    deserializer = Deserializer(arguments, classes, make_part)
    for entry in description["objects"]:
        deserializer.add(entry)
    if arguments:
        raise FileFormatError(f"array {next(iter(arguments))!r}: the file has it, and no argument is this array")
    network = deserializer.objects[-1] if deserializer.objects else None
    if not isinstance(network, kind):
        raise FileFormatError(f"objects: expected a {kind.__name__} as the last, got {type(network).__name__}")
    try:
        shape, dtype = as_shape(description["input_shape"], any_size=True), as_dtype(description["dtype"])
        rng: Any = getattr(network, "generator", None)
        with np.errstate(all="ignore"):
            AbstractBuilder(rng, dtype, allowed={spec.shape for spec in specs.values()}).build(network, shape)
        restore_column_names(network, description)
        if (position := description.get("loss")) is not None:
            network.built = attrs.evolve(require_built(network, network.built), loss=_loss(deserializer, position))
    except Exception as error:  # any layer may only now refuse an argument of its constructor
        raise FileFormatError(f"the architecture cannot be built: {error}") from error
    share_parts(network, description["ties"])
    state = _checked_state(network, specs)
    if (made := shared_parts(network, state)) != description["ties"]:
        raise FileFormatError(f"ties: the architecture has {made!r:.100}, got {description['ties']!r:.100}")
    frozen = description["frozen"]
    if len(set(frozen)) < len(frozen) or not set(frozen) <= state.keys():
        raise FileFormatError(f"frozen: expected names of parameters and buffers, each once, got {frozen!r:.100}")
    return network, state


def _loss(deserializer: Deserializer, position: int) -> Loss[Any]:
    found = deserializer.objects[position] if 0 <= position < len(deserializer.objects) else None
    if not isinstance(found, Loss):
        raise FileFormatError(f"loss: expected the position of a loss, got {position!r:.100}")
    return found


def _check_keys(description: Mapping[str, Any]) -> None:
    if description.keys() - {"kind", "version"} - OPTIONAL.keys() != KEYS.keys():
        raise FileFormatError(f"expected kind, version, {', '.join(KEYS)}, got {list(description)!r:.200}")
    for key, expected in (KEYS | {key: kind for key, kind in OPTIONAL.items() if key in description}).items():
        if not isinstance(description[key], expected):
            raise FileFormatError(f"{key}: expected a {expected.__name__}, got {description[key]!r:.100}")
    for name in (*description["frozen"], *description["ties"].values()):
        if not isinstance(name, str):
            raise FileFormatError(f"frozen, ties: expected names, got {name!r:.100}")


def _checked_state(network: Layer[Any], specs: Mapping[str, Spec]) -> dict[str, Part]:
    """The parameters and buffers. Raises FileFormatError unless they have exactly the names and specs of the arrays."""
    try:
        state = state_dict(network)
    except ConfigurationError as error:
        raise FileFormatError(str(error)) from None
    for name, part in state.items():
        needed = Spec(part.value.dtype.name, part.value.shape)
        if name not in specs:
            raise FileFormatError(f"array {name!r}: the architecture has it, and the file does not")
        if specs[name] != needed:
            raise FileFormatError(
                f"array {name!r}: the architecture has {needed.dtype} of shape {needed.shape}, the file "
                f"{specs[name].dtype} of shape {specs[name].shape}"
            )
    strange = [name for name in specs if name not in state]
    if strange:
        raise FileFormatError(f"array {strange[0]!r}: the file has it, and the architecture has no place for it")
    return state
