"""When training ends early, and what network it leaves behind."""

from collections.abc import Mapping
from math import inf, nan
from typing import Any, Literal

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scripted import Each, Script, X, Y, fit, numbers, resumed, trainer

from deepbp import Trainer
from deepbp.errors import ArgumentTypeError, ConfigurationError, NonFiniteError
from deepbp.training import Callback, EarlyStopping

FALLS = [1.0, 0.9, 0.95, 0.91, 0.9, 0.89, 0.95, 0.96, 0.97, 0.98]
RISES = [0.5, 0.55, 0.6, 0.64, 0.62, 0.63, 0.7, 0.71]


# the epoch in which it stops, and the best epoch, as Keras 3's EarlyStopping says for the same arguments
@pytest.mark.parametrize(
    ("scores", "patience", "min_delta", "mode", "stops", "best"),
    [
        (FALLS, 1, 0.0, "min", 2, 1),
        (FALLS, 2, 0.0, "min", 3, 1),
        (FALLS, 3, 0.0, "min", 4, 1),
        (FALLS, 4, 0.0, "min", 9, 5),
        (FALLS, 4, 0.05, "min", 5, 1),
        (RISES, 2, 0.05, "max", 4, 2),
        (RISES, 2, 0.0, None, 5, 3),  # the metric says that more is better
    ],
)
def test_where_it_stops(
    scores: list[float], patience: int, min_delta: float, mode: Literal["min", "max"] | None, stops: int, best: int
) -> None:
    stopping = EarlyStopping("score", patience=patience, min_delta=min_delta, mode=mode)
    it = fit(trainer(stopping, scores=scores), len(scores))
    assert it.epoch - 1 == stops
    assert (stopping.best, stopping.best_epoch) == (scores[best], best)
    assert stopping.stopped
    assert stopping.waited == patience


@pytest.mark.parametrize("mode", ["min", "max"])
def test_random_scores_stop_where_the_definition_says(mode: Literal["min", "max"], rng: np.random.Generator) -> None:
    sign = 1 if mode == "min" else -1
    for _ in range(20):
        patience, min_delta = int(rng.integers(1, 5)), float(rng.choice([0.0, 1.5]))
        scores = [float(score) for score in rng.integers(0, 8, 12)]
        best, expected = 0, len(scores)
        for epoch in range(1, len(scores)):
            if sign * (scores[best] - scores[epoch]) > min_delta:
                best = epoch
            if epoch - best == patience:
                expected = epoch + 1
                break
        stopping = EarlyStopping("score", patience=patience, min_delta=min_delta, mode=mode)
        assert fit(trainer(stopping, scores=scores), len(scores)).epoch == expected
        assert stopping.best_epoch == best


def interrupt(it: Trainer) -> None:
    if it.epoch == 4:
        raise KeyboardInterrupt


def fail(it: Trainer) -> None:
    if it.epoch == 4:
        raise NonFiniteError("mine")


@pytest.mark.parametrize("ended_by", ["patience", "epochs", "Ctrl-C", "an error"])
def test_the_best_weights_and_buffers_are_put_back(ended_by: str) -> None:
    seen = []
    end = {"Ctrl-C": interrupt, "an error": fail}.get(ended_by, lambda it: None)
    stopping = EarlyStopping("score", patience=2 if ended_by == "patience" else 9)
    it = trainer(stopping, Each(lambda it: seen.append(numbers(it))), Each(end), scores=[3, 4, 9, 5, 5, 5])
    try:
        fit(it, 6)
    except NonFiniteError:
        assert ended_by == "an error"
    assert stopping.best_epoch == 2
    assert len(seen) == (6 if ended_by == "epochs" else 5)
    assert numbers(it) == seen[2]
    assert len(set(seen)) == len(seen)


def test_the_last_weights_stay_where_asked() -> None:
    seen = []
    it = trainer(
        EarlyStopping("score", patience=2, restore_best=False),
        Each(lambda it: seen.append(numbers(it))),
        scores=[9, 1, 1],
    )
    assert numbers(fit(it, 6)) == seen[-1] != seen[0]


