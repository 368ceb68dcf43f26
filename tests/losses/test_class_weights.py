"""Weights of classes become weights of samples, as scikit-learn has them."""

from typing import Any

import numpy as np
import pytest

from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DeepBPError, ShapeError
from deepbp.losses import sample_weights
from deepbp.typing import Array

LABELS = np.array([0, 2, 2, 1, 2, 0, 2])
ANSWERS = np.array([[0.0], [1], [0], [0]])


@pytest.mark.parametrize(
    "class_weight", ["balanced", {0: 1.0, 1: 5.0, 2: 0.25}, {2: 3}, {}, {np.int64(1): np.float32(2)}]
)
@pytest.mark.parametrize(
    ("target", "labels", "outputs"),
    [
        (LABELS, LABELS, 3),
        (np.eye(3)[LABELS], LABELS, 3),
        (LABELS, LABELS, 5),  # classes that do not occur
        (np.eye(5)[LABELS], LABELS, 5),
        (LABELS.astype(np.uint8), LABELS, 3),
    ],
)
def test_against_scikit_learn(class_weight: Any, target: Array, labels: Array, outputs: int) -> None:
    learn = pytest.importorskip("sklearn.utils.class_weight")
    weights = sample_weights(class_weight, target, (outputs,))
    assert weights.dtype == np.float64
    np.testing.assert_allclose(weights, learn.compute_sample_weight(class_weight, labels), rtol=1e-14)


def test_answers_have_two_classes() -> None:
    np.testing.assert_array_equal(sample_weights({0: 0.5, 1: 5.0}, ANSWERS, (1,)), [0.5, 5, 0.5, 0.5])
    np.testing.assert_allclose(sample_weights("balanced", ANSWERS, (1,)), [4 / 6, 2, 4 / 6, 4 / 6])
    np.testing.assert_array_equal(sample_weights("balanced", ANSWERS * 0, (1,)), 1)


def test_balanced_classes_count_the_same() -> None:
    weights = sample_weights("balanced", LABELS, (3,))
    np.testing.assert_allclose(np.bincount(LABELS, weights), 7 / 3)
    assert weights.mean() == pytest.approx(1)


@pytest.mark.parametrize(
    ("class_weight", "target", "output_shape", "error", "message"),
    [
        (
            "equal",
            LABELS,
            (3,),
            ArgumentTypeError,
            "class_weight: expected a weight for each class, such as {0: 1.0, 1",
        ),
        ([1, 2, 3], LABELS, (3,), ArgumentTypeError, "class_weight: expected a weight for each class, such as"),
        (None, LABELS, (3,), ArgumentTypeError, "class_weight: expected a weight for each class, such as"),
        ({"0": 1.0}, LABELS, (3,), ArgumentTypeError, "class_weight: expected whole-number labels as keys, got '0'"),
        ({0.5: 1.0}, LABELS, (3,), ArgumentTypeError, "class_weight: expected whole-number labels as keys, got 0.5"),
        ({3: 1.0}, LABELS, (3,), ConfigurationError, "class_weight: expected labels from 0 to 2, got 3"),
        ({-1: 1.0}, LABELS, (3,), ConfigurationError, "class_weight: expected labels from 0 to 2, got -1"),
        ({2: 1.0}, ANSWERS, (1,), ConfigurationError, "class_weight: expected labels from 0 to 1, got 2"),
        (
            {0: -3},
            LABELS,
            (3,),
            ConfigurationError,
            "class_weight: expected a number of at least 0 for class 0, got -3",
        ),
        (
            {0: np.nan},
            LABELS,
            (3,),
            ConfigurationError,
            "class_weight: expected a number of at least 0 for class 0, got",
        ),
        ({0: "64"}, LABELS, (3,), ArgumentTypeError, "class_weight: expected a number for class 0, got '64'"),
        (
            "balanced",
            ANSWERS + 0.5,
            (1,),
            DataError,
            "class_weight: expected one class for each sample: answers 0 or 1",
        ),
        (
            "balanced",
            np.ones((4, 3)),
            (3,),
            DataError,
            "class_weight: expected one class for each sample: answers 0 or",
        ),
        (
            "balanced",
            np.full((4, 2), 0.5),
            (2,),
            DataError,
            "class_weight: expected one class for each sample: answers",
        ),
        (
            "balanced",
            LABELS[:, None],
            (2, 3),
            ShapeError,
            "class_weight: expected one class for each sample: labels (N",
        ),
        (
            "balanced",
            np.ones((4, 2, 3)),
            (2, 3),
            ShapeError,
            "class_weight: expected one class for each sample: labels",
        ),
    ],
)
def test_refused(
    class_weight: Any, target: Array, output_shape: tuple[int, ...], error: type[DeepBPError], message: str
) -> None:
    with pytest.raises(error) as caught:
        sample_weights(class_weight, target, output_shape)
    assert str(caught.value).startswith(message)
