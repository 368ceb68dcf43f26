"""The plot of a learning-rate range test."""

import numpy as np
import pytest

from deepbp.errors import ArgumentTypeError
from deepbp.plots import learning_rates
from deepbp.training import RangeTest

pytestmark = pytest.mark.usefixtures("no_screen")

RATES, LOSSES, SMOOTHED = np.array([0.1, 1.0, 10.0]), np.array([3.0, 1.0, 5.0]), np.array([2.5, 2.0, 4.0])


def test_losses_and_suggestion_over_the_rates() -> None:
    ax = learning_rates(RangeTest(RATES, LOSSES, SMOOTHED, 0.25, True))
    points, curve, suggestion = ax.lines
    for line, values in ((points, LOSSES), (curve, SMOOTHED)):
        np.testing.assert_array_equal(line.get_xdata(), RATES)
        np.testing.assert_array_equal(line.get_ydata(), values)
    assert (points.get_linestyle(), points.get_marker()) == ("None", ".")
    assert list(suggestion.get_xdata()) == [0.25, 0.25]  # type: ignore[arg-type]
    assert (ax.get_xscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "learning rate", "loss")
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["batches", "smoothed", "falls most steeply at 0.25"]


def test_without_a_suggestion_none_is_drawn() -> None:
    assert len(learning_rates(RangeTest(RATES, LOSSES, SMOOTHED, None, False)).lines) == 2


def test_invalid_arguments() -> None:
    with pytest.raises(ArgumentTypeError, match=r"learning_rates: expected a RangeTest, as .* returns it, got \[\]"):
        learning_rates([])  # type: ignore[arg-type]
