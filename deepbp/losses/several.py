"""Arguments that are one number, or several: a weight for each output, a list of quantiles."""

from typing import Any

import numpy as np
from attrs import Attribute

from deepbp.errors import ConfigurationError, ShapeError
from deepbp.errors.validators import Validator
from deepbp.typing import Array


def as_tuple(value: Any) -> Any:
    """A list, or a vector, as a tuple, which can be compared and printed; anything else as it is."""
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return tuple(value.tolist())
    return tuple(value) if isinstance(value, list) else value


def each(validator: Validator) -> Validator:
    """A validator of one number, or of each number in a tuple that is not empty."""

    def validate(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
        numbers = value if isinstance(value, tuple) else (value,)
        if not numbers:
            raise ConfigurationError(f"{type(instance).__name__}: {attribute.name}: expected at least one number")
        for number in numbers:
            validator(instance, attribute, number)

    return validate


def for_each(numbers: float | tuple[float, ...], array: Array, place: str) -> Array:
    """The numbers as an array of this one's dtype: a single one for all, or one for each along its last axis."""
    if isinstance(numbers, tuple) and len(numbers) != array.shape[-1]:
        raise ShapeError(
            f"{place}: expected one number for each output, {array.shape[-1]} of them, got {len(numbers)}: {numbers}"
        )
    return np.asarray(numbers, array.dtype)
