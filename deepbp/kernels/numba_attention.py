"""The compiled attention: some queries of one sample and head at a time, whose weights stay in the cache.

Of the weights, only ln Σ eˢ of each query is kept; on the way back they are computed again from it, for a block of keys
at a time. So no array of size T × T exists, as in FlashAttention (Dao et al. 2022). The numbers of a head are gathered
from the rows in which all heads lie side by side: those begin at distances for which a cache has few places.
"""

from math import sqrt
from typing import Any

import numpy as np
from numba import types

from deepbp.kernels import numpy_sequences as plain
from deepbp.kernels.numba_lanes import intrinsic
from deepbp.kernels.numba_math import inner, log1p_positive, ordinary, stored
from deepbp.kernels.numba_product import add_product
from deepbp.kernels.numba_vectors import I64, MANY, Vectors, lanes, scratch, transpose, whole_vectors
from deepbp.typing import Array

QUERIES = 24
"""Queries whose scores are computed at a time: two tiles of the compiled product."""

KEYS, SPAN = 64, 240
"""Keys, and queries, of a block of weights on the way back: in float32, 60 kB of weights, and as many of slopes."""

TOGETHER = 4
"""Rows that one pass over their vectors works on: the sums of their lanes wait for one another otherwise."""

SCORES = 4 if MANY else 3
"""The same for scores, of whose rows a sum and the largest number stay in registers."""


def _lengths(v: Vectors, rows: int, length: Any, step: Any, most: Any) -> list[Any]:
    """How many keys the queries of some rows see: the first one ``length``, the others ``step`` more each."""
    every = [v.plus(length, v.times(m, step)) for m in range(rows)]
    return [v.builder.select(v.builder.icmp_signed("<", one, most), one, most) for one in every]


