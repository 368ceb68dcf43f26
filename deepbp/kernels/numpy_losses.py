"""The NumPy form of the kernels for losses that are sums of terms, which defines what each of them computes."""

from math import isfinite
from typing import Any

import numpy as np

from deepbp.errors import DataTypeError, ShapeError
from deepbp.kernels.blocks import (
    NOT_MATRIX,
    OTHER_LENGTH,
    OTHER_TARGET,
    OTHER_WEIGHTS,
    WHOLE_NUMBERS,
    long_dot,
    long_sum,
)
from deepbp.typing import Array

__all__ = [
    "binary_cross_entropy",
    "log_cosh",
    "log_poisson",
    "logarithm",
    "poisson",
    "sigmoid_focal",
    "soft_cross_entropy",
    "weighted_squared_error",
]


def check_target(prediction: Array, target: Array) -> None:
    """Raise ShapeError unless both have the same shape."""
    if prediction.shape != target.shape:
        raise ShapeError(OTHER_TARGET, prediction.shape, target.shape)


def weighted_squared_error(prediction: Array, target: Array, weight: Array, factor: float) -> tuple[float, Array]:
    """(Σ w (ŷ − y)², factor · w (ŷ − y)), with a vector of weights for as many equal parts of the prediction.

    >>> import numpy as np
    >>> from deepbp.kernels import weighted_squared_error
    >>> prediction, target = np.array([[1.0, 4.0], [3.0, 3.0]]), np.array([[1.0, 2.0], [3.0, 2.0]])
    >>> weighted_squared_error(prediction, target, np.array([1.0, 0.5]), 2.0)
    (4.5, array([[0., 4.],
           [0., 1.]]))
    """
    check_target(prediction, target)
    if weight.ndim != 1 or not weight.size or prediction.size % weight.size:
        raise ShapeError(OTHER_WEIGHTS, prediction.shape, weight.shape)
    difference = (prediction - target).reshape(weight.size, -1)
    weighted = difference * weight[:, None]
    value = long_dot(difference.reshape(-1), weighted.reshape(-1))
    return value, np.multiply(weighted, float(factor)).reshape(prediction.shape)


def logarithm(x: Array) -> Array:
    """ln x for x > 0 that are no subnormal numbers.

    >>> import numpy as np
    >>> from deepbp.kernels import logarithm
    >>> logarithm(np.array([1.0, 0.5])).round(4)
    array([ 0.    , -0.6931])
    """
    if x.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    return np.asarray(np.log(x))


def limits_of_probabilities(dtype: "np.dtype[Any]") -> tuple[float, float]:
    """The nearest neighbours of 0 and 1 that have finite logarithms and reciprocals."""
    numbers = np.finfo(dtype)
    return float(numbers.tiny), float(1 - numbers.epsneg)


def binary_cross_entropy(p: Array, y: Array) -> tuple[Array, Array]:
    """Terms −(y ln p + (1 − y) ln(1 − p)), and their slopes, with a p of 0 or 1 replaced by its nearest neighbour.

    >>> import numpy as np
    >>> from deepbp.kernels import binary_cross_entropy
    >>> terms, slopes = binary_cross_entropy(np.array([0.25, 0.25]), np.array([1.0, 0.0]))
    >>> terms.round(4), slopes.round(4)
    (array([1.3863, 0.2877]), array([-4.    ,  1.3333]))
    """
    check_target(p, y)
    p = np.clip(p, *limits_of_probabilities(p.dtype))
    return -(y * np.log(p) + (1 - y) * np.log1p(-p)), (p - y) / (p * (1 - p))


def log_cosh(prediction: Array, target: Array) -> tuple[Array, Array]:
    """Terms ln cosh(ŷ − y), and their slopes tanh(ŷ − y).

    >>> import numpy as np
    >>> from deepbp.kernels import log_cosh
    >>> terms, slopes = log_cosh(np.log([2.0]), np.array([0.0]))
    >>> terms.round(4), slopes.round(4)
    (array([0.2231]), array([0.6]))
    """
    check_target(prediction, target)
    difference = prediction - target
    size = np.abs(difference)
    # ln cosh d = |d| + ln(1 + (e^(−2|d|) − 1) / 2): cosh overflows, and this form keeps the digits of small d.
    return size + np.log1p(np.expm1(-2 * size) / 2), np.tanh(difference)


def smallest_rate(dtype: "np.dtype[Any]") -> float:
    """The root of the smallest number, so that y / λ is finite."""
    return float(np.sqrt(np.finfo(dtype).tiny))


