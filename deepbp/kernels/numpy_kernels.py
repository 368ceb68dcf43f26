"""The NumPy form of the kernels, which defines what each of them computes."""

from math import isfinite

import numpy as np

from deepbp.errors import DataTypeError, ShapeError
from deepbp.kernels.blocks import (
    NO_SCORES,
    NOT_LABELS,
    NOT_MATRIX,
    NOT_ROWS,
    NOT_SHARES,
    OTHER_LENGTH,
    OTHER_SHAPE,
    OTHER_TARGET,
    WHOLE_NUMBERS,
    long_dot,
    long_sum,
)
from deepbp.kernels.numpy_erf import erf, erfc, gaussian, gelu
from deepbp.kernels.numpy_normalization import (
    batch_norm,
    batch_norm_backward,
    feature_sums,
    group_norm,
    group_norm_backward,
    layer_norm,
    layer_norm_backward,
    rms_norm,
    rms_norm_backward,
)
from deepbp.kernels.numpy_product import column_sum, matrix_product
from deepbp.kernels.numpy_sequences import (
    attention,
    attention_backward,
    gru,
    gru_backward,
    lstm,
    lstm_backward,
    rnn,
    rnn_backward,
)
from deepbp.kernels.numpy_updates import (
    adadelta,
    adagrad,
    adam,
    amsgrad,
    clip_norm,
    clip_values,
    lion,
    rmsprop,
    sgd,
    sgd_momentum,
)
from deepbp.typing import Array

__all__ = [
    "adadelta", "adagrad", "adam", "add_bias", "add_rows", "amsgrad", "attention", "attention_backward", "batch_norm",
    "batch_norm_backward", "clip_norm", "clip_values", "column_sum", "cross_entropy_residual",
    "cross_entropy_residual_backward", "elu", "erf", "erfc", "feature_sums", "gaussian", "gelu", "group_norm",
    "group_norm_backward", "gru", "gru_backward", "layer_norm", "layer_norm_backward", "lion", "lstm", "lstm_backward",
    "matrix_product", "relu", "relu_backward", "rms_norm", "rms_norm_backward", "rmsprop", "rnn", "rnn_backward", "sgd",
    "sgd_momentum", "sigmoid", "sigmoid_backward", "sigmoid_cross_entropy", "softmax", "softmax_backward",
    "softmax_cross_entropy", "softmax_cross_entropy_backward", "softplus", "softplus_backward", "squared_error", "tanh",
    "tanh_backward",
]  # fmt: skip


def _matrix(scores: Array, labels: Array | None, weight: Array | None) -> tuple[int, int]:
    """The shape (rows, classes); raises ShapeError unless there is a label, and a weight if any, for each row."""
    if scores.ndim != 2:
        raise ShapeError(NOT_MATRIX, scores.shape)
    rows, classes = scores.shape
    for values in (labels, weight):
        if values is not None and values.shape != (rows,):
            raise ShapeError(OTHER_LENGTH, rows, values.shape)
    return rows, classes


def _indices(labels: Array, classes: int) -> Array:
    """The labels as indices; raises IndexError for a label outside 0 … classes − 1."""
    if labels.dtype != np.intp:
        if labels.dtype.kind not in "iu":
            raise DataTypeError(NOT_LABELS, labels.dtype)
        labels = labels.astype(np.intp)  # of uint64, too large ones become negative
    if labels.size and np.maximum.reduce(labels.view(np.uintp)) >= classes:  # unsigned, negative ones are very large
        raise IndexError("label out of range")
    return labels


def add_bias(z: Array, bias: Array) -> None:
    """Add b (O,) to each row of z (B, O), in place.

    >>> import numpy as np
    >>> from deepbp.kernels import add_bias
    >>> z = np.zeros((2, 2))
    >>> add_bias(z, np.array([1.0, 2.0]))
    >>> z
    array([[1., 2.],
           [1., 2.]])
    """
    if z.shape[1:] != bias.shape:
        raise ShapeError(NOT_ROWS, z.shape, bias.shape)
    z += bias


FEW = 512  # shares below which one call for whole rows is as fast as one for single numbers