def _softmax_of(rows: int) -> Any:
    """An intrinsic: s ← e^(scale · s − the largest) along some rows, and 0 behind their ends, in whole vectors.

    Stores the largest of scale · s, and the sums.
    """

    @intrinsic
    def softmax(
        context: Any, s: Any, at: Any, row: Any, count: Any, length: Any, step: Any, most: Any, scale: Any, tops: Any,
        totals: Any, first: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            v = Vectors(context, builder, signature, arguments)
            _, at, row, count, length, step, most, scale, _, _, first = arguments
            lengths, factor = _lengths(v, rows, length, step, most), v.spread(scale)
            least = v.same(-3.0e38 if v.is_short else -1.0e308)
            starts = [v.at(v.array(0, at), v.times(m, row)) for m in range(rows)]
            largest = [v.variable(least) for _ in starts]
            sums = [v.variable(v.same(0.0)) for _ in starts]
            with v.loop(count) as turn:
                place = v.times(turn.index, v.lanes)
                for start, end, kept in zip(starts, lengths, largest, strict=True):
                    value = builder.fmul(v.load(v.at(start, place)), factor)
                    value = builder.select(v.mask(builder.sub(end, place)), value, least)
                    before = builder.load(kept)
                    builder.store(builder.select(builder.fcmp_ordered("<", value, before), before, value), kept)
            found = [v.largest(builder.load(one)) for one in largest]
            spread = [v.spread(top) for top in found]
            with v.loop(count) as turn:
                place = v.times(turn.index, v.lanes)
                for start, end, top, total in zip(starts, lengths, spread, sums, strict=True):
                    e = v.exp_negative(builder.fsub(builder.fmul(v.load(v.at(start, place)), factor), top))
                    e = builder.select(v.mask(builder.sub(end, place)), e, v.same(0.0))
                    builder.store(builder.fadd(builder.load(total), e), total)
                    v.store(e, v.at(start, place))
            for m, (top, total) in enumerate(zip(found, sums, strict=True)):
                builder.store(top, v.array(8, v.plus(first, m)))
                builder.store(v.sum(builder.load(total)), v.array(9, v.plus(first, m)))
            return context.get_dummy_value()

        return types.void(s, I64, I64, I64, I64, I64, I64, types.float64, tops, totals, I64), generate

    return softmax


def _slopes_of(rows: int) -> Any:
    """An intrinsic: along some rows, weights ← e^(scale · s − log), and moved ← weights · (moved − mean) · scale.

    These are the weights from ln Σ eˢ, and the signal through softmax, whose Jacobian needs one sum of each row. Both
    are 0 behind the ends of the rows, in whole vectors.
    """

    @intrinsic
    def slopes(
        context: Any, s: Any, moved: Any, at: Any, row: Any, count: Any, length: Any, step: Any, most: Any, scale: Any,
        logs: Any, log_at: Any, means: Any, first: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            v = Vectors(context, builder, signature, arguments)
            _, _, at, row, count, length, step, most, scale, _, log_at, _, first = arguments
            lengths, factor, zero = _lengths(v, rows, length, step, most), v.spread(scale), v.same(0.0)
            places = [v.plus(at, v.times(m, row)) for m in range(rows)]
            less = [v.spread_from(v.array(9, v.plus(log_at, m))) for m in range(rows)]
            means = [v.spread_from(v.array(11, v.plus(first, m))) for m in range(rows)]
            with v.loop(count) as turn:
                place = v.times(turn.index, v.lanes)
                for start, end, log, mean in zip(places, lengths, less, means, strict=True):
                    weight, signal = (v.array(argument, v.plus(start, place)) for argument in (0, 1))
                    x = builder.fsub(builder.fmul(v.load(weight), factor), log)
                    x = builder.select(builder.fcmp_ordered(">", x, zero), zero, x)  # by a rounding
                    mask = v.mask(builder.sub(end, place))
                    found = builder.select(mask, v.exp_negative(x), zero)
                    slope = v.product(found, builder.fsub(v.load(signal), mean), factor)
                    v.store(builder.select(mask, slope, zero), signal)
                    v.store(found, weight)
            return context.get_dummy_value()

        return types.void(s, moved, I64, I64, I64, I64, I64, I64, types.float64, logs, I64, means, I64), generate

    return slopes


_softmax, _softmax_one = _softmax_of(SCORES), _softmax_of(1)
_slopes, _slopes_one = _slopes_of(TOGETHER), _slopes_of(1)


@intrinsic
def _dot(context: Any, a: Any, b: Any, at: Any, length: Any) -> Any:
    """Σ a · b along a row."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, _, at, length = arguments
        total = v.variable(v.same(0.0))

        def add(first: Any, mask: Any) -> None:
            place = v.plus(at, first)
            v.add_product(v.load(v.array(0, place), mask), v.load(v.array(1, place), mask), total)

        v.over(length, add)
        return v.sum(builder.load(total))

    return a.dtype(a, b, I64, I64), generate


@intrinsic
def _copy(context: Any, a: Any, at: Any, columns: Any, out: Any, to: Any) -> Any:
    """out = a row of a, in whole vectors, with zeros behind its columns."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, at, columns, _, to = arguments

        def copy(first: Any, mask: Any) -> None:
            v.store(v.load(v.array(0, v.plus(at, first)), mask), v.array(3, v.plus(to, first)))

        v.over(columns, copy)
        return context.get_dummy_value()

    return types.void(a, I64, I64, out, I64), generate


@intrinsic
def _add(context: Any, a: Any, at: Any, columns: Any, factor: Any, out: Any, to: Any) -> Any:
    """out += factor · a along a row."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, at, columns, factor, _, to = arguments
        factor = v.spread(factor)

        def add(first: Any, mask: Any) -> None:
            target = v.array(4, v.plus(to, first))
            v.store(v.fma(v.load(v.array(0, v.plus(at, first))), factor, v.load(target, mask)), target, mask)

        v.over(columns, add)
        return context.get_dummy_value()

    return types.void(a, I64, I64, types.float64, out, I64), generate


@inner
def _gather(a: Any, at: Any, row: Any, rows: Any, columns: Any, wide: Any, out: Any) -> None:
    """out (rows, wide) = a, the rows side by side."""
    for i in range(rows):
        _copy(a, at + i * row, columns, out, i * wide)


@inner
def _scatter(a: Any, wide: Any, rows: Any, columns: Any, out: Any, at: Any, row: Any) -> None:
    """out += a (rows, wide), without what is behind its columns."""
    for i in range(rows):
        _add(a, i * wide, columns, 1.0, out, at + i * row)


@inner
def _logarithms(tops: Any, totals: Any, out: Any) -> None:
    """out = tops + ln(totals); the totals are at least 1, or NaN."""
    one = out.dtype.type(1)
    for i in range(len(out)):
        total = totals[i]
        out[i] = tops[i] + (log1p_positive(total - one) if total == total else total)


@stored
def _attention(
    q: Any, q_row: Any, kv: Any, kv_row: Any, lengths: Any, width: Any, heads: Any, causal: Any, y: Any, logs: Any,
    steps: Any, keys: Any,
) -> None:  # fmt: skip
    size, step, vector = width // heads, 1 if causal else 0, lanes(q)
    scale, start, wide, most = (
        1 / sqrt(size),
        kv_row - 2 * width,
        whole_vectors(size, vector),
        whole_vectors(keys, vector),
    )
    turned, values = scratch(wide * most, q), scratch(keys * wide, q)
    scores, sums = scratch(QUERIES * most, q), scratch(QUERIES * wide, q)
    tops, totals = np.empty(QUERIES, q.dtype), np.empty(QUERIES, q.dtype)
    for pair in range(lengths.size * heads):
        b, head = pair // heads, pair % heads
        q_at, k_at, seen = b * steps * q_row + head * size, b * keys * kv_row + start + head * size, lengths[b]
        row = whole_vectors(seen, vector)
        transpose(kv, k_at, kv_row, seen, size, row, turned)
        _gather(kv, k_at + width, kv_row, seen, size, wide, values)
        for first in range(0, steps if seen else 0, QUERIES):
            rows = min(QUERIES, steps - first)
            reach = min(seen, first + rows) if causal else seen
            count = whole_vectors(reach, vector)
            scores[: rows * row] = 0
            add_product(q, q_at + first * q_row, q_row, 1, size, turned, 0, row, scores, 0, row, rows, count)
            i = 0
            while i < rows:
                length, at = first + i + 1 if causal else seen, i * row
                if rows - i >= SCORES:
                    _softmax(scores, at, row, count // vector, length, step, seen, scale, tops, totals, i)
                    i += SCORES
                else:
                    _softmax_one(scores, at, row, count // vector, length, step, seen, scale, tops, totals, i)
                    i += 1
            sums[: rows * wide] = 0
            add_product(scores, 0, row, 1, reach, values, 0, wide, sums, 0, wide, rows, wide)
            log_at, y_at = pair * steps + first, (b * steps + first) * width + head * size
            _logarithms(tops, totals, logs[log_at : log_at + rows])
            for i in range(rows):  # the outputs are divided by the sums of softmax, since they are fewer than weights
                _add(sums, i * wide, size, 1.0 / totals[i], y, y_at + i * width)


@stored
def _attention_backward(
    q: Any, q_row: Any, kv: Any, kv_row: Any, lengths: Any, width: Any, heads: Any, causal: Any, y: Any, logs: Any,
    delta: Any, dq: Any, dkv: Any, steps: Any, keys: Any,
) -> None:  # fmt: skip
    size, step, vector = width // heads, 1 if causal else 0, lanes(q)
    scale, start, wide = 1 / sqrt(size), kv_row - 2 * width, whole_vectors(size, vector)
    queries, signals, moved_q = scratch(steps * wide, q), scratch(steps * wide, q), scratch(steps * wide, q)
    means = np.empty(steps, q.dtype)
    k, turned_k, turned_v = scratch(KEYS * wide, q), scratch(KEYS * wide, q), scratch(KEYS * wide, q)
    dk, dv = scratch(KEYS * wide, q), scratch(KEYS * wide, q)
    weights, moved = scratch(SPAN * KEYS, q), scratch(SPAN * KEYS, q)
    for pair in range(lengths.size * heads):
        b, head = pair // heads, pair % heads
        q_at, k_first, seen = b * steps * q_row + head * size, b * keys * kv_row + start + head * size, lengths[b]
        y_at, log_at = b * steps * width + head * size, pair * steps
        _gather(q, q_at, q_row, steps, size, wide, queries)
        _gather(delta, y_at, width, steps, size, wide, signals)
        moved_q[:] = 0
        for i in range(steps):
            means[i] = _dot(delta, y, y_at + i * width, size)
        for key in range(0, seen, KEYS):
            count, k_at = min(KEYS, seen - key), k_first + key * kv_row
            row = whole_vectors(count, vector)
            _gather(kv, k_at, kv_row, count, size, wide, k)
            transpose(kv, k_at, kv_row, count, size, row, turned_k)
            transpose(kv, k_at + width, kv_row, count, size, row, turned_v)
            dk[:] = 0
            dv[:] = 0
            for span in range(key // QUERIES * QUERIES if causal else 0, steps, SPAN):
                end = min(span + SPAN, steps)
                weights[: (end - span) * row] = 0
                moved[: (end - span) * row] = 0
                for first in range(span, end, QUERIES):
                    rows, at = min(QUERIES, end - first), (first - span) * row
                    reach = min(count, first + rows - key) if causal else count
                    part, q_first = whole_vectors(reach, vector), first * wide
                    add_product(queries, q_first, wide, 1, size, turned_k, 0, row, weights, at, row, rows, part)
                    add_product(signals, q_first, wide, 1, size, turned_v, 0, row, moved, at, row, rows, part)
                    i = 0
                    while i < rows:
                        length, i_at, query = first + i + 1 - key if causal else count, at + i * row, first + i
                        if rows - i >= TOGETHER:
                            _slopes(
                                weights, moved, i_at, row, part // vector, length, step, count, scale, logs,
                                log_at + query, means, query,
                            )  # fmt: skip
                            i += TOGETHER
                        else:
                            _slopes_one(
                                weights, moved, i_at, row, part // vector, length, step, count, scale, logs,
                                log_at + query, means, query,
                            )  # fmt: skip
                            i += 1
                    add_product(moved, at, row, 1, reach, k, 0, wide, moved_q, q_first, wide, rows, wide)
                for j in range(0, count, QUERIES):  # keys that the first queries do not see begin later
                    rows = min(QUERIES, count - j)
                    first = max(span, (key + j) // QUERIES * QUERIES) if causal else span
                    at, length = (first - span) * row + j, end - first
                    if length > 0:
                        add_product(
                            moved, at, 1, row, length, queries, first * wide, wide, dk, j * wide, wide, rows, wide
                        )
                        add_product(
                            weights, at, 1, row, length, signals, first * wide, wide, dv, j * wide, wide, rows, wide
                        )
            _scatter(dk, wide, count, size, dkv, k_at, kv_row)
            _scatter(dv, wide, count, size, dkv, k_at + width, kv_row)
        _scatter(moved_q, wide, steps, size, dq, q_at, q_row)


def _are_places(lengths: Array) -> bool:
    return type(lengths) is np.ndarray and lengths.dtype == np.intp and lengths.flags.carray


def attention(q: Array, kv: Array, lengths: Array, width: int, heads: int, causal: bool) -> tuple[Array, Array]:
    plain.check_attention(q, kv, lengths, width, heads)
    if not (ordinary(q, kv) and _are_places(lengths)):
        return plain.attention(q, kv, lengths, width, heads, causal)
    batch, steps, _ = q.shape
    y, logs = np.zeros((batch, steps, width), q.dtype), np.zeros((batch, heads, steps), q.dtype)
    _attention(
        q.reshape(-1), q.shape[2], kv.reshape(-1), kv.shape[2], lengths, width, heads, causal,
        y.reshape(-1), logs.reshape(-1), steps, kv.shape[1],
    )  # fmt: skip
    return y, logs


def attention_backward(
    q: Array,
    kv: Array,
    lengths: Array,
    width: int,
    heads: int,
    causal: bool,
    y: Array,
    logs: Array,
    delta: Array,
    dq: Array,
    dkv: Array,
) -> None:
    plain.check_attention(q, kv, lengths, width, heads, y, logs, delta, dq, dkv)
    arrays = (q, kv, y, logs, delta, dq, dkv)
    if not (ordinary(*arrays) and _are_places(lengths)):
        plain.attention_backward(q, kv, lengths, width, heads, causal, y, logs, delta, dq, dkv)
        return
    flat_q, flat_kv, *rest = (array.reshape(-1) for array in arrays)
    _attention_backward(
        flat_q, q.shape[2], flat_kv, kv.shape[2], lengths, width, heads, causal, *rest, q.shape[1], kv.shape[1]
    )
