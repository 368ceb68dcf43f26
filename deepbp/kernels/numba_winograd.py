"""Convolution with kernels of 3 by 3 in Winograd's form: 16 products where the direct form has 36.

A tile is 2 × 2 places of an image, for which a window of 4 × 4 numbers d is needed. With the matrices

    B = [[1, 0, 0, 0], [0, 1, −1, 1], [−1, 1, 1, 0], [0, 0, 0, −1]]
    G = ½ [[2, 0, 0], [1, 1, 1], [1, −1, 1], [0, 0, 2]],  A = [[1, 0], [1, 1], [1, −1], [0, −1]],

the sums of the tile are Aᵀ [(G w Gᵀ) · (Bᵀ d B)] A, and their gradient with respect to w is Gᵀ [(Bᵀ d B) · (A δ Aᵀ)] G:
of each of the 16 numbers, a product of matrices over tiles, channels and outputs. A number that is not finite makes all
sums of its tiles NaN, not only those of the windows that it lies in.

Source: Lavin & Gray 2016, "Fast algorithms for convolutional neural networks".
"""

from typing import Any

import numpy as np
from numba import types

from deepbp.kernels.numba_lanes import intrinsic
from deepbp.kernels.numba_math import inner, stored
from deepbp.kernels.numba_product import add_product
from deepbp.kernels.numba_vectors import I64, Vectors, lanes
from deepbp.kernels.numpy_convolution import Pair
from deepbp.typing import Array, Shape

AT_ONCE = 3072  # tiles at a time, times channels: their numbers take 400 kB in float32
LEAST = 32  # channels and outputs
_G = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2
_G2 = np.kron(_G, _G)  # (16, 9)


def _window(v: Vectors, d: list[Any]) -> list[Any]:
    """Bᵀ d."""
    b = v.builder
    return [b.fsub(d[0], d[2]), b.fadd(d[1], d[2]), b.fsub(d[2], d[1]), b.fsub(d[1], d[3])]


def _sums(v: Vectors, m: list[Any]) -> list[Any]:
    """Aᵀ m."""
    b = v.builder
    return [b.fadd(b.fadd(m[0], m[1]), m[2]), b.fsub(b.fsub(m[1], m[2]), m[3])]


def _signals(v: Vectors, d: list[Any]) -> list[Any]:
    """A δ."""
    b = v.builder
    return [d[0], b.fadd(d[0], d[1]), b.fsub(d[0], d[1]), b.fneg(d[1])]


