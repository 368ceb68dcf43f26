"""The compiled attention: some queries of one sample and head at a time, whose weights stay in the cache.

Of the weights, only ln Σ eˢ of each query is kept; on the way back they are computed again from it. So no array of size
T × T exists, as in FlashAttention (Dao et al. 2022).
"""

from math import sqrt
from typing import Any

import numpy as np
from numba import types

from deepbp.kernels import numpy_sequences as plain
from deepbp.kernels.numba_lanes import intrinsic, untyped
from deepbp.kernels.numba_math import inner, ordinary, stored
from deepbp.kernels.numba_vectors import I64, Vectors, add_product
from deepbp.typing import Array

QUERIES = 24  # at a time: with 256 keys, their scores take 24 kB in float32


def _parts(v: Vectors, at: Any, length: Any, turn: Any) -> tuple[Any, Any]:
    """The offset of a vector of a row that begins at ``at``, and its mask."""
    start = v.times(turn.index, v.lanes)
    return v.plus(at, start), v.mask(v.builder.sub(length, start))


@intrinsic
def _softmax(context: Any, s: Any, at: Any, length: Any, scale: Any) -> Any:
    """s ← e^(scale · s − the largest) along a row; returns the largest of scale · s, and the sum."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, at, length, scale = arguments
        count, factor = v.chunks(length), v.spread(scale)
        least = v.same(-3.0e38 if v.is_short else -1.0e308)
        largest, total = v.variable(least), v.variable(v.same(0.0))
        with v.loop(count) as turn:
            place, mask = _parts(v, at, length, turn)
            value = builder.select(mask, builder.fmul(v.load(v.array(0, place), mask), factor), least)
            before = builder.load(largest)
            builder.store(builder.select(builder.fcmp_ordered("<", value, before), before, value), largest)
        top = v.largest(builder.load(largest))
        tops = v.spread(top)
        with v.loop(count) as turn:
            place, mask = _parts(v, at, length, turn)
            e = v.exp_negative(builder.fsub(builder.fmul(v.load(v.array(0, place), mask), factor), tops))
            e = builder.select(mask, e, v.same(0.0))
            builder.store(builder.fadd(builder.load(total), e), total)
            v.store(e, v.array(0, place), mask)
        return context.make_tuple(builder, signature.return_type, [top, v.sum(builder.load(total))])

    return untyped(types.UniTuple)(s.dtype, 2)(s, I64, I64, types.float64), generate


@intrinsic
def _divide(context: Any, y: Any, at: Any, length: Any, total: Any) -> Any:
    """y ← y / total along a row."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, at, length, total = arguments
        inverse = builder.fdiv(v.same(1.0), v.spread(total))
        with v.loop(v.chunks(length)) as turn:
            place, mask = _parts(v, at, length, turn)
            v.store(builder.fmul(v.load(v.array(0, place), mask), inverse), v.array(0, place), mask)
        return context.get_dummy_value()

    return types.void(y, I64, I64, y.dtype), generate


@intrinsic
def _dot(context: Any, a: Any, b: Any, at: Any, length: Any) -> Any:
    """Σ a · b along a row."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, _, at, length = arguments
        total = v.variable(v.same(0.0))
        with v.loop(v.chunks(length)) as turn:
            place, mask = _parts(v, at, length, turn)
            v.add_product(v.load(v.array(0, place), mask), v.load(v.array(1, place), mask), total)
        return v.sum(builder.load(total))

    return a.dtype(a, b, I64, I64), generate


@intrinsic
def _weights_again(context: Any, s: Any, at: Any, length: Any, scale: Any, log: Any) -> Any:
    """s ← e^(scale · s − log) along a row: the weights, from ln Σ eˢ."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, at, length, scale, log = arguments
        factor, less, zero = v.spread(scale), v.spread(log), v.same(0.0)
        with v.loop(v.chunks(length)) as turn:
            place, mask = _parts(v, at, length, turn)
            x = builder.fsub(builder.fmul(v.load(v.array(0, place), mask), factor), less)
            x = builder.select(builder.fcmp_ordered(">", x, zero), zero, x)  # by a rounding
            v.store(v.exp_negative(x), v.array(0, place), mask)
        return context.get_dummy_value()

    return types.void(s, I64, I64, types.float64, s.dtype), generate


