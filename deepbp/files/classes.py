"""Which classes a file may name: deepbp's own, and those that the reader of the file hands in. Never an import path."""

from collections.abc import Iterable, Sequence
from enum import Enum
from importlib import import_module
from typing import Any, Self

from attrs import frozen

from deepbp.errors import ArgumentTypeError, ConfigurationError, FileFormatError
from deepbp.initializers import Initializer
from deepbp.layers import Layer, Penalty

HOMES = (
    "layers",
    "initializers",
    "losses",
    "optimizers",
    "optimizers.schedules",
    "training",
    "training.callbacks",
    "sequential",
)
OF_MODELS: tuple[type, ...] = (Layer, Initializer, Penalty, Enum)


@frozen
class Classes:
    """Classes by name: deepbp's own, and others."""

    own: dict[str, type]
    custom: dict[str, type]

    @classmethod
    def of(cls, custom: Sequence[type] = (), bases: tuple[type, ...] = OF_MODELS) -> Self:
        """Those of deepbp's public classes that are one of the ``bases``, and the given ones.

        Raises:
            ArgumentTypeError: when a given one is no class.
            ConfigurationError: when two of them have one name.
        """
        if not isinstance(custom, list | tuple) or not all(isinstance(one, type) for one in custom):
            raise ArgumentTypeError(f"custom: expected a list of classes, such as [MyLayer], got {custom!r}")
        return cls(_public(bases), _by_name(custom))

    def and_those(self, used: Iterable[type]) -> "Classes":
        """With those of the used classes that are not deepbp's own as custom ones."""
        return Classes(self.own, _by_name([one for one in used if self.own.get(one.__name__) is not one]))

    def reference(self, cls: type) -> dict[str, Any]:
        """How a file names a class."""
        if self.own.get(cls.__name__) is cls:
            return {"class": cls.__name__}
        return {"class": cls.__name__, "custom": True}

    def find(self, reference: dict[str, Any]) -> type:
        """The class that a file names. Raises FileFormatError for one that is not let in."""
        name, custom = reference.get("class"), reference.get("custom", False)
        if not isinstance(name, str) or not isinstance(custom, bool):
            raise FileFormatError(f"expected the name of a class, got {name!r:.100}")
        found = (self.custom if custom else self.own).get(name)
        if found is None:
            if custom:
                raise FileFormatError(
                    f"class {name!r:.100} did not come with deepbp: hand it in, with load(path, custom=[{name:.100}])"
                )
            raise FileFormatError(f"deepbp has no class {name!r:.100}: was the file written by a newer one?")
        return found


def _public(bases: tuple[type, ...]) -> dict[str, type]:
    found = [value for home in HOMES for value in vars(import_module(f"deepbp.{home}")).values()]
    classes = [one for one in found if isinstance(one, type) and one.__module__.startswith("deepbp.")]
    return {one.__name__: one for one in classes if issubclass(one, bases) and not one.__name__.startswith("_")}


def _by_name(classes: Iterable[type]) -> dict[str, type]:
    found: dict[str, type] = {}
    for cls in classes:
        if found.setdefault(cls.__name__, cls) is not cls:
            raise ConfigurationError(f"custom: two classes are called {cls.__name__}, and a file knows them by name")
    return found
