"""The loops of the compiled kernels over flat arrays, which kernels and the instructions of programs share.

They check nothing and create no arrays: the caller knows that all arrays have ``size`` numbers, or more. An output may
be the input.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from deepbp.kernels.blocks import LANES_BYTES as BYTES
from deepbp.kernels.numba_lanes import (
    exact,
    largest,
    largest_of_many,
    load,
    load_few,
    replaced,
    spread,
    store,
    store_few,
    sum_of_many,
    total,
)
from deepbp.kernels.numba_math import INLINE, exp_negative, expm1_negative, inner, log1p_positive, log1p_share, merged
from deepbp.kernels.numpy_kernels import TINY
from deepbp.kernels.numpy_product import TERMS


def inlined(function: Callable[..., Any]) -> Any:
    """Compile into the caller: a call for each row of ten numbers would take as long as the row.

    Where the output is the input, only the caller knows that, and the loop is vectorized only then.
    """
    return njit(error_model="numpy", **INLINE)(function)


@inner
def add_bias(z: Any, bias: Any, rows: Any, width: Any) -> None:
    for row in range(rows):
        for j in range(width):
            z[row * width + j] += bias[j]


@exact
def column_sum(values: Any, rows: Any, width: Any, out: Any) -> None:
    """Σ over the rows of a matrix (rows, width), of four at a time, in runs as those of products."""
    zero = spread(values.dtype.type(0))
    for j in range(0, width, BYTES // values.itemsize):
        left, sums = width - j, zero
        for begin in range(0, rows, TERMS):
            end = min(begin + TERMS, rows)
            fours, one, two, three, four = begin + (end - begin) // 4 * 4, zero, zero, zero, zero
            for row in range(begin, fours, 4):
                k = row * width + j
                one, two = one + load(values, k, left, zero), two + load(values, k + width, left, zero)
                k += 2 * width
                three, four = three + load(values, k, left, zero), four + load(values, k + width, left, zero)
            for row in range(fours, end):
                one = one + load(values, row * width + j, left, zero)
            sums = sums + ((one + two) + (three + four))
        store(out, j, left, sums)


@inner
def relu(z: Any, y: Any, size: Any) -> None:
    zero = z.dtype.type(0)
    for i in range(size):
        y[i] = zero if z[i] <= 0 else z[i]  # so asked, NaN stays NaN


@inner
def sigmoid(z: Any, y: Any, size: Any) -> None:
    one = z.dtype.type(1)
    for i in range(size):
        e = exp_negative(-abs(z[i]))
        y[i] = (e if z[i] < 0 else one) / (one + e)


@inner
def tanh(z: Any, y: Any, size: Any) -> None:
    """With m = e^−2|z| − 1, tanh |z| = |m| / (2 + m), which keeps its digits near 0."""
    two = z.dtype.type(2)
    for i in range(size):
        m = expm1_negative(-two * abs(z[i]))
        value = abs(m / (two + m))
        y[i] = -value if z[i] < 0 else value


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
def log_sigmoid(z: Any, y: Any, size: Any) -> None:
    """−softplus(−z)."""
    zero = z.dtype.type(0)
    for i in range(size):
        u = -z[i]
        y[i] = -((u if u > 0 else zero) + log1p_share(exp_negative(-abs(u))))


# The backward passes of activations: the error signal of one number, from the output y and δ. What one needs is
# computed before it is chosen: else each sign is a branch, which the processor cannot predict.


@inlined
def relu_delta(y: Any, d: Any, factor: Any) -> Any:
    return d if y > 0 else type(y)(0)


@inlined
def sigmoid_delta(y: Any, d: Any, factor: Any) -> Any:
    return d * y * (type(y)(1) - y)


@inlined
def tanh_delta(y: Any, d: Any, factor: Any) -> Any:
    return d * (type(y)(1) - y * y)


@inlined
def softplus_delta(y: Any, d: Any, factor: Any) -> Any:
    p = factor * y
    slope = -expm1_negative(-abs(p))
    return d * (type(y)(0) if p > 0 else slope)  # so asked, NaN stays NaN


@inlined
def backward(delta: Any, y: Any, d: Any, moved: Any, size: Any, factor: Any) -> None:
    """The error signals of all numbers; ``delta`` is one of the functions above."""
    f = y.dtype.type(factor)
    for i in range(size):
        own = d[i]
        moved[i] = delta(y[i], own, f)


@inner
def softmax(z: Any, y: Any, size: Any, classes: Any) -> None:
    exponentials(z, y, size, classes)
    for start in range(0, size, classes):
        divide(y, start, start + classes, sum_of(y, start, start + classes), y.dtype.type(1))


@inner
def softmax_backward(y: Any, d: Any, moved: Any, scratch: Any, size: Any, classes: Any) -> None:
    """``scratch`` may be ``moved``, unless that is δ."""
    for k in range(size):
        scratch[k] = d[k] * y[k]
    for start in range(0, size, classes):
        inner, stop = sum_of(scratch, start, start + classes), start + classes
        shares, deltas, result = y[start:stop], d[start:stop], moved[start:stop]
        for j in range(classes):
            result[j] = shares[j] * (deltas[j] - inner)


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


FEW = 32  # numbers that are added, or compared, as fast one after the other


@inlined
def sum_of(values: Any, start: Any, stop: Any) -> Any:
    """Σ of values[start:stop], in their type."""
    if stop - start > FEW:
        return sum_of_many(values, start, stop)
    total = values.dtype.type(0)
    for i in range(start, stop):
        total += values[i]
    return total


@inlined
def largest_of(values: Any, start: Any, stop: Any) -> Any:
    """The largest of values[start:stop]."""
    if stop - start > FEW:
        return largest_of_many(values, start, stop)
    largest = values[start]
    for i in range(start, stop):
        largest = max(largest, values[i])
    return largest


@inner
def exponentials(z: Any, y: Any, size: Any, classes: Any) -> None:
    """y = e^(z − max z) of each row; short rows together, as one loop over all of their numbers is vectorized."""
    if classes <= FEW:
        for start in range(0, size, max(classes, 1)):
            largest = largest_of(z, start, start + classes)
            for j in range(start, start + classes):
                y[j] = z[j] - largest
        for k in range(size):
            y[k] = exp_negative(y[k])
        return
    for start in range(0, size, classes):
        largest = largest_of(z, start, start + classes)
        row, e = z[start : start + classes], y[start : start + classes]
        for j in range(classes):  # from 0, so that the compiler knows that no index is negative, and vectorizes
            e[j] = exp_negative(row[j] - largest)


@inlined
def divide(y: Any, start: Any, stop: Any, total: Any, factor: Any) -> None:
    """y / total · factor, of y[start:stop]."""
    if stop - start < 8:  # too few for a vector
        for j in range(start, stop):
            y[j] = y[j] / total * factor
        return
    row = y[start:stop]
    for j in range(stop - start):
        row[j] = row[j] / total * factor


@merged
def are_labels(labels: Any, classes: Any, count: Any) -> Any:
    """Whether all of them are in 0 … classes − 1."""
    valid = True
    for row in range(count):
        valid &= 0 <= labels[row] < classes
    return valid


@merged
def cross_entropies(
    z: Any, labels: Any, scratch: Any, terms: Any, d: Any, classes: Any, count: Any, factor: Any
) -> None:  # fmt: skip
    """The cross-entropies of rows, and factor · (softmax(z) − y) with the digits of classes that are nearly sure.

    ``terms`` has place for ``filled(count)`` numbers; ``scratch``, where a row is one vector, for as many as fill up z;
    else it is not used.
    """
    if classes <= BYTES // z.itemsize:
        cross_entropies_of_few(z, labels, scratch, terms, d, classes, count, factor)
    else:
        cross_entropies_of_many(z, labels, scratch, terms, d, classes, count, factor)


@merged
def cross_entropies_of_many(
    z: Any, labels: Any, scratch: Any, terms: Any, d: Any, classes: Any, count: Any, factor: Any
) -> None:  # fmt: skip
    """A row is several vectors; ``scratch`` is not used."""
    exponentials(z, d, count * classes, classes)
    for row in range(count):
        terms[row] = _cross_entropy_of_many(z, row * classes, classes, labels[row], d, factor)


@inlined
def filled(count: Any) -> Any:
    """As many numbers, or a few more, so that they fill vectors: a loop over the last ones alone would take as long."""
    return -(-count // 16) * 16


@exact
def cross_entropies_of_few(
    z: Any, labels: Any, e: Any, terms: Any, d: Any, classes: Any, count: Any, factor: Any
) -> None:  # fmt: skip
    """A row is one vector. Nothing is read near what was just written: a processor would wait for that."""
    none, tiny = z.dtype.type(0), z.dtype.type(TINY)
    zero, lowest, scale = spread(none), spread(z.dtype.type(-np.inf)), spread(factor)
    for row in range(count):
        scores = load_few(z, row * classes, classes, lowest)
        store_few(e, row * classes, classes, scores - spread(largest(scores)))
    for k in range(filled(count * classes)):
        e[k] = exp_negative(e[k])
    for row in range(count):
        start, label = row * classes, labels[row]
        own, powers = e[start + label], load_few(e, start, classes, zero)
        others = total(replaced(powers, label, none))
        store_few(d, start, classes, replaced(powers, label, -others) / spread(others + own) * scale)
        terms[row] = others / own  # whose logarithm is that of total / own, and keeps the digits of a small ratio
    for row in range(filled(count)):
        terms[row] = log1p_positive(terms[row])
    for row in range(count):
        start, place = row * classes, row * classes + labels[row]
        if not e[place] > tiny:  # also NaN
            scores, powers = load_few(z, start, classes, lowest), load_few(e, start, classes, zero)
            terms[row] = np.log(total(powers)) - (z[place] - largest(scores))


@inner
def _cross_entropy_of_many(z: Any, start: Any, classes: Any, label: Any, residual: Any, factor: Any) -> Any:
    """``residual`` begins as the ``exponentials`` of z."""
    place, stop, tiny = start + label, start + classes, z.dtype.type(TINY)
    own = residual[place]
    residual[place] = z.dtype.type(0)
    others = sum_of(residual, start, stop)
    divide(residual, start, stop, others + own, factor)
    residual[place] = -others / (others + own) * factor
    if own <= tiny:
        return np.log(others + own) - (z[place] - largest_of(z, start, stop))
    return log1p_positive(others / own)
