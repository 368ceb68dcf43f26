"""The names of the types that the whole package speaks in."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "Array",
    "ArrayLike",
    "Seed",
    "Shape",
    "ShapeLike",
]

Array: TypeAlias = npt.NDArray[Any]
"""Numbers with samples along axis 0."""

Shape: TypeAlias = tuple[int, ...]
"""The shape of one sample: the axis of the samples is never part of it."""

Seed: TypeAlias = int | np.random.Generator | None
"""A seed, a generator to draw from, or None for a start that differs every time."""

ArrayLike: TypeAlias = npt.ArrayLike
"""What NumPy can turn into an array: lists, arrays, data frames."""

ShapeLike: TypeAlias = int | Sequence[int]
"""A shape as a user may write it: ``3``, ``(3,)`` or ``[28, 28]``."""
