"""The decorator of all compiled kernels, and the compiled exponential function."""

import pickle
import sys
from collections.abc import Callable
from functools import wraps
from inspect import signature
from math import factorial, floor, log
from numbers import Real
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.extending import intrinsic, overload

from deepbp.kernels import machine_code
from deepbp.typing import Array

inner = njit(  # for functions that compiled code calls
    nogil=True,  # threads that predict run side by side
    error_model="numpy",  # a division by zero gives infinity; a check for it would stop vectorisation
    fastmath={"contract"},  # a·b + c in one rounding; nothing that assumes finite numbers or reorders sums
)

merged = njit(inline="always")  # for functions that become a part of the source of what calls them: compiled sooner

INLINE: Any = {"forceinline": True, "fastmath": {"contract"}}  # else flags of the first caller would count

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_NATIVE = {*_FLOATS, np.dtype(np.intp)}


def compiled(otherwise: Callable[..., Any], **axes: int) -> Callable[[Callable[..., Any]], Any]:
    """Compile a kernel for ordinary arrays; ``otherwise``, its NumPy form, takes all other arguments.

    Compiled code reads whatever is at the address where it expects numbers. So it is made only for arrays of one float
    type (labels: of ``intp``) and of native byte order, aligned, writeable, with 1 to 5 axes. Of arrays that are only
    unaligned or read-only, a kernel that returns its result takes copies, so that the result has the same bits.

    The kernel's attribute ``unchecked`` is Numba's dispatcher itself, for arrays that are known to have the native byte
    order: once Numba has seen an unaligned array, it takes an array of the other byte order for one of the same kind.

    Args:
        otherwise: defines the parameters, the results, and the errors.
        axes: the required number of axes, by the parameter's name.
    """
    kinds = {name: parameter.annotation for name, parameter in signature(otherwise).parameters.items()}
    is_pure = signature(otherwise).return_annotation is not None
    arguments = ", ".join(kinds)
    arrays = [name for name, kind in kinds.items() if kind not in (bool, float)]
    condition = " and ".join(f"getattr({name}, 'dtype', usual) in native" for name in arrays)

    def fits(value: Any, name: str, dtype: Any) -> bool:
        if type(value) is not np.ndarray:
            kind = kinds[name]
            return type(value) is kind if kind in (bool, float) else value is None and kind is not Array
        return (
            value.dtype == (np.intp if name == "labels" else dtype)
            and value.flags.behaved
            and 0 < value.ndim <= 5
            and value.ndim == axes.get(name, value.ndim)
        )

    def are_ordinary(values: tuple[Any, ...]) -> bool:
        dtype = getattr(values[0], "dtype", None)
        return dtype in _FLOATS and all(fits(value, name, dtype) for value, name in zip(values, kinds, strict=True))

    def simplified(value: Any) -> Any:
        if type(value) in (np.ndarray, np.memmap):
            return np.array(value) if is_pure and not value.flags.behaved else value
        return float(value) if isinstance(value, Real) and not isinstance(value, bool) else value

    def decorate(function: Callable[..., Any]) -> Any:
        kernel: Any = inner(function)
        compile_for, entries = kernel._compile_for_args, list[Any]()

        def call(*values: Any) -> Any:
            made = tuple(map(simplified, values))
            return kernel(*made) if are_ordinary(made) else otherwise(*values)

        def select(*values: Any) -> Any:
            """Return machine code for types of arguments for which the dispatcher has none."""
            if are_ordinary(values):
                return compile_for(*values)
            if not entries:  # in Numba's object mode, compiled code calls Python's
                caller = eval(f"lambda {arguments}: call({arguments})", {"call": call})
                entries.append(numba.jit(forceobj=True)(caller).compile((types.pyobject,) * len(kinds)))
            return entries[0]

        kernel._compile_for_args = select
        kernel._cache = _Stored(function.__name__)
        # Written out for its arguments, since this is called in every step.
        names = {"kernel": kernel, "otherwise": otherwise, "native": _NATIVE, "usual": _FLOATS[0]}
        checked = eval(f"lambda {arguments}: kernel({arguments}) if {condition} else otherwise({arguments})", names)
        checked.unchecked = kernel
        return wraps(function)(checked)

    return decorate


def stored(function: Callable[..., Any]) -> Any:
    """Compile a function for arrays that the caller has checked with ``ordinary``; its machine code is kept on disk."""
    kernel: Any = inner(function)
    kernel._cache = _Stored(function.__name__)
    return kernel


