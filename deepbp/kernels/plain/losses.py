"""The losses on whole batches: their values, and the error signals that start there."""

import numpy as np

from deepbp.typing import Array


def squared_error(prediction: Array, target: Array, factor: float) -> tuple[float, Array]:
    """(Σ (ŷ − y)², factor · (ŷ − y))."""
    difference = prediction - target
    return float(np.vdot(difference, difference)), difference * float(factor)


def softmax_cross_entropy(z: Array, labels: Array, weight: Array | None) -> tuple[float, Array]:
    """(Σ w (ln Σ eᶻ − z_label), softmax(z)) for scores (N, C), labels (N,), weights (N,) or None for ones.

    Raises:
        IndexError: for a label outside 0 … C − 1.
    """
    rows, classes = z.shape
    if (labels.view(np.uintp) >= classes).any():  # as unsigned numbers, negative ones are very large
        raise IndexError("label out of range")
    shifted = z - z.max(axis=1, keepdims=True)  # so that no exponential overflows
    e = np.exp(shifted)
    total = e.sum(axis=1)
    terms = np.log(total) - shifted[np.arange(rows), labels]
    return float(terms.sum() if weight is None else terms @ weight), e / total[:, None]


def softmax_cross_entropy_backward(probability: Array, labels: Array, weight: Array | None) -> Array:
    """w (p − one-hot(label)) / N."""
    rows = len(probability)
    delta = probability / rows if weight is None else probability * (weight / rows)[:, None]
    delta[np.arange(rows), labels] -= 1 / rows if weight is None else weight / rows
    return delta
