"""Why a gradient is wrong, as far as the numbers show it.

Every explanation is a hypothesis about all measurements at once: the same gradient for two different inputs and error
signals. Where none fits, nothing is claimed.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from attrs import field, frozen

from deepbp.typing import Array

TOLERANCE = 1e-5


@frozen
class Measurement:
    """One gradient, as the code computes it and as the definition gives it.

    ``known``: arrays by name that may be a factor too many or too few, such as delta or a parameter. ``candidates``:
    what the gradient would be were a certain mistake made, computed only when asked for.
    """

    analytic: Array
    numeric: Array
    known: Mapping[str, Array] = field(factory=dict)
    candidates: Mapping[str, Callable[[], Array]] = field(factory=dict)


def explain(measurements: Sequence[Measurement], sizes: Mapping[str, int], *, places: bool = True) -> str:
    """What is wrong, to be read after the gradient's name: "is the negative of the numeric gradient"; or "".

    Args:
        sizes: numbers by what they count, such as {"the batch size": 7}.
        places: whether the entries stand where they belong; False for a sample of them.
    """
    if not measurements:
        return ""
    one = measurements[0]
    if all(_same(m.analytic, m.numeric) for m in measurements):
        return "is right to about five digits, and not beyond: is something rounded, or an epsilon left out?"
    if not np.isfinite(one.analytic).all():
        return "is not finite where the numeric gradient is"
    if all(not np.any(m.analytic) for m in measurements):
        return "is zero everywhere, and the numeric gradient is not: was it computed at all?"
    if all(not np.any(m.numeric) for m in measurements):
        return "should be zero: the output does not depend on it"
    finders = [_constant_factor, _candidate, _known_factor, _unknown_factor]
    if places:
        finders += [_order, _only_some]
    return next((text for find in finders if (text := find(measurements, sizes))), "")


def _same(one: Array, other: Array) -> bool:
    size = max(float(np.abs(one).max(initial=0)), float(np.abs(other).max(initial=0)))
    return one.shape == other.shape and bool(np.abs(one - other).max(initial=0) <= TOLERANCE * size)


def _factor(measurements: Sequence[Measurement]) -> float | None:
    """The one number that turns every numeric gradient into the analytic one."""
    m = max(measurements, key=lambda m: float(np.abs(m.numeric).max(initial=0)))
    factor = float(np.vdot(m.analytic, m.numeric) / np.vdot(m.numeric, m.numeric))
    return factor if factor and all(_same(m.analytic, factor * m.numeric) for m in measurements) else None


def _constant_factor(measurements: Sequence[Measurement], sizes: Mapping[str, int]) -> str:
    """A factor that is −1, 2, ½, or a known size."""
    factor = _factor(measurements)
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


def _candidate(measurements: Sequence[Measurement], sizes: Mapping[str, int]) -> str:
    for text in measurements[0].candidates:
        values = [m.candidates[text]() for m in measurements]
        explains = all(_same(m.analytic, value) for m, value in zip(measurements, values, strict=True))
        differs = not all(_same(m.numeric, value) for m, value in zip(measurements, values, strict=True))
        if explains and differs:
            return text
    return ""


def _known_factor(measurements: Sequence[Measurement], sizes: Mapping[str, int]) -> str:
    for name in measurements[0].known:
        factors = [_fitted(m.known[name], m.numeric) for m in measurements]
        pairs = [(m, factor) for m, factor in zip(measurements, factors, strict=True) if factor is not None]
        if len(pairs) < len(measurements):
            continue
        if all(_same(m.analytic * factor, m.numeric) for m, factor in pairs):
            return f"lacks a factor: times {name} it would be right"
        if all(_same(m.analytic, m.numeric * factor) for m, factor in pairs):
            return f"has a factor too many: divided by {name} it would be right"
    return ""


def _fitted(factor: Array, array: Array) -> Array | None:
    """The factor, if it can multiply the array without changing its shape."""
    try:
        fits = np.broadcast_shapes(factor.shape, array.shape) == array.shape
    except ValueError:
        return None
    return factor if fits else None


def _unknown_factor(measurements: Sequence[Measurement], sizes: Mapping[str, int]) -> str:
    factor = _factor(measurements)
    if factor is None or abs(factor - 1) < TOLERANCE or max(m.numeric.size for m in measurements) < 2:
        return ""
    return f"is {factor:.6g} times the numeric gradient, everywhere: a constant factor is missing or too many"


def _order(measurements: Sequence[Measurement], sizes: Mapping[str, int]) -> str:
    """The right numbers in wrong places."""
    one = measurements[0].numeric
    if one.ndim == 2 and one.shape[0] == one.shape[1] and all(_same(m.analytic, m.numeric.T) for m in measurements):
        return "is transposed"
    if one.ndim and all(_same(m.analytic, m.numeric[::-1]) for m in measurements):
        return "has its rows in reverse order"
    if one.size > 2 and all(_same(np.sort(m.analytic, None), np.sort(m.numeric, None)) for m in measurements):
        return "holds the right numbers in the wrong places: was it transposed, or reshaped in another order?"
    return ""


def _only_some(measurements: Sequence[Measurement], sizes: Mapping[str, int]) -> str:
    """Right in some rows, columns, or where the input has one sign, and wrong everywhere else."""
    wrong = [np.abs(m.analytic - m.numeric) > TOLERANCE * np.abs(m.numeric).max() for m in measurements]
    for sign, positive in (("negative", False), ("positive", True)):
        x = [m.known.get("x") for m in measurements]
        if all(
            values is not None and values.shape == w.shape and np.array_equal(w, (values > 0) == positive)
            for values, w in zip(x, wrong, strict=True)
        ):
            return f"is wrong exactly where the input is {sign}"
    for axis, name in ((0, "row"), (-1, "column")):
        if wrong[0].ndim < abs(axis) or (axis == -1 and wrong[0].ndim < 2):
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
