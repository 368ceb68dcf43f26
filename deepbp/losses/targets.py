"""Validation of classification targets, and weights of classes."""

from collections.abc import Mapping
from math import inf
from numbers import Integral, Real
from typing import Any

import numpy as np
from attrs import evolve

from deepbp._validation import as_numbers, as_type, check_same_length
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DataTypeError, ShapeError
from deepbp.formulas.language import LossFormula
from deepbp.losses.loss import Loss, Saved, check_range, not_arrays
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
    check_labels(array, (len(array), *output_shape), name, target)
    return array


def check_labels(target: Array, scores: Shape, name: str = "target", data: Any = None) -> None:
    """The targets fit scores of this shape, (B, …, C): labels (B, …) from 0 to C − 1, or rows that sum to 1.

    The fix in an error works for ``data``, from which the target was made.
    """
    if not isinstance(target, np.ndarray):
        raise not_arrays(target=target)
    classes = scores[-1]
    whole = name if data is None or isinstance(data, np.ndarray) else f"numpy.asarray({name})"
    if scores[0] == 0:
        raise DataError(f"{name}: expected at least one sample, got none")
    if target.shape == scores[:-1]:
        if target.dtype.kind not in "iu":
            raise DataTypeError(
                f"{name}: expected whole-number labels, got {target.dtype}: use {whole}.astype(int) if they are labels"
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
        fix = f": use {whole}.reshape(-1) for labels" if target.shape == (*scores[:-1], 1) else ""
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


class AnswerLoss(Loss[Saved]):
    """What such losses share: the targets are checked before training, and again where a loss is used by hand."""

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        array = super().prepare_target(target, output_shape, dtype, name)
        check_answers(array, name)
        return array


def check_answers(target: Array, name: str = "target") -> None:
    """Every number is 0 or 1; −1 and 1, the other custom of the field, are refused with the way to turn them."""
    wrong = target[(target != 0) & (target != 1)]
    if wrong.size:
        fix = f"use ({name} + 1) / 2" if np.isin(target, (-1, 1)).all() else "encode the answers as 0 and 1"
        raise DataError(f"{name}: expected answers 0 or 1, got {wrong.flat[0]}: {fix}")


def sample_weights(class_weight: Mapping[int, float] | str, target: Array, output_shape: Shape) -> Array:
    """The weights (N,), in float64, that samples have by their classes.

    Args:
        class_weight: ``{0: 1.0, 1: 5.0}``, where a class that is not named counts 1; or ``"balanced"``: N / (K Nₖ) for
            a class that Nₖ of N samples belong to, with K classes that occur, so that all of them count the same in
            sum, and the mean of all weights is 1.
        target: as ``loss.prepare_target`` gives it: labels (N,), one-hot rows (N, C), or answers 0 and 1 (N, 1).
        output_shape: of the network: (C,), a score for each class, or (1,) for answers 0 and 1.

    Raises:
        ArgumentTypeError, ConfigurationError: for what are no weights of these classes.
        ShapeError, DataError: where a sample does not belong to one class.

    Source: King & Zeng 2001, "Logistic regression in rare events data", for "balanced", as scikit-learn has it.
    """
    labels = _labels(target, output_shape)
    classes = max(2, output_shape[-1])
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(labels, minlength=classes)
        return np.asarray(len(labels) / (np.count_nonzero(counts) * counts[labels]))
    if not isinstance(class_weight, Mapping):
        raise ArgumentTypeError(
            f"class_weight: expected a weight for each class, such as {{0: 1.0, 1: 5.0}}, or 'balanced', "
            f"got {class_weight!r}"
        )
    weights = np.ones(classes)
    for label, weight in class_weight.items():
        weights[_checked_label(label, classes)] = _checked_weight(weight, label)
    return np.asarray(weights[labels])


def _labels(target: Array, output_shape: Shape) -> Array:
    """The class of each sample."""
    if target.ndim == 1 and target.dtype.kind in "iu" and len(output_shape) == 1:
        return target
    if target.ndim != 2 or target.shape[1:] != output_shape:
        raise ShapeError(
            "class_weight: expected one class for each sample: labels (N,), one-hot rows (N, C) or answers (N, 1), "
            f"got targets {target.shape} for outputs of shape {output_shape}: use sample_weight"
        )
    if not ((target == 0) | (target == 1)).all() or (target.shape[1] > 1 and (target.sum(axis=1) != 1).any()):
        raise DataError(
            "class_weight: expected one class for each sample: answers 0 or 1, or rows of 0 and a single 1, got others"
        )
    labels: Array = target[:, 0].astype(np.intp) if target.shape[1] == 1 else target.argmax(axis=1)
    return labels


def _checked_label(label: Any, classes: int) -> int:
    if isinstance(label, bool) or not isinstance(label, Integral):
        raise ArgumentTypeError(f"class_weight: expected whole-number labels as keys, got {label!r}")
    if not 0 <= int(label) < classes:
        raise ConfigurationError(f"class_weight: expected labels from 0 to {classes - 1}, got {label!r}")
    return int(label)


def _checked_weight(weight: Any, label: int) -> float:
    if isinstance(weight, bool) or not isinstance(weight, Real):
        raise ArgumentTypeError(f"class_weight: expected a number for class {label}, got {weight!r}")
    if not 0 <= float(weight) < inf:
        raise ConfigurationError(f"class_weight: expected a number of at least 0 for class {label}, got {weight!r}")
    return float(weight)
