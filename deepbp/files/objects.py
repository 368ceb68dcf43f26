"""Serialization of layers and their configuration to JSON, and deserialization within limits."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from types import FunctionType
from typing import Any, Self

import attrs
import numpy as np
from attrs import define, field, frozen

from deepbp import initializers, layers, losses
from deepbp.errors import ArgumentTypeError, ConfigurationError, FileFormatError, shown
from deepbp.initializers import Initializer
from deepbp.layers import Layer, configuration
from deepbp.losses import Loss
from deepbp.parameters import Buffer, Parameter
from deepbp.storage.json_codec import Decoder, Encoder
from deepbp.typing import Array

DEEPEST = 100
MOST_OBJECTS = 50_000  # a layer, and what it is made of, counts as often as it runs
MOST_PARTS = 10_000  # that are built: a layer that runs in several places is built once, and copied by Repeat
MOST_WORK = 50_000  # of these, each times its depth: some composites walk through all layers inside


@frozen
class Classes:
    """The classes and functions that a file may name: deepbp's own, and custom ones that the caller passes."""

    bases: dict[str, type]  # of the network, by name
    custom: dict[str, Any]

    @classmethod
    def of(cls, network: type, custom: Sequence[Any] = ()) -> Self:
        """deepbp's layers, initializers, penalties and losses, the bases of ``network``, and custom classes.

        Raises:
            ArgumentTypeError: for a custom one that is neither a class nor a function.
            ConfigurationError: for two custom ones of the same name.
        """
        if not isinstance(custom, list | tuple) or not all(isinstance(one, type | FunctionType) for one in custom):
            raise ArgumentTypeError(f"custom: expected a list of classes, such as [MyLayer], got {shown(custom)}")
        bases = [one for one in network.__mro__ if one.__module__.partition(".")[0] == "deepbp"]
        return cls({one.__name__: one for one in bases}, _by_name(custom))

    def with_custom(self, used: Iterable[Any]) -> "Classes":
        """The same own classes, and those of ``used`` that are not deepbp's own as custom ones."""
        return Classes(self.bases, _by_name([one for one in used if not self.is_own(one)]))

    def own(self, name: str) -> type | None:
        """deepbp's class of this name, which is imported on first use; None for names that a file may not use."""
        home = next((module for module in (layers, initializers, losses) if name in module.__all__), None)
        found: Any = self.bases.get(name) if home is None else getattr(home, name)
        if not isinstance(found, type) or found.__name__ != name:  # a synonym is not written into files
            return None
        return found if issubclass(found, (Layer, Initializer, Loss)) or issubclass(found, layers.Penalty) else None

    def is_own(self, one: Any) -> bool:
        """Whether this is a public class of deepbp."""
        return self.own(one.__name__) is one

    def reference(self, cls: type) -> dict[str, Any]:
        """The form in which a file names a class."""
        return {"class": cls.__name__} if self.is_own(cls) else {"class": cls.__name__, "custom": True}

    def find(self, reference: dict[str, Any]) -> type:
        """The class that a file names. Raises FileFormatError for an unknown one."""
        name, custom = reference.get("class"), reference.get("custom", False)
        if not isinstance(name, str) or not isinstance(custom, bool):
            raise FileFormatError(f"expected the name of a class, got {name!r:.100}")
        if custom:
            found: type = self._custom(name, type, "class")
            return found
        if (own := self.own(name)) is None:
            raise FileFormatError(f"deepbp has no class {name!r:.100}: was the file written by a newer one?")
        return own

    def function(self, name: str) -> Any:
        """The function that a file names. Raises FileFormatError for an unknown one."""
        return self._custom(name, FunctionType, "function")

    def _custom(self, name: str, kind: type, what: str) -> Any:
        found = self.custom.get(name)
        if not isinstance(found, kind):
            raise FileFormatError(f"custom: expected a {what} {name!r:.100}, got {found!r:.100}")
        return found

    def check_custom(self, description: Any) -> None:
        """Raise FileFormatError, with the argument to pass, where a description names missing custom classes."""
        named = list(dict.fromkeys(_custom_names(description)))
        missing = [name for name in named if name not in self.custom]
        if missing:
            raise FileFormatError(
                f"{', '.join(missing):.200} did not come with deepbp: hand in all that did not, "
                f"load(path, custom=[{', '.join(named):.1000}])"
            )


