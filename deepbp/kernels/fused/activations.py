"""The activations, each one pass over the numbers."""

from typing import Any

import numpy as np

from deepbp.errors import DataTypeError, ShapeError
from deepbp.kernels.fused.compiled import compiled
from deepbp.kernels.fused.exponential import exp_negative
from deepbp.kernels.plain.activations import tanh  # NumPy's own is vectorised, and accurate near zero
from deepbp.kernels.refusals import NOT_ROWS, OTHER_SHAPE, WHOLE_NUMBERS

__all__ = [
    "add_bias",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_backward",
]


@compiled
def check_floats(z: Any) -> None:
    if z.dtype.type(0.5) != 0.5:  # decided when the kernel is compiled
        raise DataTypeError(WHOLE_NUMBERS)


@compiled
def check_alike(output: Any, delta: Any) -> None:
    if output.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)


@compiled
def add_bias(z: Any, bias: Any) -> None:
    if z.shape[1:] != bias.shape:
        raise ShapeError(NOT_ROWS, z.shape, bias.shape)
    for row in range(z.shape[0]):
        for column in range(z.shape[1]):
            z[row, column] += bias[column]


@compiled
def sigmoid(z: Any) -> Any:
    check_floats(z)
    y = np.empty(z.shape, z.dtype)
    source, target, one = z.ravel(), y.ravel(), z.dtype.type(1)
    for i in range(source.size):
        e = exp_negative(-abs(source[i]))
        target[i] = (e if source[i] < 0 else one) / (one + e)
    return y


@compiled
def sigmoid_backward(output: Any, delta: Any) -> Any:
    check_alike(output, delta)
    moved = np.empty(output.shape, output.dtype)
    y, d, target, one = output.ravel(), delta.ravel(), moved.ravel(), output.dtype.type(1)
    for i in range(y.size):
        target[i] = d[i] * y[i] * (one - y[i])
    return moved


@compiled
def tanh_backward(output: Any, delta: Any) -> Any:
    check_alike(output, delta)
    moved = np.empty(output.shape, output.dtype)
    y, d, target, one = output.ravel(), delta.ravel(), moved.ravel(), output.dtype.type(1)
    for i in range(y.size):
        target[i] = d[i] * (one - y[i] * y[i])
    return moved


@compiled
def relu(z: Any) -> Any:
    y = np.empty(z.shape, z.dtype)
    source, target, zero = z.ravel(), y.ravel(), z.dtype.type(0)
    for i in range(source.size):
        target[i] = zero if source[i] <= 0 else source[i]  # so asked, NaN stays NaN
    return y


@compiled
def relu_backward(output: Any, delta: Any) -> Any:
    check_alike(output, delta)
    moved = np.empty(output.shape, output.dtype)
    y, d, target, zero = output.ravel(), delta.ravel(), moved.ravel(), output.dtype.type(0)
    for i in range(y.size):
        target[i] = d[i] if y[i] > 0 else zero
    return moved


@compiled
def softmax(z: Any) -> Any:
    check_floats(z)
    y = np.empty(z.shape, z.dtype)
    classes = z.shape[-1]
    source, target = z.ravel(), y.ravel()
    for start in range(0, source.size, classes):
        largest = source[start]
        for i in range(start, start + classes):
            largest = max(largest, source[i])
        for i in range(start, start + classes):
            target[i] = exp_negative(source[i] - largest)
        total = target.dtype.type(0)
        for i in range(start, start + classes):
            total += target[i]
        for i in range(start, start + classes):
            target[i] /= total
    return y


@compiled
def softmax_backward(output: Any, delta: Any) -> Any:
    check_alike(output, delta)
    moved = np.empty(output.shape, output.dtype)
    classes = output.shape[-1]
    y, d, target = output.ravel(), delta.ravel(), moved.ravel()
    for start in range(0, y.size, classes):
        inner = y.dtype.type(0)
        for i in range(start, start + classes):
            inner += d[i] * y[i]
        for i in range(start, start + classes):
            target[i] = y[i] * (d[i] - inner)
    return moved
