"""When training ends early, and what network it leaves behind."""

from collections.abc import Mapping
from math import inf, nan
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scripted import Each, Script, X, Y, fit, numbers, resumed, trainer

from deepbp import Trainer
from deepbp.errors import ArgumentTypeError, ConfigurationError, NonFiniteError
from deepbp.training import Callback, EarlyStopping, ModelCheckpoint, ReduceOnPlateau

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
    assert (stopping.best, stopping.best_epoch) == (scores[best], best + 1)
    assert stopping.stopped
    assert stopping.waited == patience
    assert stopping.state()["best_epoch"] == best  # files count from 0, those of earlier versions too


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
        assert stopping.best_epoch == best + 1


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
    assert stopping.best_epoch == 3
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
    assert stopping.best_epoch == best + 1
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


@pytest.mark.parametrize(
    "callback", [EarlyStopping("val_auc"), ReduceOnPlateau("val_auc"), ModelCheckpoint("run.npz", best="val_auc")]
)
def test_a_wrong_column_is_found_before_the_first_epoch(
    callback: Callback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    it = trainer(callback, scores=[1, 2])
    before = numbers(it)
    with pytest.raises(ConfigurationError, match=r"expected one of \['loss', 'score', 'val_loss', 'val_score'\], got"):
        it.fit(X, Y, validation_data=(X, Y))
    assert (numbers(it), it.steps, it.history.epochs) == (before, 0, 0)
    assert not list(tmp_path.iterdir())


def test_a_metric_that_a_callback_adds_at_the_start_is_known() -> None:
    class Adds(Callback):
        def on_fit_start(self, trainer: Trainer) -> None:
            trainer.metrics = [Script([1, 2, 3])]

    stopping = EarlyStopping("score", mode="max")
    assert fit(trainer(Adds(), stopping), 3).epoch == 3
    assert stopping.best == 3


def test_a_direction_that_nobody_knows() -> None:
    it = trainer(EarlyStopping("score"))
    script = Script([1, 2, 3])

    def score(prediction: Any, target: Any) -> float:
        return script(prediction, target)

    it.metrics = [score]
    with pytest.raises(ConfigurationError, match=r"^EarlyStopping: is more of 'score' better\? give mode='max' or "):
        fit(it)
    assert it.steps == 0


def test_each_call_of_fit_begins_anew_and_restores_the_best_of_its_own_epochs() -> None:
    seen: list[Any] = []
    stopping = EarlyStopping("score", patience=2)
    it = fit(trainer(stopping, Each(lambda it: seen.append(numbers(it))), scores=[1, 9, 5, 5, 6, 7, 4, 4, 8]), 5)
    assert (it.epoch, stopping.best_epoch) == (4, 2)
    assert numbers(it) == seen[1]
    fit(it, 5)  # 6, 7, 4, 4: none of them better than the 9 of the first call
    assert (it.epoch, stopping.best, stopping.best_epoch, stopping.waited) == (8, 7, 6, 2)
    assert numbers(it) == seen[5]
    fit(it, 1)
    assert (stopping.best, stopping.stopped, stopping.waited) == (8, False, 0)
    fit(trainer(stopping, scores=[2, 1]), 2)
    assert (stopping.best, stopping.best_epoch, stopping.stopped) == (2, 1, False)


def test_a_call_that_ran_out_of_epochs_leaves_no_patience_used_up() -> None:
    stopping = EarlyStopping("score", patience=3)
    it = fit(trainer(stopping, scores=[9, 5, 5, 5, 5, 5, 5]), 3)  # waited for 2
    assert fit(it, 3).epoch == 6  # the first epoch is the best of this call, two others are waited for
    assert not stopping.stopped


def test_after_a_stored_call_that_was_complete_another_one_begins_anew(tmp_path: Path) -> None:
    it = fit(trainer(EarlyStopping("score", patience=2), scores=[9, 5, 5]), 3)
    it.save(tmp_path / "run.npz")
    stopping = EarlyStopping("score", patience=2)
    other = trainer(stopping, scores=[4, 5, 1])
    other.load(tmp_path / "run.npz")
    fit(other, 3)
    assert (stopping.best, stopping.best_epoch, stopping.waited, stopping.stopped) == (5, 5, 1, False)


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