def ordinary(*arrays: Any) -> bool:
    """Whether all are plain arrays of one float type, contiguous, aligned, writeable and of native byte order."""
    dtype = getattr(arrays[0], "dtype", None)
    if dtype not in _FLOATS:
        return False
    for array in arrays:
        if type(array) is not np.ndarray or array.dtype != dtype:
            return False
        flags = array.flags
        if not (flags.c_contiguous and flags.behaved):
            return False
    return True


class _Stored(NullCache):  # type: ignore[misc]
    """Numba's interface to a cache, on ``machine_code``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _key(self, types: Any, codegen: Any) -> str:
        versions = numba.__version__, llvmlite.__version__, np.__version__, sys.version
        return str((types, codegen.magic_tuple(), versions))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        content = machine_code.load(self._name, self._key(sig, target_context.codegen()))
        return None if content is None else CompileResult._rebuild(target_context, *pickle.loads(content))  # type: ignore[no-untyped-call]

    def save_overload(self, sig: Any, cres: Any) -> None:
        machine_code.store(self._name, self._key(sig, cres.codegen), dumps(cres._reduce()))  # type: ignore[no-untyped-call]


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


@intrinsic
def _binary(context: Any, x: Any) -> Any:
    """(n, m) with x = 2ⁿ m and 1 ≤ m < 2, for a normal x > 0."""
    width, mantissa, one, kind = (
        (32, 23, 127, ir.FloatType()) if x == types.float32 else (64, 52, 1023, ir.DoubleType())
    )

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = ir.IntType(width)
        bits = builder.bitcast(arguments[0], whole)
        n = builder.sitofp(builder.sub(builder.lshr(bits, whole(mantissa)), whole(one)), kind)
        kept = builder.and_(bits, whole((1 << mantissa) - 1))
        m = builder.bitcast(builder.or_(kept, whole(one << mantissa)), kind)
        return context.make_tuple(builder, signature.return_type, (n, m))

    both: Any = types.UniTuple(x, 2)  # type: ignore[no-untyped-call]
    return both(x), generate


def exp_negative(x: Any) -> Any:
    """eˣ for x ≤ 0, within 2 units in the last place; NaN stays NaN. Only for compiled code.

    Also for a positive x, up to half the logarithm of the largest number.

    With n = x / ln 2, rounded, eˣ = 2ⁿ eʳ, where |r| = |x − n ln 2| ≤ ½ ln 2 and eʳ is a Taylor polynomial. ln 2 is
    split in two parts, so that n times the first is exact, and 2ⁿ into two factors, so that subnormal results exist.
    """
    raise NotImplementedError


@overload(exp_negative, jit_options=INLINE)  # also where a loop needs two: else it stays slow
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


@njit(**INLINE)
def _taylor7(r: Any) -> Any:
    high = _C7[4] + r * (_C7[5] + r * (_C7[6] + r * _C7[7]))
    return _C7[0] + r * (_C7[1] + r * (_C7[2] + r * (_C7[3] + r * high)))


@njit(**INLINE)
def _taylor13(r: Any) -> Any:
    high = _C13[9] + r * (_C13[10] + r * (_C13[11] + r * (_C13[12] + r * _C13[13])))
    middle = _C13[5] + r * (_C13[6] + r * (_C13[7] + r * (_C13[8] + r * high)))
    return _C13[0] + r * (_C13[1] + r * (_C13[2] + r * (_C13[3] + r * (_C13[4] + r * middle))))


def polynomial_of(t: Any, coefficients: tuple[float, ...]) -> Any:
    """Horner's scheme, in loops of eight steps: the compiler unrolls no longer ones, and then does not vectorize."""
    steps, rest = tuple(map(t, coefficients[7::-1])), coefficients[8:]
    inner = polynomial_of(t, rest) if rest else njit(lambda x: t(0))

    @njit(**INLINE)
    def value(x: Any) -> Any:
        p = inner(x)
        for c in steps:
            p = p * x + c
        return p

    return value


def expm1_negative(x: Any) -> Any:
    """eˣ − 1 for x ≤ 0, within 2 units in the last place, near 0, too. Only for compiled code.

    As in ``exp_negative``, eˣ − 1 = 2ⁿ (eʳ − 1) + (2ⁿ − 1).
    """
    raise NotImplementedError


