"""Metrics: over whole epochs, so exact for any function of predictions and targets."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from problems import CLASSES, PROBLEMS, SQUARES

from deepbp.errors import ArgumentTypeError, ConfigurationError, ContractError, DeepBPError, ShapeError
from deepbp.optimizers import SGD
from deepbp.training import Accuracy, BinaryAccuracy, MeanAbsoluteError, MetricLike
from deepbp.typing import Array

SCORES = np.array([[0.1, 0.9], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]])


def largest_error(prediction: Array, target: Array) -> float:
    """Its average over batches is not that of the epoch."""
    return float(np.abs(prediction - target).max())


@pytest.mark.parametrize(
    ("metric", "prediction", "target", "expected"),
    [
        (Accuracy(), SCORES, np.array([1, 0, 0, 0]), 0.75),
        (Accuracy(), SCORES, np.eye(2)[[1, 0, 0, 0]], 0.75),
        (Accuracy(), np.stack([SCORES, SCORES[::-1]]), np.array([[1, 0, 1, 0], [1, 0, 1, 0]]), 0.5),
        (BinaryAccuracy(), SCORES, np.array([[0, 1], [1, 0], [1, 1], [0, 0]]), 0.75),
        (BinaryAccuracy(threshold=0), SCORES - 0.5, np.array([[0, 1], [1, 0], [1, 1], [0, 0]]), 0.75),
        (BinaryAccuracy(threshold=0.85), SCORES, np.zeros((4, 2)), 0.875),
        (MeanAbsoluteError(), SCORES, SCORES + np.array([[0, 1], [0, -2], [3, 0], [0, 0]]), 0.75),
    ],
)
def test_value(metric: MetricLike, prediction: Array, target: Array, expected: float) -> None:
    np.testing.assert_array_max_ulp(metric(prediction, target), expected, maxulp=4)


@pytest.mark.parametrize("batch_size", [1, 7, None])
def test_over_the_whole_epoch_whatever_the_batches(batch_size: int | None) -> None:
    net = SQUARES.network()
    prediction = net.predict(SQUARES.x)
    metrics: list[MetricLike] = [
        MeanAbsoluteError(),
        largest_error,
        lambda p, t: np.corrcoef(p.ravel(), t.ravel())[0, 1],
    ]
    expected = [
        np.abs(prediction - SQUARES.y).mean(),
        np.abs(prediction - SQUARES.y).max(),
        np.corrcoef(prediction.ravel(), SQUARES.y.ravel())[0, 1],
    ]
    history = net.fit(
        SQUARES.x,
        SQUARES.y,
        loss=SQUARES.loss,
        optimizer=SGD(0.0),
        batch_size=batch_size,
        metrics=metrics,
        validation_data=(SQUARES.x, SQUARES.y),
    )
    names = ["mean_absolute_error", "largest_error", "<lambda>"]
    assert list(history) == ["loss", *names, "val_loss", *(f"val_{name}" for name in names)]
    for prefix in ("", "val_"):
        assert [history[prefix + name] for name in names] == [[pytest.approx(e, rel=1e-12)] for e in expected]
    row = net.evaluate(SQUARES.x, SQUARES.y, loss=SQUARES.loss, metrics=metrics, batch_size=batch_size)
    assert [row[name] for name in names] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["labels on logits", "one-hot on logits", "whole one-hot on logits"])
def test_accuracy_of_labels_and_one_hot_rows(name: str) -> None:
    problem = PROBLEMS[name]
    net = problem.network()
    right = np.argmax(net.predict(problem.x), axis=1) == CLASSES.y
    row = net.evaluate(problem.x, problem.y, loss=problem.loss, metrics=[Accuracy()], batch_size=4)
    assert row["accuracy"] == right.sum() / 23
    assert 0 < row["accuracy"] < 1


class Share:
    """A metric with a name of its own choosing, and no base class."""

    name = "share above"

    def __call__(self, prediction: Array, target: Array) -> Any:
        return np.mean(prediction > target)


def test_names_of_any_callable() -> None:
    row = SQUARES.network().evaluate(
        SQUARES.x, SQUARES.y, loss=SQUARES.loss, metrics=[Share(), partial(largest_error), largest_error]
    )
    assert list(row) == ["loss", "share above", "partial", "largest_error"]
    assert {type(value) for value in row.values()} == {float}


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        (Accuracy(), ArgumentTypeError, "metrics: expected a list such as [Accuracy()], got Accuracy()"),
        ("accuracy", ArgumentTypeError, "metrics: expected a list such as [Accuracy()], got 'accuracy'"),
        (["accuracy"], ArgumentTypeError, "metrics: expected callables such as Accuracy(), got 'accuracy'"),
        ([Accuracy], ArgumentTypeError, "metrics: expected callables such as Accuracy(), got <class"),
        (
            [MeanAbsoluteError(), MeanAbsoluteError()],
            ConfigurationError,
            "metrics: expected names that differ, and none called 'loss', "
            "got ['mean_absolute_error', 'mean_absolute_error']",
        ),
        (
            [lambda p, t: p - t],
            ContractError,
            "metric <lambda>: expected a single number, returned an array of shape (23, 4)",
        ),
        ([lambda p, t: None], ContractError, "metric <lambda>: expected a single number, returned None"),
    ],
)
def test_refused(metrics: Any, error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error) as caught:
        SQUARES.network().evaluate(SQUARES.x, SQUARES.y, loss=SQUARES.loss, metrics=metrics)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (Accuracy(), r"Accuracy: expected labels of shape \(4,\) or one-hot rows of shape \(4, 2\), got \(4, 1\)"),
        (BinaryAccuracy(), r"expected a target of the prediction's shape \(4, 2\), got \(4, 1\)"),
        (MeanAbsoluteError(), r"expected a target of the prediction's shape \(4, 2\), got \(4, 1\)"),
    ],
)
def test_shapes_that_would_broadcast(metric: MetricLike, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        metric(SCORES, SCORES[:, :1])


def test_threshold_is_a_finite_number() -> None:
    with pytest.raises(ConfigurationError, match=r"BinaryAccuracy: threshold: expected a finite number, got nan"):
        BinaryAccuracy(threshold=float("nan"))
