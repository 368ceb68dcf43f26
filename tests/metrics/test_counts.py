"""The confusion matrix, against scikit-learn."""

import numpy as np
import pytest

from deepbp.errors import DataError, DataTypeError, ShapeError
from deepbp.training import confusion_matrix


def test_rows_are_true_classes_and_columns_predicted_ones(rng: np.random.Generator) -> None:
    learn = pytest.importorskip("sklearn.metrics")
    scores, labels = rng.normal(size=(50, 4)), rng.integers(0, 3, 50)
    expected = learn.confusion_matrix(labels, scores.argmax(axis=1), labels=range(4))
    for prediction in (scores, scores.argmax(axis=1)):
        for target in (labels, np.eye(4)[labels]):
            matrix = confusion_matrix(prediction, target)
            np.testing.assert_array_equal(matrix, expected)
            assert matrix.dtype.kind == "i"
    assert confusion_matrix(scores, labels).sum() == 50


def test_one_output_is_cut_at_the_threshold(rng: np.random.Generator) -> None:
    learn = pytest.importorskip("sklearn.metrics")
    scores, answers = rng.normal(size=(50, 1)), rng.integers(0, 2, (50, 1))
    for threshold in (0.5, 0.0):
        expected = learn.confusion_matrix(answers[:, 0], scores[:, 0] > threshold)
        np.testing.assert_array_equal(confusion_matrix(scores, answers, threshold=threshold), expected)


def test_there_are_at_least_two_classes_and_all_that_have_a_score() -> None:
    np.testing.assert_array_equal(confusion_matrix([0, 0], [0, 0]), [[2, 0], [0, 0]])
    assert confusion_matrix(np.eye(5)[[0, 1]], [0, 1]).shape == (5, 5)
    assert confusion_matrix([0, 1], [0, 3]).shape == (4, 4)


def test_refused() -> None:
    with pytest.raises(DataError, match="prediction has 2, target has 3"):
        confusion_matrix([0, 1], [0, 1, 1])
    with pytest.raises(DataTypeError, match=r"prediction: expected labels 0, 1, 2, …, got 0\.5"):
        confusion_matrix([0.5, 1], [0, 1])
    with pytest.raises(DataTypeError, match="target: expected labels 0, 1, 2, …, got -1"):
        confusion_matrix([0, 1], [0, -1])
    with pytest.raises(ShapeError, match=r"prediction: expected labels \(N,\) or a score for each class \(N, C\), got"):
        confusion_matrix(np.zeros((2, 3, 4)), [0, 1])
