"""The compiled exponential function, and the compiler options of all compiled kernels."""

from math import factorial, floor, log
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

from deepbp.errors import DataTypeError
from deepbp.kernels.blocks import WHOLE_NUMBERS

compiled = njit(
    cache=True,  # on disk: compiled once, not once a process
    nogil=True,  # threads that predict run side by side
    error_model="numpy",  # a division by zero gives infinity; a check for it would stop vectorisation
    fastmath={"contract"},  # a·b + c in one rounding; nothing that assumes finite numbers or reorders sums
)


@intrinsic
def _power_of_two(context: Any, number: Any) -> Any:
    """2ⁿ for an n in the low bits of a float, which a shift moves to the bits of the exponent."""
    width, mantissa, one, kind = (
        (32, 23, 127, ir.FloatType()) if number == types.float32 else (64, 52, 1023, ir.DoubleType())
    )

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = ir.IntType(width)
        exponent = builder.add(builder.bitcast(arguments[0], whole), whole(one))
        return builder.bitcast(builder.shl(exponent, whole(mantissa)), kind)

    return number(number), generate


def exp_negative(x: Any) -> Any:
    """eˣ for x ≤ 0, within 2 units in the last place; NaN stays NaN. Only for compiled code.

    With n = x / ln 2, rounded, eˣ = 2ⁿ eʳ, where |r| = |x − n ln 2| ≤ ½ ln 2 and eʳ is a Taylor polynomial. ln 2 is
    split in two parts, so that n times the first is exact, and 2ⁿ into two factors, so that subnormal results exist.
    """
    raise NotImplementedError


@overload(exp_negative, jit_options={"forceinline": True})  # also where a loop needs two: else it stays slow
def _exp_negative(x: Any) -> Any:
    # Every constant has the type of x: a literal such as 0.5 is a float64 and would widen a loop over float32.
    if x == types.float32:
        t: Any = np.float32
        mantissa, bits_of_high, least, polynomial = 23, 9, -104, _taylor7
        ln2_rest = t(0.0017409305599453094)  # ln 2 − high
    else:
        t = np.float64
        mantissa, bits_of_high, least, polynomial = 52, 32, -746, _taylor13
        ln2_rest = t(1.9082149292705877e-10)
    ln2_high = t(floor(log(2) * 2**bits_of_high) / 2**bits_of_high)  # so short that n times it is exact
    to_whole = t(1.5 * 2**mantissa)  # adding it pushes the fraction out of the mantissa: n is left in the low bits
    log2_e, half, lowest = t(1 / log(2)), t(0.5), t(least)

    def implementation(x: Any) -> Any:
        x = lowest if x < lowest else x
        n = (x * log2_e + to_whole) - to_whole
        r = (x - n * ln2_high) - n * ln2_rest
        first = n * half + to_whole
        second = (n - (first - to_whole)) + to_whole
        return polynomial(r) * _power_of_two(first) * _power_of_two(second)  # type: ignore[call-arg]

    return implementation


def _coefficients(t: Any, degree: int) -> tuple[Any, ...]:
    return tuple(t(1 / factorial(k)) for k in range(degree + 1))


_C7, _C13 = _coefficients(np.float32, 7), _coefficients(np.float64, 13)


@njit(forceinline=True)
def _taylor7(r: Any) -> Any:
    high = _C7[4] + r * (_C7[5] + r * (_C7[6] + r * _C7[7]))
    return _C7[0] + r * (_C7[1] + r * (_C7[2] + r * (_C7[3] + r * high)))


@njit(forceinline=True)
def _taylor13(r: Any) -> Any:
    high = _C13[9] + r * (_C13[10] + r * (_C13[11] + r * (_C13[12] + r * _C13[13])))
    middle = _C13[5] + r * (_C13[6] + r * (_C13[7] + r * (_C13[8] + r * high)))
    return _C13[0] + r * (_C13[1] + r * (_C13[2] + r * (_C13[3] + r * (_C13[4] + r * middle))))


@compiled
def check_floats(z: Any) -> None:
    """Raise DataTypeError for whole numbers; the compiler decides the condition."""
    if z.dtype.type(0.5) != 0.5:
        raise DataTypeError(WHOLE_NUMBERS)