def poisson(rate: Array, count: Array) -> tuple[Array, Array]:
    """Terms λ − y ln λ, and their slopes, with a λ below the root of the smallest number replaced by it.

    >>> import numpy as np
    >>> from deepbp.kernels import poisson
    >>> poisson(np.array([1.0]), np.array([3.0]))
    (array([1.]), array([-2.]))
    """
    check_target(rate, count)
    rate = np.maximum(rate, smallest_rate(rate.dtype))
    return rate - count * np.log(rate), 1 - count / rate


def largest_log_rate(dtype: "np.dtype[Any]") -> float:
    """The z beyond which a tangent continues eᶻ: there it is the root of the largest number."""
    return float(np.log(np.finfo(dtype).max)) / 2


def log_poisson(z: Array, count: Array) -> tuple[Array, Array]:
    """Terms eᶻ − y z, and their slopes, with the tangent of eᶻ where that exceeds the root of the largest number.

    >>> import numpy as np
    >>> from deepbp.kernels import log_poisson
    >>> log_poisson(np.array([0.0]), np.array([3.0]))
    (array([1.]), array([-2.]))
    """
    check_target(z, count)
    limit = largest_log_rate(z.dtype)
    rate = np.exp(np.minimum(z, limit))
    return rate * (1 + np.maximum(z - limit, 0)) - count * z, rate - count


def sigmoid_focal(z: Array, target: Array, gamma: float, positive: float, negative: float) -> tuple[Array, Array]:
    """Terms −a (1 − p)^γ ln p, and their slopes: p = σ(z), a = positive for the target 1, σ(−z), a = negative for 0.

    >>> import numpy as np
    >>> from deepbp.kernels import sigmoid_focal
    >>> terms, slopes = sigmoid_focal(np.array([0.0]), np.array([1.0]), 2.0, 1.0, 1.0)
    >>> terms.round(4), slopes.round(4)
    (array([0.1733]), array([-0.2983]))
    """
    check_target(z, target)
    side = 2 * target - 1
    own = side * z
    e = np.exp(-np.abs(own))
    p, missed = np.where(own < 0, e, 1) / (1 + e), np.where(own < 0, 1, e) / (1 + e)  # each accurate where it is small
    log_p = np.minimum(own, 0) - np.log1p(e)
    factor = missed**gamma * np.where(target == 1, positive, negative).astype(z.dtype)
    return -factor * log_p, side * factor * (gamma * p * log_p - missed)


def soft_cross_entropy(z: Array, target: Array, weight: Array | None) -> tuple[float, Array]:
    """(Σ w (ln Σ eᶻ Σ y − Σ y z), softmax(z) Σ y − y) for scores z and shares y of classes (N, C), and weights (N,).

    Of a class that is nearly certain, the residual is minus the sum of the others, which keeps the digits.

    >>> import numpy as np
    >>> from deepbp.kernels import soft_cross_entropy
    >>> value, residual = soft_cross_entropy(np.array([[0.0, 0.0]]), np.array([[0.25, 0.75]]), None)
    >>> round(value, 4), residual
    (0.6931, array([[ 0.25, -0.25]]))
    """
    check_target(z, target)
    if z.ndim != 2 or not z.shape[1]:
        raise ShapeError(NOT_MATRIX, z.shape)
    if weight is not None and weight.shape != z.shape[:1]:
        raise ShapeError(OTHER_LENGTH, len(z), weight.shape)
    shifted = z - np.maximum.reduce(z, axis=1, keepdims=True)  # so that no exponential overflows
    residual = np.exp(shifted, order="C")  # of which ``flat`` is a view
    flat, top = residual.reshape(-1), shifted.argmax(axis=1) + np.arange(0, z.size, z.shape[1])
    flat[top] = 0
    others = np.add.reduce(residual, axis=1)
    flat[top] = 1
    share = np.add.reduce(target, axis=1)
    if isfinite(np.add.reduce(shifted, axis=None)):
        products = shifted * target
    else:  # −∞ · 0 counts as 0
        products = np.multiply(shifted, target, out=np.zeros_like(z), where=target != 0)
    terms = np.log1p(others) * share - np.add.reduce(products, axis=1)
    residual *= (share / (1 + others))[:, None]
    residual -= target
    own = flat[top]
    flat[top] = 0
    flat[top] = np.where(others < 1, -np.add.reduce(residual, axis=1), own)
    return long_sum(terms) if weight is None else long_dot(terms, weight), residual
