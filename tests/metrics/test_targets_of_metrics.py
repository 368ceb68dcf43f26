"""Every metric validates its target as a loss does, and NaN predictions make it NaN."""

from math import isnan
from typing import Any

import numpy as np
import pytest

from deepbp.errors import DataError, DataTypeError, DeepBPError, ShapeError
from deepbp.metrics import (
    F1,
    R2,
    ROCAUC,
    Accuracy,
    BinaryAccuracy,
    MeanAbsoluteError,
    Metric,
    Precision,
    Recall,
    RootMeanSquaredError,
    TopKAccuracy,
    confusion_matrix,
)
from deepbp.typing import Array

ONE = np.array([[0.9], [0.2], [0.6], [0.4]])
THREE = np.array([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.3, 0.5, 0.2]])

ANSWERS: list[Metric] = [Accuracy(), BinaryAccuracy(), Precision(), Recall(), F1(), ROCAUC()]
CLASSES: list[Metric] = [
    Accuracy(),
    TopKAccuracy(2),
    *(share(average) for share in (Precision, Recall, F1) for average in ("macro", "micro", "weighted")),
    ROCAUC("macro"),
    ROCAUC("weighted"),
]
NUMBERS: list[Metric] = [MeanAbsoluteError(), RootMeanSquaredError(), R2()]


def column(*values: float) -> Array:
    return np.array(values).reshape(-1, 1)


@pytest.mark.parametrize("metric", ANSWERS, ids=repr)
@pytest.mark.parametrize(
    ("target", "message"),
    [
        (column(2.5, -1.3, 0.4, 7.0), "target: expected answers 0 or 1, got 2.5: encode the answers as 0 and 1"),
        (column(-1, 1, 1, -1), r"target: expected answers 0 or 1, got -1: use \(target \+ 1\) / 2"),
        (column(0, 1, 2, 1), "target: expected answers 0 or 1, got 2"),
        (column(0, 1, np.nan, 1), "target: expected answers 0 or 1, got nan"),
        (column(0, 0.3, 1, 1), "target: expected answers 0 or 1, got 0.3"),
    ],
    ids=["numbers", "signs", "labels", "nan", "shares"],
)
def test_answers(metric: Metric, target: Array, message: str) -> None:
    with pytest.raises(DataError, match=message):
        metric(ONE, target)
    metric(ONE, column(0, 1, 1, 0))
    metric(ONE, column(0, 1, 1, 0) == 1)  # booleans
    if "(target + 1) / 2" in message.replace("\\", ""):
        assert metric(ONE, (target + 1) / 2) == metric(ONE, column(0, 1, 1, 0))


@pytest.mark.parametrize("metric", CLASSES, ids=repr)
@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (np.array([1, 2, 3, 1]), DataError, "expected labels from 0 to 2, for the network has 3 outputs, got 3"),
        (np.array([-1, 0, 1, 1]), DataError, "expected labels from 0 to 2, .*got -1"),
        (np.array([0.0, 1, 1, 2]), DataTypeError, r"whole-number labels, got float64: use \w+\.astype\(int\)"),
        (np.eye(3)[[0, 1, 1, 2]] * [1, 1, 0], DataError, "expected rows that sum to 1"),
        (np.array([[1, 1, 0], [0, 1, 0], [1, 1, 1], [0, 1, 0.0]]), DataError, "expected rows that sum to 1"),
        (THREE * 100, DataError, "expected numbers from 0 to 1"),
        (np.array([0, 1, 1]), ShapeError, "expected labels of shape"),
        (np.array([[0], [1], [1], [2]]), ShapeError, "expected labels of shape"),
        (np.full((4, 3), np.nan), DataError, "expected numbers from 0 to 1, got nan"),
    ],
    ids=["1..K", "negative", "floats", "no 1", "several labels", "numbers", "too few", "column", "nan"],
)
def test_classes(metric: Metric, target: Any, error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error, match=message):
        metric(THREE, target)
    assert metric(THREE, np.array([1, 0, 2, 0])) == metric(THREE, np.eye(3)[[1, 0, 2, 0]])


@pytest.mark.parametrize("metric", NUMBERS, ids=repr)
@pytest.mark.parametrize("target", [ONE[:, 0], np.hstack([ONE, ONE]), ONE[:3]], ids=["(N,)", "(N, 2)", "too few"])
def test_numbers(metric: Metric, target: Array) -> None:
    with pytest.raises(ShapeError, match="expected a target of the prediction's shape"):
        metric(ONE, target)


def test_accuracy_says_what_to_use_instead() -> None:
    for target in (column(2.5, 3.0, 1.0, 1.0), column(-1, 1, 1, -1)):
        with pytest.raises(DataError, match=r"for answers 0 or 1 use BinaryAccuracy\(\), for numbers R2\(\) or Mean"):
            Accuracy()(ONE, target)
    several = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 1, 0.0]])
    with pytest.raises(DataError, match=r"rows that sum to 1.*use BinaryAccuracy\(\)"):
        Accuracy()(THREE, several)
    assert BinaryAccuracy()(THREE, several) == np.mean((THREE > 0.5) == several)
    with pytest.raises(ShapeError, match=r"for labels of classes use Accuracy\(\)"):
        BinaryAccuracy()(THREE, np.array([0, 1, 1, 2]))


@pytest.mark.parametrize(
    ("metric", "prediction", "target"),
    [
        *((metric, ONE, column(0, 1, 1, 0)) for metric in [*ANSWERS, *NUMBERS]),
        *((metric, THREE, np.array([1, 0, 2, 0])) for metric in CLASSES),
    ],
    ids=repr,
)
def test_nan_predictions_make_it_nan(metric: Metric, prediction: Array, target: Array) -> None:
    assert not isnan(metric(prediction, target))
    broken = prediction.copy()
    broken[1, 0] = np.nan
    assert isnan(metric(broken, target))
    broken[2:] = np.nan
    assert isnan(metric(broken, target))


def test_targets_of_a_confusion_matrix() -> None:
    for target, message in (
        (column(2.5, 0, 0, 1), "target: expected answers 0 or 1, got 2.5"),
        (column(-1, 1, 1, 1), r"target: expected answers 0 or 1, got -1: use \(target \+ 1\) / 2"),
        (np.array([0, 1, 2, 1]), "target: expected labels from 0 to 1, as there are scores, got 2"),
    ):
        with pytest.raises(DataError, match=message):
            confusion_matrix(ONE, target)
    with pytest.raises(DataError, match="target: expected labels from 0 to 2, as there are scores, got 3"):
        confusion_matrix(THREE, [0, 1, 2, 3])
    with pytest.raises(DataError, match="target: expected rows that sum to 1"):
        confusion_matrix(THREE, [[1, 1, 0]] * 4)
    with pytest.raises(DataError, match="prediction: expected finite numbers, got nan"):
        confusion_matrix(ONE * np.nan, [0, 1, 1, 0])
