"""The compiled recurrences: all steps of a batch in one call.

Forward, they are those of ``numba_steps``. On the way back, the slopes of one step are one pass, and the signal moved
by one step in time is a product with Rᵀ.
"""

from typing import Any

import numpy as np
from numba import types

from deepbp.kernels import numpy_sequences as plain
from deepbp.kernels.numba_lanes import intrinsic
from deepbp.kernels.numba_math import inner, ordinary, stored
from deepbp.kernels.numba_product import in_panels, product_of_panels
from deepbp.kernels.numba_steps import distance, gru_steps, lstm_steps, rnn_steps
from deepbp.kernels.numba_vectors import I64, Vectors, scratch
from deepbp.typing import Array


@inner
def _add_sums(sums: Any, total: Any) -> None:
    """total += the sums of one step, in float64; the sums become 0."""
    for i in range(len(total)):
        total[i] += sums[i]
        sums[i] = 0


def _put(v: Vectors, slope: Any, target: Any, total: Any, mask: Any) -> None:
    """Store a slope, and add it to the sum over the samples of a step."""
    v.store(slope, target, mask)
    v.store(v.builder.fadd(v.load(total, mask), slope), total, mask)


@intrinsic
def _rnn_slopes(
    context: Any, h: Any, now: Any, u: Any, delta: Any, here: Any, dh: Any, row: Any, dz: Any, sums: Any, step: Any,
    place: Any, steps: Any,
) -> Any:  # fmt: skip
    """∂L/∂z of one step of one sample."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, now, u, _, here, _, row, _, _, _, place, steps = arguments
        far = v.times(steps, u)  # to the next sample

        def write(o: Any, mask: Any) -> None:
            v.fetch(v.at(v.array(0, now), u, o, far), *(v.at(v.array(one, here), o, far) for one in (3, 7)))
            moved, given = v.load(v.array(5, v.plus(row, o)), mask), v.load(v.array(3, v.plus(here, o)), mask)
            slope = v.tanh_slope(v.load(v.array(0, v.plus(now, o)), mask))
            result = builder.fmul(builder.fadd(moved, given), slope)
            _put(v, result, v.array(7, v.plus(here, o)), v.array(8, o), mask)
            v.store(result, v.array(9, v.plus(place, o)), mask)

        v.over(u, write)
        return context.get_dummy_value()

    return types.void(h, I64, I64, delta, I64, dh, I64, dz, sums, step, I64, I64), generate


@stored
def _rnn_backward(h: Any, r: Any, delta: Any, dz: Any, dh: Any, db: Any, batch: Any, steps: Any, u: Any) -> None:
    sums, total, row, back = np.zeros(u, h.dtype), np.zeros(u), distance(u, h), in_panels(r, 1, u, u, u)
    step = scratch(batch * row, h)
    for t in range(steps - 1, -1, -1):
        for b in range(batch):
            now, here = (b * (steps + 1) + t + 1) * u, (b * steps + t) * u
            _rnn_slopes(h, now, u, delta, here, dh, b * u, dz, sums, step, b * row, steps)
        _add_sums(sums, total)
        product_of_panels(step, row, u, back, dh, u, batch, u, False)
    db[:] = total


@intrinsic
def _lstm_slopes(
    context: Any, gates: Any, at: Any, u: Any, c: Any, now: Any, delta: Any, here: Any, dh: Any, dc: Any, row: Any,
    dz: Any, sums: Any, step: Any, place: Any, steps: Any,
) -> Any:  # fmt: skip
    """∂L/∂z of one step of one sample; dc moves one step back."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, at, u, _, now, _, here, _, _, row, _, _, _, place, steps = arguments
        far = v.times(steps, u)  # to the next sample

        def write(o: Any, mask: Any) -> None:
            blocks = [v.plus(o, v.times(gate, u)) for gate in range(4)]
            v.fetch(*(v.at(v.array(one, at), block, v.times(4, far)) for one in (0, 10) for block in blocks))
            v.fetch(v.at(v.array(3, now), u, o, far), v.at(v.array(5, here), o, far))
            i, f, g, out = (v.load(v.at(v.array(0, at), block), mask) for block in blocks)
            state = v.array(8, v.plus(row, o))
            squashed = v.tanh(v.load(v.array(3, v.plus(now, o)), mask))
            earlier = v.load(v.at(v.array(3, builder.sub(now, u)), o), mask)
            moved, given = v.load(v.array(7, v.plus(row, o)), mask), v.load(v.array(5, v.plus(here, o)), mask)
            signal = builder.fadd(moved, given)
            total = v.fma(builder.fmul(signal, out), v.tanh_slope(squashed), v.load(state, mask))  # ∂L/∂cₜ
            slopes = (
                v.product(total, g, v.sigmoid_slope(i)),
                v.product(total, earlier, v.sigmoid_slope(f)),
                v.product(total, i, v.tanh_slope(g)),
                v.product(signal, squashed, v.sigmoid_slope(out)),
            )
            for slope, block in zip(slopes, blocks, strict=True):
                _put(v, slope, v.at(v.array(10, at), block), v.array(11, block), mask)
                v.store(slope, v.at(v.array(12, place), block), mask)
            v.store(builder.fmul(total, f), state, mask)

        v.over(u, write)
        return context.get_dummy_value()

    return types.void(gates, I64, I64, c, I64, delta, I64, dh, dc, I64, dz, sums, step, I64, I64), generate


