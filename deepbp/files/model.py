"""A network as a description and arrays, and back."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import deepbp
from deepbp.errors import ArgumentTypeError, ConfigurationError, FileFormatError
from deepbp.files.architecture import build_dry
from deepbp.files.arrays import Spec
from deepbp.files.classes import Classes
from deepbp.files.contents import check_version
from deepbp.files.describing import FROM_THE_CONFIGURATION, Description
from deepbp.files.parts import named_parts, ties
from deepbp.parameter import Parameter
from deepbp.sequential import Sequential
from deepbp.typing import Array

KIND = "model"
VERSION = 1


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
        "deepbp": deepbp.__version__,
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


def _check_kind(description: Mapping[str, Any]) -> None:
    kind = description.get("kind")
    if kind != KIND:
        raise FileFormatError(f"expected a file of a {KIND}, got one of kind {kind!r:.100}")
    check_version(description.get("version"), VERSION, f"the {KIND}")
