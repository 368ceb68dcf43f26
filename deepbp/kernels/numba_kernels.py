"""The Numba form of the kernels: the functions of ``numpy_kernels``, compiled to fused loops."""

from typing import Any

import numpy as np

from deepbp.errors import ShapeError
from deepbp.kernels import numba_loops as loops
from deepbp.kernels import numpy_kernels
from deepbp.kernels.blocks import LANES_BYTES as BYTES
from deepbp.kernels.blocks import NO_SCORES, NOT_ROWS, NOT_SHARES, OTHER_LENGTH
from deepbp.kernels.numba_attention import attention as attention
from deepbp.kernels.numba_attention import attention_backward as attention_backward
from deepbp.kernels.numba_erf import gaussian as gaussian
from deepbp.kernels.numba_erf import gelu as gelu
from deepbp.kernels.numba_losses import check_target
from deepbp.kernels.numba_math import compiled, inner
from deepbp.kernels.numba_normalization import batch_norm as batch_norm
from deepbp.kernels.numba_normalization import batch_norm_backward as batch_norm_backward
from deepbp.kernels.numba_normalization import check_alike
from deepbp.kernels.numba_normalization import feature_sums as feature_sums
from deepbp.kernels.numba_normalization import group_norm as group_norm
from deepbp.kernels.numba_normalization import group_norm_backward as group_norm_backward
from deepbp.kernels.numba_normalization import layer_norm as layer_norm
from deepbp.kernels.numba_normalization import layer_norm_backward as layer_norm_backward
from deepbp.kernels.numba_normalization import rms_norm as rms_norm
from deepbp.kernels.numba_normalization import rms_norm_backward as rms_norm_backward
from deepbp.kernels.numba_product import column_sum as column_sum
from deepbp.kernels.numba_product import matrix_product as matrix_product
from deepbp.kernels.numba_recurrence import gru as gru
from deepbp.kernels.numba_recurrence import gru_backward as gru_backward
from deepbp.kernels.numba_recurrence import lstm as lstm
from deepbp.kernels.numba_recurrence import lstm_backward as lstm_backward
from deepbp.kernels.numba_recurrence import rnn as rnn
from deepbp.kernels.numba_recurrence import rnn_backward as rnn_backward
from deepbp.kernels.numba_updates import adadelta as adadelta
from deepbp.kernels.numba_updates import adagrad as adagrad
from deepbp.kernels.numba_updates import adam as adam
from deepbp.kernels.numba_updates import amsgrad as amsgrad
from deepbp.kernels.numba_updates import lion as lion
from deepbp.kernels.numba_updates import rmsprop as rmsprop
from deepbp.kernels.numba_updates import sgd as sgd
from deepbp.kernels.numba_updates import sgd_momentum as sgd_momentum
from deepbp.kernels.numpy_kernels import __all__ as __all__  # a kernel without a compiled form is NumPy's
from deepbp.kernels.numpy_kernels import erf as erf
from deepbp.kernels.numpy_kernels import erfc as erfc
from deepbp.kernels.numpy_kernels import softmax_cross_entropy as softmax_cross_entropy
from deepbp.kernels.numpy_kernels import softmax_cross_entropy_backward as softmax_cross_entropy_backward


@inner
def check_rows(rows: Any, labels: Any, weight: Any) -> None:
    if labels is not None and labels.shape != (rows,):
        raise ShapeError(OTHER_LENGTH, rows, labels.shape)
    if weight is not None and weight.shape != (rows,):
        raise ShapeError(OTHER_LENGTH, rows, weight.shape)


@compiled(numpy_kernels.add_bias, z=2, bias=1)
def add_bias(z: Any, bias: Any) -> None:
    if z.shape[1:] != bias.shape:
        raise ShapeError(NOT_ROWS, z.shape, bias.shape)
    for row in range(z.shape[0]):
        for column in range(z.shape[1]):
            z[row, column] += bias[column]


@compiled(numpy_kernels.add_rows, total=2, labels=1, shares=2)
def add_rows(total: Any, labels: Any, shares: Any) -> None:
    if shares.shape != (labels.size, total.shape[1]):
        raise ShapeError(NOT_SHARES, labels.shape, shares.shape, total.shape)
    for i in range(labels.size):
        if labels[i] < 0 or labels[i] >= total.shape[0]:
            raise IndexError("label out of range")
    for i in range(labels.size):
        row = labels[i]
        for j in range(total.shape[1]):
            total[row, j] += shares[i, j]


@compiled(numpy_kernels.sigmoid)
def sigmoid(z: Any) -> Any:
    y = np.empty(z.shape, z.dtype)
    loops.sigmoid(z.ravel(), y.ravel(), z.size)
    return y


@compiled(numpy_kernels.sigmoid_backward)
def sigmoid_backward(output: Any, delta: Any) -> Any:
    check_alike(output, delta)
    grad_input = np.empty(output.shape, output.dtype)
    loops.backward(loops.sigmoid_delta, output.ravel(), delta.ravel(), grad_input.ravel(), output.size, 1.0)
    return grad_input


@compiled(numpy_kernels.tanh)
def tanh(z: Any) -> Any:
    y = np.empty(z.shape, z.dtype)
    loops.tanh(z.ravel(), y.ravel(), z.size)
    return y


@compiled(numpy_kernels.elu)
def elu(z: Any, slope: float, height: float, width: float) -> Any:
    y = np.empty(z.shape, z.dtype)
    loops.elu(z.ravel(), y.ravel(), z.size, slope, height, width)
    return y


