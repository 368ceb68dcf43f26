"""Checks of an object's configuration: repr, reconstruction, copying, pickling."""

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import attrs
import numpy as np

from deepbp.layers import configuration, same_configuration
from deepbp.testing.check import CheckFailure

__tracebackhide__ = True  # pytest shows no frames of this module


def expect_repr_can_be_pasted_back(original: Any) -> None:
    """Check that ``eval(repr(…))`` gives the same configuration; skipped if an argument is a function."""
    if holds_functions(original):
        return
    values = _values_in(original)
    names: dict[str, Any] = {type(value).__name__: type(value) for value in values if attrs.has(type(value))}
    text = repr(original)
    try:
        pasted = eval(text, {"array": np.array, "inf": np.inf, "nan": np.nan, **names})
    except Exception as error:
        raise CheckFailure(f"repr cannot be pasted back: {text} raises {type(error).__name__}: {error}") from error
    expect_same(pasted, original, f"repr, pasted back, makes something else: {text}")


def expect_configuration_rebuilds(original: Any) -> None:
    """Check that calling the constructor with the values of the fields gives the same configuration."""
    arguments = configuration(original)
    try:
        rebuilt = type(original)(**arguments)
    except Exception as error:
        raise CheckFailure(
            f"{type(original).__name__}(**{arguments}) raises {type(error).__name__}: {error}: a converter or "
            "validator must accept what it has made itself"
        ) from error
    expect_same(rebuilt, original, "the constructor, given what the fields hold, makes something else")


def holds_functions(original: Any) -> bool:
    """Whether an argument is a function: it has no evaluable repr, and a lambda cannot be pickled."""
    return any(callable(value) and not attrs.has(type(value)) for value in _values_in(original))


def deep_copied(original: Any) -> Any:
    """Return a deep copy; raises CheckFailure if copying fails or changes the configuration."""
    return _copied(original, copy.deepcopy, "copy.deepcopy", "")


def pickled(original: Any) -> Any:
    """Return the object after pickling and unpickling; raises CheckFailure if that fails or changes it."""
    hint = ": classes and functions must stand at the top level of a module"
    return _copied(original, lambda it: pickle.loads(pickle.dumps(it)), "pickle", hint)


def _copied(original: Any, make: Callable[[Any], Any], name: str, hint: str) -> Any:
    try:
        made = make(original)
    except Exception as error:
        raise CheckFailure(f"{name} raises {type(error).__name__}: {error}{hint}") from error
    expect_same(made, original, f"{name} makes something of another configuration")
    return made


def expect_same(made: Any, original: Any, message: str) -> None:
    """Raise CheckFailure if the configurations differ."""
    if not _alike(made, original):
        raise CheckFailure(f"{message}: got {made!r}, expected {original!r}")


def _alike(made: Any, original: Any) -> bool:
    """Compare like ``same_configuration``, but accept two different generators as equal."""
    if isinstance(original, np.random.Generator):
        return isinstance(made, np.random.Generator)
    if attrs.has(type(original)) and type(made) is type(original):
        theirs = configuration(made)
        return all(_alike(theirs[name], value) for name, value in configuration(original).items())
    if isinstance(original, list | tuple):
        return isinstance(made, list | tuple) and len(made) == len(original) and all(map(_alike, made, original))
    if isinstance(original, dict):
        return isinstance(made, dict) and _alike(list(made.items()), list(original.items()))  # in the same order
    return same_configuration(made, original)


def _values_in(value: Any) -> Iterator[Any]:
    """Yield a configuration and all values nested in it."""
    yield value
    if attrs.has(type(value)):
        for inner in configuration(value).values():
            yield from _values_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _values_in(inner)
    elif isinstance(value, dict):
        yield from _values_in(list(value.values()))


class HasSubject(Protocol):
    """Test case of one object: a loss, an optimizer or an initializer."""

    @property
    def subject(self) -> Any: ...


def configuration_is_frozen(case: HasSubject) -> None:
    """The class is ``attrs.frozen``: mutable state belongs elsewhere."""
    cls: Any = type(case.subject)
    decorated = next((base for base in cls.__mro__ if "__attrs_attrs__" in vars(base)), None)
    kept = getattr(case.subject, "__dict__", None)  # a plain class without arguments needs no attrs
    if kept if decorated is None else not attrs.inspect(decorated).is_frozen:
        raise CheckFailure(
            f"class {cls.__name__}: put @frozen, from attrs, above the class: its fields are its configuration, "
            "and what changes during training does not belong there"
        )


def repr_can_be_pasted_back(case: HasSubject) -> None:
    """``repr`` is a constructor call that gives the same configuration."""
    if attrs.has(type(case.subject)):
        expect_repr_can_be_pasted_back(case.subject)


def configuration_rebuilds(case: HasSubject) -> None:
    """The constructor accepts the values of the fields."""
    if attrs.has(type(case.subject)):
        expect_configuration_rebuilds(case.subject)


def copy_and_pickle(case: HasSubject) -> None:
    """A deep copy and an unpickled object have the same configuration."""
    if attrs.has(type(case.subject)):
        deep_copied(case.subject)
        if not holds_functions(case.subject):
            pickled(case.subject)


CHECKS = (configuration_is_frozen, repr_can_be_pasted_back, configuration_rebuilds, copy_and_pickle)
