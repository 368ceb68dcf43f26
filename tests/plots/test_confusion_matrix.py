"""The plot of a confusion matrix."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.axes import Axes

from deepbp.errors import ConfigurationError, DataError, DeepBPError
from deepbp.losses import Hinge, Loss, SigmoidBinaryCrossEntropy
from deepbp.plots import confusion_matrix

pytestmark = pytest.mark.usefixtures("no_screen")

TRUE = [0, 0, 0, 1, 1, 2]
PREDICTED = [0, 0, 1, 1, 2, 2]
COUNTS = {(0, 0): 2, (0, 1): 1, (1, 1): 1, (1, 2): 1, (2, 2): 1}  # (true, predicted)


def counts(ax: Axes) -> dict[tuple[int, int], int]:
    """(row, column) and number, as they are written."""
    return {(int(t.get_position()[1]), int(t.get_position()[0])): int(t.get_text()) for t in ax.texts}


@pytest.mark.parametrize("prediction", [PREDICTED, np.eye(3)[PREDICTED] - 0.5], ids=["labels", "scores"])
@pytest.mark.parametrize("target", [TRUE, np.eye(3)[TRUE]], ids=["labels", "one-hot"])
def test_rows_are_true_classes_and_columns_predicted_classes(prediction: Any, target: Any) -> None:
    ax = confusion_matrix(prediction, target)
    assert counts(ax) == COUNTS
    assert ax.get_title() == "66.7% of 6 right"
    shares = np.asarray(ax.images[0].get_array())
    np.testing.assert_allclose(shares, np.array([[2 / 3, 1 / 3, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]))
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("true class", "predicted class")


@pytest.mark.parametrize(
    ("threshold", "expected"), [(0.5, {(0, 0): 1, (1, 1): 1, (1, 0): 1}), (0.1, {(0, 1): 1, (1, 1): 2})]
)
def test_one_output_is_compared_with_the_threshold(threshold: float, expected: dict[tuple[int, int], int]) -> None:
    assert counts(confusion_matrix([[0.2], [0.7], [0.4]], [[0], [1], [1]], threshold=threshold)) == expected


@pytest.mark.parametrize("loss", [SigmoidBinaryCrossEntropy(), Hinge()], ids=repr)
def test_logits_and_scores_are_compared_with_0(loss: Loss[Any]) -> None:
    ax = confusion_matrix([[0.2], [-0.7], [0.4]], [[1], [0], [1]], loss=loss)
    assert counts(ax) == {(0, 0): 1, (1, 1): 2}
    assert ax.get_title() == "100.0% of 3 right"


def test_logits_without_their_loss_are_told() -> None:
    with pytest.warns(UserWarning, match="prediction: numbers from -0.7 to 0.4 were compared with 0"):
        confusion_matrix([[0.2], [-0.7], [0.4]], [[1], [0], [1]])


def test_weights() -> None:
    ax = confusion_matrix([0, 1, 1], [0, 1, 0], sample_weight=[0.5, 2.25, 1.0])
    assert {text.get_text() for text in ax.texts} == {"0.5", "1", "2.25"}
    assert ax.get_title() == "73.3% of a weight of 3.75 right"


def test_classes_that_do_not_occur_have_a_row_and_a_column() -> None:
    ax = confusion_matrix(np.eye(4)[[0, 1]], [0, 1], names=["a", "b", "c", "d"])
    assert np.asarray(ax.images[0].get_array()).shape == (4, 4)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c", "d"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("prediction", "target", "names", "error", "message"),
    [
        ([0, 1], [0, 1, 1], None, DataError, "prediction has 2, target has 3"),
        ([0.5, 1], [0, 1], None, DeepBPError, "prediction: expected labels 0, 1, 2"),
        ([0, 1], [[[0]], [[1]]], None, DeepBPError, r"target: expected labels \(N,\)"),
        ([0, 1], [0, 1], ["one"], ConfigurationError, r"names: expected one for each of 2 classes, got \['one'\]"),
        ([], [], None, DataError, "prediction: expected at least one sample"),
    ],
)
def test_invalid_arguments(prediction: Any, target: Any, names: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        confusion_matrix(prediction, target, names=names)
