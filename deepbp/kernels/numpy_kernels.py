"""The NumPy form of the kernels, which defines what each of them computes."""

import numpy as np

from deepbp.errors import DataTypeError, ShapeError
from deepbp.kernels.blocks import (
    NOT_ROWS,
    OTHER_LENGTH,
    OTHER_SHAPE,
    OTHER_TARGET,
    WHOLE_NUMBERS,
    average,
    average_square,
    blocks,
)
from deepbp.kernels.numpy_erf import erf, erfc, gaussian, gelu
from deepbp.typing import Array

__all__ = [
    "adam",
    "add_bias",
    "clip_norm",
    "clip_values",
    "erf",
    "erfc",
    "gaussian",
    "gelu",
    "relu",
    "relu_backward",
    "sgd",
    "sgd_momentum",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "squared_error",
    "tanh",
    "tanh_backward",
]


def check_rows(rows: int, labels: Array, weight: Array | None) -> None:
    """Raise ShapeError unless there is a label, and a weight if any, for each row."""
    if labels.shape != (rows,) or (weight is not None and weight.shape != (rows,)):
        raise ShapeError(OTHER_LENGTH, rows, labels.shape if weight is None else (labels.shape, weight.shape))


def add_bias(z: Array, bias: Array) -> None:
    """Add b (O,) to each row of z (B, O), in place."""
    if z.shape[1:] != bias.shape:
        raise ShapeError(NOT_ROWS, z.shape, bias.shape)
    z += bias


def sigmoid(z: Array) -> Array:
    """σ(z) = 1 / (1 + e⁻ᶻ), accurate relative to its true value on both sides and without overflow.

    With e = e^−|z|, which never overflows, σ is 1/(1 + e) on the right and e/(1 + e) on the left.
    """
    if z.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    e = np.exp(np.copysign(z, -1))
    return np.asarray(np.where(z < 0, e, 1) / (1 + e))


def sigmoid_backward(output: Array, delta: Array) -> Array:
    """δ · σ′ with σ′ = y(1 − y)."""
    if output.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)
    return np.asarray(delta * output * (1 - output))


def tanh(z: Array) -> Array:
    """tanh z."""
    if z.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    return np.asarray(np.tanh(z))


def tanh_backward(output: Array, delta: Array) -> Array:
    """δ · (1 − y²)."""
    if output.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)
    return np.asarray(delta * (1 - output * output))


def relu(z: Array) -> Array:
    """max(z, 0); NaN stays NaN."""
    if z.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    return np.asarray(np.maximum(z, 0))


def relu_backward(output: Array, delta: Array) -> Array:
    """δ where y > 0, else 0: the derivative at the kink is 0."""
    if output.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)
    return np.asarray(delta * (output > 0))


def softmax(z: Array) -> Array:
    """eᶻ / Σ eᶻ along the last axis; the largest z is subtracted first, so nothing overflows."""
    if z.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    if z.ndim == 0:
        raise ValueError("softmax: expected an array with an axis of scores")
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def softmax_backward(output: Array, delta: Array) -> Array:
    """The whole Jacobian ∂yᵢ/∂zⱼ = yᵢ(𝟙ᵢⱼ − yⱼ) applied to δ: y · (δ − Σ δ y)."""
    if output.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)
    return np.asarray(output * (delta - (delta * output).sum(axis=-1, keepdims=True)))


def squared_error(prediction: Array, target: Array, factor: float) -> tuple[float, Array]:
    """(Σ (ŷ − y)², factor · (ŷ − y))."""
    if prediction.shape != target.shape:
        raise ShapeError(OTHER_TARGET, prediction.shape, target.shape)
    difference = prediction - target
    return float(np.vdot(difference, difference)), difference * float(factor)


def softmax_cross_entropy(z: Array, labels: Array, weight: Array | None) -> tuple[float, Array]:
    """(Σ w (ln Σ eᶻ − z_label), softmax(z)) for scores (N, C), labels (N,), weights (N,) or None for ones.

    Raises:
        IndexError: for a label outside 0 … C − 1.
    """
    if z.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    rows, classes = z.shape
    check_rows(rows, labels, weight)
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
    check_rows(rows, labels, weight)
    delta = probability / rows if weight is None else probability * (weight / rows)[:, None]
    delta[np.arange(rows), labels] -= 1 / rows if weight is None else weight / rows
    return delta


def clip_values(grads: Array, limit: float) -> None:
    """g ← min(max(g, −limit), limit)."""
    np.clip(grads, -limit, limit, out=grads)


def clip_norm(grads: Array, norm: float, limit: float) -> None:
    """g ← g · limit / norm, where the norm, the length of the whole vector, is above the limit."""
    if norm > limit:
        grads *= limit / norm


def sgd(values: Array, grads: Array, rate: float) -> None:
    """w −= η g."""
    for w, g, scratch in blocks(values, grads):
        np.multiply(g, rate, out=scratch)
        w -= scratch


def sgd_momentum(values: Array, grads: Array, velocity: Array, rate: float, momentum: float, nesterov: bool) -> None:
    """v ← μ v + g; w −= η v, or with Nesterov's momentum w −= η (g + μ v)."""
    for w, g, v, scratch in blocks(values, grads, velocity):
        v *= momentum
        v += g
        if nesterov:
            np.multiply(v, momentum, out=scratch)
            scratch += g
            scratch *= rate
        else:
            np.multiply(v, rate, out=scratch)
        w -= scratch


def adam(
    values: Array,
    grads: Array,
    mean: Array,
    square: Array,
    rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> None:
    """m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²; w −= η m / (√v + ε)."""
    for w, g, m, v, scratch in blocks(values, grads, mean, square):
        average(m, beta1, g, scratch)
        average_square(v, beta2, g, scratch)
        np.sqrt(v, out=scratch)
        scratch += epsilon
        np.divide(m, scratch, out=scratch)
        scratch *= rate
        w -= scratch