@intrinsic
def _slopes(context: Any, weights: Any, d: Any, at: Any, length: Any, mean: Any, scale: Any) -> Any:
    """d ← weights · (d − mean) · scale along a row: through softmax, whose Jacobian needs one sum of each row."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, _, at, length, mean, scale = arguments
        less, factor = v.spread(mean), v.spread(scale)
        with v.loop(v.chunks(length)) as turn:
            place, mask = _parts(v, at, length, turn)
            weight, moved = (v.load(v.array(argument, place), mask) for argument in (0, 1))
            v.store(v.product(weight, builder.fsub(moved, less), factor), v.array(1, place), mask)
        return context.get_dummy_value()

    return types.void(weights, d, I64, I64, d.dtype, types.float64), generate


@inner
def _transpose(a: Any, at: Any, row: Any, rows: Any, columns: Any, out: Any) -> None:
    """out (columns, rows) = aᵀ."""
    for i in range(rows):
        for j in range(columns):
            out[j * rows + i] = a[at + i * row + j]


@stored
def _attention(
    q: Any, q_row: Any, kv: Any, kv_row: Any, lengths: Any, width: Any, heads: Any, causal: Any, y: Any, logs: Any,
    steps: Any, keys: Any,
) -> None:  # fmt: skip
    size = width // heads
    scale, start = 1 / sqrt(size), kv_row - 2 * width
    turned = np.empty(size * keys, q.dtype)
    scores, totals = np.empty(QUERIES * keys, q.dtype), np.empty(QUERIES, q.dtype)
    for pair in range(lengths.size * heads):
        b, head = pair // heads, pair % heads
        q_at, k_at = b * steps * q_row + head * size, b * keys * kv_row + start + head * size
        seen = lengths[b]
        _transpose(kv, k_at, kv_row, seen, size, turned)
        for first in range(0, steps if seen else 0, QUERIES):
            rows = min(QUERIES, steps - first)
            reach = min(seen, first + rows) if causal else seen
            scores[: rows * seen] = 0
            add_product(q, q_at + first * q_row, q_row, 1, size, turned, 0, seen, scores, 0, seen, rows, reach)
            for i in range(rows):
                length = min(seen, first + i + 1) if causal else seen
                top, totals[i] = _softmax(scores, i * seen, length, scale)
                logs[pair * steps + first + i] = top + np.log(totals[i])
                scores[i * seen + length : i * seen + reach] = 0
            y_at = (b * steps + first) * width + head * size
            add_product(scores, 0, seen, 1, reach, kv, k_at + width, kv_row, y, y_at, width, rows, size)
            for i in range(rows):  # of softmax: y has fewer numbers than the weights
                _divide(y, y_at + i * width, size, totals[i])


@stored
def _attention_backward(
    q: Any, q_row: Any, kv: Any, kv_row: Any, lengths: Any, width: Any, heads: Any, causal: Any, y: Any, logs: Any,
    delta: Any, dq: Any, dkv: Any, steps: Any, keys: Any,
) -> None:  # fmt: skip
    size = width // heads
    scale, start = 1 / sqrt(size), kv_row - 2 * width
    turned_k, turned_v = np.empty(size * keys, q.dtype), np.empty(size * keys, q.dtype)
    weights, moved = np.empty(QUERIES * keys, q.dtype), np.empty(QUERIES * keys, q.dtype)
    for pair in range(lengths.size * heads):
        b, head = pair // heads, pair % heads
        q_at, k_at = b * steps * q_row + head * size, b * keys * kv_row + start + head * size
        v_at, y_at, seen = k_at + width, b * steps * width + head * size, lengths[b]
        _transpose(kv, k_at, kv_row, seen, size, turned_k)
        _transpose(kv, v_at, kv_row, seen, size, turned_v)
        for first in range(0, steps if seen else 0, QUERIES):
            rows = min(QUERIES, steps - first)
            reach = min(seen, first + rows) if causal else seen
            q_first, y_first = q_at + first * q_row, y_at + first * width
            weights[: rows * seen] = 0
            moved[: rows * seen] = 0
            add_product(q, q_first, q_row, 1, size, turned_k, 0, seen, weights, 0, seen, rows, reach)
            add_product(delta, y_first, width, 1, size, turned_v, 0, seen, moved, 0, seen, rows, reach)
            for i in range(rows):
                length = min(seen, first + i + 1) if causal else seen
                _weights_again(weights, i * seen, length, scale, logs[pair * steps + first + i])
                mean = _dot(delta, y, y_first + i * width, size)
                _slopes(weights, moved, i * seen, length, mean, scale)
                weights[i * seen + length : i * seen + reach] = 0
                moved[i * seen + length : i * seen + reach] = 0
            add_product(moved, 0, seen, 1, reach, kv, k_at, kv_row, dq, q_first, q_row, rows, size)
            add_product(moved, 0, 1, seen, rows, q, q_first, q_row, dkv, k_at, kv_row, reach, size)
            add_product(weights, 0, 1, seen, rows, delta, y_first, width, dkv, v_at, kv_row, reach, size)


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
