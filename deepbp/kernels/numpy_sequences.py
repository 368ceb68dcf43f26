"""The NumPy form of the kernels for sequences: recurrences, one step after the other, and attention.

Arrays are (B, T, …): samples, steps, features. U is the number of units. A recurrence keeps its states h as (B, T + 1,
U), with the state before the first step in ``h[:, 0]``, so that hₜ₋₁ and hₜ are two views of one array. The products
with the inputs, x W + b, come ready in ``z``, one product for all steps.
"""

from math import sqrt

import numpy as np

from deepbp.errors import ShapeError
from deepbp.kernels.blocks import NOT_STEPS
from deepbp.kernels.numpy_product import column_sum
from deepbp.typing import Array


def check_steps(gates: int, states: tuple[Array, ...], weights: tuple[Array, ...], **arrays: tuple[Array, ...]) -> None:
    """Raise ShapeError unless the arrays of a recurrence fit together.

    Args:
        gates: G, the number of gates.
        states: h, and others of its shape (B, T + 1, U); the first one determines the sizes.
        weights: R (U, G·U), and, if there is one, a bias (U,).
        arrays: by kind: ``wide``, tuples of arrays (B, T, G·U); ``steps`` of (B, T, U); ``rows`` of (B, U); ``sums`` of
            (G·U,), and ``all_sums`` of ((G + 1)·U,).
    """
    shape = states[0].shape if states[0].ndim == 3 else (0, 0, 0)
    batch, steps, units = shape[0], shape[1] - 1, shape[2]
    expected: dict[str, tuple[int, ...]] = {
        "wide": (batch, steps, gates * units),
        "steps": (batch, steps, units),
        "rows": (batch, units),
        "sums": (gates * units,),
        "all_sums": ((gates + 1) * units,),
        "states": shape,
    }
    fits = (
        steps >= 0
        and weights[0].shape == (units, gates * units)
        and all(bias.shape == (units,) for bias in weights[1:])
    )
    for kind, each in {"states": states, **arrays}.items():
        for array in each:  # no generator: this is called in every step
            fits = fits and array.shape == expected[kind]
    if not fits:
        every = (*states, *weights, *(array for each in arrays.values() for array in each))
        raise ShapeError(NOT_STEPS, ", ".join(str(array.shape) for array in every))


def _feature_sum(signals: Array) -> Array:
    """Σ over samples and steps."""
    return column_sum(signals.reshape(signals.shape[0] * signals.shape[1], signals.shape[2]))


def _sigmoid(z: Array) -> Array:
    e = np.exp(np.copysign(z, -1))
    return np.asarray(np.where(z < 0, e, 1) / (1 + e))


def rnn(z: Array, recurrent: Array, h: Array) -> None:
    """hₜ = tanh(zₜ + hₜ₋₁ R), for all steps, in place.

    >>> import numpy as np
    >>> from deepbp.kernels import rnn
    >>> h = np.zeros((1, 3, 1))  # h₀ and two steps
    >>> rnn(np.ones((1, 2, 1)), np.array([[1.0]]), h)
    >>> h.round(3).ravel()
    array([0.   , 0.762, 0.943])
    """
    check_steps(1, (h,), (recurrent,), wide=(z,))
    for t in range(z.shape[1]):
        np.tanh(z[:, t] + h[:, t].dot(recurrent), out=h[:, t + 1])


def rnn_backward(h: Array, recurrent: Array, delta: Array, dz: Array, dh: Array, db: Array | None = None) -> None:
    """∂L/∂zₜ = (∂L/∂hₜ + ∂L/∂zₜ₊₁ Rᵀ) · (1 − hₜ²), from the last step to the first, in place.

    ``delta`` is ∂L/∂hₜ from outside the recurrence. ``dh`` begins as zeros and ends as ∂L/∂h₀. ``db`` (U,), if
    it is given, becomes the sum of ∂L/∂z over samples and steps.

    >>> import numpy as np
    >>> from deepbp.kernels import rnn_backward
    >>> h, dz = np.zeros((1, 3, 1)), np.zeros((1, 2, 1))
    >>> db = np.zeros(1)
    >>> rnn_backward(h, np.array([[0.5]]), np.ones((1, 2, 1)), dz, np.zeros((1, 1)), db)
    >>> dz.ravel(), db
    (array([1.5, 1. ]), array([2.5]))
    """
    db = np.empty(dz.shape[-1:], dz.dtype) if db is None else db
    check_steps(1, (h,), (recurrent,), steps=(delta, dz), rows=(dh,), sums=(db,))
    for t in reversed(range(delta.shape[1])):
        dz[:, t] = (dh + delta[:, t]) * (1 - h[:, t + 1] * h[:, t + 1])
        dh[...] = dz[:, t].dot(recurrent.T)  # moved by one step in time
    db[...] = _feature_sum(dz)


