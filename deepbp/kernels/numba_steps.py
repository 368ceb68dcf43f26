"""The compiled recurrences, forward: the states of all steps, and the gates in place of what the inputs give.

Where there are 32 registers, a tile is some samples by one vector of units, with all their gates: the product hₜ₋₁ R is
summed in registers, and the gates are made of the sums before they ever reach the memory. With 16, few sums stay in
registers, and a vector is less than a line of the cache. There, the product of one step is made first, in tiles of its
own, and then the gates, one sample after the other, of numbers that lie side by side.
"""

from typing import Any

import numpy as np
from numba import types

from deepbp.kernels.numba_lanes import intrinsic
from deepbp.kernels.numba_math import inner, stored
from deepbp.kernels.numba_product import in_panels, product_of_panels
from deepbp.kernels.numba_vectors import I64, MANY, Vectors, lanes, scratch

# In tiles.


@inner
def _packed(r: Any, u: Any, gates: Any) -> Any:
    """R with the columns that one tile reads side by side, for each vector of units: (vectors, U, gates, lanes).

    The panel of a tile stays in the nearest cache, where columns that lie a row of R apart would not.
    """
    size, flat = lanes(r), r.reshape(-1)
    out = np.zeros((u + size - 1) // size * size * u * gates, r.dtype)
    for o in range(0, u, size):
        for q in range(u):
            for gate in range(gates):
                to, at = ((o // size * u + q) * gates + gate) * size, (q * gates + gate) * u + o
                for k in range(min(size, u - o)):
                    out[to + k] = flat[at + k]
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
def rnn_steps(z: Any, r: Any, h: Any, batch: Any, steps: Any, u: Any) -> None:
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


def _write_lstm(v: Vectors, sums: Any, gates: Any, c: Any, u: Any, mask: Any) -> tuple[Any, Any]:
    """The gates of their sums, and the state cₜ behind cₜ₋₁; returns cₜ and the output gate."""
    i, f, g, out = sums
    i, f, g, out = v.sigmoid(i), v.sigmoid(f), v.tanh(g), v.sigmoid(out)
    for gate, target in zip((i, f, g, out), gates, strict=True):
        v.store(gate, target, mask)
    new = v.fma(f, v.load(c, mask), v.builder.fmul(i, g))
    v.store(new, v.at(c, u), mask)
    return new, out


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
                state, gates = v.at(v.array(7, h_at), v.times(m, h_row), o), [v.at(inputs[m], at) for at in blocks]
                new, out = _write_lstm(v, map(builder.load, sums[m]), gates, state, u, mask)
                v.store(builder.fmul(out, v.tanh(new)), v.at(before[m], o, u), mask)
            return context.get_dummy_value()

        return types.void(z, I64, I64, r, I64, I64, h, c, I64, I64), generate

    return tile


LSTM_ROWS = 4
_lstm_tall, _lstm_one = _lstm_tile(LSTM_ROWS), _lstm_tile(1)


@stored
def lstm_in_tiles(z: Any, r: Any, h: Any, c: Any, batch: Any, steps: Any, u: Any) -> None:
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


def _write_gru(v: Vectors, sums: Any, gates: Any, p: Any, h: Any, mask: Any) -> Any:
    """The gates and the product pₜ, of their sums; returns hₜ."""
    reset, update, product = sums
    reset, update = v.sigmoid(reset), v.sigmoid(update)
    new = v.tanh(v.fma(reset, product, v.load(gates[2], mask)))
    for gate, target in zip((reset, update, new, product), (*gates, p), strict=True):
        v.store(gate, target, mask)
    return v.fma(update, v.builder.fsub(v.load(h, mask), new), new)


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
                product, state = v.at(v.array(10, p_at), v.times(m, p_row), o), v.at(before[m], o)
                gates = [v.at(inputs[m], block) for block in blocks]
                after = _write_gru(v, map(builder.load, sums[m]), gates, product, state, mask)
                v.store(after, v.at(state, u), mask)
            return context.get_dummy_value()

        return types.void(z, I64, I64, r, I64, I64, h, I64, I64, bias, p, I64, I64), generate

    return tile


GRU_ROWS = 8
_gru_tall, _gru_one = _gru_tile(GRU_ROWS), _gru_tile(1)


@stored
def gru_in_tiles(z: Any, r: Any, bias: Any, h: Any, p: Any, batch: Any, steps: Any, u: Any) -> None:
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


# By rows.


@inner
def distance(wide: Any, like: Any) -> Any:
    """The distance of the rows of one step, side by side for the product with R or Rᵀ.

    In arrays (B, T, …), the rows of one step are often a multiple of 4 kB apart, and a cache keeps few of those.
    """
    return (wide + lanes(like) - 1) // lanes(like) * lanes(like) + lanes(like)


@inner
def _first(h: Any, batch: Any, u: Any, row: Any) -> Any:
    """h₀ of all samples."""
    out = scratch(batch * row, h)
    for b in range(batch):
        for k in range(u):
            out[b * row + k] = h[b, 0, k]
    return out


@intrinsic
def _lstm_row(
    context: Any, z: Any, z_at: Any, u: Any, sums: Any, at: Any, h: Any, c: Any, h_at: Any, state: Any, place: Any
) -> Any:
    """The gates of one sample in place of z, and c and h one step on, from hₜ₋₁ R; h also among those of this step."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, z_at, u, _, at, _, _, h_at, _, place = arguments

        def write(o: Any, mask: Any) -> None:
            blocks = [v.plus(o, v.times(gate, u)) for gate in range(4)]
            gates = [v.at(v.array(0, z_at), block) for block in blocks]
            products = [v.load(v.at(v.array(3, at), block), mask) for block in blocks]
            sums = [builder.fadd(v.load(one, mask), own) for one, own in zip(gates, products, strict=True)]
            _write_lstm(v, sums, gates, v.at(v.array(6, h_at), o), u, mask)

        def squash(o: Any, mask: Any) -> None:
            out = v.load(v.at(v.array(0, z_at), v.times(3, u), o), mask)
            new = builder.fmul(out, v.tanh(v.load(v.at(v.array(6, h_at), u, o), mask)))
            for target in (v.at(v.array(5, h_at), u, o), v.array(8, v.plus(place, o))):
                v.store(new, target, mask)

        v.over(u, write)
        v.over(u, squash)  # apart: all vectors wait for fewer operations before their own
        return context.get_dummy_value()

    return types.void(z, I64, I64, sums, I64, h, c, I64, state, I64), generate


@stored
def lstm_by_rows(z: Any, r: Any, h: Any, c: Any, batch: Any, steps: Any, u: Any) -> None:
    wide, row, panels = distance(4 * u, z), distance(u, z), in_panels(r, 4 * u, 1, u, 4 * u)
    sums, state = scratch(batch * wide, z), _first(h, batch, u, row)
    for t in range(steps):
        product_of_panels(state, row, u, panels, sums, wide, batch, 4 * u, False)
        for b in range(batch):
            z_at, h_at = (b * steps + t) * 4 * u, (b * (steps + 1) + t) * u
            _lstm_row(z, z_at, u, sums, b * wide, h, c, h_at, state, b * row)


@intrinsic
def _gru_row(
    context: Any, z: Any, z_at: Any, u: Any, sums: Any, at: Any, h: Any, h_at: Any, bias: Any, p: Any, p_at: Any,
    state: Any, place: Any,
) -> Any:  # fmt: skip
    """The gates of one sample in place of z, pₜ, and h one step on, from hₜ₋₁ R; h also among those of this step."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, z_at, u, _, at, _, h_at, _, _, p_at, _, place = arguments

        def write(o: Any, mask: Any) -> None:
            blocks = [v.plus(o, v.times(gate, u)) for gate in range(3)]
            gates = [v.at(v.array(0, z_at), block) for block in blocks]
            products = [v.load(v.at(v.array(3, at), block), mask) for block in blocks]
            given = [*(v.load(gate, mask) for gate in gates[:2]), v.load(v.array(7, o), mask)]
            sums = [builder.fadd(one, own) for one, own in zip(given, products, strict=True)]
            reset, update = v.sigmoid(sums[0]), v.sigmoid(sums[1])
            candidate = v.fma(reset, sums[2], v.load(gates[2], mask))
            targets = (*gates, v.at(v.array(8, p_at), o))
            for value, target in zip((reset, update, candidate, sums[2]), targets, strict=True):
                v.store(value, target, mask)

        def blend(o: Any, mask: Any) -> None:
            update, new = (v.at(v.array(0, z_at), v.times(gate, u), o) for gate in (1, 2))
            before, value = v.at(v.array(5, h_at), o), v.tanh(v.load(new, mask))
            v.store(value, new, mask)
            after = v.fma(v.load(update, mask), builder.fsub(v.load(before, mask), value), value)
            for target in (v.at(before, u), v.array(10, v.plus(place, o))):
                v.store(after, target, mask)

        v.over(u, write)
        v.over(u, blend)
        return context.get_dummy_value()

    return types.void(z, I64, I64, sums, I64, h, I64, bias, p, I64, state, I64), generate


@stored
def gru_by_rows(z: Any, r: Any, bias: Any, h: Any, p: Any, batch: Any, steps: Any, u: Any) -> None:
    wide, row, panels = distance(3 * u, z), distance(u, z), in_panels(r, 3 * u, 1, u, 3 * u)
    sums, state = scratch(batch * wide, z), _first(h, batch, u, row)
    for t in range(steps):
        product_of_panels(state, row, u, panels, sums, wide, batch, 3 * u, False)
        for b in range(batch):
            z_at, h_at, p_at = (b * steps + t) * 3 * u, (b * (steps + 1) + t) * u, (b * steps + t) * u
            _gru_row(z, z_at, u, sums, b * wide, h, h_at, bias, p, p_at, state, b * row)


TILES, ROWS = (lstm_in_tiles, gru_in_tiles), (lstm_by_rows, gru_by_rows)
lstm_steps, gru_steps = TILES if MANY else ROWS
