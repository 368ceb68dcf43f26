"""The error function, which NumPy lacks, and functions of it: erf, erfc, the Gaussian function, and GELU.

For x ≥ 0, e^(x²) erfc(x) = u P(t) with u = 1 / (x + k) and t = a − k (1 + a) u. The substitution maps x = 0 to t = −1,
and the x at which erfc underflows in float32, or float64, to t = 1. The function of t is so smooth that one polynomial
P serves all x.

Source: Shepherd & Laframboise, Mathematics of Computation 36 (1981) 249. The coefficients are those of the Chebyshev
series, computed with 50 digits, and truncated where the remainder is below a tenth of the last place.
"""

from collections.abc import Callable
from functools import wraps
from math import factorial, pi, sqrt

import numpy as np

from deepbp.errors import DataTypeError
from deepbp.kernels.blocks import WHOLE_NUMBERS, blocks
from deepbp.typing import Array

LIMIT = 40  # beyond it all of these functions are 0, 1 or 2; the square of a number this size does not overflow
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


def _in_blocks(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Run the function over blocks, so that its many intermediate arrays stay in the processor's cache."""

    @wraps(function)
    def whole(x: Array) -> Array:
        if x.dtype.kind in "iub":
            raise DataTypeError(WHOLE_NUMBERS)
        y = np.empty_like(x, order="C")
        for part, value in blocks(x.reshape(-1), y.reshape(-1), scratch=0):
            value[...] = function(part)
        return y

    return whole


@_in_blocks
def erf(x: Array) -> Array:
    """2/√π ∫₀ˣ e^(−t²) dt, within 4 units in the last place.

    By its Taylor series where |x| < ½, and as 1 − erfc elsewhere.

    >>> import numpy as np
    >>> from deepbp.kernels import erf
    >>> erf(np.array([0.0, 0.5, 6.0])).round(4)
    array([0.    , 0.5205, 1.    ])
    """
    size = np.minimum(np.abs(x), LIMIT)
    series = NEAR_ZERO[:7] if x.dtype == np.float32 else NEAR_ZERO
    near = x * _polynomial(series, np.minimum(size, 0.5) ** 2)
    return np.asarray(np.where(size < 0.5, near, np.copysign(1 - _tail(size), x)))


@_in_blocks
def erfc(x: Array) -> Array:
    """1 − erf(x), within 8 units in the last place, down to the smallest normal number.

    >>> import numpy as np
    >>> from deepbp.kernels import erfc
    >>> erfc(np.array([0.0, 0.5])).round(4)
    array([1.    , 0.4795])
    """
    tail = _tail(np.minimum(np.abs(x), LIMIT))
    return np.asarray(np.where(x < 0, 2 - tail, tail))


@_in_blocks
def gaussian(x: Array) -> Array:
    """e^(−x²), within 5 units in the last place.

    >>> import numpy as np
    >>> from deepbp.kernels import gaussian
    >>> gaussian(np.array([0.0, 1.0])).round(4)
    array([1.    , 0.3679])
    """
    return _gaussian(np.minimum(np.abs(x), LIMIT), 1)


def gelu(z: Array) -> tuple[Array, Array]:
    """z Φ(z), where Φ is the normal distribution, ½ erfc(−z/√2), and its derivative, Φ(z) + z e^(−z²/2) / √(2π).

    Both use the same exponential. Within 8 units in the last place, for negative z as long as Φ(z) is a normal number;
    near its zero, at −0.75, the derivative is within 3 units in the last place of 1.

    >>> import numpy as np
    >>> from deepbp.kernels import gelu
    >>> y, slope = gelu(np.array([0.0, 1.0]))
    >>> y.round(4), slope.round(4)
    (array([0.    , 0.8413]), array([0.5   , 1.0833]))
    """
    if z.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    y, slope = np.empty_like(z, order="C"), np.empty_like(z, order="C")
    for part, value, derivative in blocks(z.reshape(-1), y.reshape(-1), slope.reshape(-1), scratch=0):
        size = np.minimum(np.abs(part), LIMIT)
        curve = _gaussian(size, 0.5)
        tail = curve * _scaled_erfc(size * sqrt(0.5)) * 0.5
        share = np.where(part < 0, tail, 1 - tail)
        np.multiply(part, share, out=value)
        np.multiply(np.copysign(size, part), curve * (1 / sqrt(2 * pi)), out=derivative)
        derivative += share
    return y, slope


def _tail(x: Array) -> Array:
    """erfc for 0 ≤ x ≤ LIMIT."""
    return _gaussian(x, 1) * _scaled_erfc(x)


def _gaussian(x: Array, scale: float) -> Array:
    """e^(−scale x²) for 0 ≤ x ≤ LIMIT, as e^(−scale h²) · e^(−scale (x − h)(x + h)).

    h is x in sixteenths, so h² is exact. The rounding of a plain x² would cost x² units in the last place.
    """
    high = np.floor(x * 16) * (1 / 16)
    rest = (x - high) * (x + high)
    return np.asarray(np.exp(-scale * high * high) * np.exp(-scale * rest))


def _scaled_erfc(x: Array) -> Array:
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
