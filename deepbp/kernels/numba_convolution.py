"""The Numba form of the kernels for images: convolution in tiles of registers; ``numba_pooling`` has max pooling.

A tile is M places of an image by N vectors of outputs. Its sums stay in registers over the whole window, so that each
number of a kernel is loaded once for M places, and nothing is written but the sums. No windows are copied.

The loops get flat arrays: ``runs`` are the distances from the first number of a window to its rows of neighbouring
numbers, each of ``length``; ``image``, ``row`` and ``step`` the distances between images, rows and places.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numba import types

from deepbp.kernels import numba_winograd
from deepbp.kernels import numpy_convolution as plain
from deepbp.kernels.numba_lanes import intrinsic
from deepbp.kernels.numba_math import inner, ordinary, stored
from deepbp.kernels.numba_pooling import flat
from deepbp.kernels.numba_pooling import max_pool as max_pool
from deepbp.kernels.numba_pooling import max_pool_backward as max_pool_backward
from deepbp.kernels.numba_vectors import BYTES, I64, MANY, Vectors
from deepbp.kernels.numpy_convolution import Pair
from deepbp.kernels.numpy_convolution import __all__ as __all__
from deepbp.typing import Array

WIDE = 2  # vectors of outputs in a tile
HIGH = 12 if MANY else 6  # places in a tile: 24 sums of 32 registers, or 12 of 16
NINE, FEW = (9 if MANY else 6), 3  # numbers of a window in tiles of gradients, at any distances
SOME = 8 if MANY else 4  # places in a tile of a depthwise convolution, which has one vector of channels
ALL = 9  # numbers of a window in a tile of its gradients: all of 3 by 3
MOST = 4096  # places whose products are added up before they are added to the sum of all


def sum_tile(places: int, vectors: int, masked: bool, depthwise: bool = False) -> Any:
    """y[m, o] = bias[o] + Σ x[base[m] + run + q] w[(run, q), o] for places m; depthwise, x[… + o] w[run, o]."""

    @intrinsic
    def tile(
        context: Any, x: Any, base: Any, x_at: Any, runs: Any, count: Any, length: Any, w: Any, w_at: Any, bias: Any,
        y: Any, y_at: Any, columns: Any, left: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            v = Vectors(context, builder, signature, arguments)
            _, _, x_at, _, count, length, _, w_at, _, _, y_at, columns, left = arguments
            starts = [n * v.lanes for n in range(vectors)]
            masks = [v.mask(builder.sub(left, v.whole(n))) if masked else None for n in starts]
            first = [
                v.load(v.array(8, builder.add(w_at, v.whole(n))), mask) for n, mask in zip(starts, masks, strict=True)
            ]
            sums = [[v.variable(one) for one in first] for _ in range(places)]
            at_place = [v.at(v.array(0, builder.load(v.array(1, m))), x_at) for m in range(places)]
            factor_row = v.variable(v.array(6, w_at))
            with v.loop(count) as run:
                shift = builder.load(v.array(3, run.index))
                with v.loop(v.whole(1) if depthwise else length) as q:  # a loop of one turn is left out by LLVM
                    row, at = builder.load(factor_row), builder.add(shift, q.index)
                    factors = [v.load(v.at(row, n), mask) for n, mask in zip(starts, masks, strict=True)]
                    for m in range(places):
                        number = None if depthwise else v.spread_from(v.at(at_place[m], at))
                        for n in range(vectors):
                            own = v.load(v.at(at_place[m], at, starts[n]), masks[n]) if depthwise else number
                            v.add_product(own, factors[n], sums[m][n])
                    builder.store(v.at(row, columns), factor_row)
            target = v.array(9, y_at)
            for m in range(places):
                for n in range(vectors):
                    v.store(builder.load(sums[m][n]), v.at(target, v.times(m, columns), starts[n]), masks[n])
            return context.get_dummy_value()

        return types.void(x, base, I64, runs, I64, I64, w, I64, bias, y, I64, I64, I64), generate

    return tile


def share_tile(numbers: int, vectors: int, masked: bool, shifted: bool = False, depthwise: bool = False) -> Any:
    """w[m, o] += Σ x[place + m] d[place, o] over rows of places; ``shifted``, at place + shifts[r + m].

    Depthwise, each number of x is of the channel o of d.
    """

    @intrinsic
    def tile(
        context: Any, x: Any, x_at: Any, x_row: Any, x_step: Any, shifts: Any, r: Any, d: Any, d_at: Any, rows: Any,
        count: Any, w: Any, w_at: Any, columns: Any, left: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            v = Vectors(context, builder, signature, arguments)
            _, x_at, x_row, x_step, _, r, _, d_at, rows, count, _, w_at, columns, left = arguments
            starts = [n * v.lanes for n in range(vectors)]
            masks = [v.mask(builder.sub(left, v.whole(n))) if masked else None for n in starts]
            sums = [[v.variable(v.same(0.0)) for _ in starts] for _ in range(numbers)]
            distances = [
                builder.load(v.array(4, builder.add(r, v.whole(m)))) if shifted else v.whole(m) for m in range(numbers)
            ]
            first, signal = v.array(0, x_at), v.variable(v.array(6, d_at))
            with v.loop(rows) as row:
                start = v.at(first, builder.mul(row.index, x_row))
                with v.loop(count) as j:
                    place, delta = v.at(start, builder.mul(j.index, x_step)), builder.load(signal)
                    deltas = [v.load(v.at(delta, n), mask) for n, mask in zip(starts, masks, strict=True)]
                    for m in range(numbers):
                        number = None if depthwise else v.spread_from(v.at(place, distances[m]))
                        for n in range(vectors):
                            own = v.load(v.at(place, distances[m], starts[n]), masks[n]) if depthwise else number
                            v.add_product(own, deltas[n], sums[m][n])
                    builder.store(v.at(delta, columns), signal)
            target = v.array(10, w_at)
            for m in range(numbers):
                for n in range(vectors):
                    place = v.at(target, v.times(m, columns), starts[n])
                    v.store(builder.fadd(v.load(place, masks[n]), builder.load(sums[m][n])), place, masks[n])
            return context.get_dummy_value()

        return types.void(x, I64, I64, I64, shifts, I64, d, I64, I64, I64, w, I64, I64, I64), generate

    return tile


many, many_rest = sum_tile(HIGH, WIDE, False), sum_tile(HIGH, 1, True)
single, single_rest = sum_tile(1, WIDE, False), sum_tile(1, 1, True)
high, high_rest = share_tile(HIGH, WIDE, False), share_tile(HIGH, 1, True)
nine, nine_rest = share_tile(NINE, WIDE, False, True), share_tile(NINE, 1, True, True)
few, few_rest = share_tile(FEW, WIDE, False, True), share_tile(FEW, 1, True, True)
alone, alone_rest = share_tile(1, WIDE, False, True), share_tile(1, 1, True, True)
each_some, each_some_rest = (sum_tile(SOME, 1, masked, depthwise=True) for masked in (False, True))
each_single = sum_tile(1, 1, True, depthwise=True)
each_nine, each_nine_rest = (share_tile(ALL, 1, masked, True, depthwise=True) for masked in (False, True))
each_few, each_alone = share_tile(FEW, 1, True, True, depthwise=True), share_tile(1, 1, True, True, depthwise=True)


@inner
def set_places(
    base: Any, start: Any, i: Any, j: Any, size: Any, image: Any, row: Any, step: Any, height: Any, width: Any
) -> Any:  # fmt: skip
    """base[m]: where the windows of ``size`` places begin, from that at row i and column j on; what follows them."""
    for m in range(size):
        base[m] = start
        start += step
        j += 1
        if j == width:
            start += row - width * step
            j, i = 0, i + 1
            if i == height:
                start += image - height * row
                i = 0
    return start, i, j


@stored
def correlate_places(
    x: Any, image: Any, row: Any, step: Any, runs: Any, length: Any, w: Any, bias: Any, y: Any, height: Any, width: Any,
    groups: Any, inputs: Any, outputs: Any,
) -> None:  # fmt: skip
    """y (places, groups · outputs). The last tile begins so early that it is whole: some sums are made twice."""
    lanes, columns = BYTES // x.itemsize, groups * outputs
    places, count = y.size // columns, runs.size
    base, at, start, i, j = np.empty(HIGH, np.int64), 0, 0, 0, 0
    size = HIGH if places >= HIGH else 1
    while at < places:
        n = min(at, places - size)
        if n < at:
            i, j = n // width % height, n % width
            start = n // (height * width) * image + i * row + j * step
        start, i, j = set_places(base, start, i, j, size, image, row, step, height, width)
        for g in range(groups):
            o, end, first = g * outputs, (g + 1) * outputs, g * inputs
            while o < end:
                left, to = end - o, n * columns + o
                if left >= WIDE * lanes:
                    if size == HIGH:
                        many(x, base, first, runs, count, length, w, o, bias, y, to, columns, left)
                    else:
                        single(x, base, first, runs, count, length, w, o, bias, y, to, columns, left)
                    o += WIDE * lanes
                else:
                    if size == HIGH:
                        many_rest(x, base, first, runs, count, length, w, o, bias, y, to, columns, left)
                    else:
                        single_rest(x, base, first, runs, count, length, w, o, bias, y, to, columns, left)
                    o += lanes
        at += size


@stored
def correlate_shares(
    x: Any, image: Any, row: Any, step: Any, shifts: Any, whole: Any, d: Any, w: Any, images: Any, height: Any,
    width: Any, groups: Any, inputs: Any, outputs: Any,
) -> None:  # fmt: skip
    """w (numbers, groups · outputs) += the products of what each number of a kernel was laid on with d.

    ``shifts`` are the distances from the first number of a window to each; ``whole`` says that every HIGH of them are
    neighbours.
    """
    lanes, columns = BYTES // x.itemsize, groups * outputs
    at_once = max(1, MOST // width)
    for b in range(images):
        for i in range(0, height, at_once):
            rows, signal = min(at_once, height - i), (b * height + i) * width * columns
            for g in range(groups):
                start, q = b * image + i * row + g * inputs, 0
                while q < shifts.size:
                    left_over = shifts.size - q
                    size = HIGH if whole else NINE if left_over >= NINE else FEW if left_over >= FEW else 1
                    o, end = g * outputs, (g + 1) * outputs
                    while o < end:
                        left, to, s = end - o, q * columns + o, signal + o
                        if left >= WIDE * lanes:
                            if whole:
                                first = start + shifts[q]
                                high(x, first, row, step, shifts, q, d, s, rows, width, w, to, columns, left)
                            elif size == NINE:
                                nine(x, start, row, step, shifts, q, d, s, rows, width, w, to, columns, left)
                            elif size == FEW:
                                few(x, start, row, step, shifts, q, d, s, rows, width, w, to, columns, left)
                            else:
                                alone(x, start, row, step, shifts, q, d, s, rows, width, w, to, columns, left)
                            o += WIDE * lanes
                        else:
                            if whole:
                                first = start + shifts[q]
                                high_rest(x, first, row, step, shifts, q, d, s, rows, width, w, to, columns, left)
                            elif size == NINE:
                                nine_rest(x, start, row, step, shifts, q, d, s, rows, width, w, to, columns, left)
                            elif size == FEW:
                                few_rest(x, start, row, step, shifts, q, d, s, rows, width, w, to, columns, left)
                            else:
                                alone_rest(x, start, row, step, shifts, q, d, s, rows, width, w, to, columns, left)
                            o += lanes
                    q += size


@stored
def correlate_each(
    x: Any, image: Any, row: Any, step: Any, runs: Any, w: Any, bias: Any, y: Any, images: Any, height: Any,
    width: Any, channels: Any,
) -> None:  # fmt: skip
    """Depthwise: y (images, height, width, channels), each channel with kernels w (runs, channels) of its own."""
    lanes, base = BYTES // x.itemsize, np.empty(SOME, np.int64)
    size = SOME if width >= SOME else 1
    for b in range(images):
        for i in range(height):
            for o in range(0, channels, lanes):
                for j in range(0, width, size):
                    k = min(j, width - size)
                    to, left = ((b * height + i) * width + k) * channels + o, channels - o
                    for m in range(size):
                        base[m] = b * image + i * row + (k + m) * step
                    if size == SOME and left >= lanes:
                        each_some(x, base, o, runs, runs.size, 1, w, o, bias, y, to, channels, left)
                    elif size == SOME:
                        each_some_rest(x, base, o, runs, runs.size, 1, w, o, bias, y, to, channels, left)
                    else:
                        each_single(x, base, o, runs, runs.size, 1, w, o, bias, y, to, channels, left)


@stored
def correlate_each_shares(
    x: Any, image: Any, row: Any, step: Any, runs: Any, d: Any, w: Any, images: Any, height: Any, width: Any,
    channels: Any,
) -> None:  # fmt: skip
    """Depthwise: w (runs, channels) += the products of what each number of a kernel was laid on with d."""
    lanes, at_once = BYTES // x.itemsize, max(1, MOST // width)
    for b in range(images):
        for i in range(0, height, at_once):
            rows = min(at_once, height - i)
            for o in range(0, channels, lanes):
                r, s, first, left = 0, (b * height + i) * width * channels + o, b * image + i * row + o, channels - o
                while r < runs.size:
                    to = r * channels + o
                    if runs.size - r >= ALL and left >= lanes:
                        each_nine(x, first, row, step, runs, r, d, s, rows, width, w, to, channels, left)
                        r += ALL
                    elif runs.size - r >= ALL:
                        each_nine_rest(x, first, row, step, runs, r, d, s, rows, width, w, to, channels, left)
                        r += ALL
                    elif runs.size - r >= FEW:
                        each_few(x, first, row, step, runs, r, d, s, rows, width, w, to, channels, left)
                        r += FEW
                    else:
                        each_alone(x, first, row, step, runs, r, d, s, rows, width, w, to, channels, left)
                        r += 1


def _distances(x: Array, stride: Pair) -> tuple[int, int, int]:
    _, height, width, channels = x.shape
    return height * width * channels, width * channels * stride[0], channels * stride[1]


@lru_cache(maxsize=256)
def _runs(width: int, channels: int, size: Pair, dilation: Pair, groups: int) -> tuple[Array, Array, int]:
    """Where the rows of neighbouring numbers of a window begin, and all of its numbers lie, and the length of a row.

    Without groups and dilation, kw·C numbers lie together.
    """
    row, length = width * channels * dilation[0], channels // groups
    runs = (np.arange(size[0])[:, None] * row + np.arange(size[1]) * (channels * dilation[1])).reshape(-1)
    if dilation[1] == 1 and groups == 1:
        runs, length = np.arange(size[0]) * row, size[1] * channels
    return runs, (runs[:, None] + np.arange(length)).reshape(-1), length


def correlate(x: Array, weight: Array, bias: Array | None, stride: Pair, dilation: Pair, groups: int) -> Array:
    shape = plain.correlated_shape(x, weight, bias, stride, dilation, groups)
    numbers, factors, added = flat(x), flat(weight), np.zeros(shape[3], x.dtype) if bias is None else flat(bias)
    if not ordinary(numbers, factors, added) or 0 in shape:
        return plain.correlate(x, weight, bias, stride, dilation, groups)
    z = np.empty(shape, x.dtype)
    if numba_winograd.is_worth_it(x, shape, (weight.shape[0], weight.shape[1]), stride, dilation, groups):
        numba_winograd.correlate(numbers, x.shape[3], factors, added, z)
        return z
    runs, _, length = _runs(*x.shape[2:], (weight.shape[0], weight.shape[1]), tuple(dilation), groups)
    images, height, width, outputs = shape
    given = numbers, *_distances(x, stride), runs
    if plain.is_depthwise(weight.shape, groups):
        correlate_each(*given, factors, added, z.reshape(-1), images, height, width, outputs)
    else:
        sizes = height, width, groups, x.shape[3] // groups, outputs // groups
        correlate_places(*given, length, factors, added, z.reshape(-1), *sizes)
    return z


def correlate_weights(x: Array, delta: Array, size: Pair, stride: Pair, dilation: Pair, groups: int) -> Array:
    shape = plain.shared_shape(x, delta, size, stride, dilation, groups)
    numbers, signals = flat(x), flat(delta)
    if not ordinary(numbers, signals) or 0 in shape or delta.size == 0:
        return plain.correlate_weights(x, delta, size, stride, dilation, groups)
    if numba_winograd.is_worth_it(x, delta.shape, size, stride, dilation, groups):
        return numba_winograd.correlate_weights(numbers, x.shape[3], signals, delta.shape)
    total = np.zeros(shape, x.dtype)
    runs, shifts, length = _runs(*x.shape[2:], tuple(size), tuple(dilation), groups)
    given = numbers, *_distances(x, stride)
    images, height, width, outputs = delta.shape
    if plain.is_depthwise(shape, groups):
        correlate_each_shares(*given, runs, signals, total.reshape(-1), images, height, width, outputs)
    else:
        sizes = images, height, width, groups, x.shape[3] // groups, outputs // groups
        correlate_shares(*given, shifts, length % HIGH == 0, signals, total.reshape(-1), *sizes)
    return total
