"""Arrays as the checks hand them out and look at them again: sealed, remembered, compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from deepbp.testing.check import CheckFailure
from deepbp.typing import Array


def arrays_in(saved: Any) -> Iterator[Array]:
    """Every array in what a forward pass remembers, however it is nested."""
    if isinstance(saved, np.ndarray):
        yield saved
    elif isinstance(saved, dict):
        for value in saved.values():
            yield from arrays_in(value)
    elif isinstance(saved, list | tuple):
        for value in saved:
            yield from arrays_in(value)


@contextmanager
def sealed(saved: Any) -> Iterator[None]:
    """Make every array read-only for a while, so that a write into one is an error at once."""
    writeable = [array for array in arrays_in(saved) if array.flags.writeable]
    for array in writeable:
        array.flags.writeable = False
    try:
        yield
    finally:  # the owners of memory first: a view of what is read-only cannot be made writeable
        for array in sorted(writeable, key=lambda array: array.base is not None):
            array.flags.writeable = True


def copies(saved: Any) -> list[Array]:
    """What the arrays hold now."""
    return [array.copy() for array in arrays_in(saved)]


def unchanged(saved: Any, before: list[Array]) -> bool:
    """Whether the arrays still hold what they held."""
    return all(np.array_equal(now, then, equal_nan=True) for now, then in zip(arrays_in(saved), before, strict=True))


def worst_difference(got: Array, expected: Array) -> tuple[float, tuple[int, ...]]:
    """The largest difference, relative to the largest expected number (or 1, if that is larger), and its place."""
    if got.size == 0:
        return 0.0, ()
    got, expected = got.astype(np.float64), expected.astype(np.float64)
    equal = (got == expected) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.where(equal, 0.0, np.abs(got - expected))
    difference[np.isnan(difference)] = np.inf
    place = np.unravel_index(int(np.argmax(difference)), difference.shape)
    size = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
    return float(difference[place] / size), tuple(int(i) for i in place)


def expect_same(got: Array, expected: Array, message: str, tolerance: float = 1e-10) -> None:
    """Raise CheckFailure, with the message and the worst place, when two arrays differ by more than rounding."""
    if got.shape != expected.shape:
        raise CheckFailure(f"{message} (got shape {got.shape}, expected {expected.shape})")
    difference, place = worst_difference(got, expected)
    if difference > tolerance:
        raise CheckFailure(f"{message} (at {list(place)}: got {got[place]:.9g}, expected {expected[place]:.9g})")
