"""The arrays of a network by the paths that lead there, also where several paths lead to one."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import attrs

from deepbp.errors import ConfigurationError
from deepbp.layers import Layer
from deepbp.layers.layer import _members
from deepbp.parameter import Buffer, Parameter

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
