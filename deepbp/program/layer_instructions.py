"""The instructions of layers: activations, a bias, noise, and sums of branches.

What a layer's ordinary pass computes by NumPy is written as formulas of single numbers, compiled by ``exact``: the same
operations in the same order, each rounded on its own. What it computes by a compiled kernel shares that kernel's loop.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from deepbp.kernels import numba_loops as loops
from deepbp.kernels.numba_activations import log_softmax_backward_loop, log_softmax_loop, mish_loop, sine_loop
from deepbp.kernels.numba_erf import gaussian_loop, gelu_loop
from deepbp.kernels.numba_lanes import exact
from deepbp.program.intrinsics import CONTINUE, next_uint32, reals, wholes

_SATURATED, _ONE, _THREE = 40, 2 * np.sqrt(2 / np.pi), 2 * np.sqrt(2 / np.pi) * 0.044715  # of the GELU by a tanh


@exact
def _high(z: Any) -> Any:
    """max(z, 0); NaN stays NaN."""
    return type(z)(0) if z <= 0 else z


@exact
def _low(z: Any) -> Any:
    """min(z, 0)."""
    return type(z)(0) if z >= 0 else z


@exact
def _ramp(z: Any) -> Any:
    """min(max(z/6 + ½, 0), 1)."""
    t = type(z)
    y = _high(z / t(6) + t(0.5))
    return t(1) if y >= 1 else y


@exact
def _relu6(z: Any, a: Any, b: Any, c: Any) -> Any:
    y = _high(z)
    return type(z)(6) if y >= 6 else y


@exact
def _leaky_relu(z: Any, slope: Any, b: Any, c: Any) -> Any:
    other = slope * z
    return z if z > other else other


@exact
def _hard_sigmoid(z: Any, a: Any, b: Any, c: Any) -> Any:
    return _ramp(z)


@exact
def _hard_swish(z: Any, a: Any, b: Any, c: Any) -> Any:
    return z * _ramp(z)


@exact
def _share(z: Any, a: Any, b: Any, c: Any) -> Any:
    t = type(z)
    return t(1) / (t(1) + abs(z))


@exact
def _tanh_argument(z: Any, a: Any, b: Any, c: Any) -> Any:
    t = type(z)
    near = t(-_SATURATED) if z < -_SATURATED else t(_SATURATED) if z > _SATURATED else z
    return near * (t(_ONE) + t(_THREE) * (near * near))


_MAPS = {
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": _hard_swish,
    "leaky_relu": _leaky_relu,
    "relu6": _relu6,
    "share": _share,
    "tanh_argument": _tanh_argument,
}


@exact
def _relu6_backward(y: Any, d: Any, a: Any, b: Any, c: Any) -> Any:
    return d * type(y)(y > 0 and y < 6)


@exact
def _leaky_relu_backward(y: Any, d: Any, slope: Any, b: Any, c: Any) -> Any:
    return d if y > 0 else slope * d


@exact
def _hard_sigmoid_backward(y: Any, d: Any, a: Any, b: Any, c: Any) -> Any:
    return d * type(y)(y > 0 and y < 1) / type(y)(6)


@exact
def _hard_swish_backward(z: Any, d: Any, a: Any, b: Any, c: Any) -> Any:
    t = type(z)
    return d * (z / t(3) + t(0.5) if z > -3 and z < 3 else t(z >= 3))


@exact
def _elu_backward(y: Any, d: Any, slope: Any, width: Any, height: Any) -> Any:
    return slope * d if y > 0 else d * (y / width + height)


@exact
def _scaled(factor: Any, d: Any, a: Any, b: Any, c: Any) -> Any:
    return factor * d


@exact
def _scaled_twice(factor: Any, d: Any, a: Any, b: Any, c: Any) -> Any:
    return d * factor * factor


_BACKWARD = {
    "elu_backward": _elu_backward,
    "hard_sigmoid_backward": _hard_sigmoid_backward,
    "hard_swish_backward": _hard_swish_backward,
    "leaky_relu_backward": _leaky_relu_backward,
    "relu6_backward": _relu6_backward,
    "scaled": _scaled,
    "scaled_twice": _scaled_twice,
}


@exact
def _silu_slope(z: Any, y: Any, s: Any) -> Any:
    return s + y * (type(z)(1) - s)


@exact
def _slope_by_tanh(z: Any, y: Any, s: Any) -> Any:
    t = type(z)
    near = t(-_SATURATED) if z < -_SATURATED else t(_SATURATED) if z > _SATURATED else z
    return s + y * (t(1) - s) * (t(_ONE) + t(3 * _THREE) * (near * near))


@exact
def _share_as_it_is(z: Any, y: Any, s: Any) -> Any:
    return s


_GATES = {"silu": _silu_slope, "gelu_by_tanh": _slope_by_tanh, "softsign": _share_as_it_is}


def formulas(floats: Any, number: Any) -> dict[str, Any]:
    """Elementwise activations whose ordinary passes are NumPy's."""

    def forward(f: Callable[..., Any]) -> Any:
        def instruction(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
            """y = f(z): z, y, width; settings."""
            i, r = wholes(own), reals(numbers)
            z, y, a, b, c = floats(i[1]), floats(i[2]), number(r[0]), number(r[1]), number(r[2])
            for k in range(rows * i[3]):
                y[k] = f(z[k], a, b, c)
            return CONTINUE

        return instruction

    def backward(f: Callable[..., Any]) -> Any:
        def instruction(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
            """The error signal, in place: what the forward pass saved, δ, width; settings."""
            i, r = wholes(own), reals(numbers)
            saved, d, a, b, c = floats(i[1]), floats(i[2]), number(r[0]), number(r[1]), number(r[2])
            for k in range(rows * i[3]):
                d[k] = f(saved[k], d[k], a, b, c)
            return CONTINUE

        return instruction

    def gate(f: Callable[..., Any]) -> Any:
        def instruction(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
            """y = z s, and the derivative in place of s: z, s, y, width."""
            i = wholes(own)
            z, s, y = floats(i[1]), floats(i[2]), floats(i[3])
            for k in range(rows * i[4]):
                x = z[k]
                y[k] = x * s[k]
                s[k] = f(x, y[k], s[k])
            return CONTINUE

        return instruction

    return {
        **{name: forward(f) for name, f in _MAPS.items()},
        **{name: backward(f) for name, f in _BACKWARD.items()},
        **{f"{name}_gate": gate(f) for name, f in _GATES.items()},
    }


def activations(floats: Any, number: Any) -> dict[str, Any]:
    """Activations whose loops kernels share: the same shapes of operands as those of formulas."""

    def forward(loop: Any) -> Any:
        def instruction(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
            i = wholes(own)
            loop(floats(i[1]), floats(i[2]), rows * i[3])
            return CONTINUE

        return instruction

    def backward(delta: Any) -> Any:
        def instruction(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
            i, factor = wholes(own), number(reals(numbers)[0])
            saved, d = floats(i[1]), floats(i[2])
            for k in range(rows * i[3]):
                d[k] = delta(saved[k], d[k], factor)
            return CONTINUE

        return instruction

    def elu(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        i, r = wholes(own), reals(numbers)
        loops.elu(floats(i[1]), floats(i[2]), rows * i[3], r[0], r[1], r[2])
        return CONTINUE

    def softplus(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        i = wholes(own)
        loops.softplus(floats(i[1]), floats(i[2]), rows * i[3], reals(numbers)[0])
        return CONTINUE

    def gelu(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """z, the derivative, y, width."""
        i = wholes(own)
        gelu_loop(floats(i[1]), floats(i[3]), floats(i[2]), rows * i[4])
        return CONTINUE

    def mish(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """z, the derivative, y, width."""
        i = wholes(own)
        mish_loop(floats(i[1]), floats(i[3]), floats(i[2]), rows * i[4])
        return CONTINUE

    def sine(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """z, the derivative, y, width; the frequency."""
        i = wholes(own)
        sine_loop(floats(i[1]), floats(i[3]), floats(i[2]), rows * i[4], reals(numbers)[0])
        return CONTINUE

    def gaussian(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """z, the derivative, y, width."""
        i = wholes(own)
        z, slope, y, size = floats(i[1]), floats(i[2]), floats(i[3]), rows * i[4]
        gaussian_loop(z, y, size)
        for k in range(size):
            slope[k] = z[k] * y[k] * number(-2)
        return CONTINUE

    def log_softmax(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """z, y, width, classes."""
        i = wholes(own)
        log_softmax_loop(floats(i[1]), floats(i[2]), rows * i[3], i[4])
        return CONTINUE

    def log_softmax_backward(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """y, δ, width, classes."""
        i = wholes(own)
        d = floats(i[2])
        log_softmax_backward_loop(floats(i[1]), d, d, rows * i[3], i[4])
        return CONTINUE

    def softmax(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """z, y, width, classes."""
        i = wholes(own)
        loops.softmax(floats(i[1]), floats(i[2]), rows * i[3], i[4])
        return CONTINUE

    def softmax_backward(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """y, δ, width, classes, scratch."""
        i = wholes(own)
        d = floats(i[2])
        loops.softmax_backward(floats(i[1]), d, d, floats(i[5]), rows * i[3], i[4])
        return CONTINUE

    return {
        **{name: forward(getattr(loops, name)) for name in ("log_sigmoid", "relu", "sigmoid", "tanh")},
        "relu_backward": backward(loops.relu_delta),
        "sigmoid_backward": backward(loops.sigmoid_delta),
        "softplus_backward": backward(loops.softplus_delta),
        "tanh_backward": backward(loops.tanh_delta),
        "elu": elu,
        "softplus": softplus,
        "gelu": gelu,
        "gaussian": gaussian,
        "log_softmax": log_softmax,
        "log_softmax_backward": log_softmax_backward,
        "mish": mish,
        "sine": sine,
        "softmax": softmax,
        "softmax_backward": softmax_backward,
    }


def others(floats: Any, number: Any) -> dict[str, Any]:
    """A bias, dropout, and sums of branches."""

    def add_bias(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """z += b, in place: z, b, width."""
        i = wholes(own)
        loops.add_bias(floats(i[1]), floats(i[2]), rows, i[3])
        return CONTINUE

    def add(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """a + b: a, b, result, width."""
        i = wholes(own)
        a, b, result = floats(i[1]), floats(i[2]), floats(i[3])
        for k in range(rows * i[4]):
            result[k] = a[k] + b[k]
        return CONTINUE

    def dropout(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """y = m x: x, m, y, width, the generator's function and state; the share that is dropped."""
        i, rate = wholes(own), np.float32(reals(numbers)[0])
        x, mask, y, draw, state = floats(i[1]), floats(i[2]), floats(i[3]), i[5], i[6]
        kept = number(1) / number(1 - reals(numbers)[0])
        for k in range(rows * i[4]):
            drawn = np.float32(next_uint32(draw, state) >> 8) * np.float32(1 / 2**24)  # as NumPy draws a float32
            mask[k] = kept if drawn >= rate else number(0)
        for k in range(rows * i[4]):
            y[k] = mask[k] * x[k]
        return CONTINUE

    def column_sum(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """Σ δ over the rows, the gradient of a bias: δ, gradient, width."""
        i = wholes(own)
        loops.column_sum(floats(i[1]), rows, i[3], floats(i[2]))
        return CONTINUE

    return {"add_bias": add_bias, "add": add, "column_sum": column_sum, "dropout": dropout}
