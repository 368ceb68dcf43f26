"""The NumPy form of the normalizations: x̂ = (x − μ) / √(σ² + ε) with mean and variance over some axes, y = γ x̂ + β.

Each forward pass returns y, x̂ and 1 / √(σ² + ε); each backward pass ∂L/∂x, ∂L/∂γ = Σ δ x̂ and ∂L/∂β = Σ δ.
"""

from collections.abc import Callable
from math import isfinite
from typing import TypeAlias

import numpy as np

from deepbp._validation import ones
from deepbp.errors import ShapeError
from deepbp.kernels.blocks import (
    NO_FEATURES,
    OTHER_FEATURES,
    OTHER_INVERSE,
    OTHER_SHAPE,
)
from deepbp.kernels.numpy_product import column_sum
from deepbp.typing import Array

Mean: TypeAlias = Callable[[Array], Array]
"""Takes the mean over some axes, in a shape that broadcasts with the array."""


def _check(x: Array, *each_feature: Array, axes: int = 1) -> None:
    """Raise ShapeError unless x has features, along the last axes, and the others a number for each of them."""
    if x.ndim <= axes - 1 or not all(x.shape[1 - 2 * axes :]):
        raise ShapeError(NO_FEATURES, x.shape)
    for values in each_feature:
        if values.shape != x.shape[-axes:]:
            raise ShapeError(OTHER_FEATURES, x.shape, values.shape)


def _check_backward(normal: Array, delta: Array, inverse: Array, shape: tuple[int, ...]) -> None:
    if normal.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, normal.shape, delta.shape)
    if inverse.shape != shape:
        raise ShapeError(OTHER_INVERSE, shape, inverse.shape)


def batch_norm(x: Array, gain: Array, shift: Array, epsilon: float) -> tuple[Array, Array, Array, Array, Array]:
    """Normalize the columns of x (N, F); also returns μ and the biased σ², (F,).

    >>> import numpy as np
    >>> from deepbp.kernels import batch_norm
    >>> batch_norm(np.array([[1.0], [3.0]]), np.ones(1), np.zeros(1), 0.0)[0]
    array([[-1.],
           [ 1.]])
    """
    _check(x, gain, shift)
    # differences from some sample are small where features are large: float32 then keeps the digits of the mean
    start = x[0] if len(x) else np.zeros_like(gain)
    normal, inverse, mean, variance = _standardized(x - start, _column_mean, epsilon)
    return _affine(normal, gain, shift), normal, inverse, start + mean, variance


def batch_norm_backward(normal: Array, inverse: Array, gain: Array, delta: Array) -> tuple[Array, Array, Array]:
    """Backward pass of ``batch_norm``.

    >>> import numpy as np
    >>> from deepbp.kernels import batch_norm_backward
    >>> batch_norm_backward(np.array([[-1.0], [1.0]]), np.ones(1), np.ones(1), np.array([[1.0], [1.0]]))
    (array([[0.],
           [0.]]), array([0.]), array([2.]))
    """
    _check(normal, gain)
    _check_backward(normal, delta, inverse, gain.shape)
    of_gain, of_shift = feature_sums(normal, delta)
    return _standardized_backward(normal, inverse, delta * gain, _column_mean), of_gain, of_shift


def shared_batch_norm(
    x: Array, gain: Array, shift: Array, epsilon: float, total: Callable[[Array], Array]
) -> tuple[Array, Array, Array, Array, Array, int]:
    """``batch_norm`` by the mean and the variance of all processes' rows, and their number; ``total`` sums over all."""
    _check(x, gain, shift)
    sums = total(np.append(x.sum(axis=0, dtype=np.float64), len(x)))
    count = int(sums[-1])
    mean = sums[:-1] / max(count, 1)
    centred = x - mean  # in float64, which keeps the digits of the mean
    variance = total((centred * centred).sum(axis=0)) / max(count, 1)
    inverse = 1 / finite_root(variance, epsilon)
    normal = (centred * inverse).astype(x.dtype, copy=False)
    mean, variance, inverse = (array.astype(x.dtype, copy=False) for array in (mean, variance, inverse))
    return _affine(normal, gain, shift), normal, inverse, mean, variance, count


