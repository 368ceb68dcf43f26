"""The kernels for sequences: the compiled form against NumPy's, in sizes that tiles and masks divide differently."""

import re
from typing import Any

import numpy as np
import pytest
from forms import fused, in_both_forms, needs_numba

from deepbp.errors import ShapeError
from deepbp.kernels import numpy_kernels as plain
from deepbp.typing import Array

DTYPES = [np.float32, np.float64]
SIZES = [(1, 1, 1), (3, 2, 7), (13, 3, 16), (27, 2, 33), (6, 2, 40), (0, 2, 3), (2, 0, 3)]  # samples, steps, units
GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def expect_close(found: Array, expected: Array, dtype: Any) -> None:
    assert found.dtype == expected.dtype
    size = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=float(64 * np.finfo(dtype).eps * size))


def forward_and_backward(form: Any, kind: str, batch: int, steps: int, units: int, dtype: Any) -> list[Array]:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(dtype)

    gates = GATES[kind]
    z, recurrent = draw(batch, steps, gates * units), draw(units, gates * units) / max(units, 1)
    states = [np.zeros((batch, steps + 1, units), dtype) for _ in range(2 if kind == "lstm" else 1)]
    for state in states:
        state[:, 0] = draw(batch, units)
    delta, dh = draw(batch, steps, units), np.zeros((batch, units), dtype)
    if kind == "rnn":
        form.rnn(z, recurrent, *states)
        dz = np.empty_like(z)
        form.rnn_backward(*states, recurrent, delta, dz, dh, db := np.empty(units, dtype))
        return [*states, dz, dh, db]
    dz, more, db = np.empty_like(z), np.zeros((batch, units), dtype), np.empty(4 * units, dtype)
    if kind == "lstm":
        form.lstm(z, recurrent, *states)
        form.lstm_backward(z, states[1], recurrent, delta, dz, dh, more, db)
        return [z, *states, dz, dh, more, db]
    product, dp = np.empty((batch, steps, units), dtype), np.empty_like(z)
    form.gru(z, recurrent, draw(units), *states, product)
    form.gru_backward(z, product, *states, recurrent, delta, dz, dp, dh, db)
    return [z, *states, product, dz, dp, dh, db]


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize(("batch", "steps", "units"), SIZES)
def test_recurrences_agree(kind: str, batch: int, steps: int, units: int, dtype: Any) -> None:
    found = forward_and_backward(fused, kind, batch, steps, units, dtype)
    expected = forward_and_backward(plain, kind, batch, steps, units, dtype)
    for one, other in zip(found, expected, strict=True):
        expect_close(one, other, dtype)


