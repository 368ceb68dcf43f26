"""Data that training does not see: given, or held out at random."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import SQUARES, Recorder, values

import deepbp
from deepbp import Sequential, Trainer
from deepbp.callbacks import CSVLog, EarlyStopping, ModelCheckpoint, ReduceOnPlateau
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DeepBPError, ShapeError
from deepbp.layers import Dense
from deepbp.losses import SumSquaredError
from deepbp.optimizers import SGD, Adam
from deepbp.training import Callback, MeanAbsoluteError, Metric

X, Y, LOSS = SQUARES.x, SQUARES.y, SQUARES.loss


@pytest.mark.parametrize("weighted", [False, True])
def test_validation_is_measured_after_each_epoch(weighted: bool) -> None:
    x, y, weight = X[:6] + 1, Y[:6], np.arange(6.0)
    measured: list[dict[str, float]] = []

    class Measure(Callback):
        def on_epoch_end(self, trainer: Trainer, row: Any) -> None:
            measured.append(trainer.evaluate(x, y, sample_weight=weight if weighted else None))

    history = SQUARES.network().fit(
        X,
        Y,
        loss=LOSS,
        optimizer=SGD(0.01),
        epochs=3,
        metrics=[MeanAbsoluteError()],
        callbacks=[Measure()],
        validation_data=(x, y, weight) if weighted else (x, y),
    )
    assert list(history) == ["loss", "mean_absolute_error", "val_loss", "val_mean_absolute_error"]
    assert history["val_loss"] == [row["loss"] for row in measured]
    assert history["val_mean_absolute_error"] == [row["mean_absolute_error"] for row in measured]
    assert len(set(history["val_loss"])) == 3


def test_validation_does_not_change_training() -> None:
    plain, watched = SQUARES.network(), SQUARES.network()
    plain.fit(X, Y, loss=LOSS, optimizer=SGD(0.01), epochs=3, batch_size=4)
    watched.fit(X, Y, loss=LOSS, optimizer=SGD(0.01), epochs=3, batch_size=4, validation_data=(X[:5] * 2, Y[:5]))
    assert values(plain) == values(watched)


def test_a_validation_forward_between_forward_and_backward() -> None:
    plain, watched = SQUARES.network(), SQUARES.network()
    for net in plain, watched:
        output, saved = net.forward(X)
        if net is watched:
            net.predict(X[::-1] * 3)
            net.forward(X[:2] - 1)
        _, difference = LOSS.forward(output, Y)
        net.backward(saved, LOSS.backward(difference))
    for one, other in zip(plain.parameters(), watched.parameters(), strict=True):
        assert np.abs(one.grad).max() > 0.1
        np.testing.assert_array_equal(one.grad, other.grad)


def held_out(seed: int, rows: int = 40, fraction: float = 0.25) -> tuple[list[int], list[int]]:
    """The rows that were trained on, and those that were held out, of x = 0, 1, 2, …"""
    recorder = Recorder()
    net = Sequential([recorder, Dense(1)], input_shape=1, rng=seed)
    x = np.arange(rows)[:, None]
    net.fit(x, x, loss=SumSquaredError(), optimizer=SGD(1e-9), epochs=2, batch_size=7, validation_split=fraction)
    trained, predicted = (np.concatenate(b)[:, 0].astype(int).tolist() for b in (recorder.trained, recorder.predicted))
    half, kept = len(trained) // 2, len(predicted) // 2
    assert sorted(trained[:half]) == sorted(trained[half:])  # the same rows in both epochs
    assert predicted[:kept] == predicted[kept:]
    return trained[:half], predicted[:kept]


def test_split_holds_out_random_rows_that_training_never_sees() -> None:
    trained, validated = held_out(seed=0)
    assert len(validated) == 10
    assert sorted(trained + validated) == list(range(40))
    assert validated not in (list(range(10)), list(range(30, 40)))  # neither the first nor the last


def test_split_is_reproducible() -> None:
    assert held_out(seed=1) == held_out(seed=1)
    assert held_out(seed=1)[1] != held_out(seed=2)[1]


def test_split_keeps_targets_and_weights_with_their_rows() -> None:
    net = Sequential([Dense(1)], input_shape=1, rng=0, dtype="float64")
    net.layers[0].named_parameters()["weight"].value[...] = 0  # so that a sample's loss is its own weight
    x = np.arange(20.0)[:, None]
    history = net.fit(
        x,
        np.ones((20, 1)),
        loss=SumSquaredError(),
        optimizer=SGD(0.0),
        batch_size=3,
        sample_weight=2 ** x[:, 0],
        validation_split=0.3,
    )
    bits = int(history["loss"][0]), int(history["val_loss"][0])
    assert sum(bits) == 2**20 - 1  # each weight once, in one of the two
    assert bits[1].bit_count() == 6


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"validation_split": 1.0}, ConfigurationError, "validation_split: expected at least 0 and below 1, got 1.0"),
        ({"validation_split": -0.1}, ConfigurationError, "validation_split: expected at least 0 and below 1, got -0.1"),
        ({"validation_split": "0.1"}, ConfigurationError, "expected at least 0 and below 1, got '0.1'"),
        ({"validation_split": True}, ConfigurationError, "expected at least 0 and below 1, got True"),
        (
            {"validation_split": 0.01},
            ConfigurationError,
            "validation_split: 0.01 of 23 samples leaves 23 for training and 0 for validation: both need at least one",
        ),
        ({"validation_split": 0.99}, ConfigurationError, "leaves 0 for training and 23 for validation"),
        (
            {"validation_split": 0.5, "validation_data": (X, Y)},
            ConfigurationError,
            "give validation_data or validation_split, not both",
        ),
        (
            {"validation_every": 2},
            ConfigurationError,
            "validation_every: there is nothing to validate on: give validation_data=...",
        ),
        (
            {"validation_every": 0, "validation_data": (X, Y)},
            ConfigurationError,
            "validation_every: expected a whole number of at least 1, got 0",
        ),
        (
            {"validation_every": 1.5, "validation_data": (X, Y)},
            ArgumentTypeError,
            "validation_every: expected a whole number of at least 1, got 1.5",
        ),
        ({"validation_data": (X,)}, ArgumentTypeError, "expected (x, y) or (x, y, sample_weight), got"),
        ({"validation_data": X}, ArgumentTypeError, "validation_data: expected (x, y) or (x, y, sample_weight), got"),
        (
            {"validation_data": (X[:, :2], Y)},
            ShapeError,
            "validation_data: x: the network expects samples of shape (3,), so an array of shape (N, 3), got (23, 2)",
        ),
        (
            {"validation_data": (np.where(X[4, 1] == X, np.nan, X), Y)},
            DataError,
            "validation_data: x: expected finite numbers, got nan at x[4, 1]",
        ),
        (
            {"validation_data": (X, Y[:3])},
            DataError,
            "validation_data: expected the same number of samples everywhere, got: x has 23, y has 3",
        ),
    ],
)
def test_refused(arguments: dict[str, Any], error: type[DeepBPError], message: str) -> None:
    net = SQUARES.network()
    before = values(net)
    with pytest.raises(error) as caught:
        net.fit(X, Y, loss=LOSS, optimizer=SGD(0.1), **arguments)
    assert message in str(caught.value)
    assert values(net) == before


def diverging(*callbacks: Callback) -> Trainer:
    """Its validation loss falls first, and then rises."""
    return Trainer(SQUARES.network(), LOSS, Adam(0.02), metrics=[MeanAbsoluteError()], callbacks=callbacks)


HELD_OUT = (X[:8], Y[:8] + 0.4)
ROWS: dict[str, Any] = {"x": X, "y": Y, "batch_size": 8, "validation_data": HELD_OUT}


@pytest.mark.parametrize("every", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("calls", [1, 7])
def test_every_so_many_epochs_over_all_calls(every: int, calls: int) -> None:
    whole, some = diverging(), diverging()
    whole.fit(epochs=7, **ROWS)
    for _ in range(calls):
        some.fit(epochs=7 // calls, validation_every=every, **ROWS)
    assert values(some.model) == values(whole.model)  # type: ignore[arg-type]
    validated = [every * number for number in range(1, 7 // every + 1)]
    for name, column in whole.history.items():
        if name.startswith("val_") and validated:
            column = [value if epoch in validated else np.nan for epoch, value in enumerate(column, 1)]
        if validated or not name.startswith("val_"):
            np.testing.assert_array_equal(some.history[name], column)
    assert list(some.history) == [name for name in whole.history if validated or not name.startswith("val_")]
    if validated:
        best = min(validated, key=lambda epoch: whole.history["val_loss"][epoch - 1])
        assert some.history.best("val_loss") == (whole.history["val_loss"][best - 1], best)


@pytest.mark.parametrize("every", [2, 3])
def test_callbacks_count_validations(every: int, tmp_path: Path) -> None:
    plain = diverging()
    plain.fit(epochs=60, **ROWS)
    losses = plain.history["val_loss"][every - 1 :: every]
    lowest = [int(np.argmin(losses[: count + 1])) for count in range(len(losses))]
    stopped = next(number for number, best in enumerate(lowest) if number - best == 3)
    best = lowest[stopped]

    stopping, checkpoint = EarlyStopping(patience=3), ModelCheckpoint(tmp_path / "run.npz", best="val_loss")
    it = diverging(stopping, checkpoint, CSVLog(tmp_path / "log.csv"))
    it.fit(epochs=60, validation_every=every, **ROWS)
    assert it.epoch == every * (stopped + 1) < 60
    assert stopping.best_epoch == every * (best + 1)
    stored = diverging()
    stored.fit(epochs=every * (best + 1), **ROWS)
    assert values(deepbp.load(tmp_path / "run-best.npz")) == values(stored.model) == values(it.model)  # type: ignore[arg-type]
    lines = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()]
    assert lines[0] == ["epoch", *it.history]
    assert [line[3] == "nan" for line in lines[1:]] == [epoch % every > 0 for epoch in range(1, it.epoch + 1)]


def test_a_plateau_and_its_cooldown_are_counted_in_validations() -> None:
    losses = iter([5.0, 4.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0])

    class Scripted(Metric):
        name = "score"

        def __call__(self, prediction: Any, target: Any) -> float:
            return next(losses) if len(target) == len(HELD_OUT[0]) else 0.0

    reducing = ReduceOnPlateau("val_score", patience=2, cooldown=1, mode="min")
    it = Trainer(SQUARES.network(), LOSS, SGD(0.01), metrics=[Scripted()], callbacks=[reducing])
    it.fit(epochs=24, validation_every=3, **ROWS)
    # validations 3 and 4 are not better, 5 cools down, 6 and 7 are not better, 8 cools down
    assert reducing.reductions == [3 * 4, 3 * 7]


@pytest.mark.parametrize("steps", [1, 3, 4, 6, 9, 11, 12, 14])
def test_a_resumed_training_validates_the_same_epochs(steps: int, tmp_path: Path) -> None:
    class Store(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            if trainer.steps == steps:
                trainer.save(tmp_path / "run.npz")

    def make(name: str) -> Trainer:
        return diverging(EarlyStopping(patience=1), ReduceOnPlateau(patience=1), CSVLog(tmp_path / name), Store())

    whole, resumed = make("whole.csv"), make("resumed.csv")
    whole.fit(epochs=20, validation_every=2, **ROWS)
    resumed.load(tmp_path / "run.npz")
    resumed.fit(epochs=20, validation_every=2, **ROWS)
    np.testing.assert_equal(dict(resumed.history), dict(whole.history))
    assert values(resumed.model) == values(whole.model)  # type: ignore[arg-type]
    assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "resumed.csv").read_bytes()


def test_an_epoch_that_is_not_validated_is_complete_when_ctrl_c_comes_in_its_last_step() -> None:
    class CtrlC(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            if trainer.steps == 9:
                signal.raise_signal(signal.SIGINT)

    it = diverging(CtrlC())
    it.fit(epochs=20, validation_every=2, **ROWS)
    assert (it.history.interrupted, it.epoch, it.history.epochs) == (True, 3, 3)
    it.fit(epochs=1, validation_every=2, **ROWS)
    assert np.isnan(it.history["val_loss"]).tolist() == [True, False, True, False]


def test_progress_and_rows_have_what_was_computed(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[list[str]] = []

    class Names(Callback):
        def on_epoch_end(self, trainer: Trainer, row: Any) -> None:
            rows.append([*row])

    diverging(Names()).fit(epochs=2, validation_every=2, progress="text", **ROWS)
    own = ["loss", "mean_absolute_error"]
    assert rows == [own, [*own, "val_loss", "val_mean_absolute_error"]]
    assert ["val_loss" in line for line in capsys.readouterr().err.splitlines()] == [False, True]
