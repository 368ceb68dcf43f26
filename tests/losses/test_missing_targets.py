"""Targets that are missing: left out of the loss, its gradient, and metrics, against the same data without them."""

import copy
from collections.abc import Callable
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loss_cases import answers, numbers, rates, rows

from deepbp import Sequential, Trainer
from deepbp.callbacks import Callback
from deepbp.errors import ConfigurationError, DataError, ShapeError
from deepbp.layers import Dense, Tanh
from deepbp.losses import (
    BinaryCrossEntropy,
    CosineSimilarity,
    Hinge,
    Huber,
    IgnoreMissing,
    KLDivergence,
    LogPoisson,
    Loss,
    MeanSquaredError,
    OnOutputs,
    Quantile,
    SigmoidBinaryCrossEntropy,
    SigmoidFocal,
    SoftmaxCrossEntropy,
    SumOfLosses,
    SumSquaredError,
)
from deepbp.metrics import R2, BinaryAccuracy, Metric, MetricLike, RootMeanSquaredError
from deepbp.metrics import MeanAbsoluteError as Distance
from deepbp.optimizers import SGD, Adam
from deepbp.testing import check_loss, numeric_gradient
from deepbp.typing import Array

NAN = np.nan
Y = np.array([[1.0, NAN], [NAN, NAN], [3.0, 4.0], [NAN, 0.5], [2.0, -1.0]])


