"""What a file may name: deepbp's own classes, and the classes and functions that its reader hands in.

Never an import path: a name in a file runs nothing that the reader has not let in.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from importlib import import_module
from types import FunctionType
from typing import Any, Self

from attrs import frozen

from deepbp.errors import ArgumentTypeError, ConfigurationError, FileFormatError
from deepbp.initializers import Initializer
from deepbp.layers import Layer, Penalty

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
    classes = [one for one in found if isinstance(one, type) and one.__module__.startswith("deepbp.")]
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
