"""``prepare_target`` is asked exactly once, on every way in, and each loss computes with its own targets."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential, Trainer
from deepbp.callbacks import ModelCheckpoint
from deepbp.errors import ContractError
from deepbp.layers import Dense
from deepbp.losses import Loss, MeanAbsoluteError, MeanSquaredError, OnOutputs, SumOfLosses
from deepbp.optimizers import SGD
from deepbp.training import learning_rate_range_test
from deepbp.typing import Array

X = np.array([[0.0], [1.0], [2.0], [3.0]], np.float32)
Y = np.array([[9.0], [99.0], [999.0], [1999.0]], np.float32)
LOGS = np.log1p(Y.astype(np.float64))


class LogScale(MeanSquaredError):  # noqa: N818  # not an exception
    """Squared errors of log1p(y)."""

    def prepare_target(self, target: Any, output_shape: Any, dtype: Any, name: str = "y") -> Array:
        return np.asarray(np.log1p(super().prepare_target(target, output_shape, dtype, name)))


class Mixin:
    def prepare_target(self, target: Any, output_shape: Any, dtype: Any, name: str = "y") -> Array:
        return np.asarray(np.log1p(np.asarray(target, dtype)))


class MixedIn(Mixin, MeanSquaredError):  # noqa: N818  # not an exception
    pass


class Assigned(Loss[Any]):
    def __init__(self) -> None:
        convert: Any = lambda target, *_, **__: np.log1p(np.asarray(target, np.float32))  # noqa: E731
        self.prepare_target = convert  # type: ignore[method-assign]

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Any]:
        return MeanSquaredError().forward(prediction, target, sample_weight)

    def backward(self, saved: Any) -> Array:
        return np.asarray(saved)


class ThreeColumns(Loss[Any]):
    """The targets, one number for each sample, become rows (y, y², y³)."""

    def prepare_target(self, target: Any, output_shape: Any, dtype: Any, name: str = "y") -> Array:
        return np.asarray(target, dtype).reshape(-1, 1) ** np.arange(1, 4, dtype=dtype)

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Any]:
        return MeanSquaredError().forward(prediction.repeat(3, axis=1), target, sample_weight)

    def backward(self, saved: Any) -> Array:
        return np.asarray(saved.sum(axis=1, keepdims=True))


def network(outputs: int = 1) -> Sequential:
    """Predicts 0 for everything."""
    net = Sequential([Dense(outputs)], input_shape=1, rng=0)
    dense: Any = net.layers[0]
    dense.weight.value = np.zeros((1, outputs))
    return net


def in_batches(loss: Loss[Any], y: Array) -> float:
    trainer = Trainer(network(y.shape[1]), loss, SGD(1e-12))
    return next(iter(trainer.fit(X, y, batch_size=2, shuffle=False)["loss"]))


def copied(objective: Any) -> float:
    data = pickle.loads(pickle.dumps(deepcopy(objective.data)))
    return float(objective.loss.forward(np.zeros_like(data.x).repeat(objective.start.size // 2, 1), data.y)[0])


WAYS: dict[str, Callable[[Loss[Any], Array], float]] = {
    "step, float32": lambda loss, y: Trainer(network(y.shape[1]), loss, SGD(1e-12)).step(X, y),
    "step, float64": lambda loss, y: Trainer(network(y.shape[1]), loss, SGD(1e-12)).step(X, y.astype(float)),
    "step, list": lambda loss, y: Trainer(network(y.shape[1]), loss, SGD(1e-12)).step(X.tolist(), y.tolist()),
    "fit": lambda loss, y: network(y.shape[1]).fit(X, y, loss=loss, optimizer=SGD(1e-12))["loss"][0],
    "fit in batches": in_batches,
    "fit a stream": lambda loss, y: network(y.shape[1]).fit(lambda: iter([(X, y)]), loss=loss, optimizer=SGD(1e-12))[
        "loss"
    ][0],
    "validate": lambda loss, y: network(y.shape[1]).fit(X, y, loss=loss, optimizer=SGD(1e-12), validation_data=(X, y))[
        "val_loss"
    ][0],
    "evaluate": lambda loss, y: network(y.shape[1]).evaluate(X, y, loss=loss)["loss"],
    "objective": lambda loss, y: (made := network(y.shape[1]).objective(X, y, loss))(made.start),
    "copied objective": lambda loss, y: copied(network(y.shape[1]).objective(X, y, loss)),
    "trace": lambda loss, y: network(y.shape[1]).trace(X, y, loss).loss,
    "range test": lambda loss, y: float(
        learning_rate_range_test(
            network(y.shape[1]), X, y, loss=loss, optimizer=SGD(0.1), low=1e-14, high=1e-12, steps=10
        ).losses[0]
    ),
}

SQUARES, LOG_SQUARES = float((Y.astype(float) ** 2).mean()), float((LOGS**2).mean())
POWERS = float(np.hstack([Y, Y.astype(float) ** 2, Y.astype(float) ** 3]).__pow__(2).mean())
TWO = np.hstack([Y, Y])
CASES: dict[str, tuple[Loss[Any], Array, float]] = {
    "converted": (LogScale(), Y, LOG_SQUARES),
    "by a mixin": (MixedIn(), Y, LOG_SQUARES),
    "by an assigned function": (Assigned(), Y, LOG_SQUARES),
    "in columns": (OnOutputs(LogScale(), 0, 1), Y, LOG_SQUARES),
    "first of a sum": (SumOfLosses([LogScale(), MeanSquaredError()]), Y, LOG_SQUARES + SQUARES),
    "last of a sum": (SumOfLosses([MeanSquaredError(), LogScale()], weights=(0, 1)), Y, LOG_SQUARES),
    "two heads": (
        SumOfLosses([OnOutputs(MeanSquaredError(), 0, 1), OnOutputs(LogScale(), 1, 2)]),
        TWO,
        SQUARES + LOG_SQUARES,
    ),
    "one column, two losses": (
        SumOfLosses([OnOutputs(LogScale(), 1, 2), OnOutputs(MeanAbsoluteError(), 1, 2)]),
        TWO,
        LOG_SQUARES + float(Y.mean()),
    ),
    "nested": (
        SumOfLosses([SumOfLosses([MeanSquaredError(), LogScale()]), LogScale()]),
        Y,
        SQUARES + 2 * LOG_SQUARES,
    ),
    "of another shape": (ThreeColumns(), Y, POWERS),
    "a head of another shape": (OnOutputs(ThreeColumns(), 0, 1), TWO, POWERS),
    "unchanged": (SumOfLosses([MeanSquaredError(), MeanAbsoluteError()]), Y, SQUARES + float(Y.mean())),
}


@pytest.mark.usefixtures("kernel_form")  # with compiled ones, steps are programs
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_each_loss_gets_its_own_targets(case: str, way: str) -> None:
    loss, y, expected = CASES[case]
    assert WAYS[way](loss, y) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_targets_are_prepared_once(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    prepare = LogScale.prepare_target

    def counted(self: Any, target: Any, *arguments: Any, **named: Any) -> Array:
        seen.append(len(target))
        return prepare(self, target, *arguments, **named)

    monkeypatch.setattr(LogScale, "prepare_target", counted)
    WAYS[way](LogScale(), Y)
    assert sum(seen) == (8 if way == "validate" else 4)  # training and validation data


def test_a_step_on_ready_targets_of_built_in_losses_prepares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(network(), SumOfLosses([OnOutputs(MeanSquaredError(), 0, 1), MeanAbsoluteError()]), SGD(0.1))
    monkeypatch.setattr(Loss, "prepare_target", None)
    trainer.step(X, Y)


def test_metrics_get_converted_targets_of_all_heads() -> None:
    loss = SumOfLosses([OnOutputs(MeanSquaredError(), 0, 1), OnOutputs(LogScale(), 1, 2)])

    def mean_target(prediction: Array, target: Array) -> float:
        assert type(target) is np.ndarray
        np.testing.assert_allclose(target, np.hstack([Y, LOGS]), rtol=1e-6)
        return float(target.mean())

    row = network(2).evaluate(X, TWO, loss=loss, metrics=[mean_target], batch_size=2)
    assert row["mean_target"] == pytest.approx(np.hstack([Y, LOGS]).mean())


def test_selected_samples_keep_their_parts_and_computed_ones_have_none() -> None:
    loss = SumOfLosses([MeanSquaredError(), LogScale()])
    target = loss.prepare_target(Y, (1,), np.dtype(np.float32))
    rows = np.array([3, 0])
    for few in (target[rows], target.take(rows, axis=0), pickle.loads(pickle.dumps(target))[rows], target[::-3]):
        value, _ = loss.forward(np.zeros((2, 1), np.float32), few)
        assert value == pytest.approx((Y[rows].astype(float) ** 2).mean() + (LOGS[rows] ** 2).mean(), rel=1e-6)
    wide = target.astype(np.float64)
    assert loss.forward(np.zeros((4, 1)), wide)[0] == pytest.approx(SQUARES + LOG_SQUARES, rel=1e-6)
    with pytest.raises(ContractError, match="target: expected what prepare_target returned"):
        loss.forward(np.zeros((4, 1)), target * 2)


def test_a_training_stored_within_an_epoch_does_not_convert_targets_twice(tmp_path: Path) -> None:
    def trainer() -> Trainer:
        def largest(prediction: Array, target: Array) -> float:
            return float(target.max())

        return Trainer(network(), LogScale(), SGD(1e-12), metrics=[largest], rng=0)

    whole = trainer().fit(X, Y, batch_size=1)
    first = trainer()
    first.callbacks = (ModelCheckpoint(tmp_path / "t{step}.npz", every_steps=1),)
    first.fit(X, Y, batch_size=1)
    for path in sorted(tmp_path.iterdir())[:3]:
        again = trainer()
        again.callbacks = (ModelCheckpoint(tmp_path / "other.npz", every_steps=10**6),)
        again.load(path)
        assert dict(again.fit(X, Y, batch_size=1)) == dict(whole)
