"""What losses refuse, and in which words."""

from typing import Any

import numpy as np
import pytest

from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DataTypeError, DeepBPError, ShapeError
from deepbp.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanSquaredError,
    SigmoidBinaryCrossEntropy,
    SoftmaxCrossEntropy,
    SumSquaredError,
)
from deepbp.typing import Array

pytestmark = pytest.mark.usefixtures("kernel_form")
NUMBERS: list[Loss[Any]] = [SumSquaredError(), MeanSquaredError(), BinaryCrossEntropy(), SigmoidBinaryCrossEntropy()]
CLASSES: list[Loss[Any]] = [CrossEntropy(), SoftmaxCrossEntropy()]
HALVES = np.full((4, 2), 0.5)


def refused(loss: Loss[Any], error: type[DeepBPError], prediction: Array, target: Array, weight: Any = None) -> str:
    with pytest.raises(error) as caught:
        loss.forward(prediction, target, weight)
    return str(caught.value)


@pytest.mark.parametrize("loss", NUMBERS, ids=repr)
@pytest.mark.parametrize(
    ("prediction", "target", "fix"),
    [
        ((4, 1), (4,), ": use target.reshape(-1, 1)"),
        ((4,), (4, 1), ": use target[..., 0]"),
        ((4, 3, 1), (4, 3), ": use target[..., None]"),
        ((4, 2), (4, 3), ""),
        ((4, 2), (1, 2), ""),
        ((4, 2), (2,), ""),
    ],
)
def test_shapes_that_differ_are_never_broadcast(loss: Loss[Any], prediction: Any, target: Any, fix: str) -> None:
    message = refused(loss, ShapeError, np.full(prediction, 0.5), np.full(target, 0.5))
    assert message == f"loss: expected a target of the prediction's shape {prediction}, got {target}{fix}"


@pytest.mark.parametrize("loss", NUMBERS, ids=repr)
def test_no_samples(loss: Loss[Any]) -> None:
    assert refused(loss, DataError, HALVES[:0], HALVES[:0]) == "loss: expected at least one sample, got none"


@pytest.mark.parametrize("loss", CLASSES, ids=repr)
@pytest.mark.parametrize("target", [np.zeros(0, int), HALVES[:0]])
def test_no_samples_to_classify(loss: Loss[Any], target: Array) -> None:
    assert refused(loss, DataError, HALVES[:0], target) == "target: expected at least one sample, got none"


@pytest.mark.parametrize("loss", NUMBERS, ids=repr)
@pytest.mark.parametrize("shape", [(3,), (4, 1), (4, 3), (2, 4), (4, 2, 1), (1,), ()])
def test_one_weight_a_sample(loss: Loss[Any], shape: tuple[int, ...]) -> None:
    message = refused(loss, ShapeError, HALVES, HALVES, np.ones(shape))
    expected = "expected one weight a sample, shape (4,), or a weight for each target, shape (4, 2)"
    assert message == f"sample_weight: {expected}, got {shape}"


@pytest.mark.parametrize("loss", CLASSES, ids=repr)
@pytest.mark.parametrize("target", [np.zeros(4, int), HALVES], ids=["labels", "rows"])
def test_one_weight_a_sample_to_classify(loss: Loss[Any], target: Array) -> None:
    message = refused(loss, DataError, HALVES, target, np.ones(3))
    assert message == "expected the same number of samples everywhere, got: prediction has 4, sample_weight has 3"
    for shape in ((4, 1), ()):
        message = refused(loss, ShapeError, HALVES, target, np.ones(shape))
        assert message == f"sample_weight: expected one weight a sample, got shape {shape}"


