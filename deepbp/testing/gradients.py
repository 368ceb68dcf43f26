"""Gradient checking: numerical differentiation, and comparison of analytic with numeric gradients."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from attrs import frozen

from deepbp._validation import as_generator
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataTypeError, ShapeError, shown
from deepbp.testing.check import CheckFailure
from deepbp.testing.diagnosis import GradientSample, explain
from deepbp.typing import Array, ArrayLike, Seed

__tracebackhide__ = True  # pytest shows no frames of this module

EPSILON = float(np.finfo(np.float64).eps)
STEP = float(np.cbrt(EPSILON))
ROUNDINGS = 8  # bound on the rounding error of f, in units of ε · magnitude


@overload
def numeric_gradient(
    f: Callable[[Array], float],
    x: Array,
    *,
    complex_step: bool = False,
    places: Iterable[tuple[int, ...]] | None = None,
    step: float = STEP,
    magnitude: float | None = None,
    return_resolution: Literal[False] = False,
) -> Array: ...


@overload
def numeric_gradient(
    f: Callable[[Array], float],
    x: Array,
    *,
    complex_step: bool = False,
    places: Iterable[tuple[int, ...]] | None = None,
    step: float = STEP,
    magnitude: float | None = None,
    return_resolution: Literal[True],
) -> tuple[Array, Array]: ...


def numeric_gradient(
    f: Callable[[Array], float],
    x: Array,
    *,
    complex_step: bool = False,
    places: Iterable[tuple[int, ...]] | None = None,
    step: float = STEP,
    magnitude: float | None = None,
    return_resolution: bool = False,
) -> Array | tuple[Array, Array]:
    """Numeric gradient ∂f/∂x of a scalar function, by finite differences in float64.

    Central differences, (f(x + h) − f(x − h)) / 2h with h = step · max(1, |x|), have an error of about 1e-10 · |f| for
    step = ∛ε. The complex step, Im f(x + ih) / h with h = 1e-30, is accurate to machine precision, but f must be
    analytic and accept complex numbers (no abs, max, or comparison).

    The subtraction loses digits. With S the sum of the absolute values of the terms that f adds up, the rounding error
    of f is a few ε · S, and that of the gradient a few ε · S / h, on every processor and however small the gradient
    is. This is the resolution, 8 ε · S / h. Pass it to ``compare_gradients``.

    >>> import numpy as np
    >>> from deepbp.testing import numeric_gradient
    >>> numeric_gradient(lambda x: float((x**2).sum()), np.array([1.0, -2.0])).round(6)
    array([ 2., -4.])

    Args:
        places: indices of the entries to differentiate, all by default; the other entries of the result are NaN.
        magnitude: S; by default |f|, which holds if no terms cancel, as in most losses. For f = Σ δ · y with a random
            upstream gradient δ, terms cancel: pass Σ |δ · y|.
        return_resolution: whether to return the pair (gradient, resolution), two arrays of the shape of x.

    Raises:
        ArgumentTypeError: if f is not callable, or x is not an array.
        ConfigurationError: if the step is not above 0, or the magnitude is below 0.
        DataTypeError: if x is not float64: the error of float32 differences is at least 4e-5.
    """
    if not callable(f) or not isinstance(x, np.ndarray):
        raise ArgumentTypeError(f"numeric_gradient: expected a function and an array, got {shown(f)} and {shown(x)}")
    if not step > 0:
        raise ConfigurationError(f"numeric_gradient: expected a step above 0, got {shown(step)}")
    if magnitude is not None and not magnitude >= 0:
        raise ConfigurationError(f"numeric_gradient: expected a magnitude of at least 0, got {shown(magnitude)}")
    if x.dtype != np.float64:
        raise DataTypeError(f"numeric_gradient: expected float64, got {x.dtype}: float32 is too coarse for differences")
    gradient, resolution = np.full_like(x, np.nan), np.full_like(x, np.nan)
    perturbed = x.astype(np.complex128 if complex_step else np.float64)
    for place in np.ndindex(x.shape) if places is None else places:
        value = x[place]
        scale = max(1.0, abs(value))
        if complex_step:
            perturbed[place] = complex(value, 1e-30)
            outcome = f(perturbed)
            gradient[place] = np.imag(outcome) / 1e-30
            size, h = abs(outcome), scale  # no subtraction, so a small step loses no digits
        else:
            above, below = value + step * scale, value - step * scale
            perturbed[place] = above
            upper = f(perturbed)
            perturbed[place] = below
            lower = f(perturbed)
            h = (above - below) / 2  # the exact step after rounding, not step · scale
            gradient[place] = (upper - lower) / (above - below)
            size = max(abs(upper), abs(lower))
        resolution[place] = ROUNDINGS * EPSILON * (size if magnitude is None else magnitude) / h
        perturbed[place] = value
    return (gradient, resolution) if return_resolution else gradient


def one_sided_gradients(
    f: Callable[[Array], Any], x: Array, place: tuple[int, ...], *, step: float = STEP
) -> tuple[Any, Any]:
    """Return the derivatives from the left and from the right for one entry; they differ at a kink.

    Of a function that returns an array, they are arrays.
    """
    perturbed, h = x.copy(), step * max(1.0, abs(x[place]))
    here = f(perturbed)
    perturbed[place] = x[place] - h
    left = (here - f(perturbed)) / (x[place] - perturbed[place])
    perturbed[place] = x[place] + h
    return left, (f(perturbed) - here) / (perturbed[place] - x[place])


@frozen
class GradientError:
    """Largest errors of one gradient, with the index and both values of the entry of the largest relative error.

    >>> import numpy as np
    >>> from deepbp.testing import compare_gradients
    >>> error = compare_gradients({"w": np.array([1.0, 2.5])}, {"w": np.array([1.0, 2.0])}).errors[0]
    >>> error.name, error.place, error.absolute, error.relative
    ('w', (1,), 0.5, 0.2)
    """

    name: str
    absolute: float
    relative: float
    place: tuple[int, ...]
    analytic: float
    numeric: float


@frozen
class GradientReport:
    """Result of ``compare_gradients``: the errors of all arrays.

    >>> import numpy as np
    >>> from deepbp.testing import compare_gradients
    >>> print(compare_gradients({"w": np.array([1.0, 2.5])}, {"w": np.array([1.0, 2.0])}))
    w[1]: analytic 2.5, numeric 2 (largest errors: absolute 0.5, relative 0.2)
    """

    errors: tuple[GradientError, ...]

    @property
    def relative(self) -> float:
        """The largest relative error of all arrays."""
        return max((e.relative for e in self.errors), default=0.0)

    def __str__(self) -> str:
        return "\n".join(
            f"{e.name}{list(e.place)}: analytic {e.analytic:.9g}, numeric {e.numeric:.9g} "
            f"(largest errors: absolute {e.absolute:.2g}, relative {e.relative:.2g})"
            for e in self.errors
        )


def compare_gradients(
    analytic: Mapping[str, Array],
    numeric: Mapping[str, Array],
    *,
    resolution: Mapping[str, Array] | None = None,
) -> GradientReport:
    """Compare analytic with numeric gradients, array by array; returns the largest errors.

    With the ``resolution`` of the numeric gradients, from ``numeric_gradient(..., return_resolution=True)``, an entry's
    relative error is the part of its difference that exceeds the resolution, relative to the larger of its two values:
    ``report.relative <= rtol`` means |analytic − numeric| ≤ rtol · max(|analytic|, |numeric|) + resolution everywhere.

    Without it, the error is relative to the larger of the two values, or to a thousandth of the array's largest entry
    (or 1e-6) if both are smaller. This only estimates the resolution, and rounding may exceed it.

    >>> import numpy as np
    >>> from deepbp.testing import compare_gradients, numeric_gradient
    >>> x = np.array([0.5, -1.0, 2.0])
    >>> f = lambda x: float((x**3).sum())
    >>> numeric, resolution = numeric_gradient(f, x, magnitude=np.abs(x**3).sum(), return_resolution=True)
    >>> report = compare_gradients({"x": 3 * x**2}, {"x": numeric}, resolution={"x": resolution})
    >>> report.relative < 1e-7
    True

    Raises:
        ArgumentTypeError: if an argument is not a mapping of names to arrays.
        ShapeError: if names or shapes do not match.
    """
    if not isinstance(analytic, Mapping) or not isinstance(numeric, Mapping):
        raise ArgumentTypeError(
            f"compare_gradients: expected arrays by name, got {shown(analytic)} and {shown(numeric)}"
        )
    if analytic.keys() != numeric.keys():
        raise ShapeError(f"compare_gradients: expected the same names, got {list(analytic)} and {list(numeric)}")
    if resolution is not None and not isinstance(resolution, Mapping):
        raise ArgumentTypeError(f"compare_gradients: expected resolutions by name, got {shown(resolution)}")
    if resolution is not None and analytic.keys() != resolution.keys():
        raise ShapeError(
            f"compare_gradients: expected a resolution for each of {list(analytic)}, got {list(resolution)}"
        )
    errors = []
    for name, one in analytic.items():
        other = numeric[name]
        if one.shape != other.shape:
            raise ShapeError(f"{name}: the analytic gradient has shape {one.shape}, the numeric one {other.shape}")
        resolved = None if resolution is None else resolution[name]
        if resolved is not None and np.shape(resolved) != one.shape:
            raise ShapeError(f"{name}: the gradients have shape {one.shape}, the resolution {np.shape(resolved)}")
        if one.size == 0:
            continue
        relative = relative_errors(one, other, resolved)
        place = np.unravel_index(int(np.argmax(relative)), one.shape)
        where = tuple(int(i) for i in place)
        absolute = float(np.abs(one - other).max())
        errors.append(
            GradientError(name, absolute, float(relative[where]), where, float(one[where]), float(other[where]))
        )
    return GradientReport(tuple(errors))


def relative_errors(analytic: Array, numeric: Array, resolution: Array | None = None) -> Array:
    """The relative error of each entry as ``compare_gradients`` defines it; infinite where an entry is NaN."""
    difference = np.abs(analytic - numeric)
    size = np.maximum(np.abs(analytic), np.abs(numeric))
    if resolution is None:
        floor = max(1e-3 * float(size.max()), 1e-6)
        relative = difference / np.maximum(size, floor)
    else:
        excess = difference - resolution
        relative = np.where(excess <= 0, 0.0, excess / np.where(size > 0, size, 1.0))
    return np.where(np.isnan(relative), np.inf, relative)


TOLERANCE = 1e-7
"""Relative to the larger of the two values, and in addition to the resolution of the differences."""
MOST_ENTRIES = 300
"""Number of entries to check in a larger array, drawn at random: a check must end within seconds."""

Resample: TypeAlias = Callable[[], Sequence[GradientSample]]


def expect_gradient(
    name: str,
    analytic: Array,
    f: Callable[[Array], float],
    x: Array,
    rng: np.random.Generator,
    resample: Resample,
    sizes: Mapping[str, int],
    *,
    magnitude: float | None = None,
    places: Sequence[tuple[int, ...]] | None = None,
    terms: Callable[[Array], Array] | None = None,
) -> None:
    """Raise CheckFailure, with a diagnosis, if ``analytic`` is not the gradient of f at x.

    Args:
        resample: computes the samples for the diagnosis; called only for a wrong gradient.
        sizes: sizes by name that may appear as a wrong factor.
        magnitude: sum of the absolute values of the terms that f adds up; by default |f|.
        places: indices of the entries to check; by default all.
        terms: the terms that f adds up. At a kink of several of them, each may choose a derivative of its own.
    """
    if analytic.shape != x.shape:
        raise CheckFailure(f"{name} has shape {analytic.shape}, expected {x.shape}")
    if places is None:
        places = [tuple(map(int, place)) for place in np.ndindex(x.shape)]
    if len(places) > MOST_ENTRIES:
        places = [places[i] for i in rng.choice(len(places), MOST_ENTRIES, replace=False)]
    if not places:
        return
    measured = numeric_gradient(f, x, places=places, magnitude=magnitude, return_resolution=True)
    got, expected, resolution = (np.array([array[place] for place in places]) for array in (analytic, *measured))
    # An entry beyond the tolerance may still be right: a kink, or strong curvature, makes the differences inexact.
    for i in map(int, np.flatnonzero(relative_errors(got, expected, resolution) > TOLERANCE)):
        if _is_right_nearby(float(got[i]), float(expected[i]), f, x, places[i], magnitude, terms):
            expected[i] = got[i]
    report = compare_gradients({name: got}, {name: expected}, resolution={name: resolution})
    if report.relative <= TOLERANCE:
        return
    worst = report.errors[0]
    if len(places) == x.size:
        text = explain(resample(), sizes)
    else:
        text = explain([GradientSample(got, expected)], sizes, places=False)
    wrong = int((relative_errors(got, expected, resolution) > TOLERANCE).sum())
    raise CheckFailure(
        f"{name} {text or 'is wrong'}\n"
        f"at {list(places[worst.place[0]])}: {worst.analytic:.9g}, numeric {worst.numeric:.9g}; "
        f"{wrong} of {len(places)} entries differ"
    )


def _is_right_nearby(
    value: float,
    numeric: float,
    f: Callable[[Array], float],
    x: Array,
    place: tuple[int, ...],
    magnitude: float | None,
    terms: Callable[[Array], Array] | None,
) -> bool:
    """Whether the value is right although it differs from ``numeric``, because of a kink or the size of the step.

    At a kink, any value between the derivatives from the left and from the right is right, for each term of f: an input
    that is the largest of two windows, beside equal ones, may be chosen in one of them. Where the curvature is large or
    jumps, the error of the differences is proportional to h² or h, and differences with half the step show how large
    it is. If the step reaches across a kink nearby, a much smaller step gives another value. If it gives the same
    value, it is no reason to accept the gradient, as its resolution is coarser.
    """
    # 1. At a kink, the gap between the one-sided derivatives stays as the step shrinks; where f is smooth, it shrinks.
    left, right = one_sided_gradients(terms or f, x, place)
    size = max(1.0, float(np.abs(left).sum()), float(np.abs(right).sum()))
    finer = one_sided_gradients(terms or f, x, place, step=STEP / 8)
    gap = float(np.abs(left - right).sum())
    if gap > 1e-8 * size and float(np.abs(finer[0] - finer[1]).sum()) > gap / 2:
        least, most = float(np.minimum(left, right).sum()), float(np.maximum(left, right).sum())
        return least - 0.05 * gap <= value <= most + 0.05 * gap

    def measured(step: float) -> tuple[float, float]:
        both = numeric_gradient(f, x, places=[place], step=step, magnitude=magnitude, return_resolution=True)
        return float(both[0][place]), float(both[1][place])

    def agree(one: float, other: float, resolution: float) -> bool:
        return bool(relative_errors(*map(np.array, ([one], [other], [resolution])))[0] <= TOLERANCE)

    # 2. Richardson extrapolation to h = 0, for errors of order h and h².
    half, resolution = measured(STEP / 2)
    for weight in (2, 4):
        extrapolated = (weight * half - numeric) / (weight - 1)
        if agree(value, extrapolated, (weight + 0.5) / (weight - 1) * resolution):
            return True
    # 3. A kink nearby, beyond the reach of a much smaller step.
    closer, resolution = measured(STEP / 64)
    return agree(value, closer, resolution) and not agree(numeric, closer, resolution)


def check_gradient(
    f: Callable[[Array], Any],
    gradient: Callable[..., ArrayLike],
    x: ArrayLike,
    *,
    magnitude: float | None = None,
    rng: Seed = None,
) -> None:
    """Check the gradient of any function, by central differences in float64.

    For a function that returns one number, ``gradient(x)`` must be ∂f/∂x. For one that returns an array y, it is called
    with a random upstream gradient δ of the shape of y, and ``gradient(x, delta)`` must be Σ δ ∂y/∂x. An entry is right
    if it differs from the numeric gradient by at most 1e-7 of the larger one and the resolution of the differences, see
    ``numeric_gradient``, or if it lies between the derivatives from the left and from the right. Of a large x, 300
    entries are checked.

    >>> import numpy as np
    >>> from deepbp.testing import check_gradient
    >>> x = np.array([0.5, -1.0, 2.0])
    >>> check_gradient(lambda x: (x**3).sum(), lambda x: 3 * x**2, x)  # returns None if it is right
    >>> check_gradient(np.tanh, lambda x, delta: delta * (1 - np.tanh(x) ** 2), x)
    >>> check_gradient(np.tanh, lambda x, delta: delta * (1 - np.tanh(x)), x)
    Traceback (most recent call last):
    deepbp.testing.CheckFailure: the gradient is wrong
    at [1]: 0.232749624, numeric 0.0554967..., 3 of 3 entries differ

    Args:
        f: a function of one array of the shape of x, which it must not modify.
        gradient: its gradient, an array of the shape of x.
        x: where to check it; converted to float64.
        magnitude: for a function that returns one number, the sum of the absolute values of the terms that it adds up,
            if terms cancel; by default |f|.
        rng: seed or generator of δ and of the choice of entries. None means the same numbers in each call.

    Raises:
        ArgumentTypeError: if ``f`` or ``gradient`` is no function, or x no array of numbers.
        CheckFailure: if the gradient is wrong, with the cause where the numbers show it.
    """
    if not callable(f) or not callable(gradient):
        raise ArgumentTypeError(f"check_gradient: expected two functions, got {shown(f)} and {shown(gradient)}")
    try:
        at = np.array(x, np.float64)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"check_gradient: x: expected an array of numbers, got {x!r:.200}") from None
    generator = as_generator(0 if rng is None else rng)
    y = np.asarray(f(at.copy()), np.float64)

    def measure(delta: Array | None) -> tuple[Array, Callable[[Array], float], float | None]:
        """The gradient for an upstream gradient, the function whose gradient it is, and the magnitude."""
        if delta is None:
            return np.asarray(gradient(at.copy()), np.float64), lambda moved: float(f(moved)), magnitude
        found = np.asarray(gradient(at.copy(), delta.copy()), np.float64)
        return found, lambda moved: float(np.vdot(delta, f(moved))), float(np.abs(delta * y).sum())

    def sample(delta: Array | None) -> GradientSample:
        analytic, function, terms = measure(delta)
        known = {"x": at} if delta is None or delta.shape != at.shape else {"delta": delta, "x": at}
        return GradientSample(analytic, numeric_gradient(function, at, magnitude=terms), known, terms={"x": at})

    deltas = [None] if y.ndim == 0 else [generator.normal(size=y.shape) for _ in range(2)]
    analytic, function, terms = measure(deltas[0])
    expect_gradient(
        "the gradient",
        analytic,
        function,
        at,
        generator,
        lambda: [sample(delta) for delta in deltas],
        {"the number of entries of x": at.size, "the length of axis 0": len(at) if at.ndim else 1},
        magnitude=terms,
    )
