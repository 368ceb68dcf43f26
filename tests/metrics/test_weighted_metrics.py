"""Every metric with sample weights, against scikit-learn; and the weights reach them in fit and evaluate."""

from collections.abc import Callable
from math import isnan
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, DataError, ShapeError
from deepbp.layers import Dense
from deepbp.losses import MeanSquaredError, SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy
from deepbp.metrics import (
    F1,
    R2,
    ROCAUC,
    Accuracy,
    BinaryAccuracy,
    MeanAbsoluteError,
    Precision,
    Recall,
    RootMeanSquaredError,
    TopKAccuracy,
    confusion_matrix,
)
from deepbp.optimizers import SGD
from deepbp.typing import Array

learn = pytest.importorskip("sklearn.metrics")

RNG = np.random.default_rng(3)
N = 120
WEIGHT = RNG.random(N) * (RNG.random(N) > 0.2)  # some are 0
X = RNG.normal(size=(N, 3))
NUMBERS, ANSWERS, LABELS = RNG.normal(size=(N, 1)), RNG.integers(0, 2, (N, 1)), RNG.integers(0, 4, N)
VALUES = NUMBERS + RNG.normal(0, 0.5, (N, 1))
P = np.clip(0.3 * ANSWERS + 0.7 * RNG.random((N, 1)), 0, 1).round(2)
SCORES = RNG.dirichlet(np.ones(4), N)
TOP = SCORES.argmax(axis=1)
YES = P[:, 0] > 0.5

AVERAGES: Any = ("macro", "micro", "weighted")
SHARES: dict[Any, Any] = {Precision: learn.precision_score, Recall: learn.recall_score, F1: learn.f1_score}
Reference = Callable[[Any], float]

CASES: list[tuple[Any, Array, Array, Reference]] = [
    (MeanAbsoluteError(), VALUES, NUMBERS, lambda w: learn.mean_absolute_error(NUMBERS, VALUES, sample_weight=w)),
    (
        RootMeanSquaredError(),
        VALUES,
        NUMBERS,
        lambda w: learn.root_mean_squared_error(NUMBERS, VALUES, sample_weight=w),
    ),
    (R2(), VALUES, NUMBERS, lambda w: learn.r2_score(NUMBERS, VALUES, sample_weight=w)),
    (
        R2(),
        np.hstack([VALUES, 2 * NUMBERS + 1e4]),
        np.hstack([NUMBERS, VALUES + 1e4]),
        lambda w: learn.r2_score(
            np.hstack([NUMBERS, VALUES + 1e4]), np.hstack([VALUES, 2 * NUMBERS + 1e4]), sample_weight=w
        ),
    ),
    (BinaryAccuracy(), P, ANSWERS, lambda w: learn.accuracy_score(ANSWERS[:, 0], YES, sample_weight=w)),
    (Accuracy(), P, ANSWERS, lambda w: learn.accuracy_score(ANSWERS[:, 0], YES, sample_weight=w)),
    (Accuracy(), SCORES, LABELS, lambda w: learn.accuracy_score(LABELS, TOP, sample_weight=w)),
    (TopKAccuracy(2), SCORES, LABELS, lambda w: learn.top_k_accuracy_score(LABELS, SCORES, k=2, sample_weight=w)),
    (ROCAUC(), P, ANSWERS, lambda w: learn.roc_auc_score(ANSWERS[:, 0], P[:, 0], sample_weight=w)),
    *(
        (kind(), P, ANSWERS, lambda w, score=score: score(ANSWERS[:, 0], YES, sample_weight=w))
        for kind, score in SHARES.items()
    ),
    *(
        (kind(a), SCORES, LABELS, lambda w, score=score, a=a: score(LABELS, TOP, average=a, sample_weight=w))
        for kind, score in SHARES.items()
        for a in AVERAGES
    ),
    *(
        (
            ROCAUC(average),
            SCORES,
            LABELS,
            lambda w, a=average: learn.roc_auc_score(LABELS, SCORES, multi_class="ovr", average=a, sample_weight=w),
        )
        for average in AVERAGES[::2]
    ),
]


