"""The compiled recurrences: all steps of a batch in one call.

A tile is some samples by one vector of units, with all their gates: the product hₜ₋₁ R is summed in registers, and the
gates are made of the sums before they ever reach the memory. On the way back, the slopes of one step are one pass, and
the signal moved by one step in time is a product with Rᵀ.
"""

from typing import Any

import numpy as np
from numba import types

from deepbp.kernels import numpy_sequences as plain
from deepbp.kernels.numba_lanes import intrinsic
from deepbp.kernels.numba_math import inner, ordinary, stored
from deepbp.kernels.numba_product import add_product
from deepbp.kernels.numba_vectors import I64, MANY, Vectors, lanes, scratch
from deepbp.typing import Array


@inner
def _packed(r: Any, u: Any, gates: Any) -> Any:
    """R with the columns that one tile reads side by side, for each vector of units: (vectors, U, gates, lanes).

    The panel of a tile stays in the nearest cache, where columns that lie a row of R apart would not.
    """
    size = lanes(r)
    out = np.zeros((u + size - 1) // size * size * u * gates, r.dtype)
    for o in range(0, u, size):
        for q in range(u):
            for gate in range(gates):
                to, at = ((o // size * u + q) * gates + gate) * size, (q * gates + gate) * u + o
                for k in range(min(size, u - o)):
                    out[to + k] = r[at + k]
    return out


def _add_states(v: Vectors, sums: Any, before: Any, units: Any, panels: Any, gates: int) -> None:
    """sums[m][g] += Σ_q h[m, q] · R[q, g], with R in packed panels of some gates each."""
    places = [v.variable(panel) for panel in panels]
    with v.loop(units) as q:
        rows = [v.builder.load(place) for place in places]
        factors = [v.load(v.at(row, gate * v.lanes)) for row in rows for gate in range(gates)]
        for own, state in zip(sums, before, strict=True):
            number = v.spread_from(v.at(state, q.index))
            for total, factor in zip(own, factors, strict=True):
                v.add_product(number, factor, total)
        for row, place in zip(rows, places, strict=True):
            v.builder.store(v.at(row, gates * v.lanes), place)


def _rnn_tile(rows: int, vectors: int, is_masked: bool) -> Any:
    """An intrinsic: hₜ of some samples and vectors of units, from hₜ₋₁ at ``h_at``."""

    @intrinsic
    def tile(context: Any, z: Any, z_at: Any, z_row: Any, r: Any, u: Any, o: Any, h: Any, h_at: Any, h_row: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            v = Vectors(context, builder, signature, arguments)
            _, z_at, z_row, _, u, o, _, h_at, h_row = arguments
            mask = v.mask(builder.sub(u, o)) if is_masked else None
            blocks = [v.plus(o, n * v.lanes) for n in range(vectors)]
            before = [v.at(v.array(6, h_at), v.times(m, h_row)) for m in range(rows)]
            inputs = [v.at(v.array(0, z_at), v.times(m, z_row)) for m in range(rows)]
            sums = [[v.variable(v.load(v.at(one, block), mask)) for block in blocks] for one in inputs]
            _add_states(v, sums, before, u, [v.array(3, v.times(block, u)) for block in blocks], 1)
            for own, state in zip(sums, before, strict=True):
                for total, block in zip(own, blocks, strict=True):
                    v.store(v.tanh(builder.load(total)), v.at(state, block, u), mask)
            return context.get_dummy_value()

        return types.void(z, I64, I64, r, I64, I64, h, I64, I64), generate

    return tile


RNN_ROWS = 12 if MANY else 4
_rnn_tall, _rnn_tall_rest, _rnn_one = _rnn_tile(RNN_ROWS, 2, False), _rnn_tile(RNN_ROWS, 1, True), _rnn_tile(1, 1, True)


@stored
def _rnn(z: Any, r: Any, h: Any, batch: Any, steps: Any, u: Any) -> None:
    size, packed = lanes(z), _packed(r, u, 1)
    for t in range(steps):
        o = 0
        while o < u:
            is_wide, b = u - o >= 2 * size, 0
            while b < batch:
                z_at, h_at = (b * steps + t) * u, (b * (steps + 1) + t) * u
                if batch - b < RNN_ROWS:
                    _rnn_one(z, z_at, steps * u, packed, u, o, h, h_at, (steps + 1) * u)
                    if is_wide:
                        _rnn_one(z, z_at, steps * u, packed, u, o + size, h, h_at, (steps + 1) * u)
                    b += 1
                    continue
                if is_wide:
                    _rnn_tall(z, z_at, steps * u, packed, u, o, h, h_at, (steps + 1) * u)
                else:
                    _rnn_tall_rest(z, z_at, steps * u, packed, u, o, h, h_at, (steps + 1) * u)
                b += RNN_ROWS
            o += 2 * size if is_wide else size


@inner
def _add_sums(sums: Any, total: Any) -> None:
    """total += the sums of one step, in float64; the sums become 0."""
    for i in range(len(total)):
        total[i] += sums[i]
        sums[i] = 0


@inner
def _distance(wide: Any, like: Any) -> Any:
    """The distance of the rows of one step's slopes, side by side for the product with Rᵀ.

    In arrays (B, T, …), the rows of one step are often a multiple of 4 kB apart, and a cache keeps few of those.
    """
    return (wide + lanes(like) - 1) // lanes(like) * lanes(like) + lanes(like)


def _put(v: Vectors, slope: Any, target: Any, total: Any, mask: Any) -> None:
    """Store a slope, and add it to the sum over the samples of a step."""
    v.store(slope, target, mask)
    v.store(v.builder.fadd(v.load(total, mask), slope), total, mask)


@intrinsic
def _rnn_slopes(
    context: Any, h: Any, now: Any, u: Any, o: Any, delta: Any, here: Any, dh: Any, row: Any, dz: Any, sums: Any,
    step: Any, place: Any,
) -> Any:  # fmt: skip
    """∂L/∂z of one step of one sample, from unit ``o`` on; dh becomes 0, to which the moved signal is added."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, now, u, o, _, here, _, row, _, _, _, place = arguments
        mask = v.mask(builder.sub(u, o))
        moved = v.at(v.array(6, row), o)
        signal = builder.fadd(v.load(moved, mask), v.load(v.at(v.array(4, here), o), mask))
        slope = v.tanh_slope(v.load(v.at(v.array(0, now), o), mask))
        result = builder.fmul(signal, slope)
        _put(v, result, v.at(v.array(8, here), o), v.array(9, o), mask)
        v.store(result, v.at(v.array(10, place), o), mask)
        v.store(v.same(0.0), moved, mask)
        return context.get_dummy_value()

    return types.void(h, I64, I64, I64, delta, I64, dh, I64, dz, sums, step, I64), generate


@stored
def _rnn_backward(h: Any, back: Any, delta: Any, dz: Any, dh: Any, db: Any, batch: Any, steps: Any, u: Any) -> None:
    sums, total, row, size = np.zeros(u, h.dtype), np.zeros(u), _distance(u, h), lanes(h)
    step = scratch(batch * row, h)
    for t in range(steps - 1, -1, -1):
        for b in range(batch):
            now, here = (b * (steps + 1) + t + 1) * u, (b * steps + t) * u
            for o in range(0, u, size):
                _rnn_slopes(h, now, u, o, delta, here, dh, b * u, dz, sums, step, b * row)
        _add_sums(sums, total)
        add_product(step, 0, row, 1, u, back, 0, u, dh, 0, u, batch, u)
    db[:] = total


def _lstm_tile(rows: int) -> Any:
    """An intrinsic: the gates of some samples in place of z, and c and h one step on, for one vector of units."""

    @intrinsic
    def tile(
        context: Any, z: Any, z_at: Any, z_row: Any, r: Any, u: Any, o: Any, h: Any, c: Any, h_at: Any, h_row: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            v = Vectors(context, builder, signature, arguments)
            _, z_at, z_row, _, u, o, _, _, h_at, h_row = arguments
            mask = v.mask(builder.sub(u, o))
            blocks = [v.plus(o, v.times(gate, u)) for gate in range(4)]
            inputs = [v.at(v.array(0, z_at), v.times(m, z_row)) for m in range(rows)]
            sums = [[v.variable(v.load(v.at(one, block), mask)) for block in blocks] for one in inputs]
            before = [v.at(v.array(6, h_at), v.times(m, h_row)) for m in range(rows)]
            _add_states(v, sums, before, u, [v.array(3, v.times(v.times(4, u), o))], 4)
            for m in range(rows):
                i, f, g, out = (builder.load(total) for total in sums[m])
                i, f, g, out = v.sigmoid(i), v.sigmoid(f), v.tanh(g), v.sigmoid(out)
                for gate, block in zip((i, f, g, out), blocks, strict=True):
                    v.store(gate, v.at(inputs[m], block), mask)
                state = v.at(v.array(7, h_at), v.times(m, h_row), o)
                new = v.fma(f, v.load(state, mask), builder.fmul(i, g))
                v.store(new, v.at(state, u), mask)
                v.store(builder.fmul(out, v.tanh(new)), v.at(before[m], o, u), mask)
            return context.get_dummy_value()

        return types.void(z, I64, I64, r, I64, I64, h, c, I64, I64), generate

    return tile


LSTM_ROWS = 4 if MANY else 2
_lstm_tall, _lstm_one = _lstm_tile(LSTM_ROWS), _lstm_tile(1)


@stored
def _lstm(z: Any, r: Any, h: Any, c: Any, batch: Any, steps: Any, u: Any) -> None:
    wide, packed = 4 * u, _packed(r, u, 4)
    for t in range(steps):
        for o in range(0, u, lanes(z)):
            b = 0
            while b < batch:
                z_at, h_at = (b * steps + t) * wide, (b * (steps + 1) + t) * u
                if batch - b >= LSTM_ROWS:
                    _lstm_tall(z, z_at, steps * wide, packed, u, o, h, c, h_at, (steps + 1) * u)
                    b += LSTM_ROWS
                else:
                    _lstm_one(z, z_at, steps * wide, packed, u, o, h, c, h_at, (steps + 1) * u)
                    b += 1


@intrinsic
def _lstm_slopes(
    context: Any, gates: Any, at: Any, u: Any, o: Any, c: Any, now: Any, delta: Any, here: Any, dh: Any, dc: Any,
    row: Any, dz: Any, sums: Any, step: Any, place: Any,
) -> Any:  # fmt: skip
    """∂L/∂z of one step of one sample, from unit ``o`` on; dc moves one step back, dh becomes 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, at, u, o, _, now, _, here, _, _, row, _, _, _, place = arguments
        mask = v.mask(builder.sub(u, o))
        blocks = [v.plus(o, v.times(gate, u)) for gate in range(4)]
        i, f, g, out = (v.load(v.at(v.array(0, at), block), mask) for block in blocks)
        moved, state = v.at(v.array(8, row), o), v.at(v.array(9, row), o)
        squashed = v.tanh(v.load(v.at(v.array(4, now), o), mask))
        earlier = v.load(v.at(v.array(4, builder.sub(now, u)), o), mask)
        signal = builder.fadd(v.load(moved, mask), v.load(v.at(v.array(6, here), o), mask))
        total = v.fma(builder.fmul(signal, out), v.tanh_slope(squashed), v.load(state, mask))  # ∂L/∂cₜ
        slopes = (
            v.product(total, g, v.sigmoid_slope(i)),
            v.product(total, earlier, v.sigmoid_slope(f)),
            v.product(total, i, v.tanh_slope(g)),
            v.product(signal, squashed, v.sigmoid_slope(out)),
        )
        for slope, block in zip(slopes, blocks, strict=True):
            _put(v, slope, v.at(v.array(11, at), block), v.array(12, block), mask)
            v.store(slope, v.at(v.array(13, place), block), mask)
        v.store(builder.fmul(total, f), state, mask)
        v.store(v.same(0.0), moved, mask)
        return context.get_dummy_value()

    return types.void(gates, I64, I64, I64, c, I64, delta, I64, dh, dc, I64, dz, sums, step, I64), generate


@stored
def _lstm_backward(
    gates: Any, c: Any, back: Any, delta: Any, dz: Any, dh: Any, dc: Any, db: Any, batch: Any, steps: Any, u: Any
) -> None:
    wide, size, row = 4 * u, lanes(gates), _distance(4 * u, gates)
    sums, total, step = np.zeros(wide, gates.dtype), np.zeros(wide), scratch(batch * row, gates)
    for t in range(steps - 1, -1, -1):
        for b in range(batch):
            at, now, here = (b * steps + t) * wide, (b * (steps + 1) + t + 1) * u, (b * steps + t) * u
            for o in range(0, u, size):
                _lstm_slopes(gates, at, u, o, c, now, delta, here, dh, dc, b * u, dz, sums, step, b * row)
        _add_sums(sums, total)
        add_product(step, 0, row, 1, wide, back, 0, u, dh, 0, u, batch, u)
    db[:] = total


def _gru_tile(rows: int) -> Any:
    """An intrinsic: the gates of some samples in place of z, the product pₜ, and h one step on."""

    @intrinsic
    def tile(
        context: Any, z: Any, z_at: Any, z_row: Any, r: Any, u: Any, o: Any, h: Any, h_at: Any, h_row: Any, bias: Any,
        p: Any, p_at: Any, p_row: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            v = Vectors(context, builder, signature, arguments)
            _, z_at, z_row, _, u, o, _, h_at, h_row, _, _, p_at, p_row = arguments
            mask = v.mask(builder.sub(u, o))
            blocks = [v.plus(o, v.times(gate, u)) for gate in range(3)]
            inputs = [v.at(v.array(0, z_at), v.times(m, z_row)) for m in range(rows)]
            own = v.load(v.array(9, o), mask)  # the bias of the candidate's product
            sums = [[v.variable(v.load(v.at(one, block), mask)) for block in blocks[:2]] for one in inputs]
            for each in sums:
                each.append(v.variable(own))
            before = [v.at(v.array(6, h_at), v.times(m, h_row)) for m in range(rows)]
            _add_states(v, sums, before, u, [v.array(3, v.times(v.times(3, u), o))], 3)
            for m in range(rows):
                reset, update, product = (builder.load(total) for total in sums[m])
                reset, update = v.sigmoid(reset), v.sigmoid(update)
                new = v.tanh(v.fma(reset, product, v.load(v.at(inputs[m], blocks[2]), mask)))
                for gate, block in zip((reset, update, new), blocks, strict=True):
                    v.store(gate, v.at(inputs[m], block), mask)
                v.store(product, v.at(v.array(10, p_at), v.times(m, p_row), o), mask)
                state = v.at(before[m], o)
                after = v.fma(update, builder.fsub(v.load(state, mask), new), new)
                v.store(after, v.at(state, u), mask)
            return context.get_dummy_value()

        return types.void(z, I64, I64, r, I64, I64, h, I64, I64, bias, p, I64, I64), generate

    return tile


GRU_ROWS = 8 if MANY else 3
_gru_tall, _gru_one = _gru_tile(GRU_ROWS), _gru_tile(1)


@stored
def _gru(z: Any, r: Any, bias: Any, h: Any, p: Any, batch: Any, steps: Any, u: Any) -> None:
    wide, packed = 3 * u, _packed(r, u, 3)
    for t in range(steps):
        for o in range(0, u, lanes(z)):
            b = 0
            while b < batch:
                z_at, h_at, p_at = (b * steps + t) * wide, (b * (steps + 1) + t) * u, (b * steps + t) * u
                if batch - b >= GRU_ROWS:
                    _gru_tall(z, z_at, steps * wide, packed, u, o, h, h_at, (steps + 1) * u, bias, p, p_at, steps * u)
                    b += GRU_ROWS
                else:
                    _gru_one(z, z_at, steps * wide, packed, u, o, h, h_at, (steps + 1) * u, bias, p, p_at, steps * u)
                    b += 1


@intrinsic
def _gru_slopes(
    context: Any, gates: Any, at: Any, u: Any, o: Any, p: Any, here: Any, h: Any, before: Any, delta: Any, dh: Any,
    row: Any, dz: Any, dp: Any, sums: Any, step: Any, place: Any,
) -> Any:  # fmt: skip
    """∂L/∂(x W + b) and ∂L/∂(h R + b₂) of one step of one sample, from unit ``o`` on; dh keeps what u passes on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, at, u, o, _, here, _, before, _, _, row, _, _, _, _, place = arguments
        mask = v.mask(builder.sub(u, o))
        blocks = [v.plus(o, v.times(gate, u)) for gate in range(3)]
        reset, update, new = (v.load(v.at(v.array(0, at), block), mask) for block in blocks)
        moved = v.at(v.array(9, row), o)
        signal = builder.fadd(v.load(moved, mask), v.load(v.at(v.array(8, here), o), mask))
        dn = v.product(signal, builder.fsub(v.same(1.0), update), v.tanh_slope(new))
        earlier = v.load(v.at(v.array(6, before), o), mask)
        du = v.product(signal, builder.fsub(earlier, new), v.sigmoid_slope(update))
        dr = v.product(dn, v.load(v.at(v.array(4, here), o), mask), v.sigmoid_slope(reset))
        for slope, block in zip((dr, du, dn), blocks, strict=True):
            _put(v, slope, v.at(v.array(11, at), block), v.array(13, block), mask)
        last = builder.fmul(dn, reset)
        for target in (v.array(12, at), v.array(14, place)):
            for slope, block in zip((dr, du, last), blocks, strict=True):
                v.store(slope, v.at(target, block), mask)
        total = v.array(13, v.plus(o, v.times(3, u)))
        v.store(builder.fadd(v.load(total, mask), last), total, mask)
        v.store(builder.fmul(signal, update), moved, mask)
        return context.get_dummy_value()

    return types.void(gates, I64, I64, I64, p, I64, h, I64, delta, dh, I64, dz, dp, sums, step, I64), generate


@stored
def _gru_backward(
    gates: Any, p: Any, h: Any, back: Any, delta: Any, dz: Any, dp: Any, dh: Any, db: Any, batch: Any, steps: Any,
    u: Any,
) -> None:  # fmt: skip
    wide, size, row = 3 * u, lanes(gates), _distance(3 * u, gates)
    sums, total, step = np.zeros(4 * u, gates.dtype), np.zeros(4 * u), scratch(batch * row, gates)
    for t in range(steps - 1, -1, -1):
        for b in range(batch):
            at, here, before = (b * steps + t) * wide, (b * steps + t) * u, (b * (steps + 1) + t) * u
            for o in range(0, u, size):
                _gru_slopes(
                    gates, at, u, o, p, here, h, before, delta, dh, b * u, dz, dp, sums, step, b * row
                )  # fmt: skip
        _add_sums(sums, total)
        add_product(step, 0, row, 1, wide, back, 0, u, dh, 0, u, batch, u)
    db[:] = total


# The kernels: they check the shapes, and leave arrays that are not ordinary to NumPy.


def _flat(*arrays: Array) -> tuple[Array, ...]:
    return tuple(array.reshape(-1) for array in arrays)


def _back(recurrent: Array) -> Array:
    """Rᵀ as a flat array."""
    return np.ascontiguousarray(recurrent.T).reshape(-1)


def rnn(z: Array, recurrent: Array, h: Array) -> None:
    plain.check_steps(1, (h,), (recurrent,), wide=(z,))
    if ordinary(z, recurrent, h):
        _rnn(*_flat(z, recurrent, h), *z.shape)
    else:
        plain.rnn(z, recurrent, h)


def rnn_backward(h: Array, recurrent: Array, delta: Array, dz: Array, dh: Array, db: Array | None = None) -> None:
    db = np.empty(dz.shape[-1:], dz.dtype) if db is None else db
    plain.check_steps(1, (h,), (recurrent,), steps=(delta, dz), rows=(dh,), sums=(db,))
    if ordinary(h, recurrent, delta, dz, dh, db):
        _rnn_backward(*_flat(h), _back(recurrent), *_flat(delta, dz, dh, db), *delta.shape)
    else:
        plain.rnn_backward(h, recurrent, delta, dz, dh, db)


def lstm(z: Array, recurrent: Array, h: Array, c: Array) -> None:
    plain.check_steps(4, (h, c), (recurrent,), wide=(z,))
    if ordinary(z, recurrent, h, c):
        _lstm(*_flat(z, recurrent, h, c), len(z), z.shape[1], h.shape[2])
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
        _lstm_backward(*_flat(gates, c), _back(recurrent), *_flat(delta, dz, dh, dc, db), *delta.shape)
    else:
        plain.lstm_backward(gates, c, recurrent, delta, dz, dh, dc, db)


def gru(z: Array, recurrent: Array, hidden_bias: Array, h: Array, product: Array) -> None:
    plain.check_steps(3, (h,), (recurrent, hidden_bias), wide=(z,), steps=(product,))
    if ordinary(z, recurrent, hidden_bias, h, product):
        _gru(*_flat(z, recurrent, hidden_bias, h, product), *product.shape)
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
        _gru_backward(*_flat(gates, product, h), _back(recurrent), *_flat(delta, dz, dp, dh, db), *delta.shape)
    else:
        plain.gru_backward(gates, product, h, recurrent, delta, dz, dp, dh, db)
