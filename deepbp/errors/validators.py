"""Validation of arguments: validators and converters for ``attrs.field``, and calls with unknown arguments.

Validators of numbers also convert them to Python's own: a NumPy number, or a fraction, would bring its dtype along, and
the layer or loss that multiplies by it would turn float32 into float64.
"""

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from numbers import Integral, Real
from typing import Any, TypeAlias, TypeVar

import attrs
import numpy as np
from attrs import Attribute

from deepbp._config import configuration_text
from deepbp._suggestions import explain_arguments, named
from deepbp.errors import ArgumentTypeError, ConfigurationError, shown
from deepbp.typing import Array

LARGEST = sys.float_info.max
REAL: Any = Real  # for mypy, which does not compare a Real with a number
Validator: TypeAlias = Callable[[Any, "Attribute[Any]", Any], None]
Function = TypeVar("Function", bound=Callable[..., Any])
Class = TypeVar("Class", bound=type)


def explain_call(function: Function) -> Function:
    """A decorator: a call with an unknown argument raises ArgumentTypeError, which names the argument that exists."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            inside = error.__traceback__ is None or error.__traceback__.tb_next is not None
            message = None if inside else explain_arguments(function, args, kwargs)
            if message is None:  # of an argument that is missing, Python's own message has the name
                raise
            raise ArgumentTypeError(message) from None

    return call  # type: ignore[return-value]


def explain_constructor(cls: Class) -> Class:
    """The same for the constructor of a class, whose own ``__init__`` is replaced."""
    if "__init__" in vars(cls):
        cls.__init__ = explain_call(cls.__init__)  # type: ignore[misc]
    return cls


class ExplainedArguments:
    """A base class whose subclasses, attrs classes, explain unknown arguments and print those that are not usual."""

    __slots__ = ()

    @classmethod
    def __attrs_init_subclass__(cls: Any) -> None:
        hides = any(a.init and not a.repr for a in attrs.fields(cls))
        if attrs.inspect(cls).added_repr and not hides:  # attrs' own prints arguments that equal their default, too
            cls.__repr__ = configuration_text
        explain_constructor(cls)


def whole(name: str, value: Any, least: int = 1) -> int:
    """Validate a whole number of at least ``least``, such as a number of epochs.

    Raises ArgumentTypeError for other types, bools included, and ConfigurationError for smaller numbers.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ArgumentTypeError(f"{name}: expected a whole number of at least {least}, got {shown(value)}")
    if value < least:
        raise ConfigurationError(f"{name}: expected a whole number of at least {least}, got {shown(value)}")
    return int(value)


def check_word(name: str, value: Any, choices: Sequence[str]) -> str:
    """Validate one of a few words. Raises ConfigurationError, which lists them, for anything else."""
    if not isinstance(value, str) or value not in choices:
        words = [repr(choice) for choice in choices]
        expected = " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
        raise ConfigurationError(f"{name}: expected {expected}, got {shown(value)}")
    return value


def as_python_number(value: Any) -> Any:
    """A real number of any type as int or float; other values as they are."""
    if type(value) in (int, float) or isinstance(value, bool) or not isinstance(value, REAL):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def store(instance: Any, attribute: "Attribute[Any]", value: Any, converted: Any) -> None:
    """Replace the value of a field that was just validated, also in a frozen class."""
    if converted is not value and getattr(instance, attribute.name, None) is value:
        object.__setattr__(instance, attribute.name, converted)


def number(condition: Callable[[float], bool], expected: str) -> Validator:
    """A validator of one finite number with the condition that ``expected`` states."""

    def validate(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
        place = f"{type(instance).__name__}: {attribute.name}"
        if isinstance(value, bool) or not isinstance(value, REAL):
            raise ArgumentTypeError(f"{place}: expected {expected}, got {shown(value)}")
        plain: Any = value.item() if isinstance(value, np.generic) else value  # beside LARGEST a float32 overflows
        if not -LARGEST <= plain <= LARGEST or not condition(plain):  # isfinite raises for 10**400
            raise ConfigurationError(f"{place}: expected {expected}, got {shown(value)}")
        store(instance, attribute, value, as_python_number(value))

    return validate


def whole_number(least: int) -> Validator:
    """A validator of whole numbers of at least ``least``."""

    def validate(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
        if type(value) is not int or value < least:
            store(instance, attribute, value, whole(f"{type(instance).__name__}: {attribute.name}", value, least))

    return validate


def one_of(*words: str) -> Validator:
    """A validator of one of these words."""

    def validate(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
        check_word(f"{type(instance).__name__}: {attribute.name}", value, words)

    return validate


positive_int, non_negative_int = whole_number(1), whole_number(0)
finite = number(lambda v: True, "a finite number")
positive = number(lambda v: v > 0, "a number above 0")
non_negative = number(lambda v: v >= 0, "a number of at least 0")
fraction = number(lambda v: 0 <= v < 1, "a number of at least 0 and below 1")


def rate_or_schedule(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
    """A validator: a learning rate is a number of at least 0, or a callable of the step."""
    if callable(value) and not isinstance(value, type):
        return
    if not isinstance(value, Real):
        place = f"{type(instance).__name__}: {attribute.name}"
        raise ArgumentTypeError(f"{place}: expected a number, or a callable of the step, got {shown(value)}")
    non_negative(instance, attribute, value)


def instance_of(*kinds: type, fix: str = "") -> Validator:
    """A validator of the type; ``fix`` ends the message, unless a suggestion for a name does."""
    names = " or ".join(kind.__name__ for kind in kinds)

    def validate(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
        if not isinstance(value, kinds):
            hint = named(value, kinds[0].__name__) or fix
            if isinstance(value, type):
                hint = f", an instance rather than the class: {value.__name__}()"
            raise ArgumentTypeError(
                f"{type(instance).__name__}: {attribute.name}: expected {names}, got {shown(value)}{hint}"
            )

    return validate


boolean = instance_of(bool)


def optional(validator: Validator) -> Validator:
    """The same validator, which also accepts None."""

    def validate(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
        if value is not None:
            validator(instance, attribute, value)

    return validate


# Arguments such as ``pos_weight`` are a scalar, or a tuple with one number for each output.


def as_tuple(value: Any) -> Any:
    """A converter: a list or vector becomes a tuple, which can be compared, of Python numbers where it holds any."""
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return tuple(value.tolist())
    return tuple(map(as_python_number, value)) if isinstance(value, list | tuple) else value


def scalar_or_tuple(value: float | Sequence[float] | Array) -> float | tuple[float, ...]:
    """``as_tuple``, typed for an argument that is one number, or one for each output."""
    converted: float | tuple[float, ...] = as_tuple(value)
    return converted


def optional_tuple(value: float | Sequence[float] | Array | None) -> float | tuple[float, ...] | None:
    """The same, where None is allowed."""
    converted: float | tuple[float, ...] | None = as_tuple(value)
    return converted


def scalar_or_each(validator: Validator) -> Validator:
    """A validator of one number, or of each number in a tuple that is not empty."""

    def validate(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
        numbers = value if isinstance(value, tuple) else (value,)
        if not numbers:
            raise ConfigurationError(f"{type(instance).__name__}: {attribute.name}: expected at least one number")
        for number in numbers:
            validator(instance, attribute, number)

    return validate