def lstm(z: Array, recurrent: Array, h: Array, c: Array) -> None:
    """i, f, o = σ(zₜ + hₜ₋₁ R), g = tanh(zₜ + hₜ₋₁ R); cₜ = f cₜ₋₁ + i g; hₜ = o tanh cₜ.

    In place: z (B, T, 4U) becomes the gates, side by side in the order i, f, g, o.

    >>> import numpy as np
    >>> from deepbp.kernels import lstm
    >>> z, h, c = np.zeros((1, 1, 4)), np.zeros((1, 2, 1)), np.array([[[4.0], [0.0]]])
    >>> lstm(z, np.zeros((1, 4)), h, c)  # all gates are ½, and g is 0
    >>> c.ravel(), h.round(3).ravel()
    (array([4., 2.]), array([0.   , 0.482]))
    """
    check_steps(4, (h, c), (recurrent,), wide=(z,))
    units = h.shape[2]
    for t in range(z.shape[1]):
        gates = z[:, t]
        gates += h[:, t].dot(recurrent)
        gates[:, : 2 * units] = _sigmoid(gates[:, : 2 * units])
        np.tanh(gates[:, 2 * units : 3 * units], out=gates[:, 2 * units : 3 * units])
        gates[:, 3 * units :] = _sigmoid(gates[:, 3 * units :])
        i, f, g, o = (gates[:, k * units : (k + 1) * units] for k in range(4))
        c[:, t + 1] = f * c[:, t] + i * g
        h[:, t + 1] = o * np.tanh(c[:, t + 1])


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
    """The chain rule through hₜ, cₜ and the gates, from the last step to the first, in place.

    ``dz`` becomes ∂L/∂z, and ``db`` (4U,), if it is given, its sum; ``dh`` and ``dc`` begin as zeros and end as
    ∂L/∂h₀ and ∂L/∂c₀.

    >>> import numpy as np
    >>> from deepbp.kernels import lstm_backward
    >>> gates, c = np.array([[[0.5, 0.5, 0.0, 0.5]]]), np.zeros((1, 2, 1))
    >>> dz, dh, dc = np.zeros((1, 1, 4)), np.zeros((1, 1)), np.zeros((1, 1))
    >>> lstm_backward(gates, c, np.zeros((1, 4)), np.ones((1, 1, 1)), dz, dh, dc, np.zeros(4))
    >>> dz.ravel(), dc
    (array([0.  , 0.  , 0.25, 0.  ]), array([[0.25]]))
    """
    db = np.empty(dz.shape[-1:], dz.dtype) if db is None else db
    check_steps(4, (c,), (recurrent,), wide=(gates, dz), steps=(delta,), rows=(dh, dc), sums=(db,))
    units = c.shape[2]
    for t in reversed(range(delta.shape[1])):
        i, f, g, o = (gates[:, t, k * units : (k + 1) * units] for k in range(4))
        di, df, dg, do = (dz[:, t, k * units : (k + 1) * units] for k in range(4))
        squashed = np.tanh(c[:, t + 1])
        dh += delta[:, t]
        dc += dh * o * (1 - squashed * squashed)
        di[...] = dc * g * i * (1 - i)
        df[...] = dc * c[:, t] * f * (1 - f)
        dg[...] = dc * i * (1 - g * g)
        do[...] = dh * squashed * o * (1 - o)
        dc *= f
        dh[...] = dz[:, t].dot(recurrent.T)  # moved by one step in time
    db[...] = _feature_sum(dz)


