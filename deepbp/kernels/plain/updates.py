"""What happens to all parameters in a step: gradients are clipped, and the optimizers move the values."""

import numpy as np

from deepbp.kernels.blocks import average, average_square, blocks
from deepbp.typing import Array


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
