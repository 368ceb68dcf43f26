"""Targets of a classifier: whole-number labels, or one row of probabilities for each sample (one-hot)."""

from typing import Any

import numpy as np
from attrs import evolve

from deepbp.arrays import as_numbers, as_type, check_same_length
from deepbp.errors import DataError, DataTypeError, ShapeError
from deepbp.layers.formula import LossFormula
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
        check_rows(target, name)
    else:
        fix = f": use {name}.reshape(-1) for labels" if target.shape == (*scores[:-1], 1) else ""
        raise ShapeError(
            f"{name}: expected labels of shape {scores[:-1]} or one-hot rows of shape {scores}, got {target.shape}{fix}"
        )


def check_rows(target: Array, name: str = "target") -> None:
    """Rows (B, …, C) of probabilities, each of which sums to 1."""
    if target.ndim < 2:
        raise ShapeError(f"{name}: expected rows of a number for each class, (B, …, C), got {target.shape}")
    check_range(target, name, "one-hot rows hold 0 and a single 1")
    if not np.allclose(target.sum(axis=-1), 1, atol=1e-3):
        raise DataError(f"{name}: expected rows that sum to 1, as one-hot labels do, got {target.sum(axis=-1).min()}")


def as_rows(target: Array, prediction: Array, smoothing: float = 0.0) -> Array:
    """Checked labels (B, …), or rows as they are, as rows (B, …, C) of the prediction's dtype.

    ``smoothing`` takes that share of each row and spreads it over all classes evenly: (1 − s) y + s / C.
    """
    if target.ndim < prediction.ndim:
        rows = np.zeros_like(prediction)
        np.put_along_axis(rows, target[..., None], 1, axis=-1)
        target = rows
    s = float(smoothing)  # a NumPy number would bring its dtype along
    return (1 - s) * target + s / prediction.shape[-1] if s else target


def smoothed(formula: LossFormula, classes: str = "classes") -> LossFormula:
    """The formula with (1 − s) y + s / C in the place of y, for a loss with a field ``label_smoothing``."""
    target = f"((1 - label_smoothing) * target + label_smoothing / {classes})"
    value, delta = (expression.replace("target", target) for expression in (formula.value, formula.delta))
    return evolve(formula, value=value, delta=delta)


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