def add_rows(total: Array, labels: Array, shares: Array) -> None:
    """Add each row of shares (N, O) to the row of total (K, O) that its label has, in place and in order.

    Raises:
        IndexError: for a label outside 0 … K − 1.

    >>> import numpy as np
    >>> from deepbp.kernels import add_rows
    >>> total = np.zeros((2, 2))
    >>> add_rows(total, np.array([1, 0, 1]), np.ones((3, 2)))
    >>> total
    array([[1., 1.],
           [2., 2.]])
    """
    if total.ndim != 2 or labels.ndim != 1 or shares.shape != (labels.size, total.shape[1]):
        raise ShapeError(NOT_SHARES, labels.shape, shares.shape, total.shape)
    labels = _indices(labels, len(total))
    if shares.size < FEW or not total.flags.c_contiguous:
        np.add.at(total, labels, shares)  # unlike `total[labels] += shares`, adds repeated rows
    else:  # the same additions in the same order, 3 to 5 times as fast: NumPy has a fast loop for vectors
        places = labels[:, None] * total.shape[1] + np.arange(total.shape[1])
        np.add.at(total.reshape(-1), places.reshape(-1), shares.reshape(-1))


def sigmoid(z: Array) -> Array:
    """σ(z) = 1 / (1 + e⁻ᶻ), accurate relative to its true value on both sides and without overflow.

    With e = e^−|z|, which never overflows, σ is 1/(1 + e) on the right and e/(1 + e) on the left.

    >>> import numpy as np
    >>> from deepbp.kernels import sigmoid
    >>> sigmoid(np.array([0.0, -800.0, 800.0]))
    array([0.5, 0. , 1. ])
    """
    if z.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    e = np.exp(np.copysign(z, -1))
    return np.asarray(np.where(z < 0, e, 1) / (1 + e))


def sigmoid_backward(output: Array, delta: Array) -> Array:
    """δ · σ′ with σ′ = y(1 − y).

    >>> import numpy as np
    >>> from deepbp.kernels import sigmoid_backward
    >>> sigmoid_backward(np.array([0.5, 1.0]), np.array([4.0, 4.0]))
    array([1., 0.])
    """
    if output.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)
    return np.asarray(delta * output * (1 - output))


def tanh(z: Array) -> Array:
    """tanh z.

    >>> import numpy as np
    >>> from deepbp.kernels import tanh
    >>> tanh(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.7616])
    """
    if z.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    return np.asarray(np.tanh(z))


def tanh_backward(output: Array, delta: Array) -> Array:
    """δ · (1 − y²).

    >>> import numpy as np
    >>> from deepbp.kernels import tanh_backward
    >>> tanh_backward(np.array([0.0, 0.5]), np.array([2.0, 2.0]))
    array([2. , 1.5])
    """
    if output.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)
    return np.asarray(delta * (1 - output * output))


def elu(z: Array, slope: float, height: float, width: float) -> Array:
    """slope · max(z, 0) + height · (e^(min(z, 0) / width) − 1).

    >>> import numpy as np
    >>> from deepbp.kernels import elu
    >>> elu(np.array([-1.0, 2.0]), 1.0, 1.0, 1.0).round(3)
    array([-0.632,  2.   ])
    """
    if z.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    low = np.expm1(np.minimum(z, 0) / width)  # eᶻ − 1 keeps its digits near zero
    return np.asarray(slope * np.maximum(z, 0) + height * low)


def softplus(z: Array, beta: float) -> Array:
    """ln(1 + e^(βz)) / β.

    >>> import numpy as np
    >>> from deepbp.kernels import softplus
    >>> softplus(np.array([0.0, 30.0]), 1.0).round(4)
    array([ 0.6931, 30.    ])
    """
    if z.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    u = beta * z
    return np.asarray((np.maximum(u, 0) + np.log1p(np.exp(-np.abs(u)))) / beta)  # e^−|u| never overflows


