"""Long arrays in pieces that stay in the processor's cache: each intermediate result is read where it was written."""

from collections.abc import Iterator

import numpy as np

from deepbp.errors import ShapeError
from deepbp.kernels._messages import OTHER_STATE
from deepbp.typing import Array

BLOCK = 16_384


def blocks(values: Array, *others: Array, scratch: int = 1) -> Iterator[tuple[Array, ...]]:
    """The parameters and arrays as long as they are, piece by piece, and with each so many scratch arrays.

    Raises:
        ShapeError: when an array is of another length, which a piece of it would hide.
    """
    size = values.size
    for array in others:
        if array.size != size:
            raise ShapeError(OTHER_STATE, size, array.size)
    arrays = (values, *others)
    spare = [np.empty(min(size, BLOCK), values.dtype) for _ in range(scratch)]
    if size <= BLOCK:
        yield *arrays, *spare
        return
    for start in range(0, size, BLOCK):
        pieces = [array[start : start + BLOCK] for array in arrays]
        yield *pieces, *(array[: pieces[0].size] for array in spare)


def average(mean: Array, keep: float, new: Array, scratch: Array) -> None:
    """mean ← keep · mean + (1 − keep) · new."""
    mean *= keep
    np.multiply(new, 1 - keep, out=scratch)
    mean += scratch


def average_square(mean: Array, keep: float, new: Array, scratch: Array) -> None:
    """mean ← keep · mean + (1 − keep) · new²."""
    mean *= keep
    np.multiply(new, new, out=scratch)
    scratch *= 1 - keep
    mean += scratch
