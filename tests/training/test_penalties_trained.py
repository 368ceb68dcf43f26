"""What a penalty adds to the loss is in the history, in the gradients, and in no evaluation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import SQUARES

from deepbp import Sequential, Trainer
from deepbp.callbacks import Callback, EarlyStopping
from deepbp.errors import FileFormatError, NonFiniteError
from deepbp.initializers import Constant
from deepbp.layers import L1, L2, Dense, Penalized, Tanh
from deepbp.losses import Loss, MeanSquaredError, SumSquaredError
from deepbp.optimizers import SGD
from deepbp.training import MeanAbsoluteError
from deepbp.training.evaluation import Meter

X, Y, LOSS = SQUARES.x, SQUARES.y, SQUARES.loss


class Stop(Callback):
    """Stops after so many updates, and is no callback of a call that resumes: it is called by one call alone."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        if trainer.steps == self.steps:
            trainer.stop(now=True)


def test_the_loss_of_a_step_is_that_of_the_data_and_the_penalties() -> None:
    net = Sequential(
        [Penalized([Dense(5), Tanh()], weights=L2(0.3), outputs=L1(0.2)), Dense(4)],
        input_shape=3,
        rng=0,
        dtype="float64",
    )
    weight = net.named_parameters()["0.layer.0.weight"]
    hidden = np.tanh(X @ weight.value)  # biases are 0
    penalty = 0.3 * (weight.value**2).sum() + 0.2 * np.abs(hidden).sum() / len(X)
    alone = LOSS.forward(net.predict(X), Y)[0]
    trainer = Trainer(net, LOSS, SGD(0.0))
    assert trainer.step(X, Y) == pytest.approx(alone + penalty, rel=1e-12)
    assert trainer.fit(X, Y, batch_size=None)["loss"] == pytest.approx([alone + penalty], rel=1e-12)
    assert trainer.evaluate(X, Y)["loss"] == pytest.approx(alone, rel=1e-12)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("loss", [MeanSquaredError(), SumSquaredError()])
def test_the_history_shows_the_penalties_apart(loss: Loss[Any], accumulate: int, tmp_path: Path) -> None:
    """Without them, and with a learning rate of 0, the loss is that of the validation on the same data."""

    def trainer() -> Trainer:
        net = Sequential([Penalized(Dense(4), weights=L2(0.3), outputs=L1(0.1))], input_shape=3, rng=0, dtype="float64")
        return Trainer(net, loss, SGD(0.0), metrics=[MeanAbsoluteError()], accumulate=accumulate)

    it = trainer()
    history = it.fit(X, Y, epochs=2, batch_size=7, shuffle=False, validation_data=(X, Y))
    assert [*history] == ["loss", "penalty", "mean_absolute_error", "val_loss", "val_mean_absolute_error"]
    assert np.subtract(history["loss"], history["penalty"]) == pytest.approx(history["val_loss"], rel=1e-12)
    weight, batches = it.model.named_parameters()["0.layer.weight"].value, [X[n : n + 7] for n in range(0, len(X), 7)]
    terms = [0.3 * (weight**2).sum() + 0.1 * np.abs(batch @ weight).sum() / len(batch) for batch in batches]
    shares = np.ones(len(batches)) if loss.reduction == "sum" else np.array([len(batch) for batch in batches]) / len(X)
    assert history["penalty"] == pytest.approx(2 * [float(shares @ terms)], rel=1e-12)

    stopped, again = trainer(), trainer()
    stopped.fit(X, Y, epochs=2, batch_size=7, shuffle=False, callbacks=[Stop(3 // accumulate)])
    stopped.save(tmp_path / "run.npz")
    again.load(tmp_path / "run.npz")
    again.fit(X, Y, epochs=2, batch_size=7, shuffle=False, validation_data=(X, Y))
    assert again.history["penalty"] == history["penalty"]


def test_a_meter_of_an_earlier_version_has_no_penalty() -> None:
    meter = Meter(LOSS, [], has_penalty=True)
    meter.restore({"total": 2.0, "seen": 4}, None)
    assert str(meter.row()) == "{'loss': 2.0, 'penalty': nan}"
    with pytest.raises(FileFormatError, match="expected the penalties so far, got 'much'"):
        meter.restore({"total": 2.0, "seen": 4, "penalty": "much"}, None)


def test_early_stopping_may_watch_the_penalty() -> None:
    net = Sequential([Penalized(Dense(4), weights=L2(0.3))], input_shape=3, rng=0)
    stopping = EarlyStopping("penalty", mode="min")
    history = net.fit(X, Y, loss=LOSS, optimizer=SGD(0.0), epochs=2, callbacks=[stopping])
    assert stopping.best == history["penalty"][0]


def test_a_penalty_that_overflows_stops_the_training() -> None:
    net = Sequential([Penalized(Dense(4, weight_init=Constant(1e30)), weights=L2(1.0))], input_shape=3, rng=0)
    with pytest.raises(NonFiniteError, match="the loss became inf"):
        net.fit(X * 1e-30, Y, loss=LOSS, optimizer=SGD(0.0))
