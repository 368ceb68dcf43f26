"""Objects from their description: only classes that are let in, and only through their constructors."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import attrs
import numpy as np
from attrs import define, field

from deepbp.arrays import as_shape
from deepbp.errors import FileFormatError
from deepbp.files.bounds import Bounds
from deepbp.files.classes import Classes
from deepbp.parameter import Buffer, Parameter
from deepbp.sequential import Sequential
from deepbp.typing import Array

NUMBERS = {name: float(name) for name in ("inf", "-inf", "nan")}


@define(eq=False)
class Revival:
    """Makes the objects of a description, one after another."""

    classes: Classes
    arrays: Mapping[str, Array]  # those that arguments refer to
    part: Callable[[type, str], Parameter | Buffer]  # makes those that are arguments, by name
    objects: list[Any] = field(factory=list)
    used: set[str] = field(factory=set)  # of the arrays
    _bounds: Bounds = field(factory=Bounds)

    def add(self, entry: Any) -> Any:
        """Make the next object. Raises FileFormatError where it is not what its class takes."""
        try:
            if not isinstance(entry, dict) or entry.keys() - {"custom"} != {"class", "arguments"}:
                raise FileFormatError(f"expected a class and its arguments, got {entry!r:.100}")
            cls, arguments = self.classes.find(entry), entry["arguments"]
            if not isinstance(arguments, dict):
                raise FileFormatError(f"expected arguments by name, got {arguments!r:.100}")
            if issubclass(cls, Enum):
                raise FileFormatError(f"expected a class with a constructor, got {cls.__name__}")
            self._bounds.add(cls, arguments)
            made = self._made(cls, {name: self._value(value) for name, value in arguments.items()})
        except FileFormatError as error:
            raise error.placed(f"object {len(self.objects)}") from error.__cause__
        self.objects.append(made)
        return made

    def array(self, name: str) -> Array:
        """One of the arrays that arguments refer to."""
        found = self.arrays[name]
        self.used.add(name)
        return found

    def _made(self, cls: type, arguments: dict[str, Any]) -> Any:
        known = [a.alias for a in attrs.fields(cls) if a.init] if attrs.has(cls) else []
        strange = [name for name in arguments if name not in known]
        if strange:
            raise FileFormatError(f"{cls.__name__}: has no argument {strange[0]!r:.100}")
        shape = arguments.pop("input_shape", None) if issubclass(cls, Sequential) else None
        try:
            made = cls(**arguments)
            if shape is not None:  # given to the constructor, it would draw first values for all parameters
                object.__setattr__(made, "_input_shape", as_shape(shape))
        except Exception as error:
            raise FileFormatError(f"{cls.__name__}({', '.join(arguments)}): {error!s:.1000}") from error
        return made

    def _value(self, value: Any) -> Any:
        """The argument that ``Description`` has written so."""
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if not isinstance(value, dict):
            return value
        if value.keys() - {"custom"} == {"class", "member"}:
            return self._member(value)
        kind, inside = next(iter(value.items()), (None, None))
        make = _MAKERS.get(kind) if len(value) == 1 else None
        if make is None:
            raise FileFormatError(f"expected an argument, got {value!r:.100}")
        try:
            return make(self, inside)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, FileFormatError):
                raise
            raise FileFormatError(f"expected {kind}, got {inside!r:.100}") from None

    def _member(self, value: dict[str, Any]) -> Any:
        cls, name = self.classes.find(value), value["member"]
        if not issubclass(cls, Enum) or not isinstance(name, str) or name not in cls.__members__:
            raise FileFormatError(f"expected a member of {cls.__name__}, got {name!r:.100}")
        return cls[name]


def _ufunc(name: str) -> np.ufunc:
    found = getattr(np, name, None)
    if not isinstance(found, np.ufunc):
        raise TypeError
    return found


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


_MAKERS: dict[Any, Callable[[Revival, Any], Any]] = {
    "object": lambda revival, position: revival.objects[position],
    "array": lambda revival, name: revival.array(name),
    "parameter": lambda revival, name: revival.part(Parameter, name),
    "buffer": lambda revival, name: revival.part(Buffer, name),
    "ufunc": lambda revival, name: _ufunc(name),
    "function": lambda revival, name: revival.classes.function(name),
    "number": lambda revival, name: NUMBERS[name],
    "tuple": lambda revival, items: tuple(revival._value(item) for item in _list(items)),
    "dict": lambda revival, pairs: {
        revival._value(key): revival._value(item) for key, item in map(_list, _list(pairs))
    },
}