@stored
def _lstm_backward(
    gates: Any, c: Any, r: Any, delta: Any, dz: Any, dh: Any, dc: Any, db: Any, batch: Any, steps: Any, u: Any
) -> None:
    wide, row, back = 4 * u, distance(4 * u, gates), in_panels(r, 1, 4 * u, 4 * u, u)
    sums, total, step = np.zeros(wide, gates.dtype), np.zeros(wide), scratch(batch * row, gates)
    for t in range(steps - 1, -1, -1):
        for b in range(batch):
            at, now, here = (b * steps + t) * wide, (b * (steps + 1) + t + 1) * u, (b * steps + t) * u
            _lstm_slopes(gates, at, u, c, now, delta, here, dh, dc, b * u, dz, sums, step, b * row, steps)
        _add_sums(sums, total)
        product_of_panels(step, row, wide, back, dh, u, batch, u, False)
    db[:] = total


@intrinsic
def _gru_slopes(
    context: Any, gates: Any, at: Any, u: Any, p: Any, here: Any, h: Any, before: Any, delta: Any, dh: Any, row: Any,
    dz: Any, dp: Any, sums: Any, step: Any, place: Any, steps: Any,
) -> Any:  # fmt: skip
    """∂L/∂(x W + b) and ∂L/∂(h R + b₂) of one step of one sample; dh keeps what u passes on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, at, u, _, here, _, before, _, _, row, _, _, _, _, place, steps = arguments
        far = v.times(steps, u)  # to the next sample

        def write(o: Any, mask: Any) -> None:
            blocks = [v.plus(o, v.times(gate, u)) for gate in range(3)]
            v.fetch(*(v.at(v.array(one, at), block, v.times(3, far)) for one in (0, 10, 11) for block in blocks))
            v.fetch(v.at(v.array(5, before), u, o, far), *(v.at(v.array(one, here), o, far) for one in (3, 7)))
            reset, update, new = (v.load(v.at(v.array(0, at), block), mask) for block in blocks)
            moved = v.array(8, v.plus(row, o))
            signal = builder.fadd(v.load(moved, mask), v.load(v.array(7, v.plus(here, o)), mask))
            dn = v.product(signal, builder.fsub(v.same(1.0), update), v.tanh_slope(new))
            earlier = v.load(v.array(5, v.plus(before, o)), mask)
            du = v.product(signal, builder.fsub(earlier, new), v.sigmoid_slope(update))
            dr = v.product(dn, v.load(v.array(3, v.plus(here, o)), mask), v.sigmoid_slope(reset))
            for slope, block in zip((dr, du, dn), blocks, strict=True):
                _put(v, slope, v.at(v.array(10, at), block), v.array(12, block), mask)
            last = builder.fmul(dn, reset)
            for target in (v.array(11, at), v.array(13, place)):
                for slope, block in zip((dr, du, last), blocks, strict=True):
                    v.store(slope, v.at(target, block), mask)
            total = v.array(12, v.plus(o, v.times(3, u)))
            v.store(builder.fadd(v.load(total, mask), last), total, mask)
            v.store(builder.fmul(signal, update), moved, mask)

        v.over(u, write)
        return context.get_dummy_value()

    return types.void(gates, I64, I64, p, I64, h, I64, delta, dh, I64, dz, dp, sums, step, I64, I64), generate


@stored
def _gru_backward(
    gates: Any, p: Any, h: Any, r: Any, delta: Any, dz: Any, dp: Any, dh: Any, db: Any, batch: Any, steps: Any,
    u: Any,
) -> None:  # fmt: skip
    wide, row, back = 3 * u, distance(3 * u, gates), in_panels(r, 1, 3 * u, 3 * u, u)
    sums, total, step = np.zeros(4 * u, gates.dtype), np.zeros(4 * u), scratch(batch * row, gates)
    for t in range(steps - 1, -1, -1):
        for b in range(batch):
            at, here, before = (b * steps + t) * wide, (b * steps + t) * u, (b * (steps + 1) + t) * u
            _gru_slopes(gates, at, u, p, here, h, before, delta, dh, b * u, dz, dp, sums, step, b * row, steps)
        _add_sums(sums, total)
        product_of_panels(step, row, wide, back, dh, u, batch, u, True)
    db[:] = total


# The kernels: they check the shapes, and leave arrays that are not ordinary to NumPy.


def rnn(z: Array, recurrent: Array, h: Array) -> None:
    plain.check_steps(1, (h,), (recurrent,), wide=(z,))
    if ordinary(z, recurrent, h):
        rnn_steps(z, recurrent, h, *z.shape)
    else:
        plain.rnn(z, recurrent, h)


def rnn_backward(h: Array, recurrent: Array, delta: Array, dz: Array, dh: Array, db: Array | None = None) -> None:
    db = np.empty(dz.shape[-1:], dz.dtype) if db is None else db
    plain.check_steps(1, (h,), (recurrent,), steps=(delta, dz), rows=(dh,), sums=(db,))
    if ordinary(h, recurrent, delta, dz, dh, db):
        _rnn_backward(h, recurrent, delta, dz, dh, db, *delta.shape)
    else:
        plain.rnn_backward(h, recurrent, delta, dz, dh, db)


def lstm(z: Array, recurrent: Array, h: Array, c: Array) -> None:
    plain.check_steps(4, (h, c), (recurrent,), wide=(z,))
    if ordinary(z, recurrent, h, c):
        lstm_steps(z, recurrent, h, c, len(z), z.shape[1], h.shape[2])
    else:
        plain.lstm(z, recurrent, h, c)


def lstm_backward(
    gates: Array,
    c: Array,
    recurrent: Array,
    delta: Array,
    dz: Array,
    dh: Array,
    dc: Array,
    db: Array | None = None,
) -> None:
    db = np.empty(dz.shape[-1:], dz.dtype) if db is None else db
    plain.check_steps(4, (c,), (recurrent,), wide=(gates, dz), steps=(delta,), rows=(dh, dc), sums=(db,))
    if ordinary(gates, c, recurrent, delta, dz, dh, dc, db):
        _lstm_backward(gates, c, recurrent, delta, dz, dh, dc, db, *delta.shape)
    else:
        plain.lstm_backward(gates, c, recurrent, delta, dz, dh, dc, db)


def gru(z: Array, recurrent: Array, hidden_bias: Array, h: Array, product: Array) -> None:
    plain.check_steps(3, (h,), (recurrent, hidden_bias), wide=(z,), steps=(product,))
    if ordinary(z, recurrent, hidden_bias, h, product):
        gru_steps(z, recurrent, hidden_bias, h, product, *product.shape)
    else:
        plain.gru(z, recurrent, hidden_bias, h, product)


def gru_backward(
    gates: Array,
    product: Array,
    h: Array,
    recurrent: Array,
    delta: Array,
    dz: Array,
    dp: Array,
    dh: Array,
    db: Array | None = None,
) -> None:
    steps = {"wide": (gates, dz, dp), "steps": (product, delta)}
    db = np.empty(dz.shape[-1] + h.shape[-1], dz.dtype) if db is None else db
    plain.check_steps(3, (h,), (recurrent,), **steps, rows=(dh,), all_sums=(db,))
    if ordinary(gates, product, h, recurrent, delta, dz, dp, dh, db):
        _gru_backward(gates, product, h, recurrent, delta, dz, dp, dh, db, *delta.shape)
    else:
        plain.gru_backward(gates, product, h, recurrent, delta, dz, dp, dh, db)
