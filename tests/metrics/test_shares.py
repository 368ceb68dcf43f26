"""Precision, recall, F1 and top-k accuracy, against scikit-learn; and what they are where there is nothing to count."""

from typing import Any

import numpy as np
import pytest

from deepbp.training import F1, Accuracy, Metric, Precision, Recall, TopKAccuracy

REFERENCES: dict[type[Any], str] = {Precision: "precision_score", Recall: "recall_score", F1: "f1_score"}


@pytest.fixture(params=REFERENCES, ids=lambda share: share.__name__)
def share(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def reference(share: Any) -> Any:
    return getattr(pytest.importorskip("sklearn.metrics"), REFERENCES[share])


@pytest.mark.parametrize("threshold", [0.0, 0.5])
@pytest.mark.parametrize("shape", [(40, 1), (40, 3), (40,), (20, 2, 3)])
def test_answers(share: Any, reference: Any, shape: Any, threshold: float, rng: np.random.Generator) -> None:
    prediction, target = rng.normal(0.3, 1, shape), rng.integers(0, 2, shape).astype(float)
    expected = reference(target.ravel(), prediction.ravel() > threshold)
    assert share(threshold=threshold)(prediction, target) == pytest.approx(expected, rel=1e-14)
    if prediction.ndim == 2 and shape[1] == 3:  # several labels of each sample are counted together
        expected = reference(target, prediction > threshold, average="micro")
        assert share(threshold=threshold)(prediction, target) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("outputs", [3, 6])  # with 6, two classes occur nowhere, and one in the predictions alone
def test_classes(share: Any, reference: Any, average: Any, outputs: int, rng: np.random.Generator) -> None:
    labels = rng.integers(0, 3, 40)
    scores = rng.normal(size=(40, outputs))
    scores[:, 4:] = -9
    expected = reference(labels, scores.argmax(axis=1), average=average, zero_division=0.0)
    metric = share(average)
    assert metric(scores, labels) == pytest.approx(expected, rel=1e-14)
    assert metric(scores, np.eye(outputs)[labels]) == metric(scores, labels)
    assert metric(scores.reshape(8, 5, -1), labels.reshape(8, 5)) == metric(scores, labels)
    if average == "micro":
        assert metric(scores, labels) == Accuracy()(scores, labels)


def test_nothing_to_count_is_0(share: Any, reference: Any) -> None:
    none, some = np.zeros((4, 1)), np.ones((4, 1))
    for prediction, target in ((none, none), (none, some), (some, none)):
        expected = reference(target.ravel(), prediction.ravel(), zero_division=0.0)
        assert share()(prediction, target) == expected == 0
    assert share()(some, some) == 1


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k(k: int, rng: np.random.Generator) -> None:
    learn = pytest.importorskip("sklearn.metrics")
    scores, labels = rng.normal(size=(50, 6)), rng.integers(0, 6, 50)
    expected = learn.top_k_accuracy_score(labels, scores, k=k, labels=range(6))
    for target in (labels, np.eye(6)[labels]):
        assert TopKAccuracy(k)(scores, target) == pytest.approx(expected, rel=1e-14)
    assert TopKAccuracy(k)(scores.reshape(5, 10, 6), labels.reshape(5, 10)) == TopKAccuracy(k)(scores, labels)
    assert TopKAccuracy(6)(scores, labels) == 1


def test_top_1_is_accuracy_also_where_scores_are_equal() -> None:
    scores, labels = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0.0]]), np.array([0, 0, 0, 2])
    assert TopKAccuracy(1)(scores, labels) == Accuracy()(scores, labels) == 0.75
    assert TopKAccuracy(2)(scores, labels) == 0.75


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        (Precision(), "precision"),
        (Recall("macro"), "macro_recall"),
        (F1("weighted"), "weighted_f1"),
        (TopKAccuracy(3), "top_3_accuracy"),
    ],
)
def test_names_say_what_is_averaged(metric: Metric, name: str) -> None:
    assert metric.name == name
    assert metric.higher_is_better


def test_the_macro_f1_is_the_mean_of_the_classes() -> None:
    labels, scores = np.array([0, 0, 0, 1]), np.eye(2)[[0, 1, 1, 1]]
    assert F1("macro")(scores, labels) == pytest.approx((2 / 4 + 2 / 4) / 2)
    precision, recall = Precision("macro")(scores, labels), Recall("macro")(scores, labels)
    assert 2 * precision * recall / (precision + recall) == pytest.approx(2 / 3)  # which it is not
