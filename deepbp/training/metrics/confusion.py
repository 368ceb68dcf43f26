"""Which classes are taken for which."""

import numpy as np

from deepbp.arrays import check_same_length
from deepbp.training.metrics.labels import as_labels
from deepbp.typing import Array, ArrayLike


def confusion_matrix(prediction: ArrayLike, target: ArrayLike, *, threshold: float = 0.5) -> Array:
    """(C, C): how many samples of each class (row) were predicted as each class (column).

    A history holds single numbers, so this is a function rather than a metric; ``deepbp.plots.confusion_matrix`` draws
    it. C is the number of scores, or one more than the largest label, and at least 2.

    Args:
        prediction: what ``net.predict(x)`` returns, (N, C) or (N, 1), or labels (N,).
        target: labels (N,), answers 0 or 1 of shape (N, 1), or one-hot rows (N, C).
        threshold: for one output, where class 1 begins: 0.5 for probabilities, 0 for logits.
    """
    predicted = as_labels(prediction, "prediction", threshold)
    true = as_labels(target, "target", 0.5)
    check_same_length(prediction=predicted, target=true)
    largest = max(int(predicted.max()), int(true.max()))
    return count_pairs(true, predicted, max(largest + 1, 2, *np.shape(prediction)[1:]))


def count_pairs(true: Array, predicted: Array, classes: int) -> Array:
    """(C, C): how often each pair of labels occurs."""
    return np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)
