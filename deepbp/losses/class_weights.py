"""Rare classes count more: a weight for each class becomes one for each sample."""

from collections.abc import Mapping
from math import inf
from numbers import Integral, Real
from typing import Any

import numpy as np

from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, ShapeError
from deepbp.typing import Array, Shape


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
