"""The words of a monitor: what they are said about, since when, and when nothing is to be said."""

from typing import Any

import numpy as np
import pytest
from attrs import evolve

from deepbp import Sequential
from deepbp.errors import ConfigurationError
from deepbp.initializers import Constant, HeNormal, Initializer, Normal, Orthogonal
from deepbp.layers import Dense, Layer, ReLU, Sigmoid, Tanh
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD
from deepbp.training import SignalMonitor, Signals
from deepbp.training.signals import REMEDIES, findings, report

LAYERS = ("0 Dense", "1 Tanh", "2 Dense", "3 Tanh", "4 Dense")
NO = float("nan")
SOUND = Signals(
    step=0,
    loss=1.0,
    activations=np.ones(5),
    error_signals=np.ones(5),
    gradients=np.array([1.0, NO, 1.0, NO, 1.0]),
    dead=np.array([NO, 0.0, NO, 0.0, NO]),
    saturated=np.array([NO, 0.3, NO, 0.3, NO]),
)


def kinds(**changes: Any) -> list[str]:
    given: dict[str, Any] = {
        name: np.array(value) if isinstance(value, list) else value for name, value in changes.items()
    }
    return [finding.kind for finding in findings(LAYERS, evolve(SOUND, **given))]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"error_signals": [1.1e-3, 1, 1, 1, 1]}, []),
        ({"error_signals": [0.9e-3, 1, 1, 1, 1]}, ["vanishing"]),
        ({"error_signals": [0, 1, 1, 1, 1]}, ["vanishing"]),
        ({"error_signals": [999, 1, 1, 1, 1]}, []),
        ({"error_signals": [1001, 1, 1, 1, 1]}, ["exploding"]),
        ({"error_signals": [1, 1, 1, 1, 0]}, ["no error signal"]),
        ({"activations": [1, 1, 1, 0.9e-3, 1]}, ["fading"]),
        ({"activations": [1, 1, 1, 1001, 1]}, ["growing"]),
        ({"activations": [1, 1, 1, 1, 1e6]}, []),  # the output is as large as the targets
        ({"dead": [NO, 0.4, NO, 0.1, NO]}, []),
        ({"dead": [NO, 0.1, NO, 0.41, NO]}, ["dead units"]),
        ({"saturated": [NO, 0.6, NO, 0.6, NO]}, []),
        ({"saturated": [NO, 0.61, NO, 0.1, NO]}, ["saturated"]),
        ({"saturated": [NO, 0.9, NO, 0, NO], "dead": [NO, 0.5, NO, 0, NO]}, ["saturated"]),  # said once
        ({"saturated": [NO, 0, NO, 0, 1.0], "dead": [NO, 0, NO, 0, 1.0]}, []),  # an output that is sure
        ({"loss": np.inf}, ["not finite"]),
        ({"error_signals": [NO, 1, 1, 1, 1]}, ["not finite"]),
        ({"error_signals": [0, 1, 1, 1, 1], "dead": [NO, 1.0, NO, 0, NO]}, ["dead units", "vanishing"]),
    ],
    ids=str,
)
def test_what_is_unusual(changes: dict[str, Any], expected: list[str]) -> None:
    assert kinds(**changes) == expected
    assert set(expected) <= set(REMEDIES)


def test_the_error_signal_is_compared_between_layers_that_are_trained() -> None:
    gradients = [NO, NO, 1.0, NO, NO]  # the first and the last two layers have no parameters
    assert kinds(error_signals=[1e-9, 1, 1, 1, 1], gradients=gradients) == []
    assert kinds(error_signals=[1, 1, 1e-9, 1, 1], gradients=[NO, NO, 1.0, 1.0, NO]) == ["vanishing"]


