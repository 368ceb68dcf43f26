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
        repairs: for each description of a mistake, a function that repeats the wrong backward pass without it.
        terms: arrays by name from which a forgotten factor or summand of a derivative may be made.
    """

    analytic: Array
    numeric: Array
    known: Mapping[str, Array] = field(factory=dict)
    candidates: Mapping[str, Callable[[], Array]] = field(factory=dict)
    repairs: Mapping[str, Callable[[], Array]] = field(factory=dict)
    terms: Mapping[str, Array] = field(factory=dict)


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
    finders = [_constant_factor, _candidate, _repair, _known_factor, _unknown_factor]
    if places:
        finders += [_order, _only_some, _product_of_terms, _summand]
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


def _repair(samples: Sequence[GradientSample], sizes: Mapping[str, int]) -> str:
    """Diagnose a mistake without which the same backward pass is right."""
    for text in samples[0].repairs:
        try:
            if all(text in m.repairs and _same(m.repairs[text](), m.numeric) for m in samples):
                return text
        except Exception:
            continue  # what backward computes may not exist for the other arrays
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


def _expressions(terms: Mapping[str, Array]) -> dict[str, Array]:
    """Return simple expressions of the terms, and products of two of them, simplest first."""
    with np.errstate(all="ignore"):
        single: dict[str, Array] = {}
        for name, t in terms.items():
            single |= {name: t, f"(1 − {name})": 1 - t, f"(1 + {name})": 1 + t, f"{name}²": t * t}
            single |= {f"(1 − {name}²)": 1 - t * t, f"1/{name}": 1 / t}
        pairs = [(one, other) for i, one in enumerate(single) for other in list(single)[i + 1 :]]
        products = {f"{one} · {other}": single[one] * single[other] for one, other in pairs}
    return {name: array for name, array in (single | products).items() if np.isfinite(array).all()}


def _product_of_terms(samples: Sequence[GradientSample], sizes: Mapping[str, int]) -> str:
    """Diagnose a missing factor, such as the (1 − y) of y (1 − y), or one too many."""
    found = [_expressions(m.terms) for m in samples]
    for name in found[0]:
        if not all(
            name in expressions and expressions[name].shape == samples[0].numeric.shape for expressions in found
        ):
            continue
        for sign, minus in ((1, ""), (-1, "minus ")):
            factors = [sign * expressions[name] for expressions in found]
            if all(_same(m.analytic * factor, m.numeric) for m, factor in zip(samples, factors, strict=True)):
                return f"lacks a factor: times {minus}{name} it would be right"
            if all(_same(m.analytic, m.numeric * factor) for m, factor in zip(samples, factors, strict=True)):
                return f"has a factor too many: divided by {minus}{name} it would be right"
    return ""


def _summand(samples: Sequence[GradientSample], sizes: Mapping[str, int]) -> str:
    """Diagnose a summand of a derivative, as of the product rule, that is missing, extra, or of the wrong sign.

    For entries of several axes, a summand may also be one number for each row, such as the mean of a normalization.
    """
    if samples[0].numeric.size < 2:
        return ""
    differences = [m.numeric - m.analytic for m in samples]
    found = []
    for m in samples:
        delta = m.known.get("delta")
        whole: dict[str, Array] = dict(m.known) | _expressions(m.terms)
        if delta is not None:
            whole |= {f"delta · {name}": delta * array for name, array in whole.items() if array.shape == delta.shape}
        found.append({name: array for name, array in whole.items() if array.shape == m.numeric.shape})
    for name in found[0]:
        if not all(name in expressions for expressions in found):
            continue
        made = [GradientSample(d, e[name]) for d, e in zip(differences, found, strict=True) if np.any(e[name])]
        factor = _factor(made) if len(made) == len(samples) else None
        if factor is None:
            continue
        size = "" if abs(abs(factor) - 1) < TOLERANCE else f"{abs(factor):.6g} · "
        if (number := round(1 / abs(factor))) > 1 and abs(abs(factor) * number - 1) < TOLERANCE:
            size = f"1/{number} · "
        sign = "plus" if factor > 0 else "minus"
        hint = "is a summand missing, as of a product rule, or is its sign wrong?"
        return f"is wrong by a summand: {sign} {size}{name} it would be right: {hint}"
    for name in ("", *found[0]):
        if samples[0].numeric.ndim < 2 or not all(not name or name in expressions for expressions in found):
            continue
        if not name and all(_same(d, np.full_like(d, d.flat[0])) for d in differences):
            continue
        factors = [e[name] if name else np.ones_like(d) for d, e in zip(differences, found, strict=True)]
        for axis, line in ((-1, "row"), (0, "column")):
            if samples[0].numeric.shape[axis] > 1 and all(
                map(_is_constant, differences, factors, [axis] * len(factors))
            ):
                times = f" times {name}" if name else ""
                return (
                    f"is wrong by one number for each {line}{times}: is the summand missing that comes from a sum or "
                    f"mean over the {line}, as of a product or quotient rule?"
                )
    return ""


def _is_constant(difference: Array, factor: Array, axis: int) -> bool:
    """Whether the difference is a number for each line along the axis times the factor."""
    norms = (factor * factor).sum(axis=axis, keepdims=True)
    if not np.all(norms) or not np.any(difference):
        return False
    return _same(difference, factor * ((difference * factor).sum(axis=axis, keepdims=True) / norms))


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
