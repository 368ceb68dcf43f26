"""One gradient held against its definition, and the failure explained."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from deepbp.testing.check import CheckFailure
from deepbp.testing.diagnosis import Measurement, explain
from deepbp.testing.numeric_gradient import STEP, compare_gradients, numeric_gradient, one_sided_gradients
from deepbp.typing import Array

TOLERANCE = 1e-6
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
    noise: float = 0.0,
    places: Sequence[tuple[int, ...]] | None = None,
) -> None:
    """Raise CheckFailure when a gradient is not that of f at x, in words.

    Args:
        remeasure: makes the measurements that an explanation is sought in; called only for a wrong gradient.
        sizes: what the numbers that may show up as factors count.
        noise: a difference that the numeric gradient cannot resolve.
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
    numeric = numeric_gradient(f, x, places=places)
    got, expected = (np.array([array[place] for place in places]) for array in (analytic, numeric))
    expected = np.where(np.abs(got - expected) <= noise, got, expected)
    _accept_kinks(got, expected, f, x, places)
    report = compare_gradients({name: got}, {name: expected})
    if report.relative <= TOLERANCE:
        return
    worst = report.errors[0]
    if len(places) == x.size:
        text = explain(remeasure(), sizes)
    else:
        text = explain([Measurement(got, expected)], sizes, places=False)
    raise CheckFailure(
        f"{name} {text or 'is wrong'}\n"
        f"at {list(places[worst.place[0]])}: {worst.analytic:.9g}, numeric {worst.numeric:.9g}; "
        f"{int((_relative(got, expected) > TOLERANCE).sum())} of {len(places)} entries differ"
    )


def _relative(got: Array, expected: Array) -> Array:
    size = np.maximum(np.abs(got), np.abs(expected))
    relative = np.abs(got - expected) / np.maximum(size, max(1e-3 * float(size.max()), 1e-6))
    return np.where(np.isnan(relative), np.inf, relative)


def _accept_kinks(
    got: Array, expected: Array, f: Callable[[Array], float], x: Array, places: Sequence[tuple[int, ...]]
) -> None:
    """Where the function has a kink, any value between the derivatives from the left and from the right is right."""
    for i in map(int, np.flatnonzero(_relative(got, expected) > TOLERANCE)):
        if _is_between(float(got[i]), f, x, places[i]):
            expected[i] = got[i]


def _is_between(value: float, f: Callable[[Array], float], x: Array, place: tuple[int, ...]) -> bool:
    """Whether the function has a kink here and the value lies between its slopes on both sides."""
    left, right = one_sided_gradients(f, x, place)
    size = max(1.0, abs(left), abs(right))
    finer = one_sided_gradients(f, x, place, step=STEP / 8)
    gap = abs(left - right)
    if gap > 1e-8 * size and abs(finer[0] - finer[1]) > gap / 2:  # where it is smooth, the gap shrinks with the step
        return min(left, right) - 0.05 * gap <= value <= max(left, right) + 0.05 * gap
    # a kink beside the entry, which the step just reaches, is none for a smaller step
    closer = numeric_gradient(f, x, places=[place], step=STEP / 64)[place]
    return bool(abs(value - closer) <= 1e-7 * size)