def test_the_numbers_and_the_layers_are_named() -> None:
    (vanishing,) = findings(LAYERS, evolve(SOUND, error_signals=np.array([2e-8, 1, 1, 1, 4e-2])))
    assert "4.0e-02 at layer 4 Dense and 2.0e-08, 2.0e+06 times smaller, at layer 0 Dense" in vanishing.text
    (dead,) = findings(LAYERS, evolve(SOUND, dead=np.array([NO, 0.5, NO, 0.75, NO])))
    assert dead.text.endswith("75% of layer 3 Tanh, 50% of layer 1 Tanh")
    (bad,) = findings(LAYERS, evolve(SOUND, activations=np.array([1, 1, np.inf, np.inf, 1])))
    assert "first at layer 2 Dense" in bad.text


def test_of_many_layers_the_worst_are_named() -> None:
    layers = tuple(f"{i} ReLU" for i in range(7))
    same, shares = np.ones(7), np.array([0.5, 0.9, 0.6, 0.8, 0.7, 0.1, 1.0])
    (dead,) = findings(layers, Signals(0, 1.0, same, same, same, shares, np.zeros(7)))
    assert dead.text.endswith("90% of layer 1 ReLU, 80% of layer 3 ReLU, 70% of layer 4 ReLU, and 2 more")


def test_since_when_and_what_has_passed() -> None:
    vanishing, dead = np.array([0, 1, 1, 1, 1]), np.array([NO, 1.0, NO, 0, NO])
    records = [
        evolve(SOUND, step=0, error_signals=vanishing),
        evolve(SOUND, step=10, error_signals=vanishing, dead=dead),
        evolve(SOUND, step=20),
        evolve(SOUND, step=30, dead=dead),
        evolve(SOUND, step=40, dead=dead, loss=0.5),
    ]
    lines = report(LAYERS, records).splitlines()
    assert lines[0] == "Signals of 5 layers, looked at 5 times, steps 0 to 40: loss 1 before, 0.5 after."
    assert lines[1].startswith("dead units, since step 30: ")
    assert lines[2] == f"    What usually helps: {REMEDIES['dead units']}."
    assert lines[3:] == ["vanishing, until step 10: has passed."]
    assert report(LAYERS, records[:2]).splitlines()[3].startswith("vanishing, from the start: ")
    assert report(LAYERS, records[2:3]).splitlines()[1].startswith("Nothing unusual")


def test_nothing_was_seen_yet() -> None:
    with pytest.raises(ConfigurationError, match=r"has seen nothing yet: give callbacks=\[monitor\] to fit"):
        SignalMonitor([[1.0]], [[1.0]]).report()


@pytest.mark.parametrize(
    ("activation", "weight_init", "bias", "expected"),
    [
        (Sigmoid, Orthogonal(), 0.0, {"vanishing"}),
        (Tanh, Orthogonal(), 0.0, set()),
        (ReLU, HeNormal(), 0.0, set()),
        (ReLU, Normal(std=1.0), 0.0, {"exploding", "growing"}),
        (Tanh, Normal(std=0.05), 0.0, {"vanishing", "fading"}),
        (Tanh, Normal(std=3.0), 0.0, {"saturated"}),
        (ReLU, HeNormal(), -3.0, {"dead units"}),
    ],
)
def test_deep_networks_are_judged_rightly(
    activation: type[Layer[Any]], weight_init: Initializer, bias: float, expected: set[str]
) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(64, 32)), rng.normal(size=(64, 1))
    hidden = [(Dense(32, weight_init=weight_init, bias_init=Constant(bias)), activation()) for _ in range(10)]
    net = Sequential([*(layer for pair in hidden for layer in pair), Dense(1)], input_shape=32, rng=0)
    monitor = SignalMonitor(x, y)
    net.fit(x, y, loss=MeanSquaredError(), optimizer=SGD(0.0), epochs=0, callbacks=[monitor])
    seen = {finding.kind for finding in findings(monitor.layers, monitor.records[0])}
    assert expected <= seen
    assert seen <= expected or "dead units" in expected  # which lets nothing through