def softplus_backward(output: Array, delta: Array, factor: float) -> Array:
    """δ · (1 − e^(factor · y)), with factor · y at most 0, as an output of softplus is: others count as 0.

    >>> import numpy as np
    >>> from deepbp.kernels import softplus_backward
    >>> softplus_backward(np.log([2.0, 4.0]), np.ones(2), -1.0)  # σ(z) of z = ln 1 and ln 3
    array([0.5 , 0.75])
    """
    if output.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)
    return np.asarray(delta * -np.expm1(np.minimum(factor * output, 0)))


def relu(z: Array) -> Array:
    """max(z, 0); NaN stays NaN.

    >>> import numpy as np
    >>> from deepbp.kernels import relu
    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    if z.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    return np.asarray(np.maximum(z, 0))


def relu_backward(output: Array, delta: Array) -> Array:
    """δ where y > 0, else 0: the derivative at the kink is 0.

    >>> import numpy as np
    >>> from deepbp.kernels import relu_backward
    >>> relu_backward(np.array([0.0, 2.0]), np.array([5.0, 6.0]))
    array([0., 6.])
    """
    if output.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)
    return np.asarray(delta * (output > 0))


def softmax(z: Array) -> Array:
    """eᶻ / Σ eᶻ along the last axis; the largest z is subtracted first, so nothing overflows.

    >>> import numpy as np
    >>> from deepbp.kernels import softmax
    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    if z.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    if not z.shape or not z.shape[-1]:
        raise ShapeError(NO_SCORES, z.shape)
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def softmax_backward(output: Array, delta: Array) -> Array:
    """The whole Jacobian ∂yᵢ/∂zⱼ = yᵢ(𝟙ᵢⱼ − yⱼ) applied to δ: y · (δ − Σ δ y).

    >>> import numpy as np
    >>> from deepbp.kernels import softmax_backward
    >>> softmax_backward(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]))
    array([[ 0.25, -0.25]])
    """
    if output.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)
    return np.asarray(output * (delta - (delta * output).sum(axis=-1, keepdims=True)))


def squared_error(prediction: Array, target: Array, factor: float) -> tuple[float, Array]:
    """(Σ (ŷ − y)², factor · (ŷ − y)).

    >>> import numpy as np
    >>> from deepbp.kernels import squared_error
    >>> squared_error(np.array([1.0, 4.0]), np.array([1.0, 2.0]), 2.0)
    (4.0, array([0., 4.]))
    """
    if prediction.shape != target.shape:
        raise ShapeError(OTHER_TARGET, prediction.shape, target.shape)
    difference = prediction - target
    flat = difference.reshape(-1)
    return long_dot(flat, flat), difference * float(factor)


TINY = 1e-30  # a share of a class below which its logarithm is not computed from it, since it may have underflowed


def cross_entropy_residual(z: Array, labels: Array, weight: Array | None) -> tuple[float, Array]:
    """(Σ w (ln Σ eᶻ − z_label), softmax(z) − one-hot(label)) for scores (N, C), labels (N,), and weights (N,) or None.

    Both are computed from the sum over the other classes, R: ln(1 + R / e^z_label) and −R / Σ eᶻ. So they keep their
    digits where a class is nearly certain, while ln Σ eᶻ − z_label and p − 1 are differences of nearly equal numbers.

    Raises:
        IndexError: for a label outside 0 … C − 1.

    >>> import numpy as np
    >>> from deepbp.kernels import cross_entropy_residual
    >>> value, residual = cross_entropy_residual(np.array([[0.0, 0.0]]), np.array([1]), None)
    >>> round(value, 4), residual
    (0.6931, array([[ 0.5, -0.5]]))
    """
    if z.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    rows, classes = _matrix(z, labels, weight)
    labels = _indices(labels, classes)
    if not rows:
        return 0.0, np.empty_like(z)
    shifted = z - np.maximum.reduce(z, axis=1, keepdims=True)  # so that no exponential overflows
    residual = np.exp(shifted, order="C")  # of which ``flat`` is a view
    flat, place = residual.reshape(-1), labels + np.arange(0, rows * classes, classes)
    own = flat[place]
    flat[place] = 0
    others = np.add.reduce(residual, axis=1)
    total = others + own
    if np.minimum.reduce(own) > TINY:
        terms = np.log1p(others / own)
    else:
        ratio = np.divide(others, own, out=np.ones_like(own), where=own > TINY)
        terms = np.where(own > TINY, np.log1p(ratio), np.log(total) - shifted.reshape(-1)[place])
    residual /= total[:, None]
    others /= total
    flat[place] = np.negative(others, out=others)
    return long_sum(terms) if weight is None else long_dot(terms, weight), residual


