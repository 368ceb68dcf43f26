"""Columns of the input, each for a branch of its own."""

from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, ShapeError
from deepbp.layers import Builder, Dense, Layer, Maxout, Parallel, ReLU, Reshape, Split, Tanh
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import Adam


def built(layer: Layer[Any], *shape: int) -> Layer[Any]:
    Builder(0, "float64").build(layer, shape)
    return layer


def test_each_branch_gets_its_own_columns(rng: np.random.Generator) -> None:
    first, second = Dense(2, use_bias=False), Dense(4, use_bias=False)
    layer = built(Split([first, second, None], sizes=(3, 1, 2)), 6)
    x, delta = rng.normal(size=(5, 6)), rng.normal(size=(5, 8))
    y, saved = layer.forward(x)
    moved = layer.backward(saved, delta)
    for i in range(5):
        expected = [*(x[i, :3] @ first.weight.value), *(x[i, 3:4] @ second.weight.value), *x[i, 4:]]
        np.testing.assert_allclose(y[i], expected, rtol=1e-13)
        back = [*(first.weight.value @ delta[i, :2]), *(second.weight.value @ delta[i, 2:6]), *delta[i, 6:]]
        np.testing.assert_allclose(moved[i], back, rtol=1e-13)
    np.testing.assert_allclose(second.weight.grad, x[:, 3:4].T @ delta[:, 2:6], rtol=1e-13)


def test_equal_parts_without_sizes_and_the_last_axis_of_many() -> None:
    layer = built(Split([Tanh(), None], merge="multiply"), 2, 4)
    x = np.arange(16.0).reshape(2, 2, 4) / 8
    np.testing.assert_allclose(layer.predict(x), np.tanh(x[..., :2]) * x[..., 2:], rtol=1e-14)


def test_two_inputs_and_two_outputs(rng: np.random.Generator) -> None:
    """The network of the docstring: it learns both outputs, each from both inputs."""
    net = Sequential(
        [Split([Dense(8), [Dense(16), ReLU(), Dense(8)]], sizes=(3, 5)), ReLU(), Parallel([Dense(2), Dense(1)])],
        input_shape=8,
        rng=0,
    )
    people, things = rng.normal(size=(200, 3)), rng.normal(size=(200, 5))
    scores = np.stack([people[:, 0] + things[:, 0], people[:, 1]], axis=1)
    prices = things[:, 1:2] - people[:, 2:]
    x, y = np.hstack([people, things]), np.hstack([scores, prices])
    history = net.fit(x, y, loss=MeanSquaredError(), optimizer=Adam(0.01), epochs=40)
    assert history["loss"][-1] < 0.05 * history["loss"][0]
    told_scores, told_prices = np.split(net.predict(x), [2], axis=1)
    assert (told_scores.shape, told_prices.shape) == (scores.shape, prices.shape)
    assert np.corrcoef(told_prices[:, 0], prices[:, 0])[0, 1] > 0.95


def test_an_input_of_several_axes_gets_its_shape_back() -> None:
    net = Sequential([Split([[Reshape((2, 3)), Tanh(), Reshape(6)], Dense(4)], sizes=(6, 2))], input_shape=8)
    assert net.shapes == ((8,), (10,))


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Split([None, None], sizes=(3, 5)), (7,), r"expects 3 \+ 5 = 8 columns, got \(7,\)"),
        (Split([None, None]), (7,), r"cannot cut 7 columns into 2 equal parts, got \(7,\): give sizes="),
        (Split([None]), (), r"expects samples with an axis to cut, got \(\)"),
        (Split([Dense(2), Dense(3)], merge="add"), (4,), r"Split: merge='add' needs branches that give samples of"),
        (Split([None, Maxout(2)]), (2, 2), r"Split: branches\.1, Maxout\(2\): expects flat samples .* got \(2, 1\)"),
    ],
    ids=range(5),
)
def test_samples_that_do_not_fit(layer: Split, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Sequential([layer], input_shape=shape)


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        ((3,), ConfigurationError, r"Split: sizes: expected one for each of the 2 branches, got \(3,\)"),
        (3, ConfigurationError, r"Split: sizes: expected one for each of the 2 branches, got \(3,\)"),
        ((3, 0), ConfigurationError, r"Split: sizes: expected sizes of at least 1, got \(3, 0\)"),
        ((3, -3), ConfigurationError, r"Split: sizes: expected sizes of at least 1, got \(3, -3\)"),
        ((3, 2.5), ArgumentTypeError, r"Split: sizes: expected whole numbers.*got \(3, 2\.5\)"),
        ("64", ArgumentTypeError, r"Split: sizes: expected whole numbers.*got '64'"),
        ((3, np.nan), ArgumentTypeError, r"Split: sizes: expected whole numbers.*got \(3, nan\)"),
    ],
)
def test_sizes_that_make_no_sense(sizes: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Split([None, None], sizes=sizes)
