"""The Numba form of max pooling: the windows of a vector of channels at a time, with the places of the winners."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from deepbp.kernels import numpy_convolution as plain
from deepbp.kernels.numba_lanes import intrinsic
from deepbp.kernels.numba_math import inner, ordinary, stored
from deepbp.kernels.numba_vectors import BYTES, I64, OPAQUE, Vectors
from deepbp.kernels.numpy_convolution import Pads, Pair
from deepbp.typing import Array, Shape


def _byte_masked(v: Any, what: str, pointer: Any, value: Any, mask: Any) -> Any:
    """Load bytes from the pointer on, or store them, one for each number of a vector."""
    kind, builder = ir.VectorType(ir.IntType(8), v.lanes), v.builder
    place = builder.bitcast(pointer, kind.as_pointer())
    if mask is None:
        return builder.load(place, align=1) if what == "load" else builder.store(value, place, align=1)
    name, align = f"llvm.masked.{what}.v{v.lanes}i8.{'p0' if OPAQUE else f'p0v{v.lanes}i8'}", ir.IntType(32)(1)
    if what == "load":
        return v.call(name, kind, place, align, mask, ir.Constant(kind, None))
    return v.call(name, ir.VoidType(), value, place, align, mask)


def _bytes_of(v: Any, number: Any) -> Any:
    """A small whole number, as a byte in each place of a vector."""
    kind = ir.VectorType(ir.IntType(8), v.lanes)
    one = v.builder.insert_element(
        ir.Constant(kind, ir.Undefined), v.builder.trunc(number, kind.element), ir.IntType(32)(0)
    )
    order = ir.Constant(ir.VectorType(ir.IntType(32), v.lanes), [0] * v.lanes)
    return v.builder.shuffle_vector(one, one, order)


def _places(v: Vectors, first: Any, row: Any, step: Any, high: Any, wide: Any, two: bool) -> Iterator[tuple[Any, ...]]:
    """(u, w, pointer) for each place of a window, written out for two rows of two; else once, inside of loops."""
    if two:
        for u in range(2):
            for w in range(2):
                yield v.whole(u), v.whole(w), v.at(first, v.times(u, row), v.times(w, step))
        return
    with v.loop(high) as u:
        start = v.at(first, v.times(u.index, row))
        with v.loop(wide) as w:
            yield u.index, w.index, v.at(start, v.times(w.index, step))


def largest_tile(masked: bool, two: bool) -> Any:
    """y[at + c] and winner[at + c]: the largest of kh · kw places, and which it was; the first is ``number``.

    If ``none`` is not −1, of the rectified numbers: where that is 0, ``none`` has won.
    """

    @intrinsic
    def tile(
        context: Any, x: Any, x_at: Any, row: Any, step: Any, kh: Any, kw: Any, number: Any, kernel: Any, y: Any,
        winner: Any, at: Any, left: Any, none: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            v = Vectors(context, builder, signature, arguments)
            _, x_at, row, step, kh, kw, number, kernel, _, _, at, left, none = arguments
            mask, first = v.mask(left) if masked else None, v.array(0, x_at)
            best, which = v.variable(v.load(first, mask)), v.variable(_bytes_of(v, number))
            for u, w, pointer in _places(v, first, row, step, kh, kw, two):
                here, known = v.load(pointer, mask), builder.load(best)
                # A larger number wins, and NaN does, against which no number wins.
                wins = builder.and_(
                    builder.fcmp_unordered("ugt", here, known), builder.fcmp_ordered("ord", known, known)
                )
                place = builder.add(number, builder.add(builder.mul(u, kernel), w))
                builder.store(builder.select(wins, here, known), best)
                builder.store(builder.select(wins, _bytes_of(v, place), builder.load(which)), which)
            found, place, zero = builder.load(best), builder.load(which), v.same(0.0)
            # Rectified: no place has won where ReLU' = 0.
            is_rectified = builder.icmp_signed(">=", none, v.whole(0))
            flat = builder.select(builder.fcmp_ordered("<=", found, zero), zero, found)
            lost = builder.select(builder.fcmp_ordered(">", found, zero), place, _bytes_of(v, none))
            v.store(builder.select(is_rectified, flat, found), v.array(8, at), mask)
            _byte_masked(v, "store", v.array(9, at), builder.select(is_rectified, lost, place), mask)
            return context.get_dummy_value()

        return types.void(x, I64, I64, I64, I64, I64, I64, I64, y, winner, I64, I64, I64), generate

    return tile


def unpool_tile(masked: bool, adds: bool) -> Any:
    """moved[place + c] += d[at + c], or = for windows of two rows of two side by side, at the place that has won."""

    @intrinsic
    def tile(
        context: Any, d: Any, at: Any, winner: Any, moved: Any, m_at: Any, row: Any, step: Any, kh: Any, kw: Any,
        number: Any, kernel: Any, left: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            v = Vectors(context, builder, signature, arguments)
            _, at, _, _, m_at, row, step, kh, kw, number, kernel, left = arguments
            mask, first = v.mask(left) if masked else None, v.array(3, m_at)
            signal = v.load(v.array(0, at), mask)
            which = _byte_masked(v, "load", v.array(2, at), None, mask)
            for u, w, target in _places(v, first, row, step, kh, kw, not adds):
                place = builder.add(number, builder.add(builder.mul(u, kernel), w))
                has_won = builder.icmp_unsigned("==", which, _bytes_of(v, place))
                share = builder.select(has_won, signal, v.same(0.0))
                v.store(builder.fadd(v.load(target, mask), share) if adds else share, target, mask)
            return context.get_dummy_value()

        return types.void(d, I64, winner, moved, I64, I64, I64, I64, I64, I64, I64, I64), generate

    return tile


largest_two, largest_two_rest = largest_tile(False, True), largest_tile(True, True)
largest = largest_tile(True, False)
put, put_rest, add = unpool_tile(False, False), unpool_tile(True, False), unpool_tile(True, True)


@inner
def window_at(i: Any, stride: Any, before: Any, kernel: Any, size: Any) -> Any:
    """The first place inside the image of window i along an axis, how many there are, and how many lie before it."""
    start = i * stride - before
    first = max(0, start)
    return first, min(start + kernel, size) - first, first - start


@stored
def pool_places(
    x: Any, images: Any, height: Any, width: Any, channels: Any, kh: Any, kw: Any, sh: Any, sw: Any, up: Any, left: Any,
    y: Any, winner: Any, rows: Any, columns: Any, none: Any,
) -> None:  # fmt: skip
    """The largest number of each window, from the first place inside the image on, and which one it is.

    If ``none`` is not −1, the largest of the rectified numbers, and ``none`` where that is 0.
    """
    lanes, row = BYTES // x.itemsize, width * channels
    for b in range(images):
        for i in range(rows):
            top, high, above = window_at(i, sh, up, kh, height)
            for j in range(columns):
                start, wide, behind = window_at(j, sw, left, kw, width)
                at, to = (b * height + top) * row + start * channels, ((b * rows + i) * columns + j) * channels
                number, is_two = above * kw + behind, high == 2 and wide == 2
                c = 0
                while c < channels:  # the length of a range would be a division
                    m, k, rest = at + c, to + c, channels - c
                    c += lanes
                    if is_two and rest >= lanes:
                        largest_two(x, m, row, channels, 2, 2, number, kw, y, winner, k, rest, none)
                    elif is_two:
                        largest_two_rest(x, m, row, channels, 2, 2, number, kw, y, winner, k, rest, none)
                    else:
                        largest(x, m, row, channels, high, wide, number, kw, y, winner, k, rest, none)


@stored
def unpool_places(
    winner: Any, d: Any, images: Any, height: Any, width: Any, channels: Any, kh: Any, kw: Any, sh: Any, sw: Any,
    up: Any, left: Any, moved: Any, rows: Any, columns: Any, apart: Any,
) -> None:  # fmt: skip
    """Add each signal to the place in its window that has won. Numbers from ``winner`` are compared, never followed."""
    lanes, row = BYTES // d.itemsize, width * channels
    for b in range(images):
        for i in range(rows):
            top, high, above = window_at(i, sh, up, kh, height)
            for j in range(columns):
                start, wide, behind = window_at(j, sw, left, kw, width)
                to, at = (b * height + top) * row + start * channels, ((b * rows + i) * columns + j) * channels
                number = above * kw + behind
                c = 0
                while c < channels:
                    k, m, rest = at + c, to + c, channels - c
                    c += lanes
                    if apart and rest >= lanes:
                        put(d, k, winner, moved, m, row, channels, 2, 2, number, kw, rest)
                    elif apart:
                        put_rest(d, k, winner, moved, m, row, channels, 2, 2, number, kw, rest)
                    else:
                        add(d, k, winner, moved, m, row, channels, high, wide, number, kw, rest)


def flat(array: Array) -> Array:
    """The numbers in a row, in memory that compiled code may take as it is; a copy where the array's is not."""
    return (array if array.flags.carray else np.array(array, order="C", subok=True)).reshape(-1)


