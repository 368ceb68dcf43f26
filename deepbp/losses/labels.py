"""Targets of a classifier: whole-number labels, or one row of probabilities for each sample (one-hot)."""

from typing import Any

import numpy as np

from deepbp.arrays import as_numbers, as_type, check_same_length
from deepbp.errors import DataError, DataTypeError, ShapeError
from deepbp.losses.loss import check_range, not_arrays
from deepbp.typing import Array, ArrayLike, Shape


def prepare_labels(target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str) -> Array:
    """Labels as indices, or one-hot rows of the network's dtype; checked."""
    array = as_numbers(target, name)
    if not output_shape:
        raise ShapeError(f"{name}: a classifier needs a score for each class, got outputs of shape ()")
    if array.shape[1:] == output_shape:
        array = as_type(array, name, dtype)
    elif array.dtype.kind in "iub":
        array = array.astype(np.intp, copy=False)
    check_labels(array, (len(array), *output_shape), name)
    return array


def check_labels(target: Array, scores: Shape, name: str = "target") -> None:
    """The targets fit scores of this shape, (B, …, C): labels (B, …) from 0 to C − 1, or rows that sum to 1."""
    if not isinstance(target, np.ndarray):
        raise not_arrays(target=target)
    classes = scores[-1]
    if scores[0] == 0:
        raise DataError(f"{name}: expected at least one sample, got none")
    if target.shape == scores[:-1]:
        if target.dtype.kind not in "iu":
            raise DataTypeError(
                f"{name}: expected whole-number labels, got {target.dtype}: use {name}.astype(int) if they are labels"
            )
        low, high = target.min(), target.max()
        if low < 0 or high >= classes:
            raise DataError(
                f"{name}: expected labels from 0 to {classes - 1}, for the network has {classes} outputs, "
                f"got {low if low < 0 else high}"
            )
    elif target.shape == scores:
        check_range(target, name, "one-hot rows hold 0 and a single 1")
        if not np.allclose(target.sum(axis=-1), 1, atol=1e-3):
            raise DataError(
                f"{name}: expected rows that sum to 1, as one-hot labels do, got {target.sum(axis=-1).min()}"
            )
    else:
        fix = f": use {name}.reshape(-1) for labels" if target.shape == (*scores[:-1], 1) else ""
        raise ShapeError(
            f"{name}: expected labels of shape {scores[:-1]} or one-hot rows of shape {scores}, got {target.shape}{fix}"
        )


def row_weights(sample_weight: Array | None, prediction: Array) -> Array | None:
    """One weight for each row (…, C) of the prediction, as a vector: a sample's weight counts for all its rows."""
    if sample_weight is None:
        return None
    if not isinstance(sample_weight, np.ndarray):
        raise not_arrays(sample_weight=sample_weight)
    if sample_weight.ndim != 1:
        raise ShapeError(f"sample_weight: expected one weight a sample, got shape {sample_weight.shape}")
    check_same_length(prediction=prediction, sample_weight=sample_weight)
    rows = prediction.size // prediction.shape[-1]
    return np.repeat(sample_weight, rows // len(sample_weight))