def gru(z: Array, recurrent: Array, hidden_bias: Array, h: Array, product: Array) -> None:
    """r, u = σ(zₜ + hₜ₋₁ R); pₜ = hₜ₋₁ Rₙ + b₂; n = tanh(zₜ + r · pₜ); hₜ = (1 − u) n + u hₜ₋₁.

    In place: z (B, T, 3U) becomes the gates r, u (the update gate), n, side by side; ``product`` becomes pₜ.

    >>> import numpy as np
    >>> from deepbp.kernels import gru
    >>> z, h, product = np.zeros((1, 1, 3)), np.array([[[4.0], [0.0]]]), np.zeros((1, 1, 1))
    >>> gru(z, np.zeros((1, 3)), np.zeros(1), h, product)  # all gates are ½, and n is 0
    >>> h.ravel(), z.ravel()
    (array([4., 2.]), array([0.5, 0.5, 0. ]))
    """
    check_steps(3, (h,), (recurrent, hidden_bias), wide=(z,), steps=(product,))
    units = h.shape[2]
    for t in range(z.shape[1]):
        gates, moved = z[:, t], h[:, t].dot(recurrent)
        np.add(moved[:, 2 * units :], hidden_bias, out=product[:, t])
        gates[:, : 2 * units] = _sigmoid(gates[:, : 2 * units] + moved[:, : 2 * units])
        reset, update, new = (gates[:, k * units : (k + 1) * units] for k in range(3))
        new += reset * product[:, t]
        np.tanh(new, out=new)
        h[:, t + 1] = new + update * (h[:, t] - new)


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
    """The chain rule through hₜ and the gates, from the last step to the first, in place.

    ``dz`` becomes ∂L/∂(x W + b), ``dp`` ∂L/∂(h R + b₂), which differs in the last third, since r stands between; ``dh``
    begins as zeros and ends as ∂L/∂h₀. ``db`` (4U,), if it is given, becomes the sums of ``dz``,
    and behind them, of the last third of ``dp``.

    >>> import numpy as np
    >>> from deepbp.kernels import gru_backward
    >>> gates, product, h = np.array([[[0.5, 0.5, 0.0]]]), np.zeros((1, 1, 1)), np.array([[[4.0], [2.0]]])
    >>> dz, dp, dh, db = np.zeros((1, 1, 3)), np.zeros((1, 1, 3)), np.zeros((1, 1)), np.zeros(4)
    >>> gru_backward(gates, product, h, np.zeros((1, 3)), np.ones((1, 1, 1)), dz, dp, dh, db)
    >>> dz.ravel(), dp.ravel(), dh
    (array([0. , 1. , 0.5]), array([0.  , 1.  , 0.25]), array([[0.5]]))
    """
    steps = {"wide": (gates, dz, dp), "steps": (product, delta)}
    db = np.empty(dz.shape[-1] + h.shape[-1], dz.dtype) if db is None else db
    check_steps(3, (h,), (recurrent,), **steps, rows=(dh,), all_sums=(db,))
    units = h.shape[2]
    for t in reversed(range(delta.shape[1])):
        reset, update, new = (gates[:, t, k * units : (k + 1) * units] for k in range(3))
        dr, du, dn = (dz[:, t, k * units : (k + 1) * units] for k in range(3))
        dh += delta[:, t]
        dn[...] = dh * (1 - update) * (1 - new * new)
        du[...] = dh * (h[:, t] - new) * update * (1 - update)
        dr[...] = dn * product[:, t] * reset * (1 - reset)
        dp[:, t, : 2 * units] = dz[:, t, : 2 * units]
        np.multiply(dn, reset, out=dp[:, t, 2 * units :])
        dh *= update
        dh += dp[:, t].dot(recurrent.T)  # moved by one step in time
    db[: 3 * units] = _feature_sum(dz)
    db[3 * units :] = _feature_sum(dp[:, :, 2 * units :])


def check_attention(q: Array, kv: Array, lengths: Array, width: int, heads: int, *others: Array) -> None:
    """Raise ShapeError unless queries (B, T, ≥ F), keys and values (B, S, ≥ 2F) and lengths (B,) fit together."""
    fits = q.ndim == kv.ndim == 3 and len(q) == len(kv) and lengths.shape == (len(q),)
    fits = fits and 0 < heads <= width and width % heads == 0 and q.shape[2] >= width and kv.shape[2] >= 2 * width
    fits = fits and (not lengths.size or (lengths.min() >= 0 and lengths.max() <= kv.shape[1]))
    if fits and others:
        y, logs, delta = others[:3]
        fits = y.shape == delta.shape == (*q.shape[:2], width) and logs.shape == (len(q), heads, q.shape[1])
        fits = fits and all(one.shape == other.shape for one, other in zip(others[3:], (q, kv), strict=False))
    if not fits:
        shapes = ", ".join(str(array.shape) for array in (q, kv, lengths, *others))
        raise ShapeError(NOT_STEPS, f"{shapes}, for {heads} heads of {width} features")


