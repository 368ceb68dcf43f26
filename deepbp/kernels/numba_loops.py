"""The loops of the compiled kernels over flat arrays, which kernels and the instructions of programs share.

They check nothing and create no arrays: the caller knows that all arrays have ``size`` numbers, or more. An output may
be the input.
"""

from typing import Any

import numpy as np

from deepbp.kernels.numba_math import exp_negative, expm1_negative, inner, log1p_share
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
def tanh(z: Any, y: Any, size: Any) -> None:
    """With m = e^−2|z| − 1, tanh |z| = |m| / (2 + m), which keeps its digits near 0."""
    two = z.dtype.type(2)
    for i in range(size):
        m = expm1_negative(-two * abs(z[i]))
        value = abs(m / (two + m))
        y[i] = -value if z[i] < 0 else value


@inner
def tanh_backward(y: Any, d: Any, moved: Any, size: Any) -> None:
    one = y.dtype.type(1)
    for i in range(size):
        moved[i] = d[i] * (one - y[i] * y[i])


@inner
def elu(z: Any, y: Any, size: Any, slope: Any, height: Any, width: Any) -> None:
    t = z.dtype.type
    zero, s, h, w = t(0), t(slope), t(height), t(width)
    for i in range(size):
        high, low = (z[i], zero) if z[i] > 0 else (zero, z[i])
        y[i] = s * high + h * expm1_negative(low / w)


@inner
def softplus(z: Any, y: Any, size: Any, beta: Any) -> None:
    zero, b = z.dtype.type(0), z.dtype.type(beta)
    for i in range(size):
        u = b * z[i]
        y[i] = ((u if u > 0 else zero) + log1p_share(exp_negative(-abs(u)))) / b


@inner
def softplus_backward(y: Any, d: Any, moved: Any, size: Any, factor: Any) -> None:
    zero, f = y.dtype.type(0), y.dtype.type(factor)
    for i in range(size):
        p = f * y[i]
        moved[i] = d[i] * -expm1_negative(zero if p > 0 else p)  # so asked, NaN stays NaN


@inner
def softmax(z: Any, y: Any, size: Any, classes: Any) -> None:
    for start in range(0, size, classes):
        largest = z[start]
        for i in range(start, start + classes):
            largest = max(largest, z[i])
        for i in range(start, start + classes):
            y[i] = exp_negative(z[i] - largest)
        total = sum_of(y, start, start + classes)
        for i in range(start, start + classes):
            y[i] /= total


@inner
def softmax_backward(y: Any, d: Any, moved: Any, scratch: Any, size: Any, classes: Any) -> None:
    """``scratch`` may be ``moved``, unless that is δ."""
    for start in range(0, size, classes):
        for i in range(start, start + classes):
            scratch[i] = d[i] * y[i]
        inner = sum_of(scratch, start, start + classes)
        for i in range(start, start + classes):
            moved[i] = y[i] * (d[i] - inner)


@inner
def sigmoid_cross_entropy_term(z: Any, positive: Any, negative: Any, both: Any) -> Any:
    """A term and its slope."""
    t = type(z)
    size = abs(z)
    power = exp_negative(-size)
    wrong = positive if z <= 0 else negative
    small = power / (t(1) + power) * both
    term = (t(0) if wrong == 0 else size * wrong) + log1p_share(power) * both
    return term, small - wrong if z <= 0 else wrong - small


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
