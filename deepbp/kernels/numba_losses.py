"""The Numba form of the kernels for losses: the functions of ``numpy_losses``, compiled to fused loops.

The loops over flat arrays, and the functions of one term and its slope, serve the instructions of programs, too.
"""

from typing import Any

import numpy as np

from deepbp.errors import ShapeError
from deepbp.kernels import numpy_losses
from deepbp.kernels.blocks import NOT_MATRIX, OTHER_LENGTH, OTHER_TARGET, OTHER_WEIGHTS
from deepbp.kernels.numba_lanes import exact
from deepbp.kernels.numba_loops import exponentials, sum_of
from deepbp.kernels.numba_math import (
    compiled,
    exp_negative,
    expm1_negative,
    inner,
    log1p_positive,
    log1p_share,
    log_positive,
)
from deepbp.kernels.numpy_losses import __all__ as __all__
from deepbp.kernels.numpy_losses import largest_log_rate, limits_of_probabilities, smallest_rate

_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
_LIMITS, _DOUBLE_LIMITS = limits_of_probabilities(_SINGLE), limits_of_probabilities(_DOUBLE)
_LEAST, _DOUBLE_LEAST = smallest_rate(_SINGLE), smallest_rate(_DOUBLE)
_LARGEST, _DOUBLE_LARGEST = largest_log_rate(_SINGLE), largest_log_rate(_DOUBLE)


@inner
def check_target(prediction: Any, target: Any) -> None:
    if prediction.shape != target.shape:
        raise ShapeError(OTHER_TARGET, prediction.shape, target.shape)


