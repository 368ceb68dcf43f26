"""The plot of a decision boundary: colors are predicted classes."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

pytest.importorskip("matplotlib")

from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.contour import ContourSet

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, DataError, DeepBPError, ShapeError
from deepbp.layers import Dense, Sigmoid
from deepbp.losses import Hinge, Loss, SigmoidBinaryCrossEntropy
from deepbp.plots import decision_boundary
from deepbp.plots.canvas import COLORS
from deepbp.typing import Array

pytestmark = pytest.mark.usefixtures("no_screen")

CORNERS = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 2.0], [4.0, 2.0]])
BLUE, ORANGE, GREEN = ([1 - 0.3 * (1 - channel) for channel in to_rgb(color)] for color in COLORS[:3])


def linear(weight: Any, bias: Any, *more: Any) -> Sequential:
    net = Sequential([Dense(len(bias)), *more], input_shape=2, dtype="float64", rng=0)
    first: Any = net[0]
    first.weight.value, first.bias.value = weight, bias
    return net


def color_at(ax: Axes, x: float, y: float) -> Array:
    image = ax.images[0]
    left, right, bottom, top = image.get_extent()
    pixels = np.asarray(image.get_array())[:: 1 if image.origin == "lower" else -1]
    row, column = (y - bottom) / (top - bottom) * len(pixels), (x - left) / (right - left) * pixels.shape[1]
    color: Array = pixels[int(row), int(column)]
    return color


def borders(ax: Axes) -> list[Array]:
    sets = [c for c in ax.collections if isinstance(c, ContourSet)]
    return [np.concatenate([path.vertices for path in c.get_paths()]) for c in sets]


@pytest.mark.parametrize("threshold", [0.25, 0.5])
def test_one_output_is_compared_with_the_threshold(threshold: float) -> None:
    net = linear([[0.25], [0.0]], [0.0])  # x₁ / 4
    ax = decision_boundary(net, CORNERS, [[0], [1], [0], [1]], threshold=threshold)
    (border,) = borders(ax)
    assert_allclose(border[:, 0], 4 * threshold, atol=1e-9)
    assert_allclose(color_at(ax, 4 * threshold - 0.1, 0.5), BLUE)
    assert_allclose(color_at(ax, 4 * threshold + 0.1, 1.5), ORANGE)


def test_the_default_threshold_is_one_half() -> None:
    ax = decision_boundary(linear([[0.0], [1.0]], [-1.5], Sigmoid()), CORNERS, [0, 0, 1, 1])
    (border,) = borders(ax)
    assert_allclose(border[:, 1], 1.5, atol=1e-4)
    assert_allclose(color_at(ax, 3.9, 1.4), BLUE)
    assert_allclose(color_at(ax, 0.1, 1.6), ORANGE)


@pytest.mark.parametrize("loss", [SigmoidBinaryCrossEntropy(), Hinge()], ids=repr)
def test_logits_and_scores_are_compared_with_0(loss: Loss[Any]) -> None:
    net = linear([[1.0], [0.0]], [-1.0])
    cases: list[tuple[dict[str, Any], float]] = [({"threshold": 0.5}, 1.5), ({"loss": loss}, 1.0)]
    with pytest.warns(UserWarning, match=r"decision_boundary: numbers from .* were compared with 0.5: give the loss"):
        decision_boundary(net, CORNERS, [0, 1, 0, 1])
    for more, place in cases:
        ax = decision_boundary(net, CORNERS, [0, 1, 0, 1], **more)
        (border,) = borders(ax)
        assert_allclose(border[:, 0], place, atol=1e-3)


@pytest.mark.parametrize("y", [[0, 2, 1, 2], np.eye(3)[[0, 2, 1, 2]]], ids=["labels", "one-hot"])
def test_the_class_of_several_outputs_is_the_largest(y: Any) -> None:
    net = linear([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]], [1.0, 0.0, 0.0])  # 1, x₂, x₁
    ax = decision_boundary(net, CORNERS, y)
    assert_allclose(color_at(ax, 0.5, 0.5), BLUE)
    assert_allclose(color_at(ax, 0.5, 1.5), ORANGE)
    assert_allclose(color_at(ax, 3.0, 1.0), GREEN)
    assert len(borders(ax)) == 2  # of the second and of the third class


def test_samples_have_the_colors_of_their_classes() -> None:
    net = linear([[1.0], [0.0]], [0.0])
    ax = decision_boundary(net, CORNERS, [1, 0, 1, 1], threshold=0.5)
    drawn = [c for c in ax.collections if isinstance(c, PathCollection)]
    assert [len(np.asarray(c.get_offsets())) for c in drawn] == [1, 3]
    assert_array_equal(np.asarray(drawn[1].get_offsets()), CORNERS[[0, 2, 3]])
    assert_allclose(np.asarray(drawn[1].get_facecolor())[0, :3], np.array(to_rgb(COLORS[1])))
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["0", "1"]


def test_many_classes_have_distinct_colors() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 2)), np.arange(120) % 12
    ax = decision_boundary(linear(rng.normal(size=(2, 12)), np.zeros(12)), x, y)
    drawn = [c for c in ax.collections if isinstance(c, PathCollection)]
    assert len({tuple(np.asarray(c.get_facecolor())[0]) for c in drawn}) == 12


def test_a_network_that_predicts_one_class_everywhere() -> None:
    ax = decision_boundary(linear([[0.0], [0.0]], [1.0]), [[1.0, 1.0]], [0])
    assert borders(ax) == []
    assert_allclose(color_at(ax, 1.0, 1.0), ORANGE)


NET = linear([[1.0], [0.0]], [0.0])


@pytest.mark.parametrize(
    ("net", "x", "y", "error", "message"),
    [
        (Dense(1), CORNERS, [0, 1, 0, 1], ArgumentTypeError, "expected a Sequential"),
        (Sequential([Dense(1)]), CORNERS, [0, 1, 0, 1], ShapeError, "got one that is not built"),
        (Sequential([Dense(1)], input_shape=3), CORNERS, [0, 1, 0, 1], ShapeError, r"got \(3,\) to \(1,\)"),
        (NET, CORNERS[:, :1], [0, 1, 0, 1], ShapeError, r"^x: .*\(2,\)"),
        (NET, CORNERS, [0, 1, 0], DataError, "x has 4, y has 3"),
        (NET, CORNERS, [0, 0.5, 0, 1], DeepBPError, "y: expected labels 0, 1, 2"),
        (NET, CORNERS, [0, -1, 0, 1], DeepBPError, "y: expected labels 0, 1, 2, …, got -1"),
        (NET, CORNERS, np.zeros((4, 2, 2)), ShapeError, "y: expected labels"),
    ],
)
def test_invalid_arguments(net: Any, x: Any, y: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        decision_boundary(net, x, y)
