"""The optimizers' updates of all parameters.

In blocks that stay in the processor's cache, so that each intermediate result is read where it was just written.
"""

from collections.abc import Iterator

import numpy as np

from deepbp.errors import ShapeError
from deepbp.kernels.refusals import OTHER_STATE
from deepbp.typing import Array

BLOCK = 16_384


def _blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """The arrays in pieces of equal length, and with each a scratch array as long."""
    size = len(arrays[0])
    scratch = np.empty(min(size, BLOCK), arrays[0].dtype)
    if size <= BLOCK:
        yield *arrays, scratch
        return
    for start in range(0, size, BLOCK):
        pieces = [array[start : start + BLOCK] for array in arrays]
        yield *pieces, scratch[: len(pieces[0])]


def sgd(values: Array, grads: Array, rate: float) -> None:
    """w −= η g."""
    for w, g, scratch in _blocks(values, grads):
        np.multiply(g, rate, out=scratch)
        w -= scratch


def sgd_momentum(values: Array, grads: Array, velocity: Array, rate: float, momentum: float, nesterov: bool) -> None:
    """v ← μ v + g; w −= η v, or with Nesterov's momentum w −= η (g + μ v)."""
    if velocity.size != values.size:
        raise ShapeError(OTHER_STATE, values.size, velocity.size)
    for w, g, v, scratch in _blocks(values, grads, velocity):
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
    if mean.size != values.size or square.size != values.size:
        raise ShapeError(OTHER_STATE, values.size, mean.size)
    for w, g, m, v, scratch in _blocks(values, grads, mean, square):
        m *= beta1
        np.multiply(g, 1 - beta1, out=scratch)
        m += scratch
        v *= beta2
        np.multiply(g, g, out=scratch)
        scratch *= 1 - beta2
        v += scratch
        np.sqrt(v, out=scratch)
        scratch += epsilon
        np.divide(m, scratch, out=scratch)
        scratch *= rate
        w -= scratch