def max_pool(x: Array, size: Pair, stride: Pair, pads: Pads, rectified: bool = False) -> tuple[Array, Array]:
    shape = plain.pooled_shape(x.shape, size, stride, pads)
    numbers, places = flat(x), size[0] * size[1]
    if not ordinary(numbers) or places > 255:
        return plain.max_pool(x, size, stride, pads, rectified)
    y, winner = np.empty(shape, x.dtype), np.empty(shape, np.uint8)
    window = *x.shape, *size, *stride, pads[0][0], pads[1][0]
    pool_places(numbers, *window, y.reshape(-1), winner.reshape(-1), *shape[1:3], places if rectified else -1)
    return y, winner


def max_pool_backward(winner: Array, delta: Array, shape: Shape, size: Pair, stride: Pair, pads: Pads) -> Array:
    plain.check_winner(winner, delta, shape, size, stride, pads)
    signals = flat(delta)
    if not ordinary(signals) or type(winner) is not np.ndarray or winner.dtype != np.uint8:
        return plain.max_pool_backward(winner, delta, shape, size, stride, pads)
    # Where windows of 2 by 2 lie side by side and leave nothing out, each number is written once.
    apart = size == stride == (2, 2) and not any(map(any, pads)) and shape[1] % 2 == shape[2] % 2 == 0
    moved = np.empty(shape, delta.dtype) if apart else np.zeros(shape, delta.dtype)
    window = *shape, *size, *stride, pads[0][0], pads[1][0]
    unpool_places(flat(winner), signals, *window, moved.reshape(-1), *delta.shape[1:3], apart)
    return moved
