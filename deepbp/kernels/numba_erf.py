"""The compiled Gaussian function and GELU, in one loop each, by the formulas of ``numpy_erf``."""

from math import pi, sqrt
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from deepbp.kernels import numpy_erf
from deepbp.kernels.numba_math import INLINE, compiled, exp_negative, inner, polynomial_of
from deepbp.kernels.numpy_erf import LIMIT, LONG, SHORT


def whole_gaussian(x: Any) -> Any:
    """e^(−x²) for 0 ≤ x ≤ LIMIT. Only for compiled code."""
    raise NotImplementedError


def half_gaussian(x: Any) -> Any:
    """e^(−x²/2) for 0 ≤ x ≤ LIMIT. Only for compiled code."""
    raise NotImplementedError


def scaled_erfc(x: Any) -> Any:
    """e^(x²) erfc(x) for x ≥ 0. Only for compiled code."""
    raise NotImplementedError


def _gaussian(scale: float) -> Any:
    """e^(−scale x²), as e^(−scale h²) · e^(−scale (x − h)(x + h)) with h near x in sixteenths, so that h² is exact."""

    def of_type(x: Any) -> Any:
        t: Any = np.float32 if x == types.float32 else np.float64  # a literal would widen a loop over float32
        sixteen, sixteenth, half, factor = t(16), t(1 / 16), t(0.5), t(-scale)
        to_whole = t(1.5 * 2 ** (23 if t is np.float32 else 52))  # adding it pushes the fraction out of the mantissa

        def implementation(x: Any) -> Any:
            high = (
                (x * sixteen - half + to_whole) - to_whole
            ) * sixteenth  # never above x: both exponents are negative
            return exp_negative(factor * high * high) * exp_negative(factor * ((x - high) * (x + high)))

        return implementation

    return of_type


overload(whole_gaussian, jit_options=INLINE)(_gaussian(1))
overload(half_gaussian, jit_options=INLINE)(_gaussian(0.5))


@overload(scaled_erfc, jit_options=INLINE)
def _scaled_erfc(x: Any) -> Any:
    t: Any = np.float32 if x == types.float32 else np.float64
    k, a, coefficients = SHORT if t is np.float32 else LONG
    k, a, one, polynomial = t(k), t(a), t(1), polynomial_of(t, coefficients)  # type: ignore[assignment]

    def implementation(x: Any) -> Any:
        u = one / (x + k)
        return u * polynomial((a * x - k) * u)

    return implementation


@inner
def gelu_loop(z: Any, y: Any, slope: Any, size: Any) -> None:
    """z Φ(z), and its derivative."""
    t = z.dtype.type
    limit, half, one, root, height = t(LIMIT), t(0.5), t(1), t(sqrt(0.5)), t(1 / sqrt(2 * pi))
    for i in range(size):
        x = z[i]
        distance = abs(x)
        distance = limit if distance > limit else distance
        curve = half_gaussian(distance)
        tail = curve * scaled_erfc(distance * root) * half
        share = tail if x < 0 else one - tail
        y[i] = x * share
        slope[i] = share + (-distance if x < 0 else distance) * (curve * height)


@compiled(numpy_erf.gelu)
def gelu(z: Any) -> Any:
    y, slope = np.empty(z.shape, z.dtype), np.empty(z.shape, z.dtype)
    gelu_loop(z.ravel(), y.ravel(), slope.ravel(), z.size)
    return y, slope


@inner
def gaussian_loop(z: Any, y: Any, size: Any) -> None:
    limit = z.dtype.type(LIMIT)
    for i in range(size):
        distance = abs(z[i])
        y[i] = whole_gaussian(limit if distance > limit else distance)


@compiled(numpy_erf.gaussian)
def gaussian(x: Any) -> Any:
    y = np.empty(x.shape, x.dtype)
    gaussian_loop(x.ravel(), y.ravel(), x.size)
    return y
