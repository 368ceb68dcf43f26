"""Validators of constructor arguments, for ``attrs.field(validator=...)``."""

from collections.abc import Callable
from math import isfinite
from numbers import Integral, Real
from typing import Any, TypeAlias

from attrs import Attribute

from deepbp._suggestions import named
from deepbp.errors import ArgumentTypeError, ConfigurationError

Validator: TypeAlias = Callable[[Any, "Attribute[Any]", Any], None]


def number(condition: Callable[[float], bool], expected: str, *, whole: bool = False) -> Validator:
    """A validator of one number: finite, of the right kind, and meeting the condition that ``expected`` states."""
    kind: Any = Integral if whole else Real

    def validate(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
        place = f"{type(instance).__name__}: {attribute.name}"
        if isinstance(value, bool) or not isinstance(value, kind):
            raise ArgumentTypeError(f"{place}: expected {expected}, got {value!r}")
        if not isfinite(value) or not condition(value):
            raise ConfigurationError(f"{place}: expected {expected}, got {value!r}")

    return validate


positive_int = number(lambda n: n >= 1, "a whole number of at least 1", whole=True)
non_negative_int = number(lambda n: n >= 0, "a whole number of at least 0", whole=True)
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