def _by_name(custom: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in custom:
        if found.setdefault(one.__name__, one) is not one:
            raise ConfigurationError(f"custom: two are called {one.__name__}, and a file knows them by name")
    return found


def _custom_names(description: Any) -> Iterator[str]:
    values = [description]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            name = value.get("function") or (value.get("custom") and value.get("class"))
            if isinstance(name, str):
                yield name
            value = list(value.values())
        if isinstance(value, list):
            values += reversed(value)


FROM_THE_CONFIGURATION = "configuration/"  # begins the names of arrays that are arguments of constructors


@define(eq=False)
class Serializer(Encoder):
    """Serializes objects to a list of classes and constructor arguments, children before parents.

    An argument that is an object is the position of its entry, ``{"object": 3}``, so an object that several others
    share is serialized once. Further tags name parameters and buffers, NumPy's functions, and custom functions.
    """

    classes: Classes = field(kw_only=True)
    names: Mapping[int, str] = field(kw_only=True)  # of the network's parameters and buffers, by id
    objects: list[dict[str, Any]] = field(factory=list)
    used: dict[Any, None] = field(factory=dict)  # classes and functions
    _positions: dict[int, int | None] = field(factory=dict)  # None while its arguments are serialized
    _equal: dict[str, int] = field(factory=dict)
    _owner: Any = None  # the object whose arguments are serialized

    def add(self, instance: Any, place: str = "") -> int:
        """Serialize an object and everything inside it; returns its position in the list.

        Raises ArgumentTypeError, which names the place, for an argument that cannot be stored, such as a lambda.
        """
        if id(instance) in self._positions:
            position = self._positions[id(instance)]
            if position is None:
                raise ArgumentTypeError(f"{place}: a {type(instance).__name__} that is inside itself cannot be stored")
            return position
        self._positions[id(instance)] = None
        owner, self._owner = self._owner, instance
        held = configuration(instance) if attrs.has(type(instance)) else {}
        arguments = {name: self.encode(value, f"{place}.{name}" if place else name) for name, value in held.items()}
        self._owner = owner
        self._positions[id(instance)] = position = self._listed({**self._class(instance), "arguments": arguments})
        return position

    def _listed(self, entry: dict[str, Any]) -> int:
        """The position of an entry. Equal entries without a state, such as initializers, are one entry."""
        position = len(self.objects)
        if "custom" not in entry and not issubclass(self.classes.find(entry), Layer):
            position = self._equal.setdefault(repr(entry), position)
        if position == len(self.objects):
            self.objects.append(entry)
        return position

    def encode_other(self, value: Any, place: str) -> Any:
        if isinstance(value, Enum):
            return {**self._class(value), "member": value.name}
        if isinstance(value, np.generic):
            return self.encode(value.item(), place)
        if isinstance(value, np.random.Generator):
            return None  # a network that is loaded starts with a generator of its own
        if isinstance(value, Parameter | Buffer) and id(value) in self.names:
            return {type(value).__name__.lower(): self.names[id(value)]}
        name = getattr(value, "__name__", "")
        if isinstance(value, np.ufunc) and vars(np).get(name) is value:
            return {"ufunc": name}
        if isinstance(value, FunctionType) and value.__qualname__ == name != "<lambda>":
            self.used[value] = None
            return {"function": name}
        if attrs.has(type(value)) or _takes_no_arguments(value):
            return {"object": self.add(value, place)}
        fix = "put @define, from attrs, above its class, if it is one of yours"
        if callable(value):
            fix = "a function without a name of its own cannot be stored: write it at the top level of a module"
        raise ArgumentTypeError(
            f"{place}, an argument of {type(self._owner).__name__}: expected what a file can hold, "
            f"got {shown(value)}: {fix}"
        )

    def inside(self, place: str, key: Any, position: int) -> str:
        return f"{place}[{key!r}]"

    def add_array(self, array: Array, place: str) -> str:
        return Encoder.add_array(self, array, f"{FROM_THE_CONFIGURATION}{len(self.arrays)}")

    def _class(self, instance: Any) -> dict[str, Any]:
        self.used[type(instance)] = None
        return self.classes.reference(type(instance))


def _takes_no_arguments(value: Any) -> bool:
    """Whether this is of a plain class whose constructor has no arguments, as an initializer may be."""
    cls: Any = type(value)
    return cls.__init__ is object.__init__ and cls.__new__ is object.__new__ and getattr(value, "__dict__", None) == {}


@define(eq=False)
class Deserializer(Decoder):
    """Constructs serialized objects one after another, and refuses files that nest or repeat them without bounds."""

    classes: Classes
    part: Callable[[type, str], Parameter | Buffer]  # makes those that are arguments, by name
    objects: list[Any] = field(factory=list)
    _depths: list[int] = field(factory=list)  # of the objects, as are the counts
    _counts: list[int] = field(factory=list)
    _parts: list[int] = field(factory=list)
    _nested: list[int] = field(factory=list)
    _inside: list[int] = field(factory=list)  # positions of the objects among the arguments of the next one
    _identities: int = field(default=0)  # of the next one: branches that are None

    def __attrs_post_init__(self) -> None:
        Decoder.__attrs_post_init__(self)
        self.tags |= {
            "object": self._object,
            "parameter": lambda name: self.part(Parameter, name),
            "buffer": lambda name: self.part(Buffer, name),
            "ufunc": _ufunc,
            "function": self.classes.function,
        }

    def add(self, entry: Any) -> None:
        """Construct the next object. Raises FileFormatError for arguments that its class does not take."""
        try:
            if not isinstance(entry, dict) or entry.keys() - {"custom"} != {"class", "arguments"}:
                raise FileFormatError(f"expected a class and its arguments, got {entry!r:.100}")
            cls, arguments = self.classes.find(entry), entry["arguments"]
            if not isinstance(arguments, dict):
                raise FileFormatError(f"expected arguments by name, got {arguments!r:.100}")
            self._inside, self._identities = [], 0
            arguments = {name: self.decode(value) for name, value in arguments.items()}
            self._check_limits(cls, arguments)
            self.objects.append(_constructed(cls, arguments))
        except FileFormatError as error:
            raise error.placed(f"object {len(self.objects)}") from error.__cause__

    def _check_limits(self, cls: type, arguments: dict[str, Any]) -> None:
        """Checked before construction: n entries, each with two references to the one before, are 2ⁿ layers."""
        depth = 1 + max((self._depths[position] for position in self._inside), default=0)
        count = 1 + self._identities + sum(self._counts[position] for position in self._inside)
        inside = {*self._inside}
        parts = 1 + self._identities + len(self._inside) - len(inside) + sum(self._parts[one] for one in inside)
        nested = parts + sum(self._nested[one] for one in inside)
        if isinstance(arguments.get("times"), int) and issubclass(cls, layers.Repeat):
            times = max(arguments["times"], 1)
            count, copies = count * times, 1 if arguments.get("share") else 2 * times - 1  # a copy is made, and built
            parts, nested = parts * copies + times, nested * copies + times
        if depth > DEEPEST:
            raise FileFormatError(f"expected layers within layers to a depth of at most {DEEPEST}, got {depth}")
        if count > MOST_OBJECTS:
            raise FileFormatError(f"expected at most {MOST_OBJECTS:,} layers and their parts, got {count:,}")
        if (built := max(parts, len(self.objects) + 1)) > MOST_PARTS:  # at least those of which there are entries
            raise FileFormatError(f"expected at most {MOST_PARTS:,} layers and their parts to build, got {built:,}")
        if nested > MOST_WORK:
            raise FileFormatError(f"expected at most {MOST_WORK:,} layers and parts times their depth, got {nested:,}")
        self._depths.append(depth)
        self._counts.append(count)
        self._parts.append(parts)
        self._nested.append(nested)

    def _object(self, position: Any) -> Any:
        if type(position) is not int or not 0 <= position < len(self.objects):
            raise FileFormatError(f"expected the position of an earlier object, got {position!r:.100}")
        self._inside.append(position)
        return self.objects[position]

    def decode(self, value: Any) -> Any:
        if isinstance(value, list):
            self._identities += value.count(None)
        return Decoder.decode(self, value)

    def decode_other(self, value: dict[str, Any]) -> Any:
        if value.keys() - {"custom"} != {"class", "member"}:
            return Decoder.decode_other(self, value)
        cls, name = self.classes.find(value), value["member"]
        if not issubclass(cls, Enum) or not isinstance(name, str) or name not in cls.__members__:
            raise FileFormatError(f"expected a member of {cls.__name__}, got {name!r:.100}")
        return cls[name]


def _constructed(cls: type, arguments: dict[str, Any]) -> Any:
    known = [a.alias for a in attrs.fields(cls) if a.init] if attrs.has(cls) else []
    strange = [name for name in arguments if name not in known]
    if strange:
        raise FileFormatError(f"{cls.__name__}: has no argument {strange[0]!r:.100}")
    construct: Any = getattr(cls, "from_configuration", cls)  # of a network: without building it
    try:
        return construct(**arguments)
    except Exception as error:
        raise FileFormatError(f"{cls.__name__}({', '.join(arguments)}): {error}") from error


def _ufunc(name: str) -> np.ufunc:
    found = vars(np).get(name)  # getattr would import submodules of NumPy
    if not isinstance(found, np.ufunc):
        raise TypeError("no function of NumPy's")
    return found