def _heads(array: Array, start: int, width: int, heads: int) -> Array:
    """Columns ``start`` to ``start + width`` as (B, H, T, D)."""
    batch, steps, _ = array.shape
    return array[:, :, start : start + width].reshape(batch, steps, heads, width // heads).swapaxes(1, 2)


def _scores(q: Array, k: Array, lengths: Array, causal: bool) -> Array:
    """q kᵀ / √D, and −∞ where a query may not look: behind the end, and, if causal, at later steps."""
    scores = q @ k.swapaxes(-1, -2)
    scores /= q.dtype.type(sqrt(q.shape[-1]))
    steps, seen = scores.shape[-2:]
    if (lengths < seen).any():
        scores[np.broadcast_to((np.arange(seen) >= lengths[:, None])[:, None, None], scores.shape)] = -np.inf
    if causal:
        scores[..., np.arange(seen) > np.arange(steps)[:, None]] = -np.inf
    return np.asarray(scores)


def attention(q: Array, kv: Array, lengths: Array, width: int, heads: int, causal: bool) -> tuple[Array, Array]:
    """y = softmax(q kᵀ / √D) v for each sample and head, side by side (B, T, F); and ln Σ eˢ of each row (B, H, T).

    The queries are the first F = ``width`` columns of q, the keys and values the last 2F of kv, so that both may be one
    array [q, k, v]. Queries look at the first ``lengths[b]`` keys of their sample; where there are none, y is 0.

    >>> import numpy as np
    >>> from deepbp.kernels import attention
    >>> q, kv = np.zeros((1, 2, 1)), np.array([[[0.0, 2.0], [0.0, 4.0]]])  # keys, values
    >>> y, logs = attention(q, kv, np.array([2]), 1, 1, True)
    >>> y.ravel(), logs.round(3)
    (array([2., 3.]), array([[[0.   , 0.693]]]))
    """
    check_attention(q, kv, lengths, width, heads)
    start = kv.shape[2] - 2 * width
    scores = _scores(_heads(q, 0, width, heads), _heads(kv, start, width, heads), lengths, causal)
    if not scores.shape[-1]:
        return np.zeros((*q.shape[:2], width), q.dtype), np.zeros((len(q), heads, q.shape[1]), q.dtype)
    largest = scores.max(axis=-1, keepdims=True)
    largest[np.isneginf(largest)] = 0  # of a row without keys
    scores -= largest
    np.exp(scores, out=scores)
    total = scores.sum(axis=-1, keepdims=True)
    total[total == 0] = 1
    scores /= total
    y = scores @ _heads(kv, start + width, width, heads)
    logs = (largest + np.log(total))[..., 0]
    return np.ascontiguousarray(y.swapaxes(1, 2)).reshape(*q.shape[:2], width), np.ascontiguousarray(logs)


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
    """Add ∂L/∂q and ∂L/∂[k, v] to dq and dkv, in place: with A = softmax(q kᵀ / √D), made again from ln Σ eˢ,

    ∂L/∂v = Aᵀ δ;  S = A · (δ vᵀ − Σⱼ A · δ vᵀ) / √D;  ∂L/∂q = S k;  ∂L/∂k = Sᵀ q.

    The sum along a row of A · δ vᵀ is δ yᵀ.

    >>> import numpy as np
    >>> from deepbp.kernels import attention, attention_backward
    >>> q, kv = np.zeros((1, 2, 1)), np.array([[[0.0, 2.0], [0.0, 4.0]]])
    >>> shared = q, kv, np.array([2]), 1, 1, True
    >>> dq, dkv = np.zeros((1, 2, 1)), np.zeros((1, 2, 2))
    >>> attention_backward(*shared, *attention(*shared), np.ones((1, 2, 1)), dq, dkv)
    >>> dkv[0]
    array([[0. , 1.5],
           [0. , 0.5]])
    """
    check_attention(q, kv, lengths, width, heads, y, logs, delta, dq, dkv)
    start = kv.shape[2] - 2 * width
    queries, deltas, outputs = (_heads(array, 0, width, heads) for array in (q, delta, y))
    keys, values = _heads(kv, start, width, heads), _heads(kv, start + width, width, heads)
    weights = _scores(queries, keys, lengths, causal)
    weights -= logs[..., None]
    np.exp(np.minimum(weights, 0, out=weights), out=weights)  # above 0 by a rounding alone
    slopes = deltas @ values.swapaxes(-1, -2)
    slopes -= (deltas * outputs).sum(axis=-1, keepdims=True)
    slopes *= weights
    slopes /= q.dtype.type(sqrt(width // heads))
    for into, first, share in (
        (dq, 0, slopes @ keys),
        (dkv, start, slopes.swapaxes(-1, -2) @ queries),
        (dkv, start + width, weights.swapaxes(-1, -2) @ deltas),
    ):
        into[:, :, first : first + width] += share.swapaxes(1, 2).reshape(*into.shape[:2], width)
