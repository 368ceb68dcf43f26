"""The plots of a signal monitor's records."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

pytest.importorskip("matplotlib")

from matplotlib import pyplot

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.layers import Dense, Sigmoid
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD
from deepbp.plots import signal, signals
from deepbp.plots.training_plots import Quantity
from deepbp.training import SignalMonitor, Signals

pytestmark = pytest.mark.usefixtures("no_screen")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 1))


def watched(depth: int = 2, epochs: int = 4) -> SignalMonitor:
    net = Sequential(
        [*(layer for _ in range(depth) for layer in (Dense(4), Sigmoid())), Dense(1)], input_shape=3, rng=0
    )
    monitor = SignalMonitor(X, Y)
    net.fit(X, Y, loss=MeanSquaredError(), optimizer=SGD(0.1), epochs=epochs, batch_size=5, callbacks=[monitor])
    return monitor


@pytest.mark.parametrize("quantity", ["activations", "error signals"])
def test_a_curve_for_each_layer(quantity: Quantity) -> None:
    monitor = watched()
    ax = signal(monitor, quantity)
    for layer, line in enumerate(ax.lines):
        assert_array_equal(line.get_xdata(), [0, 4, 8, 12, 16])
        expected = [getattr(record, quantity.replace(" ", "_"))[layer] for record in monitor.records]
        assert_array_equal(line.get_ydata(), expected)
    assert [line.get_label() for line in ax.lines] == list(monitor.layers)
    assert len({line.get_color() for line in ax.lines}) == len(monitor.layers)
    assert ax.get_yscale() == "log"
    assert ax.get_title() == quantity


def test_gradients_of_layers_that_have_parameters() -> None:
    monitor = watched()
    lines = signal(monitor, "gradients").lines
    assert [line.get_label() for line in lines] == ["0 Dense", "2 Dense", "4 Dense"]
    assert_array_equal(lines[1].get_ydata(), [record.gradients[2] for record in monitor.records])


def test_a_legend_of_a_deep_network_names_some_layers_from_the_first_to_the_last() -> None:
    ax = signal(watched(depth=15), "activations")
    legend = ax.get_legend()
    assert len(ax.lines) == 31
    assert legend is not None
    named = [text.get_text() for text in legend.get_texts()]
    assert len(named) == 8
    assert (named[-1], named[0]) == ("0 Dense", "30 Dense")  # as they lie: the last on top


def test_a_curve_ends_at_zero() -> None:
    monitor = watched()
    flowing = monitor.records[0]
    stopped = Signals(4, 0.0, *(np.zeros(5) for _ in range(5)))
    monitor.records = [flowing, stopped]
    line = signal(monitor, "error signals").lines[0]
    assert_array_equal(line.get_ydata(), [flowing.error_signals[0], np.nan])
    monitor.records = [stopped]
    assert len(signal(monitor, "error signals").lines) == 0


def test_a_single_record_is_a_point_for_each_layer() -> None:
    assert {line.get_marker() for line in signal(watched(epochs=0), "activations").lines} == {"o"}


def test_signals_draws_all_three_quantities() -> None:
    monitor = watched()
    panels = signals(monitor)
    assert [panel.get_title() for panel in panels] == ["activations", "error signals", "gradients"]
    given = pyplot.subplots(3, 1)[1]
    assert_array_equal(signals(monitor, ax=given), given)
    assert [len(panel.lines) for panel in given] == [5, 5, 3]


def test_three_axes_are_needed() -> None:
    with pytest.raises(ArgumentTypeError, match="ax: expected three Axes"):
        signals(watched(), ax=pyplot.subplots(1, 2)[1])


@pytest.mark.parametrize(
    ("monitor", "quantity", "error", "message"),
    [
        ([], "gradients", ArgumentTypeError, r"expected a SignalMonitor, got \[\]"),
        (SignalMonitor(X, Y), "gradients", ConfigurationError, "has seen nothing yet"),
        (watched(), "weights", ConfigurationError, "one of activations, error signals, gradients, got 'weights'"),
    ],
)
def test_invalid_arguments(monitor: Any, quantity: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        signal(monitor, quantity)
