"""Poolings against their definition, gradients of windows that overlap, zeros around images, upsampling."""

from typing import Any

import numpy as np
import pytest
from definitions import built, pooled

from deepbp import Sequential
from deepbp.errors import ConfigurationError, ShapeError
from deepbp.layers import (
    AveragePool1D,
    AveragePool2D,
    Builder,
    Chain,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    LeakyReLU,
    MaxPool1D,
    MaxPool2D,
    ReLU,
    UpSample2D,
    ZeroPad2D,
)

WINDOWS: list[tuple[Any, Any, Any]] = [
    (2, None, "valid"),
    ((2, 3), None, "valid"),
    (3, 2, "same"),
    (2, 3, "same"),
    (3, 1, 1),
    ((3, 2), (2, 1), ((2, 0), (0, 1))),
    (1, 2, "valid"),
]
SHAPES = [(6, 7, 3), (5, 5, 1), (4, 9, 20)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("size", "stride", "padding"), WINDOWS, ids=str)
def test_poolings_are_their_definition(
    size: Any, stride: Any, padding: Any, shape: tuple[int, int, int], kernel_form: str, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(3, *shape)) - 5  # below 0: a zero of the padding must not win
    for kind, take in ((MaxPool2D, np.max), (AveragePool2D, np.mean)):
        layer = built(kind(size, stride=stride, padding=padding), shape)
        y = layer.predict(x)
        expected = pooled(x, size, size if stride is None else stride, padding, lambda w, take=take: take(w, axis=1))
        np.testing.assert_allclose(y, expected, rtol=1e-13)
        assert y.shape[1:] == layer.built.output_shape


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("size", "stride", "padding"), WINDOWS, ids=str)
def test_max_pooling_sends_each_signal_to_its_winner(
    size: Any, stride: Any, padding: Any, shape: tuple[int, int, int], kernel_form: str, rng: np.random.Generator
) -> None:
    """Every number of x occurs once, so that y says which one has won; windows may overlap."""
    x = rng.permutation(3 * int(np.prod(shape))).reshape(3, *shape).astype(float)
    layer = built(MaxPool2D(size, stride=stride, padding=padding), shape)
    y, saved = layer.forward(x)
    delta = rng.normal(size=y.shape)
    expected = np.zeros(x.size)
    np.add.at(expected, np.argsort(x, axis=None)[y.astype(int).ravel()], delta.ravel())  # x is a permutation of 0, 1, …
    np.testing.assert_allclose(layer.backward(saved, delta), expected.reshape(x.shape), rtol=1e-12, atol=1e-14)
    assert saved[0].dtype == np.uint8


def test_the_first_of_equal_numbers_wins(kernel_form: str) -> None:
    layer = built(MaxPool2D(2), (2, 4, 1))
    y, saved = layer.forward(np.array([[0.0, 7.0, 3.0, 3.0], [7.0, 7.0, 3.0, 3.0]]).reshape(1, 2, 4, 1))
    moved = layer.backward(saved, np.ones_like(y))[0, :, :, 0]
    np.testing.assert_array_equal(moved, [[0, 1, 1, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("size", "stride", "padding"), WINDOWS, ids=str)
def test_a_chain_runs_a_relu_with_the_pooling_behind_it(
    size: Any, stride: Any, padding: Any, shape: Any, dtype: Any, kernel_form: str, rng: np.random.Generator
) -> None:
    """To the bit as one after the other, at kinks, ties and NaN, too."""
    layers = [ReLU(), MaxPool2D(size, stride=stride, padding=padding), LeakyReLU()]
    chain = Chain(layers)
    Builder(rng=0, dtype=dtype).build(chain, shape)
    x = rng.normal(-0.5, 1, size=(3, *shape)).astype(dtype)
    x[rng.random(x.shape) < 0.2] = 0
    x[0, 1, 1, 0], x[1, 0, 0, 0] = np.nan, -0.0
    y, saved = chain.forward(x)
    expected, first = layers[0].forward(x)
    expected, second = layers[1].forward(expected)
    expected, third = layers[2].forward(expected)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.signbit(y), np.signbit(expected))
    np.testing.assert_array_equal(chain.predict(x), expected)
    delta = rng.normal(size=y.shape).astype(dtype)
    moved = layers[0].backward(first, layers[1].backward(second, layers[2].backward(third, delta)))
    np.testing.assert_array_equal(chain.backward(saved, delta), moved)
    assert np.count_nonzero(moved)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(bad: float, kernel_form: str) -> None:
    x = np.zeros((1, 4, 4, 2))
    x[0, 1, 1, 0] = bad
    layer = built(MaxPool2D(2), (4, 4, 2))
    y, saved = layer.forward(x)
    np.testing.assert_array_equal(y[0, 0, 0], [max(bad, 0.0) if bad == bad else bad, 0])
    whole = np.full((1, 4, 4, 2), bad)
    y, saved = built(MaxPool2D(3, stride=2, padding="same"), (4, 4, 2)).forward(whole)
    np.testing.assert_array_equal(y, np.full((1, 2, 2, 2), bad))
    moved = built(MaxPool2D(3, stride=2, padding="same"), (4, 4, 2)).backward(saved, np.ones((1, 2, 2, 2)))
    assert moved.sum() == 8  # nothing is lost to the padding


@pytest.mark.parametrize("kind", [MaxPool1D, AveragePool1D])
def test_poolings_of_sequences(kind: Any, kernel_form: str, rng: np.random.Generator) -> None:
    wide = {MaxPool1D: MaxPool2D, AveragePool1D: AveragePool2D}[kind]
    one, other = (
        built(kind(3, stride=2, padding=1), (8, 2)),
        built(wide((1, 3), stride=(1, 2), padding=(0, 1)), (1, 8, 2)),
    )
    x = rng.normal(size=(4, 8, 2))
    (y, saved), (expected, saved_image) = one.forward(x), other.forward(x[:, None])
    np.testing.assert_array_equal(y, expected[:, 0])
    delta = rng.normal(size=y.shape)
    np.testing.assert_array_equal(one.backward(saved, delta), other.backward(saved_image, delta[:, None])[:, 0])


def test_published_numbers(kernel_form: str) -> None:
    """Source: Stanford's course CS231n, assignment 2, ConvolutionalNetworks.ipynb, max_pool_forward_naive."""
    x = np.linspace(-0.3, 0.4, num=96).reshape(2, 3, 4, 4).transpose(0, 2, 3, 1)
    expected = [
        [
            [[-0.26315789, -0.24842105], [-0.20421053, -0.18947368]],
            [[-0.14526316, -0.13052632], [-0.08631579, -0.07157895]],
            [[-0.02736842, -0.01263158], [0.03157895, 0.04631579]],
        ],
        [
            [[0.09052632, 0.10526316], [0.14947368, 0.16421053]],
            [[0.20842105, 0.22315789], [0.26736842, 0.28210526]],
            [[0.32631579, 0.34105263], [0.38526316, 0.4]],
        ],
    ]
    y = built(MaxPool2D(2), (4, 4, 3)).predict(x)
    np.testing.assert_allclose(y.transpose(0, 3, 1, 2), expected, atol=6e-9)


@pytest.mark.parametrize("shape", [(3, 4, 5), (6, 2)], ids=str)
def test_global_poolings(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, *shape))
    places = x.reshape(4, -1, shape[-1])
    average, largest = built(GlobalAveragePool(), shape), built(GlobalMaxPool(), shape)
    np.testing.assert_allclose(average.predict(x), places.mean(axis=1), rtol=1e-13)
    np.testing.assert_array_equal(largest.predict(x), places.max(axis=1))


