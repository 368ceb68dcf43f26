"""Data that training does not see: given, or held out at random."""

from typing import Any

import numpy as np
import pytest
from problems import SQUARES, Recorder, values

from deepbp import Sequential, Trainer
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DeepBPError, ShapeError
from deepbp.layers import Dense
from deepbp.losses import SumSquaredError
from deepbp.optimizers import SGD
from deepbp.training import Callback, MeanAbsoluteError

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
