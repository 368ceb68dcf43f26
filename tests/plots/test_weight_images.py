"""The plot of weights: one image for each unit, in order."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from deepbp import Sequential
from deepbp.errors import DeepBPError, NotBuiltError, ShapeError
from deepbp.layers import Conv2D, Dense, Tanh
from deepbp.plots import weight_images
from deepbp.typing import Array

pytestmark = pytest.mark.usefixtures("no_screen")

NET = Sequential([Dense(5), Tanh()], input_shape=6, rng=0, dtype="float64")
FIRST: Any = NET[0]
WEIGHT = FIRST.weight.value


def picture(*arguments: Any) -> Array:
    return np.asarray(weight_images(*arguments).images[0].get_array().filled(np.nan))  # type: ignore[union-attr]


@pytest.mark.parametrize("given", [NET[0], WEIGHT, FIRST.weight, WEIGHT.tolist()], ids=type)
def test_images_are_arranged_in_rows(given: Any) -> None:
    drawn = picture(given, (3, 2))  # 5 units of 3 × 2 pixels: 3 columns, 2 rows
    assert drawn.shape == (2 * 3 + 1, 3 * 2 + 2)
    for unit in range(5):
        row, column = divmod(unit, 3)
        tile = drawn[4 * row : 4 * row + 3, 3 * column : 3 * column + 2]
        assert_array_equal(tile, WEIGHT[:, unit].reshape(3, 2))
    assert np.isnan(drawn[3]).all()
    assert np.isnan(drawn[:, [2, 5]]).all()
    assert np.isnan(drawn[4:, 6:]).all()  # there is no sixth unit


def test_kernels_and_feature_maps_are_images_of_their_own() -> None:
    net = Sequential([Conv2D(2, (3, 2))], input_shape=(5, 4, 3), rng=0, dtype="float64")
    layer: Any = net[0]
    kernels = layer.weight.value  # 6 kernels of 3 × 2 pixels: 3 columns, 2 rows
    drawn = np.asarray(weight_images(layer).images[0].get_array().filled(np.nan))  # type: ignore[union-attr]
    assert_array_equal(drawn[:3, :2], kernels[:, :, 0, 0])
    assert_array_equal(drawn[:3, 3:5], kernels[:, :, 0, 1])
    assert_array_equal(drawn[4:7, 3:5], kernels[:, :, 2, 0])
    maps = np.asarray(weight_images(kernels[..., 0]).images[0].get_array().filled(np.nan))  # type: ignore[union-attr]
    assert_array_equal(maps[:3, 3:5], kernels[:, :, 1, 0])
    with pytest.raises(ShapeError, match=r"expected kernels \(KH, KW, C, O\), got \(6, 5\): give a shape"):
        weight_images(NET[0])


def test_zero_is_white_and_the_scale_reaches_the_largest_weight() -> None:
    weight = np.array([[0.0, 0.5], [-2.0, 0.0]])
    image = weight_images(weight, (1, 2)).images[0]
    assert image.get_clim() == (-2.0, 2.0)
    assert min(image.to_rgba(np.zeros((1, 1)))[0, 0]) > 0.95


def test_weights_of_zero() -> None:
    assert weight_images(np.zeros((4, 1)), (2, 2)).images[0].get_clim() == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("layer", "shape", "error", "message"),
    [
        (NET[0], (2, 2), ShapeError, r"images of shape \(2, 2\), got \(6, 5\)"),
        (NET[0], 6, ShapeError, r"images of shape \(6,\), got \(6, 5\)"),
        (NET[0], (3, 2, 1), ShapeError, r"images of shape \(3, 2, 1\)"),
        (NET[0], (3, "2"), DeepBPError, "shape: expected whole numbers"),
        (np.zeros(6), (3, 2), ShapeError, r"got \(6,\)"),
        (NET[1], (3, 2), DeepBPError, r"expected a layer with a weight, such as Dense, got Tanh\(\)"),
        (Dense(5), (3, 2), NotBuiltError, r"Dense\(5\) is not built yet"),
        ("weights", (3, 2), DeepBPError, "weights: expected"),
    ],
)
def test_invalid_arguments(layer: Any, shape: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        weight_images(layer, shape)


def test_what_the_numbers_are_called() -> None:
    ax = weight_images(np.ones((2, 2, 3)), label="activation")
    assert ax.get_title() == "activations of 3 units"
    assert ax.figure.axes[-1].get_ylabel() == "activation"
