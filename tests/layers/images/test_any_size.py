"""Images whose sizes differ from batch to batch: ``input_shape=(None, None, C)``."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest

import deepbp
from deepbp import Sequential
from deepbp.errors import ShapeError
from deepbp.layers import (
    AveragePool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    MaxPool1D,
    MaxPool2D,
    ReLU,
    UpSample2D,
    ZeroPad2D,
)
from deepbp.losses import MeanSquaredError, SoftmaxCrossEntropy
from deepbp.optimizers import Adam
from deepbp.typing import Array

LAYERS: dict[str, Any] = {
    "Conv2D": lambda: Conv2D(3, 3, stride=(2, 1), padding="same"),
    "dilated": lambda: Conv2D(4, (3, 2), dilation=2, groups=2),
    "DepthwiseConv2D": lambda: DepthwiseConv2D(3, padding=1),
    "ConvTranspose2D": lambda: ConvTranspose2D(3, 3, stride=2, padding="same"),
    "cut": lambda: ConvTranspose2D(3, 3, stride=2, padding=1),
    "MaxPool2D": lambda: MaxPool2D(3, stride=2, padding="same"),
    "AveragePool2D": lambda: AveragePool2D(2, padding="same"),
    "ZeroPad2D": lambda: ZeroPad2D(((0, 2), 1)),
    "UpSample2D": lambda: UpSample2D((2, 3)),
}
SIZES = [(9, 7), (6, 12)]


def built(layer: Layer[Any], *shape: int | None) -> Sequential:
    return Sequential([layer], input_shape=shape, rng=0, dtype="float64")


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("known", [(), (0,), (1,)])
def test_a_layer_of_any_size_is_that_of_each_size(name: str, known: tuple[int, ...], rng: np.random.Generator) -> None:
    for size in SIZES:
        net = built(LAYERS[name](), *(size[i] if i in known else None for i in (0, 1)), 2)
        fixed = built(LAYERS[name](), *size, 2)
        x = rng.normal(size=(3, *size, 2))
        (y, saved), (expected, expected_saved) = net.forward(x), fixed.forward(x)
        np.testing.assert_array_equal(y, expected)
        delta = rng.normal(size=y.shape)
        np.testing.assert_array_equal(net.backward(saved, delta), fixed.backward(expected_saved, delta))
        for one, other in zip(net.parameters(), fixed.parameters(), strict=True):
            np.testing.assert_array_equal(one.grad, other.grad)
        stated = str(net.summary().rows[0])
        assert ", 2)" in stated or ", 3)" in stated or ", 4)" in stated
        assert "None" in stated


@pytest.mark.parametrize("name", LAYERS)
def test_error_signals_of_other_sizes_are_refused(name: str, kernel_form: str) -> None:
    """No kernel may read them outside of their memory."""
    net = built(LAYERS[name](), None, None, 2)
    y, saved = net.forward(np.ones((2, 9, 7, 2)))
    for delta in (y[:, :-1], y[:, :, 1:], np.ones((2, y.shape[1] + 3, *y.shape[2:]))):
        for method in ("backward", "backward_parameters"):
            if method == "backward" or net.parameters():
                with pytest.raises(ShapeError, match=r"expected .*error signals? .*, got "):
                    getattr(net, method)(saved, delta)


def test_images_that_are_too_small() -> None:
    for layer in (Conv2D(3, 5), DepthwiseConv2D(3, dilation=2), MaxPool2D(5), AveragePool2D(5)):
        net = built(layer, None, None, 2)
        with pytest.raises(ShapeError, match=r"no window of size \(\d, \d\) fits into images of shape \(4, 9\)"):
            net.predict(np.ones((1, 4, 9, 2)))
    with pytest.raises(ShapeError, match="no window"):
        built(ConvTranspose2D(1, 1, padding=2), None, None, 2).predict(np.ones((1, 4, 9, 2)))


def test_the_number_of_channels_must_be_known() -> None:
    for layer in (Conv2D(3, 3), MaxPool2D(), ZeroPad2D()):
        with pytest.raises(ShapeError, match=r"needs to know the number of channels, got \(8, 8, None\)"):
            built(layer, 8, 8, None)
    with pytest.raises(ShapeError, match="needs to know all sizes"):
        Sequential([Conv2D(3, 3), Flatten(), Dense(2)], input_shape=(None, None, 1))


def test_a_net_trains_on_images_of_different_sizes() -> None:
    """Bright squares against dark ones, in images of another size in each batch."""
    layers = [Conv2D(4, 3, padding="same"), BatchNorm(), MaxPool2D(), ReLU(), Conv2D(8, 3), GlobalAveragePool()]
    net = Sequential([*layers, Dense(2)], input_shape=(None, None, 1), rng=0)
    rng = np.random.default_rng(0)

    def batches() -> Iterator[tuple[Array, Array]]:
        for _ in range(20):
            x = rng.normal(0, 0.3, (16, *rng.integers(8, 14, 2), 1))
            labels = rng.integers(0, 2, 16)
            x[:, 2:5, 2:5] += (2 * labels - 1)[:, None, None, None]
            yield x, labels

    net.fit(batches, loss=SoftmaxCrossEntropy(), optimizer=Adam(0.01), epochs=2)
    correct = [np.mean(net.predict(x).argmax(axis=1) == labels) for x, labels in batches()]
    assert np.mean(correct) > 0.9
    net.save(stored := BytesIO())
    x = rng.normal(size=(2, 11, 9, 1))
    np.testing.assert_array_equal(deepbp.load(stored.getvalue()).predict(x), net.predict(x))
    assert "(None, None, 4)" in str(net.summary())
    derivation = str(net.derivation(MeanSquaredError()))
    assert "network H×W×1 →" in derivation
    assert "(B, H, W, 1) → (B, H, W, 4)" in derivation


def test_sequences_of_any_length() -> None:
    first, second = Conv1D(4, 3, padding="causal", dilation=2), Conv1D(4, 3, stride=2)
    net = Sequential([first, MaxPool1D(), second, GlobalMaxPool(), Dense(1)], input_shape=(None, 2), rng=0)
    assert net.predict(np.ones((2, 9, 2))).shape == net.predict(np.ones((2, 30, 2))).shape == (2, 1)
