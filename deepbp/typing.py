"""Type aliases used in all signatures."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar, TypeVarTuple, Unpack

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
"""The shape of one sample, without the axis of samples."""

Seed: TypeAlias = int | np.random.Generator | None
"""A seed, a generator, or None for a different start every time."""

ArrayLike: TypeAlias = npt.ArrayLike
"""Anything that NumPy converts to an array: lists, arrays, data frames."""

ShapeLike: TypeAlias = int | Sequence[int]
"""A shape as users write it: ``3``, ``(3,)`` or ``[28, 28]``."""

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


def freely_named(method: Callable[[Unpack[_Arguments]], _Result]) -> Callable[[Unpack[_Arguments]], _Result]:
    """Let an override name its arguments: for type checkers alone, for which ``forward(self, z)`` would be an error."""
    return method
