"""Serialization of layers and their configuration to JSON, and back."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from importlib import import_module
from math import isfinite
from types import FunctionType
from typing import Any, Self

import attrs
import numpy as np
from attrs import define, field, frozen

from deepbp._validation import as_shape
from deepbp.errors import ArgumentTypeError, ConfigurationError, FileFormatError
from deepbp.initializers import Initializer
from deepbp.layers import Layer, Penalty, Repeat, configuration
from deepbp.parameters import Buffer, Parameter
from deepbp.sequential import Sequential
from deepbp.storage.json_codec import DTYPES
from deepbp.typing import Array

DEEPEST = 100
MOST_OBJECTS = 50_000  # unrolled: a layer, and what it is made of, counts as often as it runs


@define(eq=False)
class Bounds:
    """Keeps count of objects, which refer to earlier ones, before they are made."""

    _depths: list[int] = field(factory=list)
    _counts: list[int] = field(factory=list)

    def add(self, cls: type, arguments: dict[str, Any]) -> None:
        """Count one more object. Raises FileFormatError where it would be too much, or refers to no earlier one."""
        inside = self._references(list(arguments.values()))
        depth = 1 + max((self._depths[position] for position in inside), default=0)
        count = 1 + sum(self._counts[position] for position in inside)
        if issubclass(cls, Repeat) and isinstance(arguments.get("times"), int):
            count *= max(arguments["times"], 1)
        if depth > DEEPEST:
            raise FileFormatError(f"expected layers within layers to a depth of at most {DEEPEST}, got {depth}")
        if count > MOST_OBJECTS:
            raise FileFormatError(f"expected at most {MOST_OBJECTS:,} layers and their parts, got {count:,}")
        self._depths.append(depth)
        self._counts.append(count)

    def _references(self, value: Any) -> list[int]:
        if isinstance(value, dict) and value.keys() == {"object"}:
            position = value["object"]
            if type(position) is not int or not 0 <= position < len(self._counts):
                raise FileFormatError(f"expected the position of an earlier object, got {position!r:.100}")
            return [position]
        items = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
        return [position for item in items for position in self._references(item)]


HOMES = ("layers", "initializers", "sequential")
KINDS = (Layer, Initializer, Penalty, Enum)


@frozen
class Classes:
    """Classes and functions by name: deepbp's own, and those of others."""

    own: dict[str, type]
    custom: dict[str, Any]

    @classmethod
    def of(cls, custom: Sequence[Any] = ()) -> Self:
        """Those of deepbp's public classes that a network is made of, and the given ones.

        Raises:
            ArgumentTypeError: when a given one is neither a class nor a function.
            ConfigurationError: when two of them have one name.
        """
        if not isinstance(custom, list | tuple) or not all(isinstance(one, type | FunctionType) for one in custom):
            raise ArgumentTypeError(f"custom: expected a list of classes, such as [MyLayer], got {custom!r}")
        return cls(_public(), _by_name(custom))

    def and_those(self, used: Iterable[Any]) -> "Classes":
        """With those of the used ones that are not deepbp's own as custom ones."""
        return Classes(self.own, _by_name([one for one in used if not self.is_own(one)]))

    def is_own(self, one: Any) -> bool:
        """Whether it is a public class of deepbp."""
        return self.own.get(one.__name__) is one

    def reference(self, cls: type) -> dict[str, Any]:
        """How a file names a class."""
        return {"class": cls.__name__} if self.is_own(cls) else {"class": cls.__name__, "custom": True}

    def find(self, reference: dict[str, Any]) -> type:
        """The class that a file names. Raises FileFormatError for one that is not let in."""
        name, custom = reference.get("class"), reference.get("custom", False)
        if not isinstance(name, str) or not isinstance(custom, bool):
            raise FileFormatError(f"expected the name of a class, got {name!r:.100}")
        if custom:
            found: type = self._handed_in(name, type, "class")
            return found
        if name not in self.own:
            raise FileFormatError(f"deepbp has no class {name!r:.100}: was the file written by a newer one?")
        return self.own[name]

    def function(self, name: str) -> Any:
        """The function that a file names. Raises FileFormatError for one that is not let in."""
        return self._handed_in(name, FunctionType, "function")

    def _handed_in(self, name: str, kind: type, what: str) -> Any:
        found = self.custom.get(name)
        if not isinstance(found, kind):
            raise FileFormatError(f"custom: expected a {what} {name!r:.100}, got {found!r:.100}")
        return found

    def check(self, description: Any) -> None:
        """Refuse a description that names what was not handed in, with all that is to be handed in."""
        named = list(dict.fromkeys(_named(description)))
        missing = [name for name in named if name not in self.custom]
        if missing:
            raise FileFormatError(
                f"{', '.join(missing):.200} did not come with deepbp: hand in all that did not, "
                f"load(path, custom=[{', '.join(named):.1000}])"
            )


def _public() -> dict[str, type]:
    found = [value for home in HOMES for value in vars(import_module(f"deepbp.{home}")).values()]
    classes = [one for one in found if isinstance(one, type) and one.__module__.partition(".")[0] == "deepbp"]
    return {one.__name__: one for one in classes if issubclass(one, KINDS) and not one.__name__.startswith("_")}


def _by_name(custom: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in custom:
        if found.setdefault(one.__name__, one) is not one:
            raise ConfigurationError(f"custom: two are called {one.__name__}, and a file knows them by name")
    return found


def _named(description: Any) -> Iterator[str]:
    """The names in it that are not deepbp's own."""
    if isinstance(description, dict):
        name = description.get("function") or (description.get("custom") and description.get("class"))
        if isinstance(name, str):
            yield name
        description = list(description.values())
    if isinstance(description, list):
        for value in description:
            yield from _named(value)


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