@overload(expm1_negative, jit_options=INLINE)
def _expm1_negative(x: Any) -> Any:
    t: Any = np.float32 if x == types.float32 else np.float64
    mantissa, bits_of_high, least, degree = (23, 9, -20, 8) if t is np.float32 else (52, 32, -40, 14)
    ln2_rest = t(0.0017409305599453094) if t is np.float32 else t(1.9082149292705877e-10)
    ln2_high = t(floor(log(2) * 2**bits_of_high) / 2**bits_of_high)
    to_whole, log2_e, lowest, one = t(1.5 * 2**mantissa), t(1 / log(2)), t(least), t(1)
    rest = polynomial_of(t, tuple(1 / factorial(k) for k in range(2, degree + 1)))

    def implementation(x: Any) -> Any:
        x = lowest if x < lowest else x
        n = (x * log2_e + to_whole) - to_whole
        r = (x - n * ln2_high) - n * ln2_rest
        power: Any = _power_of_two(n + to_whole)  # type: ignore[call-arg]
        return power * (r + r * r * rest(r)) + (power - one)

    return implementation


def log1p_share(x: Any) -> Any:
    """ln(1 + x) for 0 ≤ x ≤ 1, within 3 units in the last place. Only for compiled code.

    With s = x / (2 + x), at most a third, it is 2 artanh s = 2 (s + s³/3 + s⁵/5 + …).
    """
    raise NotImplementedError


@overload(log1p_share, jit_options=INLINE)
def _log1p_share(x: Any) -> Any:
    t: Any = np.float32 if x == types.float32 else np.float64
    two, series = t(2), polynomial_of(t, tuple(1 / k for k in range(3, 17 if t is np.float32 else 35, 2)))

    def implementation(x: Any) -> Any:
        s = x / (two + x)
        square = s * s
        s = s + s
        return s + s * square * series(square)

    return implementation


def log1p_positive(x: Any) -> Any:
    """ln(1 + x) for 0 ≤ x ≤ 10³⁰, within 3 units in the last place. Only for compiled code.

    Up to 1, it is ``log1p_share``; beyond, with 1 + x = 2ⁿ (1 + r), it is n ln 2 + ln(1 + r).
    """
    raise NotImplementedError


@overload(log1p_positive, jit_options=INLINE)
def _log1p_positive(x: Any) -> Any:
    t: Any = np.float32 if x == types.float32 else np.float64
    zero, one, ln2 = t(0), t(1), t(log(2))

    def implementation(x: Any) -> Any:
        parts: Any = _binary(one + x)  # type: ignore[call-arg]
        is_share = x <= one
        return (zero if is_share else parts[0]) * ln2 + log1p_share(x if is_share else parts[1] - one)

    return implementation


def log_positive(x: Any) -> Any:
    """ln x for x > 0 that are no subnormal numbers, within 1 unit in the last place; NaN stays NaN.

    With x = 2ⁿ (1 + f), where 1 + f lies around 1, and s = f / (2 + f), it is n ln 2 + f − (f²/2 − s (f²/2 + R)): R is
    what follows 2 s in the series of 2 artanh s = ln(1 + f), divided by s. Only for compiled code.

    Source: Ng, "e_log.c", fdlibm, 1993.
    """
    raise NotImplementedError


@overload(log_positive, jit_options=INLINE)
def _log_positive(x: Any) -> Any:
    t: Any = np.float32 if x == types.float32 else np.float64
    bits_of_high, last = (9, 13) if t is np.float32 else (32, 25)
    ln2_rest = t(0.0017409305599453094) if t is np.float32 else t(1.9082149292705877e-10)
    ln2_high = t(floor(log(2) * 2**bits_of_high) / 2**bits_of_high)
    zero, half, one, two, root, largest = t(0), t(0.5), t(1), t(2), t(2**0.5), t(np.finfo(t).max)
    series = polynomial_of(t, tuple(2 / k for k in range(3, last, 2)))

    def implementation(x: Any) -> Any:
        parts: Any = _binary(x)  # type: ignore[call-arg]
        is_large = parts[1] > root
        n = parts[0] + (one if is_large else zero)
        f = parts[1] * (half if is_large else one) - one
        s = f / (two + f)
        square, curve = s * s, half * f * f
        rest = s * (curve + square * series(square)) + n * ln2_rest
        value = n * ln2_high - ((curve - rest) - f)
        return value if x <= largest else x

    return implementation