def cross_entropy_residual_backward(residual: Array, weight: Array | None) -> Array:
    """w (p − one-hot(label)) / N, given p − one-hot(label).

    >>> import numpy as np
    >>> from deepbp.kernels import cross_entropy_residual_backward
    >>> cross_entropy_residual_backward(np.array([[0.5, -0.5], [0.2, -0.2]]), None)
    array([[ 0.25, -0.25],
           [ 0.1 , -0.1 ]])
    """
    rows, _ = _matrix(residual, None, weight)
    return np.asarray(residual / rows if weight is None else residual * (weight / rows)[:, None])


def softmax_cross_entropy(z: Array, labels: Array, weight: Array | None) -> tuple[float, Array]:
    """(Σ w (ln Σ eᶻ − z_label), softmax(z)): the value of ``cross_entropy_residual``, and ``softmax``.

    >>> import numpy as np
    >>> from deepbp.kernels import softmax_cross_entropy
    >>> value, probability = softmax_cross_entropy(np.array([[0.0, 0.0]]), np.array([1]), None)
    >>> round(value, 4), probability
    (0.6931, array([[0.5, 0.5]]))
    """
    value, _ = cross_entropy_residual(z, labels, weight)
    return value, softmax(z)


def softmax_cross_entropy_backward(probability: Array, labels: Array, weight: Array | None) -> Array:
    """w (p − one-hot(label)) / N.

    >>> import numpy as np
    >>> from deepbp.kernels import softmax_cross_entropy_backward
    >>> softmax_cross_entropy_backward(np.array([[0.5, 0.5], [0.8, 0.2]]), np.array([1, 0]), None).round(2)
    array([[ 0.25, -0.25],
           [-0.1 ,  0.1 ]])
    """
    rows, classes = _matrix(probability, labels, weight)
    labels = _indices(labels, classes)
    residual = probability.copy()
    residual[np.arange(rows), labels] -= 1
    return cross_entropy_residual_backward(residual, weight)


def sigmoid_cross_entropy(z: Array, positive: Array, negative: Array, both: Array | None = None) -> tuple[Array, Array]:
    """Terms a ln(1 + e⁻ᶻ) + b ln(1 + eᶻ), and their slopes b σ(z) − a σ(−z), with a = positive and b = negative.

    Both use σ(−|z|), which keeps its digits where σ(|z|) rounds to 1. A z of ±∞ is right where its share is 0.

    Args:
        both: a + b; None where that is 1.

    >>> import numpy as np
    >>> from deepbp.kernels import sigmoid_cross_entropy
    >>> yes = np.array([[1.0], [0.0]])
    >>> terms, slopes = sigmoid_cross_entropy(np.zeros((2, 1)), yes, 1 - yes)
    >>> terms.round(4).ravel(), slopes.ravel()
    (array([0.6931, 0.6931]), array([-0.5,  0.5]))
    """
    for share in (positive, negative, both):
        if share is not None and share.shape != z.shape:
            raise ShapeError(OTHER_TARGET, z.shape, share.shape)
    size, below = np.abs(z), z <= 0
    e = np.exp(-size)  # never overflows
    wrong = np.where(below, positive, negative)
    terms = np.log1p(e)
    e /= 1 + e
    if both is not None:
        terms *= both
        e *= both
    if isfinite(np.add.reduce(size, axis=None)):
        size *= wrong
        terms += size
    else:
        np.add(terms, np.multiply(size, wrong, out=np.zeros_like(size), where=wrong != 0), out=terms)
    slopes = wrong - e
    np.negative(slopes, out=slopes, where=below)
    return terms, slopes