def test_watching_changes_nothing_in_the_training() -> None:
    seen: list[list[Any]] = [[], []]
    for list_, callbacks in zip(seen, ([EarlyStopping("loss", patience=9)], []), strict=True):
        fit(trainer(*callbacks, Each(lambda it, list_=list_: list_.append(numbers(it)))), 5)  # type: ignore[misc]
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("scores", "best"), [([nan, nan, 1, nan], 2), ([1, nan, nan, 2], 0), ([nan, nan, nan], -1), ([inf, 5, nan, nan], 1)]
)
def test_nan_is_never_better(scores: list[float], best: int) -> None:
    seen = []
    stopping = EarlyStopping("score", patience=3, mode="min")
    it = trainer(stopping, Each(lambda it: seen.append(numbers(it))), scores=scores)
    fit(it, len(scores))
    assert stopping.best_epoch == best
    assert numbers(it) == seen[best]


@pytest.mark.parametrize(
    ("monitor", "validation", "message"),
    [
        (
            "val_loss",
            False,
            r"^EarlyStopping: monitor: expected one of \['loss', 'score'\], got 'val_loss': give fit val",
        ),
        ("accuracy", False, r"(?m)^EarlyStopping: monitor: expected one of \['loss', 'score'\], got 'accuracy'$"),
        (
            "val_accuracy",
            True,
            r"(?m)one of \['loss', 'score', 'val_loss', 'val_score'\], got 'val_accuracy'$",
        ),
    ],
)
def test_a_column_that_does_not_exist(monitor: str, validation: bool, message: str) -> None:
    it = trainer(EarlyStopping(monitor), scores=[1, 2])
    with pytest.raises(ConfigurationError, match=message):
        it.fit(X, Y, validation_data=(X, Y) if validation else None)


def test_a_direction_that_nobody_knows() -> None:
    it = trainer(EarlyStopping("score"))
    script = Script([1, 2, 3])

    def score(prediction: Any, target: Any) -> float:
        return script(prediction, target)

    it.metrics = [score]
    with pytest.raises(ConfigurationError, match=r"^EarlyStopping: is more of 'score' better\? give mode='max' or "):
        fit(it)


def test_the_same_trainer_goes_on_and_another_one_begins_anew() -> None:
    stopping = EarlyStopping("score", patience=2)
    it = fit(trainer(stopping, scores=[1, 9, 5, 5, 6, 6]), 5)
    assert it.epoch == 4
    best = numbers(it)
    fit(it, 5)  # waits once more for better than 9
    assert it.epoch == 6
    assert numbers(it) == best
    fit(trainer(stopping, scores=[2, 1]), 2)
    assert (stopping.best, stopping.best_epoch, stopping.stopped) == (2, 0, False)


@pytest.mark.parametrize("at", [0, 1, 3, 5])
def test_a_stored_training_goes_on_exactly(at: int) -> None:
    scores = [nan, 4, 9, 5, 5, 8, 8, 7]
    whole, other = resumed(lambda: EarlyStopping("score", patience=4), 8, at, scores=scores)
    assert whole.epoch == other.epoch == 7
    assert numbers(whole) == numbers(other)
    one, two = (it.callbacks[0].state() for it in (whole, other))
    for name, value in one.items():
        assert_array_equal(two[name], value)


def test_the_state_of_another_network_is_refused() -> None:
    stopping = EarlyStopping("loss")
    fit(trainer(stopping))
    state = stopping.state()
    state["kept"] = state["kept"][1:]

    class Restores(Callback):
        def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
            stopping.restore(state)

    with pytest.raises(
        ConfigurationError, match="expected the state of a model of 26 parameters and 1 buffers, got one of 25"
    ):
        fit(trainer(stopping, Restores()))


@pytest.mark.parametrize(
    ("argument", "value", "error", "message"),
    [
        ("patience", 0, ConfigurationError, "patience: expected a whole number of at least 1, got 0"),
        ("patience", -3, ConfigurationError, "patience: expected a whole number of at least 1, got -3"),
        ("patience", 2.5, ArgumentTypeError, "patience: expected a whole number of at least 1, got 2.5"),
        ("patience", None, ArgumentTypeError, "patience: expected a whole number of at least 1, got None"),
        ("patience", "64", ArgumentTypeError, "patience: expected a whole number of at least 1, got '64'"),
        ("min_delta", -0.1, ConfigurationError, "min_delta: expected a number of at least 0, got -0.1"),
        ("min_delta", nan, ConfigurationError, "min_delta: expected a number of at least 0, got nan"),
        ("mode", "auto", ConfigurationError, "mode: expected 'min', 'max' or None, got 'auto'"),
        ("monitor", 3, ArgumentTypeError, "monitor: expected str, got 3"),
        ("restore_best", 1, ArgumentTypeError, "restore_best: expected bool, got 1"),
    ],
)
def test_arguments(argument: str, value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^EarlyStopping: {message}$"):
        EarlyStopping(**{argument: value})