@pytest.mark.parametrize("loss", CLASSES, ids=repr)
@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ([0, 1, 2, 0], DataError, "target: expected labels from 0 to 1, for the network has 2 outputs, got 2"),
        ([0, -1, 0, 0], DataError, "target: expected labels from 0 to 1, for the network has 2 outputs, got -1"),
        ([0.0, 1, 0, 1], DataTypeError, "target: expected whole-number labels, got float64: use target.astype(int)"),
        ([True, False] * 2, DataTypeError, "target: expected whole-number labels, got bool: use target.astype(int)"),
        ([[0.4, 0.4]] * 4, DataError, "target: expected rows that sum to 1, as one-hot labels do, got 0.8"),
        ([[1.5, -0.5]] * 4, DataError, "target: expected numbers from 0 to 1, got -0.5: one-hot rows hold 0 and a sin"),
        ([[2, -1]] * 4, DataError, "target: expected numbers from 0 to 1, got -1: one-hot rows hold 0 and a single 1"),
        ([[np.nan, 1]] * 4, DataError, "target: expected numbers from 0 to 1, got nan"),
        (
            [[0], [1], [0], [1]],
            ShapeError,
            "target: expected labels of shape (4,) or one-hot rows of shape (4, 2), got (4, 1): use target.reshape(-1)",
        ),
        ([0, 1, 0], ShapeError, "target: expected labels of shape (4,) or one-hot rows of shape (4, 2), got (3,)"),
        ([[0, 0, 1]] * 4, ShapeError, "target: expected labels of shape (4,) or one-hot rows of shape (4, 2), got (4,"),
    ],
)
def test_labels(loss: Loss[Any], target: Any, error: type[DeepBPError], message: str) -> None:
    assert refused(loss, error, HALVES, np.array(target)).startswith(message)


@pytest.mark.parametrize("loss", CLASSES, ids=repr)
def test_labels_as_a_network_is_given_them(loss: Loss[Any]) -> None:
    """``prepare_target`` converts what it can, and checks under the name that the user knows."""
    dtype = np.dtype(np.float32)
    assert loss.prepare_target([0, 1], (2,), dtype).dtype == np.intp
    assert loss.prepare_target([True, False], (2,), dtype).dtype == np.intp
    assert loss.prepare_target([[1, 0], [0, 1]], (2,), dtype).dtype == dtype
    with pytest.raises(DataError, match=r"labels: expected labels from 0 to 1, .* got 2"):
        loss.prepare_target([0, 2], (2,), dtype, "labels")
    with pytest.raises(DataTypeError, match="y: expected real numbers, got <U"):
        loss.prepare_target(["cat", "dog"], (2,), dtype)
    with pytest.raises(ShapeError, match=r"y: a classifier needs a score for each class, got outputs of shape \(\)"):
        loss.prepare_target([0, 1], (), dtype)


@pytest.mark.parametrize("p", [-0.1, 1.1, 2.0, np.nan])
@pytest.mark.parametrize(
    ("loss", "target", "fix"),
    [
        (BinaryCrossEntropy(), HALVES, "end the network with Sigmoid(), or use SigmoidBinaryCrossEntropy()"),
        (CrossEntropy(), np.zeros(4, int), "end the network with Softmax(), or use SoftmaxCrossEntropy()"),
        (CrossEntropy(), HALVES, "end the network with Softmax(), or use SoftmaxCrossEntropy()"),
    ],
)
def test_predictions_that_are_no_probabilities(loss: Loss[Any], target: Array, fix: str, p: float) -> None:
    prediction = HALVES.copy()
    prediction[2, 1] = p
    message = refused(loss, DataError, prediction, target)
    assert message == f"prediction: expected numbers from 0 to 1, got {p}: {fix}"


@pytest.mark.parametrize("y", [-1.0, 2.0, np.nan])
@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), SigmoidBinaryCrossEntropy()], ids=repr)
def test_answers_that_are_neither_yes_nor_no(loss: Loss[Any], y: float) -> None:
    message = refused(loss, DataError, HALVES, np.full((4, 2), y))
    assert message == f"target: expected numbers from 0 to 1, got {y}: encode the answers as 0 and 1"
    with pytest.raises(DataError, match=r"y: expected (finite )?numbers"):
        loss.prepare_target(np.full((4, 2), y), (2,), np.dtype(np.float64))


@pytest.mark.parametrize(
    ("scale", "error"), [(0, ConfigurationError), (-1.0, ConfigurationError), ("1", ArgumentTypeError)]
)
def test_scale_is_a_positive_number(scale: Any, error: type[DeepBPError]) -> None:
    with pytest.raises(error, match=f"SumSquaredError: scale: expected a number above 0, got {scale!r}"):
        SumSquaredError(scale=scale)