@needs_numba
@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("sizes", SIZES)
def test_steps_in_tiles_and_by_rows_agree(
    kind: str, sizes: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor uses one of both; this one can compute both."""
    from deepbp.kernels import numba_recurrence, numba_steps

    found = []
    for forms in (numba_steps.TILES, numba_steps.ROWS):
        for name, form in zip(("lstm_steps", "gru_steps"), forms, strict=True):
            monkeypatch.setattr(numba_recurrence, name, form)
        found.append(forward_and_backward(fused, kind, *sizes, np.float64))
    for one, other in zip(*found, strict=True):
        expect_close(one, other, np.float64)


@needs_numba
def test_tiles_stay_in_registers() -> None:
    """LLVM would compute two turns of a tile's loop at once, for which there are too few registers."""
    from deepbp.kernels.numba_math import inner
    from deepbp.kernels.numba_product import HEIGHTS, add_product

    @inner
    def add(a: Any, length: Any, b: Any, y: Any, rows: Any, columns: Any) -> None:
        add_product(a, 0, length, 1, length, b, 0, columns, y, 0, columns, rows, columns)

    a, y = np.ones(2 * 5), np.zeros(128)
    add(a, 5, np.ones(5 * 64), y, 2, 64)
    assert (y == 5).all()
    (code,) = add.inspect_llvm().values()
    assert "llvm.loop.unroll.disable" in code
    assert len(re.findall(r" (?:tail )?call .*@llvm\.fma|fmul ", code)) == 3 * sum(HEIGHTS)  # two vectors, or one


@in_both_forms
def test_large_numbers_saturate_gates_and_nan_stays(form: Any) -> None:
    z = np.array([[[1e4], [-1e4], [0.0], [np.nan]]])
    h = np.zeros((1, 5, 1))
    form.rnn(z, np.zeros((1, 1)), h)
    np.testing.assert_array_equal(h[0, 1:, 0], [1, -1, 0, np.nan])
    gates, h, c = np.array([[[1e4, -1e4, 1e4, -1e4]]]), np.zeros((1, 2, 1)), np.ones((1, 2, 1))
    form.lstm(gates, np.zeros((1, 4)), h, c)
    np.testing.assert_allclose(gates[0, 0], [1, 0, 1, 0], atol=1e-300)
    assert c[0, 1, 0] == 1


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_compiled_curves_keep_their_digits(dtype: Any) -> None:
    """σ and tanh inside the LSTM, relative to their own size, down to where σ is no more a normal number."""
    x = np.concatenate([np.linspace(-80, 80, 801), 10.0 ** np.linspace(-7, 0, 50)]).astype(dtype)
    z, h, c = np.zeros((len(x), 1, 4), dtype), np.zeros((len(x), 2, 1), dtype), np.zeros((len(x), 2, 1), dtype)
    z[:, 0, 0], z[:, 0, 2] = x, x
    fused.lstm(z, np.zeros((1, 4), dtype), h, c)
    exact = x.astype(np.longdouble)
    e = np.exp(-np.abs(exact))
    np.testing.assert_allclose(z[:, 0, 0], np.where(exact < 0, e, 1) / (1 + e), rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(z[:, 0, 2], np.tanh(exact), rtol=4 * np.finfo(dtype).eps)


@in_both_forms
def test_arrays_that_do_not_fit_together_are_refused(form: Any) -> None:
    h, z, r = np.zeros((2, 4, 3)), np.zeros((2, 3, 12)), np.zeros((3, 12))
    for wrong in (
        (z[:, :2], r, h, h),
        (z, r[:, :11], h, h),
        (z[:1], r, h, h),
        (z, r, h, h[:, :3]),
        (z, r, h[0], h[0]),
        (z[..., :9], r, h, h),
        (z, r[:, 0], h, h),
    ):
        with pytest.raises(ShapeError, match="expected arrays of sequences that fit together"):
            form.lstm(*wrong)
    with pytest.raises(ShapeError, match="expected arrays of sequences that fit together"):
        form.gru(z[..., :9], r[:, :9], np.zeros(2), h, np.zeros((2, 3, 3)))
    q, kv, lengths = np.zeros((2, 3, 4)), np.zeros((2, 5, 8)), np.array([5, 2])
    for bad in (
        (q, kv, lengths[:1], 4, 2, False),
        (q, kv, np.array([5, 6]), 4, 2, False),
        (q, kv, np.array([5, -1]), 4, 2, False),
        (q, kv, lengths, 4, 3, False),
        (q, kv[..., :7], lengths, 4, 2, False),
        (q[:1], kv, lengths, 4, 2, False),
    ):
        with pytest.raises(ShapeError, match="expected arrays of sequences that fit together"):
            form.attention(*bad)


@in_both_forms
@pytest.mark.parametrize("layout", ["strided", "read-only", "other dtype"])
def test_arrays_in_any_layout(form: Any, layout: str) -> None:
    rng = np.random.default_rng(0)
    z, recurrent = rng.standard_normal((3, 4, 5)), rng.standard_normal((5, 5))
    h, expected = np.zeros((3, 5, 5)), np.zeros((3, 5, 5))
    form.rnn(z, recurrent, expected)
    given = np.repeat(z, 2, axis=2)[..., ::2] if layout == "strided" else z.copy()
    if layout == "read-only":
        given.flags.writeable = False
    if layout == "other dtype":
        given = z.astype(">f8")
    form.rnn(given, recurrent, h)
    np.testing.assert_allclose(h, expected, rtol=0, atol=1e-14)


ATTENTION = [  # samples, queries, keys, width, heads, causal
    (1, 1, 1, 1, 1, True),
    (2, 5, 5, 6, 3, True),
    (3, 7, 7, 8, 2, False),
    (2, 50, 50, 33, 1, True),
    (2, 101, 101, 4, 2, True),
    (2, 3, 60, 10, 2, False),
    (1, 250, 250, 4, 2, True),  # several blocks of keys and of queries
    (2, 245, 70, 6, 3, False),
    (0, 3, 3, 4, 2, False),
]


def attend(form: Any, sizes: Any, dtype: Any) -> list[Array]:
    b, t, s, width, heads, causal = sizes
    rng = np.random.default_rng(1)
    if t == s:
        q = kv = rng.standard_normal((b, t, 3 * width)).astype(dtype)
        dq = dkv = np.zeros_like(q)
    else:
        q, kv = (rng.standard_normal((b, n, w)).astype(dtype) for n, w in ((t, width), (s, 2 * width)))
        dq, dkv = np.zeros_like(q), np.zeros_like(kv)
    lengths = np.array([s, max(s - 3, 0), 1][:b])
    delta = rng.standard_normal((b, t, width)).astype(dtype)
    y, logs = form.attention(q, kv, lengths, width, heads, causal)
    form.attention_backward(q, kv, lengths, width, heads, causal, y, logs, delta, dq, dkv)
    return [y, dq, dkv]


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", ATTENTION)
def test_attention_agrees(sizes: Any, dtype: Any) -> None:
    for one, other in zip(attend(fused, sizes, dtype), attend(plain, sizes, dtype), strict=True):
        expect_close(one, other, dtype)


@in_both_forms
def test_queries_without_keys_give_zeros(form: Any) -> None:
    q, kv = np.ones((2, 3, 4)), np.ones((2, 2, 8))
    lengths = np.array([2, 0])
    y, logs = form.attention(q, kv, lengths, 4, 2, False)
    assert y[0].all()
    assert not y[1].any()
    dq, dkv = np.zeros_like(q), np.zeros_like(kv)
    form.attention_backward(q, kv, lengths, 4, 2, False, y, logs, np.ones_like(y), dq, dkv)
    assert not dq[1].any()
    assert not dkv[1].any()
