"""The compiled product of two matrices, whose tiles the recurrences and attention share.

A tile is some rows of the result by two vectors of its columns. Its sums stay in registers, and each number of the
second factor that is loaded serves all rows of the tile. A panel is the part of the second factor under one tile: it is
used for all rows, one tile after the other, while it is in the cache.

Every number of the result is Σ a·b in the order of the terms, ``TERMS`` of them at a time, each product and sum in one
rounding. So its bits depend neither on the tiles nor on the other rows and columns.
"""

from typing import Any

import numpy as np
from numba import types

from deepbp.kernels import numba_loops as loops
from deepbp.kernels import numpy_product as plain
from deepbp.kernels.blocks import LONG_BATCH
from deepbp.kernels.numba_lanes import intrinsic
from deepbp.kernels.numba_math import inner, merged, ordinary, stored
from deepbp.kernels.numba_vectors import I64, MANY, Vectors, lanes, scratch, transpose, whole_vectors
from deepbp.kernels.numpy_product import TERMS, is_tiled_product
from deepbp.typing import Array

HEIGHTS = (12, 8, 4, 2, 1) if MANY else (4, 2, 1)
"""Rows of tiles: with two vectors of columns, the sums of the highest fill most of the registers."""

WIDE = 2  # vectors of columns in a tile
BLOCK = 240  # rows for which a panel is used before the next one: so many parts of rows stay in the cache


def _write_tile(
    v: Vectors, rows: int, vectors: int, is_masked: bool, a: Any, a_row: Any, a_step: Any, length: Any, b: Any,
    b_row: Any, y: Any, y_row: Any, columns: Any, is_sum: Any,
) -> None:  # fmt: skip
    """y[m, o] = Σ_q a[m, q] · b[q, o], or added to y, for a tile of some rows m and of some vectors of columns o."""
    starts = [n * v.lanes for n in range(vectors)]
    masks = [v.mask(v.builder.sub(columns, v.whole(n))) if is_masked else None for n in starts]
    sums = [[v.variable(v.same(0.0)) for _ in starts] for _ in range(rows)]
    factors = [v.at(a, v.times(m, a_row)) for m in range(rows)]
    panel = v.variable(b)
    with v.loop(length) as q:
        row = v.builder.load(panel)
        loaded = [v.load(v.at(row, n), mask) for n, mask in zip(starts, masks, strict=True)]
        column = v.times(q.index, a_step)
        for factor, own in zip(factors, sums, strict=True):
            number = v.spread_from(v.at(factor, column))
            for one, total in zip(loaded, own, strict=True):
                v.add_product(number, one, total)
        v.builder.store(v.at(row, b_row), panel)
    nothing = v.builder.bitcast(v.variable(v.same(0.0)), b.type)
    for m, own in enumerate(sums):
        for n, mask, total in zip(starts, masks, own, strict=True):
            place = v.at(y, v.times(m, y_row), n)
            before = v.load(v.builder.select(is_sum, place, nothing), mask)
            v.store(v.builder.fadd(before, v.builder.load(total)), place, mask)


@intrinsic
def _panel(
    context: Any, a: Any, a_at: Any, a_row: Any, a_step: Any, length: Any, b: Any, b_at: Any, b_row: Any, y: Any,
    y_at: Any, y_row: Any, rows: Any, columns: Any, is_sum: Any,
) -> Any:  # fmt: skip
    """y = a @ b, or added to y, for at most two vectors of columns: in the highest tiles, and what is left in lower."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, a_at, a_row, a_step, length, _, b_at, b_row, _, y_at, y_row, rows, columns, is_sum = arguments
        a_first, b_first, y_first = v.array(0, a_at), v.array(5, b_at), v.array(8, y_at)

        def tiles(vectors: int, is_masked: bool, o: Any, left: Any) -> None:
            done: Any = v.whole(0)
            for height in HEIGHTS:
                count = builder.sdiv(builder.sub(rows, done), v.whole(height))
                with v.loop(count) as turn:
                    m = builder.add(done, v.times(turn.index, v.whole(height)))
                    to = v.at(y_first, v.times(m, y_row), o)
                    _write_tile(
                        v, height, vectors, is_masked, v.at(a_first, v.times(m, a_row)), a_row, a_step, length,
                        v.at(b_first, o), b_row, to, y_row, left, is_sum,
                    )  # fmt: skip
                done = builder.add(done, v.times(count, v.whole(height)))

        with builder.if_else(builder.icmp_signed("==", columns, v.whole(WIDE * v.lanes))) as (all_, some):
            with all_:
                tiles(WIDE, False, v.whole(0), columns)
            with some, v.loop(v.chunks(columns)) as turn:
                o = v.times(turn.index, v.lanes)
                tiles(1, True, o, builder.sub(columns, o))
        return context.get_dummy_value()

    whole = (I64, I64, I64, I64)
    return types.void(a, *whole, b, I64, I64, y, *whole, types.boolean), generate


@merged
def add_product(
    a: Any, a_at: Any, a_row: Any, a_step: Any, length: Any, b: Any, b_at: Any, b_row: Any, y: Any, y_at: Any,
    y_row: Any, rows: Any, columns: Any,
) -> None:  # fmt: skip
    """y (rows, columns) += a (rows, length) @ b (length, columns), parts of flat arrays with these distances of rows.

    ``a_step`` is the distance of a's columns: with a row's length for it, and 1 for ``a_row``, the product is aᵀ @ b.
    The caller knows that all numbers are inside of the arrays.
    """
    wide, o = WIDE * lanes(a), 0
    while o < columns:
        width = min(wide, columns - o)
        _panel(a, a_at, a_row, a_step, length, b, b_at + o, b_row, y, y_at + o, y_row, rows, width, True)
        o += width


@intrinsic
def _copy_rows(context: Any, b: Any, at: Any, b_row: Any, length: Any, columns: Any, out: Any, wide: Any) -> Any:
    """out (length, wide) = b (length, columns), from ``at`` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, at, b_row, length, columns, _, wide = arguments
        with v.loop(length) as q:
            row, target = v.array(0, v.plus(at, v.times(q.index, b_row))), v.array(5, v.times(q.index, wide))
            v.over(columns, lambda o, mask: v.store(v.load(v.at(row, o), mask), v.at(target, o), mask))
        return context.get_dummy_value()

    return types.void(b, I64, I64, I64, I64, out, I64), generate


