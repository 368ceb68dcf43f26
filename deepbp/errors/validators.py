"""Validators of constructor arguments, for ``attrs.field(validator=...)``.

Validators of numbers also convert them to Python's own: a NumPy number, or a fraction, would bring its dtype along, and
the layer or loss that multiplies by it would turn float32 into float64.
"""

from collections.abc import Callable
from math import isfinite
from numbers import Integral, Real
from typing import Any, TypeAlias

from attrs import Attribute

from deepbp._suggestions import named
from deepbp._validation import one_of as check_word
from deepbp._validation import whole
from deepbp.errors import ArgumentTypeError, ConfigurationError

REAL: Any = Real  # for mypy, which does not compare a Real with a number
Validator: TypeAlias = Callable[[Any, "Attribute[Any]", Any], None]


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
            raise ArgumentTypeError(f"{place}: expected {expected}, got {value!r}")
        if not isfinite(value) or not condition(value):
            raise ConfigurationError(f"{place}: expected {expected}, got {value!r}")
        store(instance, attribute, value, as_python_number(value))

    return validate


def whole_number(least: int) -> Validator:
    """A validator of whole numbers of at least ``least``."""

    def validate(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
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


def instance_of(*kinds: type, fix: str = "") -> Validator:
    """A validator of the type; ``fix`` ends the message, unless a suggestion for a name does."""
    names = " or ".join(kind.__name__ for kind in kinds)

    def validate(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
        if not isinstance(value, kinds):
            hint = named(value, kinds[0].__name__) or fix
            if isinstance(value, type):
                hint = f", an instance rather than the class: {value.__name__}()"
            raise ArgumentTypeError(
                f"{type(instance).__name__}: {attribute.name}: expected {names}, got {value!r}{hint}"
            )

    return validate


boolean = instance_of(bool)


def optional(validator: Validator) -> Validator:
    """The same validator, which also accepts None."""

    def validate(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
        if value is not None:
            validator(instance, attribute, value)

    return validate
