"""Samples that do not fit together, and epochs of no length, are refused in words."""

import re
from typing import Any

import pytest
from test_sources import WEIGHT, Rows, X, Y, endless, trained

from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError


class Uneven(Rows):
    """Every second sample has no weight."""

    def __getitem__(self, row: int) -> tuple[Any, ...]:
        return super().__getitem__(row)[: 3 - row % 2]


@pytest.mark.parametrize(
    ("samples", "first"),
    [
        (Rows([*X[:-1], X[0, :2]], Y), 18),
        (Rows(X, [*Y[:9], Y[0, :2], *Y[10:]]), 9),
        (Uneven(X, Y, WEIGHT), 0),
    ],
)
@pytest.mark.parametrize("prefetch", [0, 2])
def test_samples_of_several_shapes(samples: Rows, first: int, prefetch: int) -> None:
    message = f"samples from row {first} on: expected (x, y), or (x, y, weight), all of the same shapes: "
    with pytest.raises(DataError, match=re.escape(message)):
        trained(samples, shuffle=False, prefetch=prefetch)


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        (0, ConfigurationError, "a whole number of at least 1, got 0"),
        (-3, ConfigurationError, "a whole number of at least 1, got -3"),
        (2.5, ArgumentTypeError, "a whole number of at least 1, got 2.5"),
        (True, ArgumentTypeError, "a whole number of at least 1, got True"),
        ("64", ArgumentTypeError, "a whole number of at least 1, got '64'"),
    ],
)
def test_epochs_of_no_length(steps: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"steps_per_epoch: expected {message}"):
        trained(endless(), steps_per_epoch=steps)