def test_zeros_around_and_upsampling_are_undone_by_their_backward_pass(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 3, 4, 2))
    for unbuilt, factor in ((ZeroPad2D(((1, 2), (0, 3))), 1), (ZeroPad2D(2), 1), (UpSample2D((2, 3)), 6)):
        layer = built(unbuilt, (3, 4, 2))
        y, saved = layer.forward(x)
        assert y.shape[1:] == layer.built.output_shape
        np.testing.assert_allclose(layer.backward(saved, y), factor * x, rtol=1e-13)


def test_upsampling_repeats_numbers() -> None:
    y = built(UpSample2D(2), (1, 2, 1)).predict(np.array([[[[1.0], [2.0]]]]))
    np.testing.assert_array_equal(y[0, :, :, 0], [[1, 1, 2, 2], [1, 1, 2, 2]])


@pytest.mark.parametrize(
    ("layer", "shape", "error", "message"),
    [
        (MaxPool2D(2), (8, 8), ShapeError, "expects images (H, W, C), got (8, 8): put Reshape((8, 8, 1))"),
        (MaxPool2D(5), (4, 4, 1), ShapeError, "no window of size (5, 5) fits into samples of shape (4, 4, 1)"),
        (MaxPool1D(5), (4, 1), ShapeError, "no window of size (5,) fits into samples of shape (4, 1)"),
        (
            MaxPool2D(2, padding=2),
            (4, 4, 1),
            ConfigurationError,
            "expected less than the size 2 on each side, got (2, 2)",
        ),
        (AveragePool1D(3, padding=(0, 3)), (4, 1), ConfigurationError, "expected less than the size 3 on each side"),
        (
            GlobalAveragePool(),
            (4,),
            ShapeError,
            "expects samples with places and channels, such as (H, W, C), got (4,)",
        ),
        (ZeroPad2D("same"), (4, 4, 1), ConfigurationError, "ZeroPad2D(padding='same'): padding: expected numbers"),
        (UpSample2D(2), (4, 4), ShapeError, "expects images (H, W, C), got (4, 4)"),
    ],
    ids=range(8),
)
def test_samples_that_do_not_fit(layer: Layer[Any], shape: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        Sequential([layer], input_shape=shape)
    assert message in str(caught.value)


def test_two_bytes_for_very_large_windows(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 20, 20, 1))
    layer = MaxPool2D(17, stride=1)
    Builder(0, "float64").build(layer, (20, 20, 1))
    y, (winner, _) = layer.forward(x)
    assert winner.dtype == np.uint16
    np.testing.assert_array_equal(y[:, 0, 0, 0], x[:, :17, :17].max(axis=(1, 2, 3)))
