"""Equivalent attrs classes for layers whose class lacks ``@define(eq=False)``, so that all checks can run."""

import inspect
from copy import deepcopy
from functools import cache
from typing import Any

import attrs
import numpy as np

from deepbp.layers import Builder, Layer
from deepbp.typing import Shape

__tracebackhide__ = True  # pytest shows no frames of this module

_UNDECORATED_FIELD = type(attrs.field())


def with_attrs_class(layer: Layer[Any], input_shape: Shape) -> Layer[Any]:
    """Return the layer, or its equal of an attrs class that is derived from its own class if that is no attrs class.

    Fields are the annotations of the class, the attributes that the constructor sets, and those that ``build`` adds.
    """
    cls = type(layer)
    if "__attrs_attrs__" in vars(cls) and not attrs.inspect(cls).added_eq:
        return layer
    try:
        found = tuple(name for name in getattr(layer, "__dict__", ()) if name not in _declared(cls))
        made = _converted(layer, _equivalent(cls, found))
        added = _added_by_build(made, input_shape)
        return _converted(layer, _equivalent(cls, found + added)) if added else made
    except Exception:
        return layer  # every check that builds the layer then reports the rule


def undeclared_fields(layer: Layer[Any], equivalent: Layer[Any]) -> list[str]:
    """Return declarations of the fields of the equivalent class that the layer's own class does not declare."""
    declared, arguments = _declared(type(layer)), inspect.signature(type(layer)).parameters
    names = [a.name for a in attrs.fields(type(equivalent)) if a.name not in declared]
    return [f"`{name}: ...`" if name in arguments else f"`{name}: ... = field(init=False)`" for name in names]


def _declared(cls: type) -> dict[str, Any]:
    """Return the fields of the nearest attrs class, and the annotations of the classes below it, by name."""
    declared: dict[str, Any] = {a.name: a.type for a in attrs.fields(cls)}
    for base in reversed(_undecorated(cls)):
        declared |= inspect.get_annotations(base)
    return declared


def _undecorated(cls: type) -> list[type]:
    return [base for base in cls.__mro__ if issubclass(base, Layer) and "__attrs_attrs__" not in vars(base)]


@cache
def _equivalent(cls: Any, undeclared: tuple[str, ...]) -> Any:
    """Derive an attrs class without ``__eq__`` from a class; the attributes without annotation become fields."""
    bases = _undecorated(cls)
    annotations: dict[str, Any] = {}
    body: dict[str, Any] = {"__eq__": object.__eq__, "__hash__": object.__hash__, "__module__": cls.__module__}
    for base in reversed(bases):
        own = inspect.get_annotations(base)
        annotations |= own
        body |= {name: vars(base)[name] for name in own if name in vars(base)}
    arguments = inspect.signature(cls).parameters
    for name in undeclared:
        annotations[name] = Any
        argument = arguments.get(name)
        if argument is None:
            body[name] = attrs.field(init=False)
        elif argument.default is not argument.empty:
            body[name] = attrs.field(default=argument.default)
    has_constructor = any("__init__" in vars(base) for base in bases)
    body |= {
        "__annotations__": annotations,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__reduce__": lambda self: (_empty, (cls, undeclared), self.__getstate__()),
    }
    return attrs.define(eq=False, init=not has_constructor)(type(cls)(cls.__name__, (cls,), body))


def _empty(cls: type, undeclared: tuple[str, ...]) -> Any:
    return object.__new__(_equivalent(cls, undeclared))


def _converted(layer: Layer[Any], equivalent: Any) -> Layer[Any]:
    """Return an instance of the equivalent class with the values of the layer's fields."""
    made: Layer[Any] = object.__new__(equivalent)
    for a in attrs.fields(equivalent):
        value = getattr(layer, a.name, attrs.NOTHING)
        if value is attrs.NOTHING or isinstance(value, _UNDECORATED_FIELD):
            default: Any = a.default
            value = default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]
        if value is not attrs.NOTHING:
            object.__setattr__(made, a.name, value)
    return made


def _added_by_build(layer: Layer[Any], input_shape: Shape) -> tuple[str, ...]:
    """Return the names of the attributes that ``build`` sets and no field holds."""
    trial = deepcopy(layer)
    trial.built = None
    try:
        Builder(np.random.default_rng(0), "float64").build(trial, input_shape)
    except Exception:
        return ()  # forward_runs reports it
    return tuple(getattr(trial, "__dict__", ()))