def shared_batch_norm_backward(
    normal: Array, inverse: Array, gain: Array, delta: Array, total: Callable[[Array], Array], share: float
) -> tuple[Array, Array, Array]:
    """Backward pass of ``shared_batch_norm``; ``share`` times its delta is a process's part of the loss of all."""
    _check(normal, gain)
    _check_backward(normal, delta, inverse, gain.shape)
    of_gain, of_shift = feature_sums(normal, delta)
    sums = total(np.concatenate([of_shift * share, of_gain * share, [len(normal)]]).astype(np.float64, copy=False))
    mean, mean_product = sums[:-1].reshape(2, -1) / (max(sums[-1], 1) * (share or 1)) * gain
    grad_input = delta * gain - mean - normal * mean_product
    grad_input *= inverse
    return grad_input.astype(normal.dtype, copy=False), of_gain, of_shift


def layer_norm(x: Array, gain: Array, shift: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """Normalize each row of x (…, F).

    >>> import numpy as np
    >>> from deepbp.kernels import layer_norm
    >>> layer_norm(np.array([[1.0, 3.0]]), np.ones(2), np.zeros(2), 0.0)[0]
    array([[-1.,  1.]])
    """
    _check(x, gain, shift)
    # differences from the first feature keep the digits of the mean: those of equal numbers are exactly 0
    normal, inverse, _, _ = _standardized(x - x[..., :1], _row_mean, epsilon)
    return _affine(normal, gain, shift), normal, inverse


def layer_norm_backward(normal: Array, inverse: Array, gain: Array, delta: Array) -> tuple[Array, Array, Array]:
    """Backward pass of ``layer_norm``.

    >>> import numpy as np
    >>> from deepbp.kernels import layer_norm_backward
    >>> layer_norm_backward(np.array([[-1.0, 1.0]]), np.ones((1, 1)), np.ones(2), np.array([[1.0, 1.0]]))
    (array([[0., 0.]]), array([-1.,  1.]), array([1., 1.]))
    """
    _check(normal, gain)
    _check_backward(normal, delta, inverse, (*normal.shape[:-1], 1))
    of_gain, of_shift = feature_sums(normal, delta)
    return _standardized_backward(normal, inverse, delta * gain, _row_mean), of_gain, of_shift


def group_norm(x: Array, gain: Array, shift: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """Normalize the groups of x (B, P, G, F/G), at P places with F features in G groups; γ and β are (G, F/G).

    >>> import numpy as np
    >>> from deepbp.kernels import group_norm
    >>> group_norm(np.array([[[[1.0, 3.0]]]]), np.ones((1, 2)), np.zeros((1, 2)), 0.0)[0]
    array([[[[-1.,  1.]]]])
    """
    _check(x, gain, shift, axes=2)
    normal, inverse, _, _ = _standardized(x - x[:, :1, :, :1], _group_mean, epsilon)
    return _affine(normal, gain, shift), normal, inverse


def group_norm_backward(normal: Array, inverse: Array, gain: Array, delta: Array) -> tuple[Array, Array, Array]:
    """Backward pass of ``group_norm``.

    >>> import numpy as np
    >>> from deepbp.kernels import group_norm_backward
    >>> normal, inverse = np.array([[[[-1.0, 1.0]]]]), np.ones((1, 1, 1, 1))
    >>> group_norm_backward(normal, inverse, np.ones((1, 2)), np.ones((1, 1, 1, 2)))
    (array([[[[0., 0.]]]]), array([-1.,  1.]), array([1., 1.]))
    """
    _check(normal, gain, axes=2)
    _check_backward(normal, delta, inverse, (len(normal), 1, len(gain), 1))
    features = (-1, gain.size)
    of_gain, of_shift = feature_sums(normal.reshape(features), delta.reshape(features))
    moved = _standardized_backward(normal, inverse, delta * gain, _group_mean)
    return moved, of_gain, of_shift


def rms_norm(x: Array, gain: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """y = γ x̂ with x̂ = x / √(mean x² + ε), for each row of x (…, F).

    >>> import numpy as np
    >>> from deepbp.kernels import rms_norm
    >>> rms_norm(np.array([[3.0, 4.0]]), np.ones(2), 0.0)[0].round(3)
    array([[0.849, 1.131]])
    """
    _check(x, gain)
    inverse = 1 / finite_root(_row_mean(x * x), epsilon)
    normal = x * inverse
    return normal * gain, normal, inverse


def rms_norm_backward(normal: Array, inverse: Array, gain: Array, delta: Array) -> tuple[Array, Array]:
    """Backward pass of ``rms_norm``, without β.

    >>> import numpy as np
    >>> from deepbp.kernels import rms_norm_backward
    >>> rms_norm_backward(np.array([[1.0, 1.0]]), np.ones((1, 1)), np.ones(2), np.array([[1.0, 1.0]]))
    (array([[0., 0.]]), array([1., 1.]))
    """
    _check(normal, gain)
    _check_backward(normal, delta, inverse, (*normal.shape[:-1], 1))
    of_gain, _ = feature_sums(normal, delta)
    grad_input = delta * gain
    grad_input -= normal * _row_mean(grad_input * normal)  # x affects x̂ directly, and through the mean square
    grad_input *= inverse
    return grad_input, of_gain


def feature_sums(normal: Array, delta: Array) -> tuple[Array, Array]:
    """Σ δ x̂ and Σ δ (F,), over all axes of x̂ and δ (…, F) but the last.

    >>> import numpy as np
    >>> from deepbp.kernels import feature_sums
    >>> feature_sums(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0], [1.0, 1.0]]))
    (array([4., 4.]), array([2., 1.]))
    """
    _check(normal)
    if normal.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, normal.shape, delta.shape)
    rows = delta.reshape(-1, delta.shape[-1])
    return column_sum((delta * normal).reshape(rows.shape)), column_sum(rows)


def finite_root(variance: Array, epsilon: float) -> Array:
    """√(σ² + ε), and NaN where the square overflowed: x / ∞ = 0 would be finite, and hide the overflow."""
    root = np.sqrt(variance + float(epsilon))
    if not isfinite(np.add.reduce(root, axis=None)):
        root[np.isinf(root)] = np.nan
    return np.asarray(root)


def _column_mean(rows: Array) -> Array:
    """Mean of each column over all rows; zeros if there are no rows."""
    mean = column_sum(rows)
    mean /= max(len(rows), 1)
    return mean


def _row_mean(x: Array) -> Array:
    """Mean along the last axis."""
    mean: Array = x.dot(ones(x.shape[-1], x.dtype))[..., None]
    mean /= x.shape[-1]
    return mean


def _group_mean(grouped: Array) -> Array:
    """(B, P, G, F/G) to (B, 1, G, 1): over the places and over the features of a group."""
    return np.asarray(grouped.mean(axis=(1, 3), keepdims=True))


def _standardized(x: Array, mean: Mean, epsilon: float) -> tuple[Array, Array, Array, Array]:
    """Return (x̂, 1 / √(σ² + ε), μ, σ²) with x̂ = (x − μ) / √(σ² + ε), μ = mean x, and the biased σ² = mean (x − μ)²."""
    centre = mean(x)
    normal = x - centre
    variance = mean(normal * normal)
    inverse = 1 / finite_root(variance, epsilon)
    normal *= inverse
    return normal, inverse, centre, variance


def _affine(normal: Array, gain: Array, shift: Array) -> Array:
    y = normal * gain
    y += shift
    return y


def _standardized_backward(normal: Array, inverse: Array, delta: Array, mean: Mean) -> Array:
    """Backpropagate δ = ∂L/∂x̂ to x: (δ − mean δ − x̂ · mean(δ x̂)) / √(σ² + ε).

    Each x affects x̂ directly, through μ, and through σ²: one term for each.
    """
    grad_input = delta - mean(delta)
    grad_input -= normal * mean(delta * normal)
    grad_input *= inverse
    return grad_input