@inner
def in_panels(b: Any, b_row: Any, b_step: Any, length: Any, columns: Any) -> Any:
    """All panels of b (length, columns), one after the other: their rows, side by side, stay in the nearest cache."""
    size, wide = lanes(b), WIDE * lanes(b)
    panels = scratch(whole_vectors(columns, wide) * length + size * wide, b)  # squares are transposed as a whole
    for o in range(0, columns, wide):
        width, panel = min(wide, columns - o), panels[o * length :]
        if b_step == 1:
            _copy_rows(b, o, b_row, length, width, panel, wide)
        else:
            transpose(b, o * b_step, b_step, width, length, wide, panel)
    return panels


@merged
def product_of_panels(
    a: Any, a_row: Any, length: Any, panels: Any, y: Any, y_row: Any, rows: Any, columns: Any, is_sum: Any
) -> None:
    """y (rows, columns) = a (rows, length) @ b, or added to y, with b from ``in_panels``."""
    wide = WIDE * lanes(a)
    for q in range(0, length, TERMS):
        for o in range(0, columns, wide):
            at, run, width = o * length + q * wide, min(TERMS, length - q), min(wide, columns - o)
            _panel(a, q, a_row, 1, run, panels, at, wide, y, o, y_row, rows, width, is_sum or q > 0)


@merged
def multiply(
    a: Any, a_row: Any, a_step: Any, b: Any, b_row: Any, b_step: Any, y: Any, rows: Any, length: Any, columns: Any,
    scratch: Any,
) -> None:  # fmt: skip
    """y (rows, columns) = a (rows, length) @ b (length, columns), of flat arrays with these distances of rows, columns.

    The distance of b's columns is 1, or that of its rows is: panels of it are then transposed in ``scratch``, which has
    ``TERMS`` times two vectors of numbers.
    """
    wide = WIDE * lanes(a)
    for q in range(0, length, TERMS):
        run = min(TERMS, length - q)
        for m in range(0, rows, BLOCK):
            high, at = min(BLOCK, rows - m), m * a_row + q * a_step
            for o in range(0, columns, wide):
                width, to = min(wide, columns - o), m * columns + o
                panel, place, distance = b, q * b_row + o, b_row
                if b_step != 1:
                    transpose(b, o * b_step + q, b_step, width, run, wide, scratch)
                    panel, place, distance = scratch, 0, wide
                _panel(a, at, a_row, a_step, run, panel, place, distance, y, to, columns, high, width, q > 0)


@stored
def _matrix_product(
    a: Any, a_row: Any, a_step: Any, b: Any, b_row: Any, b_step: Any, y: Any, rows: Any, length: Any, columns: Any
) -> None:
    scratch = np.empty(0 if b_step == 1 else TERMS * WIDE * lanes(a), a.dtype)
    multiply(a, a_row, a_step, b, b_row, b_step, y, rows, length, columns, scratch)


def _laid_out(matrix: Array) -> tuple[Array, int, int]:
    """A matrix as a flat array, and the distances of its rows and columns; a copy, if it is no block of memory."""
    matrix = np.asarray(matrix)
    if matrix.flags.behaved:
        if matrix.flags.c_contiguous:
            return matrix.reshape(-1), matrix.shape[1], 1
        if matrix.flags.f_contiguous:
            return matrix.T.reshape(-1), 1, matrix.shape[0]
    return np.array(matrix, order="C").reshape(-1), matrix.shape[1], 1


def matrix_product(a: Array, b: Array, out: Array | None = None) -> Array:
    if not is_tiled_product(a, b) or not (out is None or _fits(out, a, b)):
        product: Array = a.dot(b, out)
        return product
    (rows, length), columns = a.shape, b.shape[1]
    y = np.empty((rows, columns), a.dtype) if out is None else out
    _matrix_product(*_laid_out(a), *_laid_out(b), y.reshape(-1), rows, length, columns)
    return y


@stored
def _column_sum(values: Any, rows: Any, width: Any, out: Any) -> None:
    loops.column_sum(values, rows, width, out)


def column_sum(rows: Array, out: Array | None = None) -> Array:
    fits = rows.ndim == 2 and len(rows) <= LONG_BATCH and rows.dtype.char in "fd" and rows.dtype.isnative
    if fits and out is not None:
        fits = out.dtype == rows.dtype and ordinary(out) and out.shape == rows.shape[1:]
    if not fits:
        return plain.column_sum(rows, out)
    total = np.empty(rows.shape[1], rows.dtype) if out is None else out
    values = rows if ordinary(rows) else np.array(rows, order="C")
    _column_sum(values.reshape(-1), *rows.shape, total)
    return total


def _fits(out: Array, a: Array, b: Array) -> bool:
    """Whether compiled code may write the product there; NumPy reports what does not fit."""
    apart = not (np.may_share_memory(out, a) or np.may_share_memory(out, b))
    return out.dtype == a.dtype and ordinary(out) and out.shape == (len(a), b.shape[1]) and apart