@compiled(numpy_kernels.softplus)
def softplus(z: Any, beta: float) -> Any:
    y = np.empty(z.shape, z.dtype)
    loops.softplus(z.ravel(), y.ravel(), z.size, beta)
    return y


@compiled(numpy_kernels.softplus_backward)
def softplus_backward(output: Any, delta: Any, factor: float) -> Any:
    check_alike(output, delta)
    grad_input = np.empty(output.shape, output.dtype)
    loops.backward(loops.softplus_delta, output.ravel(), delta.ravel(), grad_input.ravel(), output.size, factor)
    return grad_input


@compiled(numpy_kernels.tanh_backward)
def tanh_backward(output: Any, delta: Any) -> Any:
    check_alike(output, delta)
    grad_input = np.empty(output.shape, output.dtype)
    loops.backward(loops.tanh_delta, output.ravel(), delta.ravel(), grad_input.ravel(), output.size, 1.0)
    return grad_input


@compiled(numpy_kernels.relu)
def relu(z: Any) -> Any:
    y = np.empty(z.shape, z.dtype)
    loops.relu(z.ravel(), y.ravel(), z.size)
    return y


@compiled(numpy_kernels.relu_backward)
def relu_backward(output: Any, delta: Any) -> Any:
    check_alike(output, delta)
    grad_input = np.empty(output.shape, output.dtype)
    loops.backward(loops.relu_delta, output.ravel(), delta.ravel(), grad_input.ravel(), output.size, 1.0)
    return grad_input


@compiled(numpy_kernels.softmax)
def softmax(z: Any) -> Any:
    y = np.empty(z.shape, z.dtype)
    classes = z.shape[-1]
    if classes == 0:
        raise ShapeError(NO_SCORES, z.shape)
    loops.softmax(z.ravel(), y.ravel(), z.size, classes)
    return y


@compiled(numpy_kernels.softmax_backward)
def softmax_backward(output: Any, delta: Any) -> Any:
    check_alike(output, delta)
    grad_input = np.empty(output.shape, output.dtype)
    classes = max(output.shape[-1], 1)
    moved = grad_input.ravel()
    loops.softmax_backward(output.ravel(), delta.ravel(), moved, moved, output.size, classes)
    return grad_input


@compiled(numpy_kernels.squared_error)
def squared_error(prediction: Any, target: Any, factor: float) -> Any:
    check_target(prediction, target)
    delta = np.empty(prediction.shape, prediction.dtype)
    total = loops.squared_error(prediction.ravel(), target.ravel(), delta.ravel(), prediction.size, factor)
    return total, delta


@compiled(numpy_kernels.cross_entropy_residual, z=2, labels=1, weight=1)
def cross_entropy_residual(z: Any, labels: Any, weight: Any) -> Any:
    residual = np.empty(z.shape, z.dtype)
    rows, classes = z.shape
    check_rows(rows, labels, weight)
    source, target, value, one = z.ravel(), residual.ravel(), 0.0, z.dtype.type(1)
    scratch = np.empty(loops.filled(z.size) if classes <= BYTES // z.itemsize else 0, z.dtype)
    terms = np.empty(loops.filled(rows), z.dtype)
    if not loops.are_labels(labels, classes, rows):
        raise IndexError("label out of range")
    loops.cross_entropies(source, labels, scratch, terms, target, classes, rows, one)
    for row in range(rows):
        value += terms[row] if weight is None else terms[row] * weight[row]
    return value, residual


@compiled(numpy_kernels.cross_entropy_residual_backward, residual=2, weight=1)
def cross_entropy_residual_backward(residual: Any, weight: Any) -> Any:
    delta = np.empty(residual.shape, residual.dtype)
    rows, classes = residual.shape
    check_rows(rows, None, weight)
    share = residual.dtype.type(1) / residual.dtype.type(rows)
    for row in range(rows):
        factor = share if weight is None else share * weight[row]
        for j in range(classes):
            delta[row, j] = residual[row, j] * factor
    return delta


@compiled(numpy_kernels.sigmoid_cross_entropy)
def _sigmoid_cross_entropy(z: Any, positive: Any, negative: Any, both: Any) -> Any:
    check_target(z, positive)
    check_target(z, negative)
    if both is not None:
        check_target(z, both)
    terms, slopes = np.empty(z.shape, z.dtype), np.empty(z.shape, z.dtype)
    source, yes, no = z.ravel(), positive.ravel(), negative.ravel()
    sums = source if both is None else both.ravel()
    term, slope, one = terms.ravel(), slopes.ravel(), z.dtype.type(1)
    for i in range(source.size):
        share = one if both is None else sums[i]
        term[i], slope[i] = loops.sigmoid_cross_entropy_term(source[i], yes[i], no[i], share)
    return terms, slopes


def sigmoid_cross_entropy(z: Any, positive: Any, negative: Any, both: Any = None) -> Any:
    return _sigmoid_cross_entropy(z, positive, negative, both)


@compiled(numpy_kernels.clip_values, grads=1)
def clip_values(grads: Any, limit: float) -> None:
    high = grads.dtype.type(limit)
    for i in range(grads.size):
        grads[i] = min(max(grads[i], -high), high)


@compiled(numpy_kernels.clip_norm, grads=1)
def clip_norm(grads: Any, norm: float, limit: float) -> None:
    if 0 <= limit < norm:
        factor = grads.dtype.type(limit / norm)
        for i in range(grads.size):
            grads[i] *= factor
