"""The Numba form of the kernels of rarer activation functions: those of ``numpy_activations``, compiled to fused loops.

The loops over flat arrays serve the instructions of programs, too.
"""

from math import factorial
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from deepbp.errors import ShapeError
from deepbp.kernels import numpy_activations
from deepbp.kernels.blocks import NO_SCORES
from deepbp.kernels.numba_loops import exponentials, sum_of
from deepbp.kernels.numba_math import INLINE, compiled, exp_negative, inner, log1p_positive, polynomial_of
from deepbp.kernels.numba_normalization import check_alike
from deepbp.kernels.numpy_activations import __all__ as __all__

# π/2 in four parts; the first three are so short that n times each is exact for all n below 2²⁰.
_PARTS = 1.57079632673412561417, 6.07710050630396597660e-11, 2.02226624871116645580e-21, 8.47842766036889956997e-32
_LARGEST = 1.5e6  # beyond it, the C library reduces an angle


def sine_and_cosine(x: Any) -> Any:
    """(sin x, cos x) for |x| up to ``_LARGEST``, within 2 units in the last place. Only for compiled code.

    With n = x / (π/2), rounded, r = x − n π/2 lies between ±π/4, where Taylor polynomials serve; n modulo 4 selects
    one. float32 is computed in float64.
    """
    raise NotImplementedError


@overload(sine_and_cosine, jit_options=INLINE)
def _sine_and_cosine(x: Any) -> Any:
    t: Any = np.float32 if x == types.float32 else np.float64
    last = 5 if t is np.float32 else 9
    to_whole, per_turn = 1.5 * 2**52, 2 / np.pi
    p1, p2, p3, p4 = _PARTS
    odd = polynomial_of(np.float64, tuple((-1) ** k / factorial(2 * k + 1) for k in range(1, last)))
    even = polynomial_of(np.float64, tuple((-1) ** k / factorial(2 * k) for k in range(2, last + 1)))

    def implementation(x: Any) -> Any:
        wide = np.float64(x)
        n = (wide * per_turn + to_whole) - to_whole
        first = wide - n * p1
        r = first - n * p2
        r = r - (n * p3 - ((first - r) - n * p2)) - n * p4
        square = r * r
        half = 0.5 * square
        near = 1.0 - half
        of_sine = r + r * square * odd(square)
        of_cosine = near + (((1.0 - near) - half) + square * square * even(square))
        quarter = n - 4.0 * np.floor(n * 0.25)
        is_odd = (quarter == 1.0) | (quarter == 3.0)
        sine, cosine = (of_cosine, of_sine) if is_odd else (of_sine, of_cosine)
        return (
            t(-sine if quarter >= 2.0 else sine),
            t(-cosine if (quarter == 1.0) | (quarter == 2.0) else cosine),
        )

    return implementation


@inner
def sine_loop(z: Any, y: Any, slope: Any, size: Any, frequency: Any) -> None:
    """sin(ω z) and ω cos(ω z): all by one loop that is vectorized, then those of large angles again."""
    t = z.dtype.type
    factor, largest = t(frequency), t(_LARGEST)
    for i in range(size):
        sine, cosine = sine_and_cosine(factor * z[i])
        y[i] = sine
        slope[i] = factor * cosine
    for i in range(size):
        angle = factor * z[i]
        if not abs(angle) <= largest:  # also NaN
            y[i] = np.sin(angle)
            slope[i] = factor * np.cos(angle)


@compiled(numpy_activations.sine)
def sine(z: Any, frequency: float) -> Any:
    y, slope = np.empty(z.shape, z.dtype), np.empty(z.shape, z.dtype)
    sine_loop(z.ravel(), y.ravel(), slope.ravel(), z.size, frequency)
    return y, slope


@inner
def mish_loop(z: Any, y: Any, slope: Any, size: Any) -> None:
    one, two = z.dtype.type(1), z.dtype.type(2)
    for i in range(size):
        x = z[i]
        e = exp_negative(-abs(x))
        square = e * e
        n = (square if x < 0 else one) + two * e
        t = n / (n + two * (one if x < 0 else square))
        y[i] = x * t
        slope[i] = t + x * (one - t * t) * ((e if x < 0 else one) / (one + e))


@compiled(numpy_activations.mish)
def mish(z: Any) -> Any:
    y, slope = np.empty(z.shape, z.dtype), np.empty(z.shape, z.dtype)
    mish_loop(z.ravel(), y.ravel(), slope.ravel(), z.size)
    return y, slope


@inner
def log_softmax_loop(z: Any, y: Any, size: Any, classes: Any) -> None:
    none, one = z.dtype.type(0), z.dtype.type(1)
    exponentials(z, y, size, classes)
    for start in range(0, size, classes):
        stop, top = start + classes, start
        for j in range(start, stop):
            if z[j] > z[top]:
                top = j
        if y[top] == one:  # else NaN or ∞ is among the scores
            y[top] = none
        total = sum_of(y, start, stop)  # without the largest, which is exactly 1
        rest = log1p_positive(total) if total >= none else total
        largest = z[top]
        for j in range(start, stop):
            y[j] = (z[j] - largest) - rest


@compiled(numpy_activations.log_softmax)
def log_softmax(z: Any) -> Any:
    y = np.empty(z.shape, z.dtype)
    classes = z.shape[-1]
    if classes == 0:
        raise ShapeError(NO_SCORES, z.shape)
    log_softmax_loop(z.ravel(), y.ravel(), z.size, classes)
    return y


@inner
def log_softmax_backward_loop(y: Any, d: Any, moved: Any, size: Any, classes: Any) -> None:
    for start in range(0, size, classes):
        total = sum_of(d, start, start + classes)
        for j in range(start, start + classes):
            moved[j] = d[j] - exp_negative(y[j]) * total


@compiled(numpy_activations.log_softmax_backward)
def log_softmax_backward(output: Any, delta: Any) -> Any:
    check_alike(output, delta)
    moved = np.empty(output.shape, output.dtype)
    log_softmax_backward_loop(output.ravel(), delta.ravel(), moved.ravel(), output.size, max(output.shape[-1], 1))
    return moved
