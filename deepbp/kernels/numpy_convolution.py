"""The NumPy form of the kernels for images, which defines what each of them computes: convolution and max pooling.

Images are x (B, H, W, C), with padding, if any, already around them. A kernel's window at place (i, j) begins at row
i·s and column j·s, and its numbers are d rows and columns apart, for a stride s and a dilation d along each axis.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided

from deepbp.errors import DataTypeError, ShapeError
from deepbp.typing import Array, Shape

__all__ = ["correlate", "correlate_weights", "max_pool", "max_pool_backward"]

Pair: TypeAlias = tuple[int, int]
"""One number for the rows and one for the columns of an image."""

Pads: TypeAlias = tuple[Pair, Pair]
"""How many rows are added above and below an image, and how many columns to the left and to the right."""

AT_ONCE = 400_000  # numbers of windows that are copied into one matrix at a time, so that it stays in the cache


def places_along(size: int, kernel: int, stride: int, dilation: int = 1) -> int:
    """The number of places at which a kernel fits along an axis; 0 or below if there are none."""
    return (size - (kernel - 1) * dilation - 1) // stride + 1


def places(x: Array, size: Pair, stride: Pair, dilation: Pair) -> Pair:
    """The numbers H′, W′ of places at which a kernel of this size is laid.

    Raises:
        ShapeError: for arrays other than images, and where no window fits.
    """
    if x.ndim != 4:
        raise ShapeError(f"expected images (B, H, W, C), got an array of shape {x.shape}")
    return _places(x.shape[1:3], tuple(size), tuple(stride), tuple(dilation))


@lru_cache(maxsize=256)
def _places(shape: Shape, size: Pair, stride: Pair, dilation: Pair) -> Pair:
    known = min(*size, *stride, *dilation) >= 1
    rows, columns = map(places_along, shape, size, stride, dilation) if known else (0, 0)
    if min(rows, columns) < 1:
        raise ShapeError(f"no window of size {size}, stride {stride} and dilation {dilation} fits into {shape}")
    return rows, columns


def windows(x: Array, size: Pair, stride: Pair, dilation: Pair) -> Array:
    """The windows on which a kernel is laid, (B, H′, W′, KH, KW, C): a view, of which nothing is copied."""
    counts = places(x, size, stride, dilation)
    image, row, column, channel = x.strides
    steps = (image, row * stride[0], column * stride[1], row * dilation[0], column * dilation[1], channel)
    return as_strided(x, (len(x), *counts, *size, x.shape[3]), steps, writeable=False)


def correlated_shape(
    x: Array, weight: Array, bias: Array | None, stride: Pair, dilation: Pair, groups: int
) -> tuple[int, int, int, int]:
    """The shape of what ``correlate`` returns. Raises ShapeError for arrays that do not fit."""
    if weight.ndim != 4:
        raise ShapeError(f"expected kernels (KH, KW, C / groups, O), got an array of shape {weight.shape}")
    *size, inputs, outputs = weight.shape
    height, width = places(x, (size[0], size[1]), stride, dilation)
    if groups < 1 or x.shape[3] != groups * inputs or outputs % groups or not inputs:
        raise ShapeError(f"kernels of shape {weight.shape} in {groups} groups do not fit images of shape {x.shape}")
    if bias is not None and bias.shape != (outputs,):
        raise ShapeError(f"expected a bias for each of {outputs} outputs, got an array of shape {bias.shape}")
    return len(x), height, width, outputs


def correlate(x: Array, weight: Array, bias: Array | None, stride: Pair, dilation: Pair, groups: int) -> Array:
    """z[b, i, j, o] = Σ x[b, i·s + u·d, j·s + v·d, c] w[u, v, c, o] + bias[o]: each window as a row, times a matrix.

    Kernels w are (KH, KW, C / groups, O). The channels and the outputs are divided into groups, in order, and each
    output depends on the channels of its group only. Only a block of windows is copied at a time.

    >>> import numpy as np
    >>> from deepbp.kernels import correlate
    >>> image, kernel = np.arange(9.0).reshape(1, 3, 3, 1), np.ones((2, 2, 1, 1))
    >>> correlate(image, kernel, np.zeros(1), (1, 1), (1, 1), 1)[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]])
    """
    every = windows(x, _size(weight), stride, dilation)
    z = np.empty(correlated_shape(x, weight, bias, stride, dilation, groups), np.result_type(x, weight))
    if _is_depthwise(weight, groups):
        z[...] = 0
        for u, v, shifted in _shifted(every):
            z += shifted * weight[u, v, 0]
    else:
        for inputs, outputs in _groups(weight, groups):
            matrix = weight[..., outputs].reshape(-1, outputs.stop - outputs.start)
            for block in _blocks(every, len(matrix)):
                window_rows = every[block][..., inputs].reshape(-1, len(matrix))
                part = z[block][..., outputs]
                part[...] = window_rows.dot(matrix).reshape(part.shape)
    if bias is not None:
        z += bias
    return z


def shared_shape(x: Array, delta: Array, size: Pair, stride: Pair, dilation: Pair, groups: int) -> Shape:
    """The shape of what ``correlate_weights`` returns. Raises ShapeError for arrays that do not fit."""
    expected = len(x), *places(x, size, stride, dilation)
    if delta.ndim != 4 or delta.shape[:3] != expected:
        raise ShapeError(f"expected an error signal of shape {(*expected, 'O')}, got {delta.shape}")
    if groups < 1 or x.shape[3] % groups or delta.shape[3] % groups:
        raise ShapeError(f"{groups} groups do not divide {x.shape[3]} channels and {delta.shape[3]} outputs")
    return (*size, x.shape[3] // groups, delta.shape[3])


def correlate_weights(x: Array, delta: Array, size: Pair, stride: Pair, dilation: Pair, groups: int) -> Array:
    """∂L/∂w[u, v, c, o] = Σ x[b, i·s + u·d, j·s + v·d, c] δ[b, i, j, o] over all samples and places.

    The rows are those of ``correlate``, copied again block by block instead of kept: xᵀ δ.

    >>> import numpy as np
    >>> from deepbp.kernels import correlate_weights
    >>> image, delta = np.arange(9.0).reshape(1, 3, 3, 1), np.ones((1, 2, 2, 1))
    >>> correlate_weights(image, delta, (2, 2), (1, 1), (1, 1), 1)[:, :, 0, 0]
    array([[ 8., 12.],
           [20., 24.]])
    """
    total = np.zeros(shared_shape(x, delta, size, stride, dilation, groups), np.result_type(x, delta))
    every = windows(x, size, stride, dilation)
    if _is_depthwise(total, groups):
        for u, v, shifted in _shifted(every):
            total[u, v, 0] = np.einsum("bijc,bijc->bc", shifted, delta).sum(axis=0)
        return total
    for inputs, outputs in _groups(total, groups):
        part = total[..., outputs]
        height = part[..., 0].size
        for block in _blocks(every, height):
            window_rows = every[block][..., inputs].reshape(-1, height)
            signals = delta[block][..., outputs].reshape(-1, part.shape[3])
            part += window_rows.T.dot(signals).reshape(part.shape)
    return total


def pooled_shape(x: Shape, size: Pair, stride: Pair, pads: Pads) -> tuple[int, int, int, int]:
    """The shape of pooled images. Raises ShapeError unless each window has a place inside the image."""
    rows, columns = pads
    return _pooled_shape(x, tuple(size), tuple(stride), (tuple(rows), tuple(columns)))


@lru_cache(maxsize=256)
def _pooled_shape(x: Shape, size: Pair, stride: Pair, pads: Pads) -> tuple[int, int, int, int]:
    if len(x) != 4:
        raise ShapeError(f"expected images (B, H, W, C), got an array of shape {x}")
    padded = [n + before + behind for n, (before, behind) in zip(x[1:3], pads, strict=True)]
    known = min(*x[1:3], *size, *stride) >= 1
    height, width = map(places_along, padded, size, stride) if known else (0, 0)
    if min(height, width) < 1 or not all(0 <= one < k for pair, k in zip(pads, size, strict=True) for one in pair):
        raise ShapeError(f"no window of size {size}, stride {stride} and padding {pads} fits into {x[1:3]}")
    return x[0], height, width, x[3]


def max_pool(x: Array, size: Pair, stride: Pair, pads: Pads, rectified: bool = False) -> tuple[Array, Array]:
    """The largest number of each window of each channel, and its place in the window, u·KW + v, in one byte.

    Of equal numbers the first wins; NaN wins, as in every maximum. Places of the padding never do. ``rectified`` gives
    the largest of max(x, 0), and where that is not above 0 the place KH·KW, which is none: no δ goes back.

    >>> import numpy as np
    >>> from deepbp.kernels import max_pool
    >>> image, pads = np.array([1.0, 5.0, 2.0, 3.0]).reshape(1, 2, 2, 1), ((0, 0), (0, 0))
    >>> largest, winner = max_pool(image, (2, 2), (2, 2), pads)
    >>> largest.ravel(), winner.ravel()
    (array([5.]), array([1], dtype=uint8))
    """
    y = np.full(pooled_shape(x.shape, size, stride, pads), -np.inf, x.dtype)
    first = [
        np.maximum(0, before - np.arange(n) * s) for n, s, (before, _) in zip(y.shape[1:3], stride, pads, strict=True)
    ]
    winner = np.empty(y.shape, np.min_scalar_type(size[0] * size[1] - (not rectified)))
    winner[...] = (first[0][:, None] * size[1] + first[1])[..., None]  # the first place inside the image
    around = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=-np.inf) if any(map(any, pads)) else x
    for u, v, shifted in _shifted(windows(around, size, stride, (1, 1))):
        wins = (shifted > y) | (np.isnan(shifted) & ~np.isnan(y))
        np.copyto(y, shifted, where=wins)
        np.copyto(winner, u * size[1] + v, where=wins, casting="unsafe")
    if rectified:
        np.copyto(winner, size[0] * size[1], where=~(y > 0), casting="unsafe")
        np.copyto(y, 0, where=y <= 0)
    return y, winner


def check_winner(winner: Array, delta: Array, shape: Shape, size: Pair, stride: Pair, pads: Pads) -> None:
    """Raise unless both arrays are of pooled images of this shape."""
    expected = pooled_shape(shape, size, stride, pads)
    if winner.shape != expected or delta.shape != expected:
        raise ShapeError(f"expected places and an error signal of shape {expected}, got {winner.shape}, {delta.shape}")
    if winner.dtype.kind not in "iu":
        raise DataTypeError(f"expected places as whole numbers, got {winner.dtype}")


def max_pool_backward(winner: Array, delta: Array, shape: Shape, size: Pair, stride: Pair, pads: Pads) -> Array:
    """∂L/∂x: each δ goes to the number that won its window, where those of overlapping windows add up.

    >>> import numpy as np
    >>> from deepbp.kernels import max_pool_backward
    >>> winner, delta, pads = np.array([[[[1]]]], np.uint8), np.full((1, 1, 1, 1), 7.0), ((0, 0), (0, 0))
    >>> max_pool_backward(winner, delta, (1, 2, 2, 1), (2, 2), (2, 2), pads)[0, :, :, 0]
    array([[0., 7.],
           [0., 0.]])
    """
    check_winner(winner, delta, shape, size, stride, pads)
    (up, down), (left, right) = pads
    images, height, width, channels = shape
    around = np.zeros((images, height + up + down, width + left + right, channels), delta.dtype)
    rows, columns = delta.shape[1:3]
    for u in range(size[0]):
        for v in range(size[1]):
            part = around[:, u : u + rows * stride[0] : stride[0], v : v + columns * stride[1] : stride[1]]
            np.add(part, delta, out=part, where=winner == u * size[1] + v)
    return np.ascontiguousarray(around[:, up : up + height, left : left + width])


def _size(weight: Array) -> Pair:
    return (weight.shape[0], weight.shape[1]) if weight.ndim == 4 else (1, 1)


def is_depthwise(weight: Shape, groups: int) -> bool:
    """Whether each channel has one kernel of its own."""
    return groups > 1 and weight[2] == 1 and weight[3] == groups


def _is_depthwise(weight: Array, groups: int) -> bool:
    return is_depthwise(weight.shape, groups)


def _groups(weight: Array, groups: int) -> Iterator[tuple[slice, slice]]:
    """The channels and the outputs of each group."""
    inputs, outputs = weight.shape[2], weight.shape[3] // groups
    for g in range(groups):
        yield slice(g * inputs, (g + 1) * inputs), slice(g * outputs, (g + 1) * outputs)


def _blocks(places: Array, numbers: int) -> Iterator[tuple[slice, slice]]:
    """Images and rows of places, of which a matrix with so many numbers for each place stays in the cache."""
    images, rows, columns = places.shape[:3]
    at_once = max(1, AT_ONCE // max(1, columns * numbers))  # rows of places
    if at_once >= rows:
        step = at_once // rows
        yield from ((slice(first, first + step), slice(None)) for first in range(0, images, step))
    else:
        for image in range(images):
            yield from ((slice(image, image + 1), slice(row, row + at_once)) for row in range(0, rows, at_once))


def _shifted(places: Array) -> Iterator[tuple[int, int, Array]]:
    """For each number of a window, the image of these numbers at all places, (B, H′, W′, C)."""
    for u in range(places.shape[3]):
        for v in range(places.shape[4]):
            yield u, v, places[:, :, :, u, v]
