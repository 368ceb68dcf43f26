"""The error function and what is made of it, which NumPy lacks: erf, its complement, the bell curve, and GELU.

For x ≥ 0, e^(x²) erfc(x) = u P(t) with u = 1 / (x + k) and t = a − k (1 + a) u, which takes 0 to −1 and the x where
float32, or float64, can hold erfc no more, to 1: there it is so smooth that one polynomial is enough for all x.

Source of the form: Shepherd & Laframboise, Mathematics of Computation 36 (1981) 249. The coefficients are those of the
Chebyshev series, computed with 50 digits and cut off where the rest is below a tenth of the last place.
"""

from collections.abc import Callable
from functools import wraps
from math import factorial, pi, sqrt

import numpy as np

from deepbp.kernels.blocks import blocks
from deepbp.typing import Array

LIMIT = 40  # beyond it all of these are 0, 1 or 2, and no square of what was cut off there overflows
SHORT = (  # k, a, and the coefficients of P for float32
    3.0,
    1.59375,
    (
        1.311228194,
        -0.9318731549,
        0.5019061947,
        -0.1986872623,
        0.05229382786,
        -0.005875580119,
        -0.00137570526,
        0.0005436877977,
        2.35631602e-5,
        -3.16184063e-5,
    ),
)
LONG = (  # k, a, and the coefficients of P for float64
    3.5,
    1.25,
    (
        1.2004579420469489,
        -0.98620400364607033,
        0.67733208996944051,
        -0.38468463659492489,
        0.17609785772635484,
        -0.061434718923113488,
        0.014036181067494517,
        -0.00074373178119691243,
        -0.00078927063376794324,
        0.00024450346791391213,
        1.885085819416966e-5,
        -2.4956902864983325e-5,
        1.2183964083633699e-6,
        2.4045873670793231e-6,
        -2.674952535196016e-7,
        -2.5645985322341442e-7,
        3.1551889169266855e-8,
        3.0427032435680365e-8,
        -2.6780351172186431e-9,
        -3.5066717036938042e-9,
        1.2670095001927781e-10,
        2.6875697558213374e-10,
    ),
)
NEAR_ZERO = tuple(2 / sqrt(pi) * (-1) ** n / (factorial(n) * (2 * n + 1)) for n in range(12))  # erf is x Σ cₙ x²ⁿ


def _in_pieces(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The same function, run over pieces so short that the many arrays on the way stay in the processor's cache."""

    @wraps(function)
    def whole(x: Array) -> Array:
        y = np.empty_like(x, order="C")
        for part, value in blocks(x.reshape(-1), y.reshape(-1), scratch=0):
            value[...] = function(part)
        return y

    return whole


@_in_pieces
def erf(x: Array) -> Array:
    """2/√π ∫₀ˣ e^(−t²) dt, within 4 units in the last place.

    By its Taylor series where |x| < ½, and as 1 − erfc elsewhere.
    """
    size = np.minimum(np.abs(x), LIMIT)
    near = x * _polynomial(NEAR_ZERO, np.minimum(size, 0.5) ** 2)
    return np.asarray(np.where(size < 0.5, near, np.copysign(1 - _tail(size), x)))


@_in_pieces
def erfc(x: Array) -> Array:
    """1 − erf(x), within 8 units in the last place, down to the smallest normal number."""
    tail = _tail(np.minimum(np.abs(x), LIMIT))
    return np.asarray(np.where(x < 0, 2 - tail, tail))


@_in_pieces
def gaussian(x: Array) -> Array:
    """e^(−x²), within 5 units in the last place."""
    return _bell(np.minimum(np.abs(x), LIMIT), 1)


def gelu(z: Array) -> tuple[Array, Array]:
    """z Φ(z), where Φ is the normal distribution, ½ erfc(−z/√2), and its derivative, Φ(z) + z e^(−z²/2) / √(2π).

    One exponential serves both. Within 8 units in the last place, for very negative z, too; the derivative but for the
    neighbourhood of its zero, at −0.75, where it is within 3 of those of 1.
    """
    y, slope = np.empty_like(z, order="C"), np.empty_like(z, order="C")
    for part, value, derivative in blocks(z.reshape(-1), y.reshape(-1), slope.reshape(-1), scratch=0):
        size = np.minimum(np.abs(part), LIMIT)
        bell = _bell(size, 0.5)
        tail = bell * _without_bell(size * sqrt(0.5)) * 0.5
        share = np.where(part < 0, tail, 1 - tail)
        np.multiply(part, share, out=value)
        np.multiply(np.copysign(size, part), bell * (1 / sqrt(2 * pi)), out=derivative)
        derivative += share
    return y, slope


def _tail(x: Array) -> Array:
    """erfc for 0 ≤ x ≤ LIMIT."""
    return _bell(x, 1) * _without_bell(x)


def _bell(x: Array, scale: float) -> Array:
    """e^(−scale x²) for 0 ≤ x ≤ LIMIT, as e^(−scale h²) · e^(−scale (x − h)(x + h)).

    h is x in sixteenths, so h² is exact. The rounding of a plain x² would cost x² units in the last place.
    """
    high = np.floor(x * 16) * (1 / 16)
    rest = (x - high) * (x + high)
    return np.asarray(np.exp(-scale * high * high) * np.exp(-scale * rest))


def _without_bell(x: Array) -> Array:
    """e^(x²) erfc(x) for 0 ≤ x ≤ LIMIT."""
    k, a, coefficients = SHORT if x.dtype == np.float32 else LONG
    u = 1 / (x + k)
    return u * _polynomial(coefficients, (a * x - k) * u)


def _polynomial(coefficients: tuple[float, ...], t: Array) -> Array:
    p = np.full_like(t, coefficients[-1])
    for c in coefficients[-2::-1]:
        p *= t
        p += c
    return p
