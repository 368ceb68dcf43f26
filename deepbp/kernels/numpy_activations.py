"""The NumPy form of the kernels of rarer activation functions, which defines what each of them computes."""

import numpy as np

from deepbp.errors import DataTypeError, ShapeError
from deepbp.kernels.blocks import NO_SCORES, OTHER_SHAPE, WHOLE_NUMBERS
from deepbp.typing import Array

__all__ = ["log_softmax", "log_softmax_backward", "mish", "sine"]


def log_softmax(z: Array) -> Array:
    """z − ln Σ eᶻ along the last axis, accurate also where a probability is 0 or 1 to the last digit.

    >>> import numpy as np
    >>> from deepbp.kernels import log_softmax
    >>> log_softmax(np.array([[0.0, 0.0], [3.0, 0.0]])).round(3)
    array([[-0.693, -0.693],
           [-0.049, -3.049]])
    """
    if z.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    if not z.shape or not z.shape[-1]:
        raise ShapeError(NO_SCORES, z.shape)
    top = z.argmax(axis=-1, keepdims=True)
    below = z - np.take_along_axis(z, top, axis=-1)  # so that nothing overflows
    e = np.exp(below)
    np.put_along_axis(e, top, 0, axis=-1)  # Σ without the largest, which is exactly 1, so that log1p can be used
    return np.asarray(below - np.log1p(e.sum(axis=-1, keepdims=True)))


def log_softmax_backward(output: Array, delta: Array) -> Array:
    """The whole Jacobian ∂yᵢ/∂zⱼ = 𝟙ᵢⱼ − eʸʲ applied to δ: δ − eʸ · Σ δ.

    >>> import numpy as np
    >>> from deepbp.kernels import log_softmax_backward
    >>> log_softmax_backward(np.log([[0.5, 0.5]]), np.array([[1.0, 0.0]]))
    array([[ 0.5, -0.5]])
    """
    if output.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)
    return np.asarray(delta - np.exp(output) * delta.sum(axis=-1, keepdims=True))


def mish(z: Array) -> tuple[Array, Array]:
    """z t with t = tanh(ln(1 + eᶻ)), and its derivative, t + z (1 − t²) σ(z).

    tanh(ln u) = (u² − 1) / (u² + 1), and with u = 1 + eᶻ that is n / (n + 2), where n = eᶻ (eᶻ + 2). With e = e^−|z|,
    which never overflows, n is e² + 2e on the left; on the right both are multiplied by e².

    >>> import numpy as np
    >>> from deepbp.kernels import mish
    >>> y, slope = mish(np.array([0.0, 1.0]))
    >>> y.round(4), slope.round(4)
    (array([0.    , 0.8651]), array([0.6  , 1.049]))
    """
    if z.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    e, left = np.exp(-np.abs(z)), z < 0
    square = e * e
    n = np.where(left, square, 1) + 2 * e
    t = n / (n + 2 * np.where(left, 1, square))
    return np.asarray(z * t), np.asarray(t + z * (1 - t * t) * (np.where(left, e, 1) / (1 + e)))


def sine(z: Array, frequency: float) -> tuple[Array, Array]:
    """sin(ω z), and its derivative, ω cos(ω z).

    >>> import numpy as np
    >>> from deepbp.kernels import sine
    >>> y, slope = sine(np.array([0.0, np.pi / 4]), 2.0)
    >>> y.round(4), slope.round(4)
    (array([0., 1.]), array([2., 0.]))
    """
    if z.dtype.kind in "iub":
        raise DataTypeError(WHOLE_NUMBERS)
    angle = float(frequency) * z
    return np.asarray(np.sin(angle)), np.asarray(float(frequency) * np.cos(angle))
