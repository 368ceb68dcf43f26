"""Activations and the error signal through them, written with the output, as in the notes: σ′ = ŷ(1 − ŷ)."""

import numpy as np

from deepbp.errors import ShapeError
from deepbp.kernels.refusals import OTHER_SHAPE
from deepbp.typing import Array


def add_bias(z: Array, bias: Array) -> None:
    """Add b (O,) to each row of z (B, O), in place."""
    z += bias


def sigmoid(z: Array) -> Array:
    """σ(z) = 1 / (1 + e⁻ᶻ), accurate relative to its true value on both sides and without overflow.

    With e = e^−|z|, which never overflows, σ is 1/(1 + e) on the right and e/(1 + e) on the left.
    """
    e = np.exp(np.copysign(z, -1))
    return np.asarray(np.where(z < 0, e, 1) / (1 + e))


def sigmoid_backward(output: Array, delta: Array) -> Array:
    """δ · σ′ with σ′ = y(1 − y)."""
    if output.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)
    return np.asarray(delta * output * (1 - output))


def tanh(z: Array) -> Array:
    """tanh z."""
    return np.asarray(np.tanh(z))


def tanh_backward(output: Array, delta: Array) -> Array:
    """δ · (1 − y²)."""
    if output.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)
    return np.asarray(delta * (1 - output * output))


def relu(z: Array) -> Array:
    """max(z, 0); NaN stays NaN."""
    return np.asarray(np.maximum(z, 0))


def relu_backward(output: Array, delta: Array) -> Array:
    """δ where y > 0, else 0: the derivative at the kink is 0."""
    if output.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)
    return np.asarray(delta * (output > 0))


def softmax(z: Array) -> Array:
    """eᶻ / Σ eᶻ along the last axis; the largest z is subtracted first, so nothing overflows."""
    if z.ndim == 0:
        raise ValueError("softmax: expected an array with an axis of scores")
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def softmax_backward(output: Array, delta: Array) -> Array:
    """The whole Jacobian ∂yᵢ/∂zⱼ = yᵢ(𝟙ᵢⱼ − yⱼ) applied to δ: y · (δ − Σ δ y)."""
    if output.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)
    return np.asarray(output * (delta - (delta * output).sum(axis=-1, keepdims=True)))
