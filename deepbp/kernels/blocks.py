"""What both forms of the kernels share: messages of their errors, and loops over blocks that fit the cache."""

from collections.abc import Iterator

import numpy as np

from deepbp.errors import ShapeError
from deepbp.typing import Array

# Compiled code cannot format a message: it raises one of these with the numbers, which DeepBPError formats when read.
OTHER_SHAPE = "backward: expected a delta of the output's shape {}, got {}"
OTHER_TARGET = "expected a target of the prediction's shape {}, got {}"
OTHER_WEIGHTS = "expected a vector of weights for equal parts of an array of shape {}, got one of shape {}"
OTHER_STATE = "optimizer: expected a state as long as the parameters, {} numbers, got {}: make it with start"
OTHER_LENGTH = "expected a number for each of the {} rows, got {}"
WHOLE_NUMBERS = "expected an array of float32 or float64, got whole numbers: use .astype('float32')"
NOT_LABELS = "expected labels that are whole numbers, got {}: use labels.astype('int64')"
NO_SCORES = "expected scores along the last axis, got an array of shape {}"
NOT_MATRIX = "expected an array of shape (rows, classes), got {}"
NOT_VECTOR = "expected a vector of numbers, got an array of shape {}: use .reshape(-1)"
NOT_SHARES = "expected a vector of labels and a row of shares for each, got {} and {} for an array of shape {}"
NOT_ROWS = "expected a bias for each column of an array of shape {}, got {}"
NOT_STEPS = "expected arrays of sequences that fit together, got shapes {}"
NO_FEATURES = "expected an array with features along the last axis, got one of shape {}"
OTHER_FEATURES = "expected a number for each feature of an array of shape {}, got {}"
OTHER_INVERSE = "backward: expected 1 / √(σ² + ε), of shape {}, got {}"

LANES_BYTES = 64  # of neighbouring numbers that compiled code works on at once, in one register or several
BLOCK = 16_384  # numbers of one array: several arrays of this size fit into a processor's second-level cache


def blocks(values: Array, *others: Array, scratch: int = 1) -> Iterator[tuple[Array, ...]]:
    """Iterate over arrays of equal length in blocks, each followed by ``scratch`` scratch arrays of its length.

    Every intermediate result of a block is still in the cache when it is read again.

    Raises:
        ShapeError: if an array has another length, which the blocks would hide, or more axes than one.
    """
    size = values.size
    for array in others:
        if array.size != size:
            raise ShapeError(OTHER_STATE, size, array.size)
        if array.ndim != 1:
            raise ShapeError(NOT_VECTOR, array.shape)
    if values.ndim != 1:
        raise ShapeError(NOT_VECTOR, values.shape)
    arrays = (values, *others)
    buffers = [np.empty(min(size, BLOCK), values.dtype) for _ in range(scratch)]
    if size <= BLOCK:
        yield *arrays, *buffers
        return
    for start in range(0, size, BLOCK):
        pieces = [array[start : start + BLOCK] for array in arrays]
        yield *pieces, *(array[: pieces[0].size] for array in buffers)


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


LONG = 65_536
"""Sums of more numbers than this are taken in float64, in which 10⁷ roundings do not show."""
LONG_BATCH, PIECE = LONG, 128


def long_sum(terms: Array) -> float:
    """Σ t over all axes."""
    return float(np.add.reduce(terms, axis=None, dtype=np.float64 if terms.size > LONG else None))


def long_product(weights: Array, rows: Array) -> Array:
    """w R, of more than LONG_BATCH rows (B, O): pieces are summed in the rows' dtype, and their sums in float64."""
    whole = len(weights) // PIECE * PIECE
    parts = weights[:whole].reshape(-1, 1, PIECE) @ rows[:whole].reshape(-1, PIECE, rows.shape[1])
    total = np.add.reduce(parts, axis=(0, 1), dtype=np.float64) + weights[whole:].dot(rows[whole:])
    return np.asarray(total.astype(rows.dtype))


def long_dot(a: Array, b: Array) -> float:
    """Σ a b, of vectors of one length."""
    if a.size <= LONG:
        return float(a.dot(b))
    pieces = (slice(start, start + LONG) for start in range(0, a.size, LONG))
    return float(sum(a[piece].astype(np.float64).dot(b[piece].astype(np.float64)) for piece in pieces))


def plan_of_sum(size: int) -> list[tuple[int, int]]:
    """How NumPy adds so many neighbouring numbers: runs of at most 128, and how often the last two sums are added then.

    Source: numpy/_core/src/umath/loops_utils.h.src, pairwise_sum.
    """
    if size <= 128:
        return [(size, 0)]
    half = size // 2
    half -= half % 8
    *rest, (last, merges) = plan_of_sum(size - half)
    return [*plan_of_sum(half), *rest, (last, merges + 1)]
