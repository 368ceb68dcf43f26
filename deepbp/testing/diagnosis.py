"""Diagnosis of wrong gradients: which common mistake the numbers show.

A mistake is reported only if it explains every sample, i.e. the gradients at two different inputs and upstream
gradients. If no mistake explains all of them, the diagnosis is empty.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from attrs import field, frozen

from deepbp.typing import Array

__tracebackhide__ = True  # pytest shows no frames of this module

TOLERANCE = 1e-5


@frozen
class GradientSample:
    """An analytic gradient and the numeric gradient at the same point.

    Args:
        known: arrays by name that a wrong backward pass may have left out or multiplied twice, such as delta.
        candidates: for each description of a mistake, a function that computes the gradient with that mistake.
    """

    analytic: Array
    numeric: Array
    known: Mapping[str, Array] = field(factory=dict)
    candidates: Mapping[str, Callable[[], Array]] = field(factory=dict)


def explain(samples: Sequence[GradientSample], sizes: Mapping[str, int], *, places: bool = True) -> str:
    """Return the diagnosis, to follow the gradient's name: "is the negative of the numeric gradient"; or "".

    Args:
        sizes: sizes by name that may appear as a wrong factor, such as {"the batch size": 7}.
        places: whether the arrays are complete; False for a random subset of the entries, in no order.
    """
    if not samples:
        return ""
    one = samples[0]
    if all(_same(m.analytic, m.numeric) for m in samples):
        return "is right to about five digits, and not beyond: is something rounded, or an epsilon left out?"
    if not np.isfinite(one.analytic).all():
        return "is not finite where the numeric gradient is"
    if all(not np.any(m.analytic) for m in samples):
        return "is zero everywhere, and the numeric gradient is not: was it computed at all?"
    if all(not np.any(m.numeric) for m in samples):
        return "should be zero: the output does not depend on it"
    # In the order of certainty: an exact factor or a known mistake is more specific than "wrong in these rows".
    finders = [_constant_factor, _candidate, _known_factor, _unknown_factor]
    if places:
        finders += [_order, _only_some]
    return next((text for find in finders if (text := find(samples, sizes))), "")


def _same(one: Array, other: Array) -> bool:
    size = max(float(np.abs(one).max(initial=0)), float(np.abs(other).max(initial=0)))
    return one.shape == other.shape and bool(np.abs(one - other).max(initial=0) <= TOLERANCE * size)


def _factor(samples: Sequence[GradientSample]) -> float | None:
    """Return the number c for which analytic = c · numeric in every sample, if there is one."""
    m = max(samples, key=lambda m: float(np.abs(m.numeric).max(initial=0)))
    factor = float(np.vdot(m.analytic, m.numeric) / np.vdot(m.numeric, m.numeric))
    return factor if factor and all(_same(m.analytic, factor * m.numeric) for m in samples) else None


def _constant_factor(samples: Sequence[GradientSample], sizes: Mapping[str, int]) -> str:
    """Diagnose a factor of −1, 2, ½, or a known size."""
    factor = _factor(samples)
    if factor is None:
        return ""
    sign = "the negative of " if factor < 0 else ""
    factor = abs(factor)
    if abs(factor - 1) < TOLERANCE:
        return "is the negative of the numeric gradient" if sign else ""
    if abs(factor - 2) < 2 * TOLERANCE or abs(factor - 0.5) < TOLERANCE:
        times = f"is {sign}2 times too large" if factor > 1 else f"is {sign}half the numeric gradient"
        return f"{times}{_counted(2, sizes)}: was a factor of 2 {'taken twice' if factor > 1 else 'forgotten'}?"
    number = round(max(factor, 1 / factor))
    if not (names := _counted(number, sizes)) or abs(max(factor, 1 / factor) / number - 1) > TOLERANCE:
        return ""
    if factor > 1:
        return f"is {sign}{number} times too large{names}: was a mean forgotten, or a sum taken twice?"
    advice = "was a mean taken where a sum belongs?"
    if "the batch size" in names:
        advice = "was a mean taken over the batch? Sum over it: the loss takes the mean already"
    return f"is {sign}{number} times too small{names}: {advice}"


def _counted(number: int, sizes: Mapping[str, int]) -> str:
    names = [name for name, size in sizes.items() if size == number]
    return f": {number} is {' and '.join(names)}" if names else ""


def _candidate(samples: Sequence[GradientSample], sizes: Mapping[str, int]) -> str:
    for text in samples[0].candidates:
        values = [m.candidates[text]() for m in samples]
        explains = all(_same(m.analytic, value) for m, value in zip(samples, values, strict=True))
        differs = not all(_same(m.numeric, value) for m, value in zip(samples, values, strict=True))
        if explains and differs:
            return text
    return ""


def _known_factor(samples: Sequence[GradientSample], sizes: Mapping[str, int]) -> str:
    for name in samples[0].known:
        factors = [_fitted(m.known[name], m.numeric) for m in samples]
        pairs = [(m, factor) for m, factor in zip(samples, factors, strict=True) if factor is not None]
        if len(pairs) < len(samples):
            continue
        if all(_same(m.analytic * factor, m.numeric) for m, factor in pairs):
            return f"lacks a factor: times {name} it would be right"
        if all(_same(m.analytic, m.numeric * factor) for m, factor in pairs):
            return f"has a factor too many: divided by {name} it would be right"
    return ""


def _fitted(factor: Array, array: Array) -> Array | None:
    """Return the factor if it broadcasts to the shape of the array."""
    try:
        fits = np.broadcast_shapes(factor.shape, array.shape) == array.shape
    except ValueError:
        return None
    return factor if fits else None


def _unknown_factor(samples: Sequence[GradientSample], sizes: Mapping[str, int]) -> str:
    factor = _factor(samples)
    if factor is None or abs(factor - 1) < TOLERANCE or max(m.numeric.size for m in samples) < 2:
        return ""
    return f"is {factor:.6g} times the numeric gradient, everywhere: a constant factor is missing or too many"


def _order(samples: Sequence[GradientSample], sizes: Mapping[str, int]) -> str:
    """Diagnose correct numbers at wrong indices."""
    one = samples[0].numeric
    if one.ndim == 2 and one.shape[0] == one.shape[1] and all(_same(m.analytic, m.numeric.T) for m in samples):
        return "is transposed"
    if one.ndim and all(_same(m.analytic, m.numeric[::-1]) for m in samples):
        return "has its rows in reverse order"
    if one.size > 2 and all(_same(np.sort(m.analytic, None), np.sort(m.numeric, None)) for m in samples):
        return "holds the right numbers in the wrong places: was it transposed, or reshaped in another order?"
    return ""


def _only_some(samples: Sequence[GradientSample], sizes: Mapping[str, int]) -> str:
    """Diagnose errors that are confined to some rows or columns, or to inputs of one sign."""
    wrong = [np.abs(m.analytic - m.numeric) > TOLERANCE * np.abs(m.numeric).max() for m in samples]
    for sign, positive in (("negative", False), ("positive", True)):
        x = [m.known.get("x") for m in samples]
        if all(
            values is not None and values.shape == w.shape and np.array_equal(w, (values > 0) == positive)
            for values, w in zip(x, wrong, strict=True)
        ):
            return f"is wrong exactly where the input is {sign}"
    for axis, name in ((0, "row"), (-1, "column")):
        if wrong[0].ndim < (2 if axis == -1 else 1):
            continue
        lines = [np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1) for w in wrong]
        bad = lines[0].any(axis=1)
        if bad.all() or not bad.any() or not all(np.array_equal(line.any(axis=1), bad) for line in lines):
            continue
        where, right = _listed(np.flatnonzero(bad), name), _listed(np.flatnonzero(~bad), name)
        return f"is right in {right} and wrong in {where}"
    return ""


def _listed(indices: Array, name: str) -> str:
    text = ", ".join(map(str, indices[:6])) + (", …" if len(indices) > 6 else "")
    return f"{name} {text}" if len(indices) == 1 else f"{name}s {text}"
