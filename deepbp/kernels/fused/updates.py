"""Clipping and the optimizers' updates, each one pass over all parameters."""

from typing import Any

import numpy as np

from deepbp.errors import ShapeError
from deepbp.kernels.fused.compiled import compiled
from deepbp.kernels.refusals import OTHER_STATE


@compiled
def clip_values(grads: Any, limit: float) -> None:
    high = grads.dtype.type(limit)
    for i in range(grads.size):
        grads[i] = min(max(grads[i], -high), high)


@compiled
def clip_norm(grads: Any, norm: float, limit: float) -> None:
    if norm > limit:
        factor = grads.dtype.type(limit / norm)
        for i in range(grads.size):
            grads[i] *= factor


@compiled
def sgd(values: Any, grads: Any, rate: float) -> None:
    step = values.dtype.type(rate)
    for i in range(values.size):
        values[i] -= step * grads[i]


@compiled
def sgd_momentum(values: Any, grads: Any, velocity: Any, rate: float, momentum: float, nesterov: bool) -> None:
    if velocity.size != values.size:
        raise ShapeError(OTHER_STATE, values.size, velocity.size)
    step, keep = values.dtype.type(rate), values.dtype.type(momentum)
    for i in range(values.size):
        v = keep * velocity[i] + grads[i]
        velocity[i] = v
        values[i] -= step * (grads[i] + keep * v if nesterov else v)


@compiled
def adam(
    values: Any, grads: Any, mean: Any, square: Any, rate: float, beta1: float, beta2: float, epsilon: float
) -> None:
    if mean.size != values.size or square.size != values.size:
        raise ShapeError(OTHER_STATE, values.size, mean.size)
    t = values.dtype.type
    step, small = t(rate), t(epsilon)
    keep1, take1, keep2, take2 = t(beta1), t(1 - beta1), t(beta2), t(1 - beta2)
    for i in range(values.size):
        g = grads[i]
        m = keep1 * mean[i] + take1 * g
        v = keep2 * square[i] + take2 * (g * g)
        mean[i] = m
        square[i] = v
        values[i] -= step * m / (np.sqrt(v) + small)