@pytest.mark.parametrize(("metric", "prediction", "target", "reference"), CASES, ids=[repr(case[0]) for case in CASES])
def test_against_scikit_learn(metric: Any, prediction: Array, target: Array, reference: Reference) -> None:
    assert metric(prediction, target, WEIGHT) == pytest.approx(reference(WEIGHT), rel=1e-12)
    assert metric(prediction, target) == pytest.approx(reference(None), rel=1e-12)
    assert metric(prediction, target, WEIGHT) != pytest.approx(metric(prediction, target), rel=1e-4)
    assert metric(prediction, target, WEIGHT / 1000) == pytest.approx(reference(WEIGHT), rel=1e-12)  # shares count
    assert metric(prediction, target, np.ones(N)) == pytest.approx(metric(prediction, target), rel=1e-13)
    if target.ndim == 1:
        assert metric(prediction, np.eye(4)[target], WEIGHT) == metric(prediction, target, WEIGHT)


@pytest.mark.parametrize(("metric", "prediction", "target", "reference"), CASES, ids=[repr(case[0]) for case in CASES])
def test_a_whole_weight_is_a_repetition(metric: Any, prediction: Array, target: Array, reference: Reference) -> None:
    times = RNG.integers(0, 4, N)
    expected = metric(np.repeat(prediction, times, axis=0), np.repeat(target, times, axis=0))
    if "macro" not in repr(metric):  # a class whose samples all have the weight 0 occurs in scikit-learn's, too
        assert metric(prediction, target, times.astype(float)) == pytest.approx(expected, rel=1e-12)


def test_weights_of_a_class_that_has_none() -> None:
    """scikit-learn's macro average counts it, with a ratio of 0."""
    weight = np.where((LABELS == 3) | (TOP == 3), 0.0, WEIGHT)
    for kind, score in SHARES.items():
        for average in AVERAGES:
            expected = score(LABELS, TOP, average=average, sample_weight=weight, zero_division=0)
            assert kind(average)(SCORES, LABELS, weight) == pytest.approx(expected, rel=1e-12)


def test_several_outputs_have_the_weight_of_their_sample() -> None:
    p, y = np.hstack([P, P[::-1]]), np.hstack([ANSWERS, ANSWERS])
    flat, wide = (p.reshape(-1), y.reshape(-1)), np.repeat(WEIGHT, 2)
    assert F1()(p, y, WEIGHT) == pytest.approx(learn.f1_score(flat[1], flat[0] > 0.5, sample_weight=wide), rel=1e-12)
    assert F1()(p, y, wide.reshape(N, 2)) == F1()(p, y, WEIGHT)
    area = learn.roc_auc_score(flat[1], flat[0], sample_weight=wide)
    assert ROCAUC()(p, y, WEIGHT) == pytest.approx(area, rel=1e-12)
    error = learn.mean_absolute_error(y, p, sample_weight=WEIGHT)
    assert MeanAbsoluteError()(p, y, WEIGHT) == pytest.approx(error, rel=1e-12)
    steps = SCORES.reshape(30, 4, 4), LABELS.reshape(30, 4)
    expected = learn.accuracy_score(LABELS, TOP, sample_weight=np.repeat(WEIGHT[:30], 4))
    assert Accuracy()(*steps, WEIGHT[:30]) == pytest.approx(expected, rel=1e-12)


def test_confusion_matrix() -> None:
    expected = learn.confusion_matrix(LABELS, TOP, sample_weight=WEIGHT)
    np.testing.assert_allclose(confusion_matrix(SCORES, LABELS, sample_weight=WEIGHT), expected, rtol=1e-12)
    with pytest.raises(DataError, match="sample_weight has 3"):
        confusion_matrix(SCORES, LABELS, sample_weight=[1, 2, 3])


@pytest.mark.parametrize(("metric", "prediction", "target", "reference"), CASES, ids=[repr(case[0]) for case in CASES])
def test_weights_that_do_not_fit(metric: Any, prediction: Array, target: Array, reference: Reference) -> None:
    with pytest.raises(ShapeError, match=r"sample_weight: expected one weight a sample, shape \(120,\), got \(7,\)"):
        metric(prediction, target, np.ones(7))
    with pytest.raises(ArgumentTypeError, match="sample_weight: expected an array"):
        metric(prediction, target, [1.0] * N)
    assert isnan(metric(prediction, target, np.zeros(N))) or isinstance(metric, Precision | Recall | F1)


