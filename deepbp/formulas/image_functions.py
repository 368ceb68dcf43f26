"""Functions of the formula language for images (B, H, W, C) and sequences (B, T, C), written as their definitions.

They share no code with the layers, which are compared with them, and add up all products at once, without regard to
time and memory. The arguments are those of the layers: a stride of 2 is a stride of 2 along each axis.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from deepbp.typing import Array

Pair = tuple[int, int]


def _each(value: Any, axes: int) -> list[Any]:
    """One value for each axis."""
    return list(value) if isinstance(value, tuple) and axes > 1 else [value] * axes


def _pads(padding: Any, size: int, reach: int, stride: int) -> Pair:
    """The zeros before and behind along an axis, for windows that reach so far."""
    if padding == "same":
        short = max((size + stride - 1) // stride * stride - stride + reach - size, 0)
        return short // 2, (short + 1) // 2
    named = {"valid": (0, 0), "causal": (reach - 1, 0)}
    if isinstance(padding, str):
        return named[padding]
    return padding if isinstance(padding, tuple) else (padding, padding)


def _inside(x: Array, pads: Sequence[Pair], shape: Sequence[int]) -> Array:
    """An array (B, …, C) without what was added around it."""
    kept = (slice(before, before + n) for n, (before, _) in zip(shape[1:-1], pads, strict=True))
    return np.asarray(x[(slice(None), *kept)])


class _Laid:
    """Windows of this size on an array (B, …, C)."""

    def __init__(self, shape: Sequence[int], size: Sequence[int], stride: Any, padding: Any, dilation: Any) -> None:
        axes = len(size)
        self.size, self.strides, self.dilations = size, _each(stride, axes), _each(dilation, axes)
        self.reach = [(k - 1) * d + 1 for k, d in zip(size, self.dilations, strict=True)]
        along = zip(_each(padding, axes), shape, self.reach, self.strides, strict=True)
        self.pads = [_pads(*axis) for axis in along]

    def of(self, x: Array, fill: float = 0.0) -> Array:
        """All windows, (B, …, C, K, …), in an array with this number around it."""
        around = np.pad(x, [(0, 0), *self.pads, (0, 0)], constant_values=fill)
        views = sliding_window_view(around, self.reach, axis=tuple(range(1, len(self.size) + 1)))
        places = [slice(None, None, s) for s in self.strides]
        inside = [slice(None, None, d) for d in self.dilations]
        return np.asarray(views[(slice(None), *places, slice(None), *inside)])

    def places(self, counts: Sequence[int], window: Sequence[int]) -> tuple[slice, ...]:
        """Where one number of the windows lies at all places."""
        steps = zip(counts, window, self.strides, self.dilations, strict=True)
        return tuple(slice(u * d, u * d + (n - 1) * s + 1, s) for n, u, s, d in steps)


def _by_groups(groups: int, run: Callable[[slice, slice], Array], inputs: int, outputs: int) -> Array:
    parts = [run(*(slice(g * n // groups, (g + 1) * n // groups) for n in (inputs, outputs))) for g in range(groups)]
    return np.concatenate(parts, axis=-1)


def correlate(x: Array, w: Array, stride: Any = 1, padding: Any = "valid", dilation: Any = 1, groups: int = 1) -> Array:
    """x ⋆ w: kernels (K, …, C / groups, O) on all windows."""
    axes = x.ndim - 2
    windows = _Laid(x.shape[1:-1], w.shape[:axes], stride, padding, dilation).of(x)
    window = list(range(axes + 1, 2 * axes + 2))  # the axes (C, K, …) that are summed over

    def one_group(c: slice, o: slice) -> Array:
        own = windows[(slice(None),) * (axes + 1) + (c,)]
        return np.tensordot(own, np.moveaxis(w[..., o], -2, 0), axes=(window, list(range(axes + 1))))

    return _by_groups(groups, one_group, x.shape[-1], w.shape[-1])


def correlate_samples(
    x: Array, delta: Array, w: Array, stride: Any = 1, padding: Any = "valid", dilation: Any = 1, groups: int = 1
) -> Array:
    """x ⋆ δ, added over the samples: for each number of the kernels w, the products of δ with what it was laid on."""
    axes = x.ndim - 2
    windows = _Laid(x.shape[1:-1], w.shape[:axes], stride, padding, dilation).of(x)
    over = list(range(axes + 1))  # samples and places

    def one_group(c: slice, o: slice) -> Array:
        own = windows[(slice(None),) * (axes + 1) + (c,)]
        return np.moveaxis(np.tensordot(own, delta[..., o], axes=(over, over)), 0, -2)

    return _by_groups(groups, one_group, x.shape[-1], delta.shape[-1])


def convolve(
    delta: Array,
    w: Array,
    shape: Sequence[int],
    stride: Any = 1,
    padding: Any = "valid",
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    """δ ∗ w, of this shape (B, …, C): each number of δ adds its kernel, times itself, to its window."""
    axes = delta.ndim - 2
    laid = _Laid(shape[1:-1], w.shape[:axes], stride, padding, dilation)
    sizes = [n + before + behind for n, (before, behind) in zip(shape[1:-1], laid.pads, strict=True)]

    def one_group(o: slice, c: slice) -> Array:
        around = np.zeros((len(delta), *sizes, w.shape[-2]))
        for window in product(*map(range, laid.size)):
            kernel = w[window][:, o]  # (C / groups, O / groups), at this place of a window
            around[(slice(None), *laid.places(delta.shape[1:-1], window))] += delta[..., o] @ kernel.T
        return around

    around = _by_groups(groups, one_group, w.shape[-1], w.shape[-2] * groups)
    return _inside(around, laid.pads, shape)


def window_max(x: Array, size: Any, stride: Any = None, padding: Any = "valid") -> Array:
    """The largest number of each window of each channel."""
    axes = x.ndim - 2
    laid = _Laid(x.shape[1:-1], _each(size, axes), size if stride is None else stride, padding, 1)
    return np.asarray(laid.of(x, -np.inf).max(axis=tuple(range(-axes, 0))))


def window_mean(x: Array, size: Any, stride: Any = None, padding: Any = "valid") -> Array:
    """The mean of each window of each channel; what lies outside of the image does not count."""
    axes = x.ndim - 2
    laid = _Laid(x.shape[1:-1], _each(size, axes), size if stride is None else stride, padding, 1)
    inside = tuple(range(-axes, 0))
    return np.asarray(laid.of(x).sum(axis=inside) / laid.of(np.ones_like(x)).sum(axis=inside))


def _spread(delta: Array, x: Array, laid: _Laid, share: Callable[[tuple[int, ...], Array], Array]) -> Array:
    """∂L/∂x, where each number of a window gets what ``share`` says for its place in the window."""
    sizes = [n + sum(pads) for n, pads in zip(x.shape[1:-1], laid.pads, strict=True)]
    around = np.zeros((len(x), *sizes, x.shape[-1]))
    for window in product(*map(range, laid.size)):
        around[(slice(None), *laid.places(delta.shape[1:-1], window))] += share(window, delta)
    return _inside(around, laid.pads, x.shape)


def to_winners(delta: Array, x: Array, size: Any, stride: Any = None, padding: Any = "valid") -> Array:
    """∂L/∂x of ``window_max``: each δ goes to the largest number of its window, the first of equal ones."""
    axes = x.ndim - 2
    laid = _Laid(x.shape[1:-1], _each(size, axes), size if stride is None else stride, padding, 1)
    windows = laid.of(x, -np.inf)
    winner = windows.reshape(*windows.shape[: axes + 2], -1).argmax(axis=-1)

    def share(window: tuple[int, ...], delta: Array) -> Array:
        return np.asarray(delta * (winner == np.ravel_multi_index(window, laid.size)))

    return _spread(delta, x, laid, share)


def to_windows(delta: Array, x: Array, size: Any, stride: Any = None, padding: Any = "valid") -> Array:
    """∂L/∂x of ``window_mean``: each number of a window gets an equal share of δ."""
    axes = x.ndim - 2
    laid = _Laid(x.shape[1:-1], _each(size, axes), size if stride is None else stride, padding, 1)
    counts = laid.of(np.ones_like(x)).sum(axis=tuple(range(-axes, 0)))
    return _spread(delta / counts, x, laid, lambda window, share: share)


def over_places(delta: Array, x: Array) -> Array:
    """∂L/∂x of the mean over all places: an equal share of δ at each."""
    places = x.shape[1:-1]
    share = delta / np.prod(places)
    return share.reshape(len(delta), *(1 for _ in places), x.shape[-1]) * np.ones((*places, 1))


def to_winner(delta: Array, x: Array) -> Array:
    """∂L/∂x of the largest number over all places, the first of equal ones."""
    flat = x.reshape(len(x), -1, x.shape[-1])
    places = np.arange(flat.shape[1])[:, None]
    return np.asarray((delta[:, None] * (places == flat.argmax(axis=1)[:, None])).reshape(x.shape))


def pad(x: Array, padding: Any) -> Array:
    """Zeros around images."""
    return np.pad(x, ((0, 0), *(_pads(one, 1, 1, 1) for one in _each(padding, 2)), (0, 0)))


def crop(delta: Array, padding: Any) -> Array:
    """Images without a border."""
    (above, below), (left, right) = (_pads(one, 1, 1, 1) for one in _each(padding, 2))
    return delta[:, above : delta.shape[1] - below, left : delta.shape[2] - right]


def upsample(x: Array, size: Any) -> Array:
    """Each number as a block of equal ones."""
    rows, columns = _each(size, 2)
    return np.kron(x, np.ones((1, rows, columns, 1)))


def block_sum(delta: Array, size: Any) -> Array:
    """Σ over blocks."""
    rows, columns = _each(size, 2)
    return np.asarray(sum(delta[:, u::rows, v::columns] for u in range(rows) for v in range(columns)))


IMAGE_FUNCTIONS: dict[str, Any] = {
    "block_sum": block_sum,
    "convolve": convolve,
    "correlate": correlate,
    "correlate_samples": correlate_samples,
    "crop": crop,
    "over_places": over_places,
    "pad": pad,
    "place_max": lambda e: e.max(axis=tuple(range(1, e.ndim - 1))),  # over all places of a sample
    "place_mean": lambda e: e.mean(axis=tuple(range(1, e.ndim - 1))),
    "to_windows": to_windows,
    "to_winner": to_winner,
    "to_winners": to_winners,
    "upsample": upsample,
    "window_max": window_max,
    "window_mean": window_mean,
}
