"""Gradients from the definition, to hold backward passes against: they do not come from the code under test."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from attrs import frozen

from deepbp.errors import ArgumentTypeError, ConfigurationError, DataTypeError, ShapeError
from deepbp.typing import Array

STEP = float(np.cbrt(np.finfo(np.float64).eps))


def numeric_gradient(
    f: Callable[[Array], float],
    x: Array,
    *,
    complex_step: bool = False,
    places: Iterable[tuple[int, ...]] | None = None,
    step: float = STEP,
) -> Array:
    """∂f/∂x of a function of an array that returns one number, each entry of x moved by itself, in float64.

    Central differences, (f(x + h) − f(x − h)) / 2h with h = step · max(1, |x|), are good to about 1e-10 of the size of
    f when step is ∛ε. The complex step, Im f(x + ih) / h with h = 1e-30, is good to the last digit, for functions that
    are analytic and accept complex numbers (no abs, max, or comparison).

    ``places`` are the entries to measure, all of them unless given; the others are NaN in the result.

    Raises:
        DataTypeError: when x is not float64: float32 differences are never better than 4e-5.
    """
    if not callable(f) or not isinstance(x, np.ndarray):
        raise ArgumentTypeError(f"numeric_gradient: expected a function and an array, got {f!r} and {x!r}")
    if not step > 0:
        raise ConfigurationError(f"numeric_gradient: expected a step above 0, got {step!r}")
    if x.dtype != np.float64:
        raise DataTypeError(f"numeric_gradient: expected float64, got {x.dtype}: float32 is too coarse for differences")
    gradient = np.full_like(x, np.nan)
    moved = x.astype(np.complex128 if complex_step else np.float64)
    for place in np.ndindex(x.shape) if places is None else places:
        value = x[place]
        if complex_step:
            moved[place] = complex(value, 1e-30)
            gradient[place] = np.imag(f(moved)) / 1e-30
        else:
            h = step * max(1.0, abs(value))
            above, below = value + h, value - h  # divided by what was really added, which is not exactly 2h
            moved[place] = above
            upper = f(moved)
            moved[place] = below
            gradient[place] = (upper - f(moved)) / (above - below)
        moved[place] = value
    return gradient


def one_sided_gradients(
    f: Callable[[Array], float], x: Array, place: tuple[int, ...], *, step: float = STEP
) -> tuple[float, float]:
    """∂f/∂x from the left and from the right at one entry: at a kink the two disagree."""
    moved, h = x.copy(), step * max(1.0, abs(x[place]))
    here = f(moved)
    moved[place] = x[place] - h
    left = (here - f(moved)) / (x[place] - moved[place])
    moved[place] = x[place] + h
    return left, (f(moved) - here) / (moved[place] - x[place])


@frozen
class GradientError:
    """How far one analytic gradient is from the numeric one, and the worst entry: its place and both numbers."""

    name: str
    absolute: float
    relative: float
    place: tuple[int, ...]
    analytic: float
    numeric: float


@frozen
class GradientReport:
    """The errors of all arrays."""

    errors: tuple[GradientError, ...]

    @property
    def relative(self) -> float:
        """The largest relative error."""
        return max((e.relative for e in self.errors), default=0.0)

    def __str__(self) -> str:
        return "\n".join(
            f"{e.name}{list(e.place)}: analytic {e.analytic:.9g}, numeric {e.numeric:.9g} "
            f"(largest errors: absolute {e.absolute:.2g}, relative {e.relative:.2g})"
            for e in self.errors
        )


def compare_gradients(analytic: Mapping[str, Array], numeric: Mapping[str, Array]) -> GradientReport:
    """The largest differences, array by array.

    An entry's error is relative to the larger of its two values, or to a thousandth of the array's largest entry where
    both are smaller: differences cannot resolve an entry that is tiny beside the others.

    Raises:
        ShapeError: when names or shapes do not match.
    """
    if not isinstance(analytic, Mapping) or not isinstance(numeric, Mapping):
        raise ArgumentTypeError(f"compare_gradients: expected arrays by name, got {analytic!r} and {numeric!r}")
    if analytic.keys() != numeric.keys():
        raise ShapeError(f"compare_gradients: expected the same names, got {list(analytic)} and {list(numeric)}")
    errors = []
    for name, one in analytic.items():
        other = numeric[name]
        if one.shape != other.shape:
            raise ShapeError(f"{name}: the analytic gradient has shape {one.shape}, the numeric one {other.shape}")
        if one.size == 0:
            continue
        difference = np.abs(one - other)
        size = np.maximum(np.abs(one), np.abs(other))
        relative = difference / np.maximum(size, max(1e-3 * float(size.max()), 1e-6))
        relative = np.where(np.isnan(relative), np.inf, relative)
        place = np.unravel_index(int(np.argmax(relative)), one.shape)
        where = tuple(int(i) for i in place)
        errors.append(
            GradientError(
                name, float(difference.max()), float(relative[where]), where, float(one[where]), float(other[where])
            )
        )
    return GradientReport(tuple(errors))