def one_number(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.normal(size=(*shape[:-1], 1))


Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]
CASES: list[tuple[Loss[Any], tuple[int, ...], Draw]] = [
    (SumSquaredError(), (3,), numbers),
    (MeanSquaredError(), (2, 3), numbers),
    (Huber(0.3), (1,), numbers),
    (Quantile((0.1, 0.5, 0.9)), (2, 3), one_number),
    (LogPoisson(), (3,), rates),
    (BinaryCrossEntropy(), (3,), answers),
    (SigmoidBinaryCrossEntropy(pos_weight=(0.5, 2.0, 3.0), label_smoothing=0.1), (3,), answers),
    (Hinge(), (3,), answers),
    (SigmoidFocal(), (2,), answers),
    (KLDivergence(), (3,), rows),
    (CosineSimilarity(), (2, 3), numbers),
]
NAMES = [str(loss) for loss, _, _ in CASES]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
@pytest.mark.parametrize(("loss", "shape", "draw"), CASES, ids=NAMES)
def test_conformance(loss: Loss[Any], shape: tuple[int, ...], draw: Draw, share: float) -> None:
    def with_holes(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        target = draw(rng, shape)
        target[rng.random(target.shape) < share] = NAN
        return target

    check_loss(IgnoreMissing(loss), shape, targets=with_holes)


@pytest.mark.parametrize("weights", [None, np.array([1.0, 2.0, 0.5, 3.0, 1.0]), np.arange(10.0).reshape(5, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_value_and_gradient(weights: Array | None, dtype: str, rng: np.random.Generator) -> None:
    p = rng.normal(size=(5, 2)).astype(dtype)
    w = None if weights is None else weights.astype(dtype)
    loss = IgnoreMissing(MeanSquaredError())
    value, saved = loss.forward(p, Y.astype(dtype), w)
    present = [(i, j) for i in range(5) for j in range(2) if not isnan(Y[i, j])]
    each = np.ones((5, 2)) if weights is None else np.broadcast_to(weights.reshape(5, -1), (5, 2))
    assert value == pytest.approx(sum(each[at] * (p[at] - Y[at]) ** 2 for at in present) / 6, rel=1e-6)
    expected = np.zeros((5, 2))
    for at in present:
        expected[at] = each[at] * 2 * (p[at] - Y[at]) / 6
    delta = loss.backward(saved)
    assert delta.dtype == dtype
    np.testing.assert_allclose(delta, expected, rtol=1e-5)
    assert not delta[np.isnan(Y)].any()
    assert IgnoreMissing(SumSquaredError()).forward(p, Y.astype(dtype), w)[0] == pytest.approx(6 * value, rel=1e-6)


@pytest.mark.parametrize(("loss", "shape", "draw"), CASES, ids=NAMES)
def test_no_target_at_all(loss: Loss[Any], shape: tuple[int, ...], draw: Draw, rng: np.random.Generator) -> None:
    target = draw(rng, (4, *shape)) * NAN
    ignoring = IgnoreMissing(loss)
    prepared = ignoring.prepare_target(target, shape, np.dtype("float32"))
    assert prepared.dtype == np.float32
    assert np.isnan(prepared).all()
    prediction = rng.uniform(0.2, 0.8, (4, *shape)).astype("float32")
    value, saved = ignoring.forward(prediction, prepared)
    assert value == 0
    np.testing.assert_array_equal(ignoring.backward(saved), np.zeros_like(prediction))


@pytest.mark.parametrize(("loss", "shape", "draw"), CASES, ids=NAMES)
def test_complete_targets_give_the_same_numbers(
    loss: Loss[Any], shape: tuple[int, ...], draw: Draw, rng: np.random.Generator
) -> None:
    target, prediction = draw(rng, (4, *shape)), rng.uniform(0.2, 0.8, (4, *shape))
    assert IgnoreMissing(loss).forward(prediction, target)[0] == loss.forward(prediction, target)[0]


def test_a_prediction_that_overflows_where_the_target_is_missing() -> None:
    loss, p = IgnoreMissing(MeanSquaredError()), np.array([[1e30, 2.0]], np.float32)
    value, saved = loss.forward(p, np.array([[NAN, 0.0]], np.float32))
    assert value == 4
    np.testing.assert_array_equal(loss.backward(saved), [[0, 4]])


def net() -> Sequential:
    return Sequential([Dense(4), Tanh(), Dense(2)], input_shape=3, rng=0, dtype="float64")


def test_training_on_one_column_equals_training_without_the_missing_samples(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 1))
    y[rng.random(40) < 0.4] = NAN
    known = ~np.isnan(y[:, 0])
    nets = [Sequential([Dense(4), Tanh(), Dense(1)], input_shape=3, rng=0, dtype="float64") for _ in range(2)]
    options: dict[str, Any] = {"optimizer": SGD(0.1), "epochs": 5, "batch_size": None, "metrics": [R2(), Distance()]}
    one = nets[0].fit(x, y, loss=IgnoreMissing(MeanSquaredError()), **options)
    other = nets[1].fit(x[known], y[known], loss=MeanSquaredError(), **options)
    for name, column in other.items():
        np.testing.assert_allclose(one[name], column, rtol=1e-10)


def of_both(prediction: Array, target: Array) -> float:
    return float(np.nanmean(np.abs(prediction - target)))


class Largest(Metric):
    """A metric that has a use for weights."""

    name, higher_is_better = "largest", False

    def __call__(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> float:
        weight = np.ones_like(target) if sample_weight is None else sample_weight
        return float((weight * np.abs(prediction - target)).max())


@pytest.mark.parametrize("weights", [None, np.array([1.0, 2.0, 0.5, 3.0, 1.0])])
def test_metrics_leave_out_the_same_targets(weights: Array | None, rng: np.random.Generator) -> None:
    network, x = net(), rng.normal(size=(5, 3))
    known = ~np.isnan(Y)
    w = np.broadcast_to((np.ones(5) if weights is None else weights)[:, None], (5, 2))[known]
    errors = (network.predict(x) - Y)[known]
    metrics: list[MetricLike] = [Distance(), RootMeanSquaredError(), of_both, Largest()]
    for given in (metrics, metrics[:2]):  # with the last two, predictions are kept to the end of the epoch
        row = network.evaluate(x, Y, loss=IgnoreMissing(MeanSquaredError()), metrics=given, sample_weight=weights)
        assert row["loss"] == pytest.approx(np.sum(w * errors**2) / 6, rel=1e-12)
        assert row["mean_absolute_error"] == pytest.approx(np.sum(w * abs(errors)) / w.sum(), rel=1e-12)
        assert row["root_mean_squared_error"] == pytest.approx((np.sum(w * errors**2) / w.sum()) ** 0.5, rel=1e-12)
    row = network.evaluate(x, Y, loss=IgnoreMissing(MeanSquaredError()), metrics=metrics, sample_weight=weights)
    assert row["of_both"] == pytest.approx(np.abs(errors).mean(), rel=1e-12)
    assert row["largest"] == pytest.approx((w * abs(errors)).max(), rel=1e-12)


def test_answers_that_are_missing(rng: np.random.Generator) -> None:
    network, x = net(), rng.normal(size=(5, 3))
    y = np.where(np.isnan(Y), NAN, (Y > 0).astype(float))
    right = ((network.predict(x) > 0) == (y == 1))[~np.isnan(y)]
    row = network.evaluate(x, y, loss=IgnoreMissing(SigmoidBinaryCrossEntropy()), metrics=[BinaryAccuracy()])
    assert row["binary_accuracy"] == pytest.approx(right.mean())
    empty = network.evaluate(x, y * NAN, loss=IgnoreMissing(SigmoidBinaryCrossEntropy()), metrics=[BinaryAccuracy()])
    assert empty["loss"] == 0
    assert isnan(empty["binary_accuracy"])


def test_the_loss_of_an_epoch_is_the_mean_over_all_targets(rng: np.random.Generator) -> None:
    network, x, loss = net(), rng.normal(size=(5, 3)), IgnoreMissing(MeanSquaredError())
    whole = network.evaluate(x, Y, loss=loss)["loss"]
    for batch_size in (1, 2, 3):
        assert network.evaluate(x, Y, loss=loss, batch_size=batch_size)["loss"] == pytest.approx(whole, rel=1e-12)


def test_accumulated_gradients_are_those_of_the_large_batch(rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 3))
    small = Trainer(net(), IgnoreMissing(MeanSquaredError()), SGD(0.1), accumulate=5)
    large = Trainer(net(), IgnoreMissing(MeanSquaredError()), SGD(0.1))
    losses = [trainer.fit(x, Y, batch_size=size)["loss"] for trainer, size in ((small, 1), (large, 5))]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-12)
    np.testing.assert_allclose(small.parameters.values, large.parameters.values, rtol=1e-12)
    nothing = Trainer(net(), IgnoreMissing(MeanSquaredError()), SGD(0.1), accumulate=2)
    before = nothing.parameters.values.copy()
    assert nothing.fit(x, Y * NAN, batch_size=3)["loss"] == [0]
    np.testing.assert_array_equal(nothing.parameters.values, before)


BOTH = SumOfLosses(
    [OnOutputs(IgnoreMissing(MeanSquaredError()), 0, 1), OnOutputs(IgnoreMissing(Huber(0.5)), 1, 2)], weights=(1.0, 3.0)
)
WITH_CLASSES = SumOfLosses(
    [
        OnOutputs(IgnoreMissing(MeanSquaredError()), 0, 1),
        OnOutputs(SoftmaxCrossEntropy(ignore_label=-100), 1, 4, targets=(1, 2)),
    ]
)


def test_heads_of_which_each_has_targets_missing(rng: np.random.Generator) -> None:
    p = rng.normal(size=(5, 2))
    prepared = BOTH.prepare_target(Y, (2,), np.dtype("float64"))
    value, saved = BOTH.forward(p, prepared)
    parts = [
        loss.forward(p[known, k : k + 1], Y[known, k : k + 1])[0]
        for k, loss in enumerate((MeanSquaredError(), Huber(0.5)))
        for known in [~np.isnan(Y[:, k])]
    ]
    assert value == pytest.approx(parts[0] + 3 * parts[1], rel=1e-12)
    numeric = numeric_gradient(lambda moved: BOTH.forward(moved, prepared)[0], p)
    np.testing.assert_allclose(BOTH.backward(saved), numeric, atol=1e-8)
    history = net().fit(rng.normal(size=(5, 3)), Y, loss=BOTH, optimizer=Adam(0.01), metrics=[Distance()], epochs=20)
    assert history["loss"][-1] < history["loss"][0]
    assert np.isfinite(history["mean_absolute_error"]).all()


def test_a_head_of_classes_has_a_label_for_them(rng: np.random.Generator) -> None:
    y = np.column_stack([Y[:, 0], [0, -100, 2, 1, -100]])
    network = Sequential([Dense(4)], input_shape=3, rng=0)
    row = network.evaluate(rng.normal(size=(5, 3)), y, loss=WITH_CLASSES)
    assert np.isfinite(row["loss"])
    with pytest.raises(DataError, match=r"y\[\.\.\., 1:2\]: expected whole-number labels in this column, got nan"):
        network.evaluate(rng.normal(size=(5, 3)), np.column_stack([Y[:, 0], Y[:, 0]]), loss=WITH_CLASSES)


def test_a_head_without_the_option_takes_no_missing_targets() -> None:
    loss = SumOfLosses([OnOutputs(MeanSquaredError(), 0, 1), OnOutputs(IgnoreMissing(Huber()), 1, 2)])
    with pytest.raises(DataError, match=r"y\[\.\.\., 0:1\]: expected finite numbers, got nan"):
        loss.prepare_target(Y, (2,), np.dtype("float32"))
    with pytest.raises(DataError, match=r"or leave them out, with IgnoreMissing\(MeanSquaredError\(\)\)"):
        net().fit(np.ones((5, 3)), Y, loss=MeanSquaredError(), optimizer=SGD(0.1))


@pytest.mark.parametrize("metrics", [(Distance(),), (of_both,)], ids=["sums", "all"])
@pytest.mark.parametrize("loss", [IgnoreMissing(MeanSquaredError()), BOTH], ids=["one", "both"])
def test_a_training_stored_in_the_middle_of_an_epoch(
    loss: Loss[Any], metrics: Any, tmp_path: Path, rng: np.random.Generator
) -> None:
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    y[rng.random((30, 2)) < 0.5] = NAN

    whole = Trainer(net(), loss, Adam(0.01), metrics=metrics, rng=1)
    whole.fit(x, y, epochs=3, batch_size=7)

    class StopInside(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            if trainer.steps == 6:
                trainer.stop(now=True)

    part = Trainer(net(), loss, Adam(0.01), metrics=metrics, callbacks=[StopInside()], rng=1)
    part.fit(x, y, epochs=3, batch_size=7)
    part.save(tmp_path / "part.npz")
    rest = Trainer(net(), loss, Adam(0.01), metrics=metrics, callbacks=[StopInside()], rng=1)
    rest.load(tmp_path / "part.npz")
    rest.fit(x, y, epochs=3, batch_size=7)
    assert dict(rest.history) == dict(whole.history)


def test_streams_steps_and_conversion(rng: np.random.Generator) -> None:
    x, loss = rng.normal(size=(5, 3)), IgnoreMissing(MeanSquaredError())

    pieces = [(x[:2], Y[:2]), (x[2:], Y[2:])]
    streamed = net().fit(lambda: iter(pieces), loss=loss, optimizer=SGD(0.1))
    trainer, network = Trainer(net(), loss, SGD(0.1)), net()
    steps = [trainer.step(*piece) for piece in pieces]
    assert steps[0] == loss.forward(network.predict(x[:2]), Y[:2])[0]
    assert streamed["loss"][0] == pytest.approx((1 * steps[0] + 5 * steps[1]) / 6, rel=1e-12)
    column = IgnoreMissing(MeanSquaredError()).prepare_target(np.array([1, None, 3]), (1,), np.dtype("float32"))
    np.testing.assert_array_equal(column, np.array([[1], [NAN], [3]], np.float32))
    with pytest.raises(ShapeError, match=r"expects samples of shape \(2,\)"):
        loss.prepare_target(np.full((3, 4), NAN), (2,), np.dtype("float32"))
    with pytest.raises(DataError, match="expected finite numbers, got inf"):
        loss.prepare_target(np.array([[NAN, np.inf]]), (2,), np.dtype("float32"))


def test_what_cannot_be_wrapped() -> None:
    with pytest.raises(ConfigurationError, match=r"use SoftmaxCrossEntropy\(ignore_label=-100\), and the label -100"):
        IgnoreMissing(SoftmaxCrossEntropy())
    for loss in (BOTH, OnOutputs(Huber(), 0, 1), IgnoreMissing(Huber())):
        with pytest.raises(ConfigurationError, match=r"write the inner losses as OnOutputs\(IgnoreMissing\("):
            IgnoreMissing(loss)


def test_copies_and_the_derivation() -> None:
    loss = IgnoreMissing(Huber(0.25))
    assert copy.deepcopy(loss) == loss
    assert repr(loss) == "IgnoreMissing(Huber(delta=0.25))"
    text = str(net().derivation(loss))
    assert "0.25" in text
    assert "n counts the numbers of the prediction: B · 2, without missing targets." in text
