"""One gradient held against its definition, and the failure explained."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from deepbp.testing.check import CheckFailure
from deepbp.testing.diagnosis import Measurement, explain
from deepbp.testing.numeric_gradient import (
    STEP,
    compare_gradients,
    numeric_gradient,
    one_sided_gradients,
    relative_errors,
)
from deepbp.typing import Array

TOLERANCE = 1e-7
"""Of the larger of the two values; what the differences cannot resolve is allowed in addition."""
MOST_ENTRIES = 300
"""Of a larger array, so many entries drawn at random are measured: a check must end within seconds."""

Remeasure: TypeAlias = Callable[[], Sequence[Measurement]]


def expect_gradient(
    name: str,
    analytic: Array,
    f: Callable[[Array], float],
    x: Array,
    rng: np.random.Generator,
    remeasure: Remeasure,
    sizes: Mapping[str, int],
    *,
    magnitude: float | None = None,
    places: Sequence[tuple[int, ...]] | None = None,
) -> None:
    """Raise CheckFailure when a gradient is not that of f at x, in words.

    Args:
        remeasure: makes the measurements that an explanation is sought in; called only for a wrong gradient.
        sizes: what the numbers that may show up as factors count.
        magnitude: the sum of the absolute values of the terms that f adds up, |f| unless given.
        places: the entries that can be measured; all of them, unless given.
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
    for i in map(int, np.flatnonzero(relative_errors(got, expected, resolution) > TOLERANCE)):
        if _is_right_nearby(float(got[i]), float(expected[i]), f, x, places[i], magnitude):
            expected[i] = got[i]
    report = compare_gradients({name: got}, {name: expected}, resolution={name: resolution})
    if report.relative <= TOLERANCE:
        return
    worst = report.errors[0]
    if len(places) == x.size:
        text = explain(remeasure(), sizes)
    else:
        text = explain([Measurement(got, expected)], sizes, places=False)
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
) -> bool:
    """Whether the value is right although it is not the ``numeric`` one, which a kink or the step has made inexact.

    At a kink, any value between the derivatives from the left and from the right is right. Where the curvature is large
    or jumps, the error of the differences is proportional to h² or h, and differences with half the step show how large
    it is. Beside a kink that the step reaches, a much smaller step gives another value. Where it gives the same, it
    excuses nothing, as its resolution is coarser.
    """
    left, right = one_sided_gradients(f, x, place)
    size = max(1.0, abs(left), abs(right))
    finer = one_sided_gradients(f, x, place, step=STEP / 8)
    gap = abs(left - right)
    if gap > 1e-8 * size and abs(finer[0] - finer[1]) > gap / 2:  # where it is smooth, the gap shrinks with the step
        return min(left, right) - 0.05 * gap <= value <= max(left, right) + 0.05 * gap

    def measured(step: float) -> tuple[float, float]:
        both = numeric_gradient(f, x, places=[place], step=step, magnitude=magnitude, return_resolution=True)
        return float(both[0][place]), float(both[1][place])

    def agree(one: float, other: float, resolution: float) -> bool:
        return bool(relative_errors(*map(np.array, ([one], [other], [resolution])))[0] <= TOLERANCE)

    half, resolution = measured(STEP / 2)
    for weight in (2, 4):  # extrapolated to h = 0 for errors of the orders 1 and 2
        extrapolated = (weight * half - numeric) / (weight - 1)
        if agree(value, extrapolated, (weight + 0.5) / (weight - 1) * resolution):
            return True
    closer, resolution = measured(STEP / 64)
    return agree(value, closer, resolution) and not agree(numeric, closer, resolution)
