"""Configuration of layers, losses and optimizers, the constructor's arguments; and the public path of a class."""

import re
import sys
from collections.abc import Iterable, Mapping
from types import FunctionType, ModuleType
from typing import Any

import attrs
import numpy as np

from deepbp._suggestions import suggest_names
from deepbp.errors import ArgumentTypeError, shown


class LazyPackage(ModuleType):
    """A public package that imports a module when one of its names is first used.

    A process that trains one small network then creates the classes of its own layers, not those of all layers.
    """

    _homes: Mapping[str, str]
    """For each name, the module that defines it; or the package itself, for a name that is one of its modules."""

    _public: str
    """The path of its classes and functions."""

    def __setattr__(self, name: str, value: object) -> None:
        """Add a name. Python adds each module to its package in this way, as soon as the module has been imported."""
        super().__setattr__(name, value)
        if isinstance(value, ModuleType):
            defined = (one for key, one in vars(value).items() if key in self._homes)
            _set_module(self._public, defined, f"{value.__name__}.")

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *self._homes})


def publish(package: str, *rooms: str, homes: Mapping[str, str] | None = None, public: str | None = None) -> None:
    """Set ``__module__`` of the classes and functions of a package to the package.

    Pickles then name the public path and survive a class that moves to another file. Names imported from another
    public package keep that package, so the order of imports does not matter. The price: ``inspect.getsource`` finds
    functions and methods, but not classes, which it looks for in the package's file. Unknown names get suggestions, see
    ``suggest_names``.

    Args:
        package: the ``__name__`` of a package, at the end of its ``__init__``.
        *rooms: further prefixes of modules that the package imports from, those without a public path of their own.
        homes: the names that are imported when they are first used, by the module of deepbp that defines them, as in
            ``{"layers.dense": "Dense TiedDense"}``.
        public: the package to set, where it is another one.
    """
    module, public = sys.modules[package], public or package
    lazy = {name: f"deepbp.{home}" for home, names in (homes or {}).items() for name in names.split()}
    namespace = vars(module)
    _set_module(public, list(namespace.values()), f"{package}.", *rooms)
    namespace.setdefault("__getattr__", suggest_names(package, lazy))
    if lazy:
        namespace.update(_homes=lazy, _public=public)
        module.__class__ = LazyPackage


def _set_module(public: str, values: Iterable[object], *rooms: str) -> None:
    """Set ``__module__`` of those classes and functions that come from modules with one of these prefixes."""
    for value in values:
        if isinstance(value, type | FunctionType) and f"{value.__module__}.".startswith(rooms):
            value.__module__ = public
            if "__firstlineno__" in vars(value):  # Python 3.13: a line of the class's file, not of the package's
                delattr(value, "__firstlineno__")


def configuration(instance: Any) -> dict[str, Any]:
    """The constructor's arguments of a layer, loss or optimizer, by name.

    Raises ``ArgumentTypeError`` for an object that is not an instance of an attrs class.

    >>> from deepbp.layers import Dropout, configuration
    >>> configuration(Dropout(0.5))
    {'rate': 0.5}
    """
    if not attrs.has(type(instance)):
        raise ArgumentTypeError(f"configuration: expected a layer, loss or optimizer, got {shown(instance)}")
    return {a.alias: getattr(instance, a.name) for a in attrs.fields(type(instance)) if a.init and a.alias}


def same_configuration(one: Any, other: Any) -> bool:
    """Whether both objects were constructed with the same arguments; parameters do not matter.

    >>> from deepbp.layers import Dense, same_configuration
    >>> same_configuration(Dense(2), Dense(2)), same_configuration(Dense(2), Dense(2, use_bias=False))
    (True, False)
    """
    pairs = [(one, other)]
    while pairs:
        one, other = pairs.pop()
        if type(one) is not type(other):
            return False
        if isinstance(one, list | tuple):
            if len(one) != len(other):
                return False
            pairs += zip(one, other, strict=True)
        elif attrs.has(type(one)):
            theirs = configuration(other)
            pairs += ((value, theirs[name]) for name, value in configuration(one).items())
        elif not (np.array_equal(one, other) if isinstance(one, np.ndarray) else bool(one == other)):
            return False
    return True


def configuration_text(instance: Any) -> str:
    """The constructor call; arguments that equal their default are left out."""
    parts = []
    for a in attrs.fields(type(instance)):
        if not a.init:
            continue
        value = getattr(instance, a.name)
        if a.default is attrs.NOTHING and not a.kw_only:
            parts.append(_text(value))
        elif not same_configuration(value, _default(a, instance)):
            parts.append(f"{a.alias}={_text(value)}")
    return f"{type(instance).__name__}({', '.join(parts)})"


def without_addresses(text: str) -> str:
    """``<function f at 0x7f…>`` as ``<function f>``, the same in each process."""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _default(attribute: "attrs.Attribute[Any]", instance: Any) -> Any:
    default: Any = attribute.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class at run time, a function in the stubs
        return default.factory(*((instance,) if default.takes_self else ()))
    return default


def _text(value: Any) -> str:
    if isinstance(value, list | tuple) and any(attrs.has(type(item)) for item in value):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, FunctionType | np.ufunc):
        return value.__name__  # without the address, which differs in each process
    return without_addresses(repr(value))