def _transform(size: int, one: Any) -> Any:
    """An intrinsic: T x Tᵀ for size × size numbers of some channels, given what T does to a column.

    Numbers at ``row`` and ``step`` from one another become numbers at ``to_row`` and ``to_step``; ``bias`` is added.
    """

    @intrinsic
    def transform(
        context: Any, x: Any, at: Any, row: Any, step: Any, y: Any, to: Any, to_row: Any, to_step: Any, left: Any,
        bias: Any, bias_at: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            v = Vectors(context, builder, signature, arguments)
            _, at, row, step, _, to, to_row, to_step, left, _, bias_at = arguments
            start, target, every = v.array(0, at), v.array(4, to), range(size)

            def write(first: Any, mask: Any) -> None:
                loaded = [
                    [v.load(v.at(start, first, v.times(i, row), v.times(j, step)), mask) for i in every] for j in every
                ]
                columns = [one(v, column) for column in loaded]
                added = None if one is not _sums else v.load(v.array(9, v.plus(bias_at, first)), mask)
                for i in range(len(columns[0])):
                    for j, number in enumerate(one(v, [column[i] for column in columns])):
                        whole = number if added is None else builder.fadd(number, added)
                        v.store(whole, v.at(target, first, v.times(i, to_row), v.times(j, to_step)), mask)

            v.over(left, write)
            return context.get_dummy_value()

        return types.void(x, I64, I64, I64, y, I64, I64, I64, I64, bias, I64), generate

    return transform


_windows, _places, _deltas = _transform(4, _window), _transform(4, _sums), _transform(2, _signals)


@inner
def _find_tiles(first: Any, count: Any, height: Any, width: Any, row: Any, image: Any, step: Any, found: Any) -> None:
    """Where these tiles begin in an array of images."""
    down, across = height // 2, width // 2
    b, i, j = first // (down * across), first // across % down, first % across
    for k in range(count):
        found[k] = b * image + 2 * i * row + 2 * j * step
        j += 1
        if j == across:
            j, i = 0, i + 1
            if i == down:
                i, b = 0, b + 1


@inner
def _all_windows(x: Any, starts: Any, count: Any, row: Any, channels: Any, made: Any, apart: Any) -> None:
    """made (16, tiles, channels) = Bᵀ d B."""
    for k in range(count):
        _windows(x, starts[k], row, channels, made, k * channels, 4 * apart, apart, channels, x, 0)


@stored
def _correlate(
    x: Any, height: Any, width: Any, channels: Any, u: Any, bias: Any, y: Any, outputs: Any, tiles: Any, at_once: Any
) -> None:
    """y (B, height, width, outputs), of images with two rows and columns more."""
    size, row = lanes(x), (width + 2) * channels
    # A vector more between the 16 parts, which would else share lines of the cache.
    apart, wide = at_once * channels + size, at_once * outputs + size
    made, sums = np.empty(16 * apart, x.dtype), np.empty(16 * wide, x.dtype)
    starts, ends = np.empty(at_once, np.int64), np.empty(at_once, np.int64)
    for first in range(0, tiles, at_once):
        count = min(at_once, tiles - first)
        _find_tiles(first, count, height, width, row, (height + 2) * row, channels, starts)
        _find_tiles(first, count, height, width, width * outputs, height * width * outputs, outputs, ends)
        _all_windows(x, starts, count, row, channels, made, apart)
        sums[:] = 0
        for q in range(16):
            at, to, w_at = q * apart, q * wide, q * channels * outputs
            add_product(made, at, channels, 1, channels, u, w_at, outputs, sums, to, outputs, count, outputs)
        for k in range(count):
            _places(sums, k * outputs, 4 * wide, wide, y, ends[k], width * outputs, outputs, outputs, bias, 0)


@stored
def _correlate_weights(
    x: Any, height: Any, width: Any, channels: Any, d: Any, u: Any, outputs: Any, tiles: Any, at_once: Any
) -> None:
    """u (16, channels, outputs) += Σ (Bᵀ d B) · (A δ Aᵀ), over all tiles."""
    size, row = lanes(x), (width + 2) * channels
    apart, wide = at_once * channels + size, at_once * outputs + size
    made, signals, part = np.empty(16 * apart, x.dtype), np.empty(16 * wide, x.dtype), np.zeros(u.size, x.dtype)
    starts, ends = np.empty(at_once, np.int64), np.empty(at_once, np.int64)
    for first in range(0, tiles, at_once):
        count = min(at_once, tiles - first)
        _find_tiles(first, count, height, width, row, (height + 2) * row, channels, starts)
        _find_tiles(first, count, height, width, width * outputs, height * width * outputs, outputs, ends)
        _all_windows(x, starts, count, row, channels, made, apart)
        for k in range(count):
            _deltas(d, ends[k], width * outputs, outputs, signals, k * outputs, 4 * wide, wide, outputs, d, 0)
        for q in range(16):
            at, to, w_at = q * apart, q * wide, q * channels * outputs
            add_product(made, at, 1, channels, count, signals, to, outputs, part, w_at, outputs, channels, outputs)
        if first + at_once >= tiles or (first // at_once) % 4 == 3:  # sums of few terms round less
            for k in range(u.size):
                u[k] += part[k]
                part[k] = 0


def is_worth_it(x: Array, shape: Shape, size: Pair, stride: Pair, dilation: Pair, groups: int) -> bool:
    """Whether the transforms of x, and of images of this shape, take less time than the products that they save."""
    is_plain = size == (3, 3) and stride == dilation == (1, 1) and groups == 1
    return is_plain and shape[1] % 2 == shape[2] % 2 == 0 and min(x.shape[3], shape[3]) >= LEAST


def _sizes(channels: int, shape: Shape, least: int) -> tuple[int, int, int]:
    """The number of outputs, of all tiles, and of those at a time, whose numbers stay in the second-level cache."""
    images, height, width, outputs = shape
    at_once = max(least, AT_ONCE // max(channels, outputs) // 12 * 12)
    return outputs, images * (height // 2) * (width // 2), at_once


def correlate(x: Array, channels: int, weight: Array, bias: Array, z: Array) -> None:
    """``numpy_convolution.correlate``, of flat arrays, into z."""
    u = _G2.astype(x.dtype).dot(weight.reshape(9, -1)).reshape(-1)
    _correlate(x, z.shape[1], z.shape[2], channels, u, bias, z.reshape(-1), *_sizes(channels, z.shape, 12))


def correlate_weights(x: Array, channels: int, delta: Array, shape: Shape) -> Array:
    """``numpy_convolution.correlate_weights``, of flat arrays, of which ``delta`` has this shape."""
    outputs, *_ = sizes = _sizes(channels, shape, 48)
    u = np.zeros(16 * channels * outputs, x.dtype)
    _correlate_weights(x, shape[1], shape[2], channels, delta, u, *sizes)
    return np.asarray(_G2.T.astype(x.dtype).dot(u.reshape(16, -1)).reshape(3, 3, channels, outputs))