@inner
def weighted_squared_error_loop(
    prediction: Any, target: Any, weight: Any, d: Any, size: Any, share: Any, factor: Any
) -> Any:  # fmt: skip
    """Σ w (ŷ − y)², and factor · w (ŷ − y); each ``share`` neighbouring numbers have one weight."""
    scale, total = d.dtype.type(factor), 0.0
    for part in range(size // share):
        w = weight[part]
        for i in range(part * share, (part + 1) * share):
            difference = prediction[i] - target[i]
            weighted = difference * w
            total += difference * weighted
            d[i] = weighted * scale
    return total


@compiled(numpy_losses.weighted_squared_error, weight=1)
def weighted_squared_error(prediction: Any, target: Any, weight: Any, factor: float) -> Any:
    check_target(prediction, target)
    share = prediction.size // max(weight.size, 1)
    if weight.size == 0 or share * weight.size != prediction.size:
        raise ShapeError(OTHER_WEIGHTS, prediction.shape, weight.shape)
    d = np.empty(prediction.shape, prediction.dtype)
    total = weighted_squared_error_loop(
        prediction.ravel(), target.ravel(), weight.ravel(), d.ravel(), prediction.size, max(share, 1), factor
    )
    return total, d


@compiled(numpy_losses.logarithm)
def logarithm(x: Any) -> Any:
    y = np.empty(x.shape, x.dtype)
    source, result = x.ravel(), y.ravel()
    for i in range(x.size):
        result[i] = log_positive(source[i])
    return y


@inner
def _terms(term_of: Any, prediction: Any, target: Any, a: Any, b: Any, c: Any) -> Any:
    """The terms and slopes of all numbers; ``term_of`` is one of the functions below, with settings."""
    check_target(prediction, target)
    terms, slopes = np.empty(prediction.shape, prediction.dtype), np.empty(prediction.shape, prediction.dtype)
    source, other, term, slope, t = (
        prediction.ravel(), target.ravel(), terms.ravel(), slopes.ravel(), prediction.dtype.type
    )  # fmt: skip
    for i in range(source.size):
        term[i], slope[i] = term_of(source[i], other[i], t(a), t(b), t(c))
    return terms, slopes


@exact
def log_cosh_term(prediction: Any, target: Any, a: Any, b: Any, c: Any) -> Any:
    t = type(prediction)
    difference = prediction - target
    size = abs(difference)
    m = expm1_negative(t(-2) * size)
    half, slope = t(-0.5) * m, abs(m / (t(2) + m))
    return size - log1p_share(half / (t(1) - half)), -slope if difference < 0 else slope


@exact
def binary_cross_entropy_term(p: Any, y: Any, tiny: Any, last: Any, c: Any) -> Any:
    """With the smaller, s, of p and 1 − p, −ln(1 − s) is ln(1 + s / (1 − s)); the limits of p are settings."""
    one = type(p)(1)
    p = tiny if p < tiny else last if p > last else p
    is_low, rest = p <= type(p)(0.5), one - p
    small, large = (p, rest) if is_low else (rest, p)
    of_small, of_large = -log_positive(small), log1p_share(small / large)
    of_p, of_rest = (of_small, of_large) if is_low else (of_large, of_small)
    return y * of_p + (one - y) * of_rest, (p - y) / (p * rest)


@exact
def poisson_term(rate: Any, count: Any, least: Any, b: Any, c: Any) -> Any:
    rate = least if rate < least else rate
    return rate - count * log_positive(rate), type(rate)(1) - count / rate


@exact
def log_poisson_term(z: Any, count: Any, limit: Any, b: Any, c: Any) -> Any:
    t = type(z)
    rate, above = exp_negative(limit if z > limit else z), z - limit
    return rate * (t(1) + (t(0) if above <= 0 else above)) - count * z, rate - count


@exact
def sigmoid_focal_term(z: Any, target: Any, gamma: Any, positive: Any, negative: Any) -> Any:
    t = type(z)
    side = t(2) * target - t(1)
    own = side * z
    e = exp_negative(-abs(own))
    total = t(1) + e
    p, missed = (e / total, t(1) / total) if own < 0 else (t(1) / total, e / total)
    log_p = (own if own < 0 else t(0)) - log1p_share(e)
    power = missed * missed if gamma == 2 else missed**gamma
    factor = power * (positive if target == 1 else negative)
    return -factor * log_p, side * factor * (gamma * p * log_p - missed)


@compiled(numpy_losses.binary_cross_entropy)
def binary_cross_entropy(p: Any, y: Any) -> Any:
    limits = _LIMITS if p.itemsize == 4 else _DOUBLE_LIMITS
    return _terms(binary_cross_entropy_term, p, y, limits[0], limits[1], 0.0)


@compiled(numpy_losses.log_cosh)
def log_cosh(prediction: Any, target: Any) -> Any:
    return _terms(log_cosh_term, prediction, target, 0.0, 0.0, 0.0)


@compiled(numpy_losses.poisson)
def poisson(rate: Any, count: Any) -> Any:
    least = _LEAST if rate.itemsize == 4 else _DOUBLE_LEAST
    return _terms(poisson_term, rate, count, least, 0.0, 0.0)


@compiled(numpy_losses.log_poisson)
def log_poisson(z: Any, count: Any) -> Any:
    limit = _LARGEST if z.itemsize == 4 else _DOUBLE_LARGEST
    return _terms(log_poisson_term, z, count, limit, 0.0, 0.0)


@compiled(numpy_losses.sigmoid_focal)
def sigmoid_focal(z: Any, target: Any, gamma: float, positive: float, negative: float) -> Any:
    return _terms(sigmoid_focal_term, z, target, gamma, positive, negative)


@inner
def soft_cross_entropies(z: Any, target: Any, d: Any, terms: Any, count: Any, classes: Any) -> None:
    """The cross-entropies of rows with shares of classes, and softmax(z) Σ y − y."""
    none, one = z.dtype.type(0), z.dtype.type(1)
    exponentials(z, d, count * classes, classes)
    for row in range(count):
        start, stop, top, product = row * classes, (row + 1) * classes, row * classes, 0.0
        for j in range(start, stop):
            if z[j] > z[top]:
                top = j
        for j in range(start, stop):
            if target[j] != 0:  # −∞ · 0 counts as 0
                product += float(z[j] - z[top]) * float(target[j])
        d[top] = none
        others, share = sum_of(d, start, stop), sum_of(target, start, stop)
        d[top] = one
        logarithm = log1p_positive(others) if others >= none else others
        terms[row] = logarithm * share - z.dtype.type(product)
        factor = share / (one + others)
        for j in range(start, stop):
            d[j] = d[j] * factor - target[j]
        own = d[top]
        d[top] = none
        d[top] = -sum_of(d, start, stop) if others < one else own


@compiled(numpy_losses.soft_cross_entropy, z=2, target=2, weight=1)
def soft_cross_entropy(z: Any, target: Any, weight: Any) -> Any:
    check_target(z, target)
    residual = np.empty(z.shape, z.dtype)
    rows, classes = z.shape
    if classes == 0:
        raise ShapeError(NOT_MATRIX, z.shape)
    if weight is not None and weight.shape != (rows,):
        raise ShapeError(OTHER_LENGTH, rows, weight.shape)
    terms, value = np.empty(rows, z.dtype), 0.0
    soft_cross_entropies(z.ravel(), target.ravel(), residual.ravel(), terms, rows, classes)
    for row in range(rows):
        value += terms[row] if weight is None else terms[row] * weight[row]
    return value, residual
