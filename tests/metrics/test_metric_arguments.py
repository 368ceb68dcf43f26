"""What metrics refuse, and in which words."""

from typing import Any

import numpy as np
import pytest

from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DataTypeError, DeepBPError, ShapeError
from deepbp.training import F1, R2, ROCAUC, Metric, Precision, Recall, RootMeanSquaredError, TopKAccuracy, metrics

Y, LABELS, NAN = np.full((4, 2), 0.5), np.array([0, 1, 1, 0]), float("nan")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda v: Precision(v),
            ConfigurationError,
            "Precision: average: expected 'binary', 'macro', 'micro' or 'weigh",
        ),
        (lambda v: ROCAUC(v), ConfigurationError, "ROCAUC: average: expected 'binary', 'macro' or 'weighted', got"),
    ],
)
@pytest.mark.parametrize("value", ["samples", None, 0, 2.5, "", ["macro"]])
def test_averages(make: Any, value: Any, error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error) as caught:
        make(value)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ConfigurationError), (-3, ConfigurationError), (2.5, ArgumentTypeError), (None, ArgumentTypeError)],
)
def test_k(value: Any, error: type[DeepBPError]) -> None:
    with pytest.raises(error, match="TopKAccuracy: k: expected a whole number of at least 1, got"):
        TopKAccuracy(value)


@pytest.mark.parametrize(("value", "error"), [("64", ArgumentTypeError), (NAN, ConfigurationError)])
def test_threshold(value: Any, error: type[DeepBPError]) -> None:
    with pytest.raises(error, match="Recall: threshold: expected a finite number, got"):
        Recall(threshold=value)


nothing: Any = None


@pytest.mark.parametrize(
    ("metric", "prediction", "target", "error", "message"),
    [
        (Precision(), Y, LABELS, ShapeError, "Precision: expected answers of the prediction's shape (4, 2), got (4,):"),
        (F1(), Y[:, :1], LABELS, ShapeError, "F1: expected a target of the prediction's shape (4, 1), got (4,): use t"),
        (Recall(), Y[:0], Y[:0], DataError, "Recall: expected at least one sample, got none"),
        (Recall(), Y, nothing, ArgumentTypeError, "target: expected an array with samples along axis 0, got None"),
        (Recall("macro"), Y[:, :1], Y[:, :1], ShapeError, "Recall: expected a score for each of at least 2 classes, ("),
        (Recall("macro"), Y, LABELS + 1, DataError, "Recall: target: expected labels from 0 to 1, for the network has"),
        (Recall("macro"), Y, LABELS / 1, DataTypeError, "Recall: target: expected whole-number labels, got float64"),
        (Recall("macro"), Y, nothing, ArgumentTypeError, "target: expected an array with samples along axis 0, got No"),
        (F1("micro"), Y[:0], LABELS[:0], DataError, "F1: target: expected at least one sample, got none"),
        (TopKAccuracy(), Y, LABELS, ConfigurationError, "TopKAccuracy: k: expected at most 2, as there are classes, "),
        (TopKAccuracy(1), Y, LABELS[:3], ShapeError, "TopKAccuracy: target: expected labels of shape (4,) or one-hot "),
        (R2(), Y, LABELS, ShapeError, "R2: expected a target of the prediction's shape (4, 2), got (4,)"),
        (R2(), Y[:0], Y[:0], DataError, "R2: expected at least one sample, got none"),
        (RootMeanSquaredError(), Y, Y[:, :1], ShapeError, "RootMeanSquaredError: expected a target of the prediction'"),
        (ROCAUC(), Y, LABELS, ShapeError, "ROCAUC: expected a target of the prediction's shape (4, 2), got (4,)"),
        (ROCAUC("macro"), Y, 3 * Y, DataError, "ROCAUC: target: expected numbers from 0 to 1, got 1.5: one-hot rows"),
    ],
)
def test_data(metric: Metric, prediction: Any, target: Any, error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error) as caught:
        metric(prediction, target)
    assert str(caught.value).startswith(message)


def test_a_metric_without_a_name_goes_by_its_class() -> None:
    class Largest(Metric):
        higher_is_better = False

        def __call__(self, prediction: Any, target: Any) -> float:
            return float(prediction.max())

    assert Largest().name == metrics.metric_name(Largest()) == "Largest"
