"""The network that a file describes, built without its numbers and held against the arrays that the file has."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from deepbp.arrays import as_dtype, as_shape
from deepbp.errors import ConfigurationError, FileFormatError
from deepbp.files.arrays import Spec
from deepbp.files.classes import Classes
from deepbp.files.describing import FROM_THE_CONFIGURATION
from deepbp.files.dry_building import DryBuilder, Placeholder
from deepbp.files.parts import Part, named_parts, tie, ties
from deepbp.files.reviving import Revival
from deepbp.parameter import Buffer, Parameter
from deepbp.sequential import Sequential
from deepbp.typing import Array, Shape

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
