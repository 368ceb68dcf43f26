"""A configuration as JSON can hold it: a list of objects, each a class and its arguments, which refer to earlier ones.

Objects lie in a flat list, so that one that is used in two places is described once and comes back as one, and
nothing is nested deeply. Beside what JSON has, an argument may be ``{"object": position}``, ``{"array": name}``,
``{"parameter": name}``, ``{"buffer": name}``, ``{"tuple": [...]}``, ``{"dict": [[key, value], ...]}``,
``{"number": "inf"}``, ``{"ufunc": "sin"}`` of NumPy's, ``{"function": name}``, and ``{"class": ..., "member": name}``
of an enumeration.
"""

from collections.abc import Mapping
from enum import Enum
from math import isfinite
from types import FunctionType
from typing import Any

import attrs
import numpy as np
from attrs import define, field

from deepbp.errors import ArgumentTypeError
from deepbp.files.arrays import DTYPES
from deepbp.files.classes import Classes
from deepbp.layers import Layer, configuration
from deepbp.parameter import Buffer, Parameter
from deepbp.typing import Array

FROM_THE_CONFIGURATION = "configuration/"


@define(eq=False)
class Description:
    """Collects objects, children before parents, and the arrays among their arguments."""

    classes: Classes
    parameters: Mapping[int, str]  # the names of those that the network has, by id
    objects: list[dict[str, Any]] = field(factory=list)
    arrays: dict[str, Array] = field(factory=dict)
    used: dict[Any, None] = field(factory=dict)
    _positions: dict[int, int | None] = field(factory=dict)
    _equal: dict[str, int] = field(factory=dict)

    def add(self, instance: Any, place: str = "") -> int:
        """Describe an object and all it is made of; returns its position in the list.

        Raises ArgumentTypeError, with the place, for an argument that cannot be stored, such as a function.
        """
        if id(instance) in self._positions:
            position = self._positions[id(instance)]
            if position is None:
                raise ArgumentTypeError(f"{place}: a {type(instance).__name__} that is inside itself cannot be stored")
            return position
        self._positions[id(instance)] = None
        arguments = {
            name: self._value(value, f"{place}.{name}" if place else name, instance)
            for name, value in _arguments(instance).items()
        }
        self._positions[id(instance)] = position = self._listed({**self._class(instance), "arguments": arguments})
        return position

    def _listed(self, entry: dict[str, Any]) -> int:
        """The position of this entry. Equal ones without inner life, such as the initializers of layers, are one."""
        position = len(self.objects)
        if "custom" not in entry and not issubclass(self.classes.own[entry["class"]], Layer):
            position = self._equal.setdefault(repr(entry), position)
        if position == len(self.objects):
            self.objects.append(entry)
        return position

    def _value(self, value: Any, place: str, owner: Any) -> Any:
        if isinstance(value, Enum):
            return {**self._class(value), "member": value.name}
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if isfinite(value) else {"number": str(value)}
        if type(value) in (list, tuple):
            items = [self._value(item, f"{place}[{i}]", owner) for i, item in enumerate(value)]
            return items if type(value) is list else {"tuple": items}
        if type(value) is dict:
            pairs = [(self._value(key, place, owner), key, item) for key, item in value.items()]
            return {"dict": [[key, self._value(item, f"{place}[{said!r}]", owner)] for key, said, item in pairs]}
        if isinstance(value, np.random.Generator):
            return None  # a network that is read starts with a generator of its own
        if type(value) is np.ndarray and value.dtype.name in DTYPES:
            in_file = f"{FROM_THE_CONFIGURATION}{len(self.arrays)}"
            self.arrays[in_file] = value
            return {"array": in_file}
        if isinstance(value, Parameter | Buffer) and id(value) in self.parameters:
            return {type(value).__name__.lower(): self.parameters[id(value)]}
        name = getattr(value, "__name__", "")
        if isinstance(value, np.ufunc) and getattr(np, name, None) is value:
            return {"ufunc": name}
        if isinstance(value, FunctionType) and value.__qualname__ == name != "<lambda>":
            self.used[value] = None
            return {"function": name}
        if not attrs.has(type(value)) and not _takes_nothing(value):
            fix = "put @define, from attrs, above its class, if it is one of yours"
            if callable(value):
                fix = "a function without a name of its own cannot be stored: write it at the top level of a module"
            raise ArgumentTypeError(
                f"{place}, an argument of {type(owner).__name__}: expected what a file can hold, got {value!r}: {fix}"
            )
        return {"object": self.add(value, place)}

    def _class(self, instance: Any) -> dict[str, Any]:
        self.used[type(instance)] = None
        return self.classes.reference(type(instance))


def _takes_nothing(value: Any) -> bool:
    """Whether it is of a plain class whose constructor has no arguments, as an initializer may be."""
    cls: Any = type(value)
    return cls.__init__ is object.__init__ and cls.__new__ is object.__new__ and getattr(value, "__dict__", None) == {}


def _arguments(instance: Any) -> dict[str, Any]:
    return configuration(instance) if attrs.has(type(instance)) else {}
