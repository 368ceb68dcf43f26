"""The loops of the compiled kernels over flat arrays, which kernels and the instructions of programs share.

They check nothing and create no arrays: the caller knows that all arrays have ``size`` numbers, or more. An output may
be the input.
"""

from typing import Any

import numpy as np

from deepbp.kernels.numba_math import exp_negative, inner
from deepbp.kernels.numpy_kernels import TINY


@inner
def add_bias(z: Any, bias: Any, rows: Any, width: Any) -> None:
    for row in range(rows):
        for j in range(width):
            z[row * width + j] += bias[j]


@inner
def relu(z: Any, y: Any, size: Any) -> None:
    zero = z.dtype.type(0)
    for i in range(size):
        y[i] = zero if z[i] <= 0 else z[i]  # so asked, NaN stays NaN


@inner
def relu_backward(y: Any, d: Any, moved: Any, size: Any) -> None:
    zero = y.dtype.type(0)
    for i in range(size):
        moved[i] = d[i] if y[i] > 0 else zero


@inner
def sigmoid(z: Any, y: Any, size: Any) -> None:
    one = z.dtype.type(1)
    for i in range(size):
        e = exp_negative(-abs(z[i]))
        y[i] = (e if z[i] < 0 else one) / (one + e)


@inner
def sigmoid_backward(y: Any, d: Any, moved: Any, size: Any) -> None:
    one = y.dtype.type(1)
    for i in range(size):
        moved[i] = d[i] * y[i] * (one - y[i])


@inner
def tanh_backward(y: Any, d: Any, moved: Any, size: Any) -> None:
    one = y.dtype.type(1)
    for i in range(size):
        moved[i] = d[i] * (one - y[i] * y[i])


@inner
def squared_error(prediction: Any, target: Any, d: Any, size: Any, factor: Any) -> Any:
    """Σ (ŷ − y)², and factor · (ŷ − y)."""
    scale = d.dtype.type(factor)
    total = 0.0
    for i in range(size):
        difference = prediction[i] - target[i]
        total += difference * difference
        d[i] = scale * difference
    return total


RUN = 128  # numbers that are added in their own type; the sums of runs are added in float64, like those of a loss


@inner
def sum_of(values: Any, start: Any, stop: Any) -> Any:
    """Σ of values[start:stop], in their type. One after the other, the roundings of 10⁶ equal numbers make 1 %."""
    part = values.dtype.type(0)
    for i in range(start, min(start + RUN, stop)):
        part += values[i]
    if stop - start <= RUN:
        return part
    total = 0.0 + part
    for first in range(start + RUN, stop, RUN):
        part = values.dtype.type(0)
        for i in range(first, min(first + RUN, stop)):
            part += values[i]
        total += part
    return values.dtype.type(total)


@inner
def cross_entropy_row(z: Any, start: Any, classes: Any, label: Any, residual: Any) -> Any:
    """The cross-entropy of one row, and softmax(z) − y with the digits of classes that are nearly certain."""
    zero, tiny = z.dtype.type(0), z.dtype.type(TINY)
    largest = z[start]
    for j in range(start, start + classes):
        largest = max(largest, z[j])
    for j in range(start, start + classes):
        residual[j] = exp_negative(z[j] - largest)
    own = residual[start + label]
    residual[start + label] = zero
    others = sum_of(residual, start, start + classes)
    total = others + own
    for j in range(start, start + classes):
        residual[j] /= total
    residual[start + label] = -others / total
    return np.log1p(others / own) if own > tiny else np.log(total) - (z[start + label] - largest)


@inner
def sgd(w: Any, g: Any, size: Any, rate: Any) -> None:
    step = w.dtype.type(rate)
    for i in range(size):
        w[i] -= step * g[i]


@inner
def sgd_momentum(w: Any, g: Any, velocity: Any, size: Any, rate: Any, momentum: Any, nesterov: Any) -> None:
    step, keep = w.dtype.type(rate), w.dtype.type(momentum)
    zero, least = w.dtype.type(0), w.dtype.type(np.finfo(w.dtype).tiny)
    for i in range(size):
        v = keep * velocity[i] + g[i]
        v = zero if abs(v) < least else v
        velocity[i] = v
        w[i] -= step * (g[i] + keep * v if nesterov else v)


@inner
def adam(
    w: Any, g: Any, mean: Any, square: Any, size: Any, rate: Any, beta1: Any, beta2: Any, epsilon: Any
) -> None:  # fmt: skip
    t = w.dtype.type
    step, small, zero, least = t(rate), t(epsilon), t(0), t(np.finfo(w.dtype).tiny)
    keep1, take1, keep2, take2 = t(beta1), t(1 - beta1), t(beta2), t(1 - beta2)
    for i in range(size):
        x = g[i]
        m = keep1 * mean[i] + take1 * x
        v = keep2 * square[i] + take2 * (x * x)
        m = zero if abs(m) < least else m  # below the smallest normal number, multiplication takes many times as long
        v = zero if v < least else v
        mean[i] = m
        square[i] = v
        w[i] -= step * m / (np.sqrt(v) + small)