def network(outputs: int) -> Sequential:
    return Sequential([Dense(outputs)], input_shape=3, rng=0, dtype="float64")


def share_of_errors(y_true: Array, y_pred: Array, *, sample_weight: Array | None = None) -> float:
    return float(learn.zero_one_loss(y_true, y_pred.argmax(axis=1), sample_weight=sample_weight))


@pytest.mark.parametrize("batch_size", [7, None])
def test_evaluate_and_fit_pass_them(batch_size: int | None) -> None:
    """The report: only the sample of weight 0 was wrong; the loss was 0, the mean absolute error 2.5."""
    net = network(4)
    metrics: list[Any] = [Accuracy(), F1("macro"), ROCAUC("macro"), share_of_errors]
    scores = net.predict(X)
    top, p = scores.argmax(axis=1), np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = {
        "accuracy": learn.accuracy_score(LABELS, top, sample_weight=WEIGHT),
        "macro_f1": learn.f1_score(LABELS, top, average="macro", sample_weight=WEIGHT),
        "macro_roc_auc": learn.roc_auc_score(LABELS, p, multi_class="ovr", sample_weight=WEIGHT),
        "share_of_errors": learn.zero_one_loss(LABELS, top, sample_weight=WEIGHT),
    }
    loss = SoftmaxCrossEntropy()
    row = net.evaluate(X, LABELS, loss=loss, metrics=metrics, sample_weight=WEIGHT, batch_size=batch_size)
    history = net.fit(
        X,
        LABELS,
        loss=loss,
        optimizer=SGD(0.0),
        metrics=metrics,
        sample_weight=WEIGHT,
        validation_data=(X, LABELS, WEIGHT),
        batch_size=batch_size,
    )
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-12)
        assert [*history[name], *history[f"val_{name}"]] == pytest.approx([value, value], rel=1e-12)


def test_a_sample_of_weight_0_does_not_count() -> None:
    x, w = np.arange(4.0).reshape(4, 1), np.array([1.0, 1, 1, 0])
    net = Sequential([Dense(1)], input_shape=1, rng=0, dtype="float64")
    y = net.predict(x) + np.array([[0], [0], [0], [10]])
    row = net.evaluate(
        x, y, loss=MeanSquaredError(), metrics=[MeanAbsoluteError(), RootMeanSquaredError(), R2()], sample_weight=w
    )
    assert row == {"loss": 0, "mean_absolute_error": 0, "root_mean_squared_error": 0, "r2": 1}


@pytest.mark.parametrize("accumulate", [1, 3])
def test_class_weights_and_weights_of_a_stream(accumulate: int) -> None:
    by_class = np.where(ANSWERS[:, 0] == 1, 3.0, 1.0)
    net = network(1)
    expected = learn.accuracy_score(ANSWERS[:, 0], net.predict(X)[:, 0] > 0, sample_weight=by_class)
    given = {"loss": SigmoidBinaryCrossEntropy(), "optimizer": SGD(0.0), "metrics": [Accuracy()]}
    options: dict[str, Any] = {**given, "accumulate": accumulate, "batch_size": 16}
    history = net.fit(X, ANSWERS, class_weight={1: 3.0}, **options)
    assert history["accuracy"] == [pytest.approx(expected, rel=1e-12)]
    batches = [(X[i : i + 16], ANSWERS[i : i + 16], by_class[i : i + 16]) for i in range(0, N, 16)]
    assert net.fit(batches.__iter__, **options)["accuracy"] == [pytest.approx(expected, rel=1e-12)]
    mixed = [(X[:60], ANSWERS[:60]), (X[60:], ANSWERS[60:], by_class[60:])]  # no weights are ones
    weight = np.where(np.arange(N) < 60, 1.0, by_class)
    expected = learn.accuracy_score(ANSWERS[:, 0], net.predict(X)[:, 0] > 0, sample_weight=weight)
    assert net.fit(mixed.__iter__, **options)["accuracy"] == [pytest.approx(expected, rel=1e-12)]
