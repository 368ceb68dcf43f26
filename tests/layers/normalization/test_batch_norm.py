"""Batch normalisation: in training by the batch, in inference by running averages, each computed by hand."""

from math import sqrt
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.layers import BatchNorm, Builder, Dense
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD
from deepbp.typing import Array


def built(*shape: int, **options: Any) -> BatchNorm:
    layer = BatchNorm(**options)
    Builder(0, "float64").build(layer, shape)
    features = shape[-1]
    layer.gain.value, layer.shift.value = 1 + np.arange(features) / 2, np.arange(features) - 1.0
    return layer


def by_hand(x: Array, gain: Array, shift: Array, epsilon: float) -> Array:
    y = np.empty_like(x)
    for feature in range(x.shape[-1]):
        column = x[..., feature]
        mean = sum(column.flat) / column.size
        variance = sum((v - mean) ** 2 for v in column.flat) / column.size
        y[..., feature] = gain[feature] * (column - mean) / sqrt(variance + epsilon) + shift[feature]
    return y


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 2, 3)])
@pytest.mark.parametrize("epsilon", [1e-5, 0.3])
def test_training_normalises_each_feature_over_all_the_rest(
    shape: tuple[int, ...], epsilon: float, rng: np.random.Generator
) -> None:
    layer, x = built(*shape, epsilon=epsilon), rng.normal(2, 3, (6, *shape))
    y, _ = layer.forward(x)
    np.testing.assert_allclose(y, by_hand(x, layer.gain.value, layer.shift.value, epsilon), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("momentum", [0.9, 0.5, 0.0])
def test_running_averages_over_steps_of_different_sizes(momentum: float, rng: np.random.Generator) -> None:
    layer, mean, variance = built(2, momentum=momentum), [0.0, 0.0], [1.0, 1.0]
    for samples in (5, 2, 1, 9, 0, 3):
        x = rng.normal(4, 2, (samples, 2))
        layer.forward(x)
        for feature in range(2):
            column = list(x[:, feature])
            if samples > 0:
                batch_mean = sum(column) / samples
                mean[feature] = momentum * mean[feature] + (1 - momentum) * batch_mean
            if samples > 1:  # divided by n − 1: the unbiased variance
                unbiased = sum((v - batch_mean) ** 2 for v in column) / (samples - 1)
                variance[feature] = momentum * variance[feature] + (1 - momentum) * unbiased
        np.testing.assert_allclose(layer.running_mean.value, mean, rtol=1e-13)
        np.testing.assert_allclose(layer.running_variance.value, variance, rtol=1e-13)
    x = rng.normal(size=(4, 2))
    expected = [
        [layer.gain.value[f] * (row[f] - mean[f]) / sqrt(variance[f] + 1e-5) + layer.shift.value[f] for f in range(2)]
        for row in x
    ]
    np.testing.assert_allclose(layer.predict(x), expected, rtol=1e-12)


def test_every_place_counts_as_a_value_in_the_running_variance(rng: np.random.Generator) -> None:
    x = rng.normal(size=(1, 5, 3))  # one sample of five places: five values of each feature
    layer, flat = built(5, 3), built(3)
    layer.forward(x)
    flat.forward(x[0])
    np.testing.assert_allclose(layer.running_variance.value, flat.running_variance.value, rtol=1e-14)
    np.testing.assert_allclose(layer.running_variance.value, 0.9 + 0.1 * x[0].var(axis=0, ddof=1), rtol=1e-13)


def test_numbers_of_pytorch() -> None:
    """torch.nn.BatchNorm1d(2, momentum=0.1) of PyTorch 2.13, in float64: its momentum is 1 minus ours."""
    layer = built(2)
    layer.gain.value, layer.shift.value = np.array([1.5, -0.5]), np.array([0.25, 1.0])
    y, saved = layer.forward(np.array([[1.0, 2.0], [3.0, -6.0], [8.0, 4.0]]))
    moved = layer.backward(saved, np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.25]]))
    torch_y = [[-1.278573114226, 0.768545037054], [-0.259524371409, 1.694364888839], [2.288097485635, 0.537090074107]]
    torch_grad = [
        [-0.01633040057, 0.192879182286],
        [0.022863442666, -0.038575966651],
        [-0.006533042096, -0.154303215636],
    ]
    np.testing.assert_allclose(y, torch_y, rtol=0, atol=1e-12)
    np.testing.assert_allclose(moved, torch_grad, rtol=0, atol=1e-12)
    np.testing.assert_allclose(layer.gain.grad, [-2.547621857044, -4.860554221872], rtol=0, atol=1e-12)
    np.testing.assert_allclose(layer.shift.grad, [0.5, 1.25], rtol=0, atol=1e-12)
    np.testing.assert_allclose(layer.running_mean.value, [0.4, 0.0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(layer.running_variance.value, [2.2, 3.7], rtol=0, atol=1e-12)


def test_a_batch_of_one_gives_the_offset_and_no_error_signal(rng: np.random.Generator) -> None:
    layer = built(3)
    y, saved = layer.forward(rng.normal(size=(1, 3)))
    np.testing.assert_array_equal(y, layer.shift.value[None])
    delta = rng.normal(size=(1, 3))
    np.testing.assert_array_equal(layer.backward(saved, delta), np.zeros((1, 3)))
    np.testing.assert_array_equal(layer.gain.grad, np.zeros(3))
    np.testing.assert_array_equal(layer.shift.grad, delta[0])


@pytest.mark.parametrize("value", [0.0, 12345.678])
def test_a_feature_that_never_changes_becomes_the_offset(value: float) -> None:
    """Rounding in the mean must not be blown up by a variance of 0, in float32, either."""
    layer = BatchNorm()
    Builder(0, "float32").build(layer, (2,))
    layer.shift.value = np.array([0.5, 0.5])
    y, _ = layer.forward(np.full((1000, 2), value, np.float32))
    np.testing.assert_array_equal(y, np.full((1000, 2), 0.5))


def test_large_features_keep_their_digits_in_float32(rng: np.random.Generator) -> None:
    layer = BatchNorm()
    Builder(0, "float32").build(layer, (2,))
    x = rng.normal(1000, 1, (20000, 2)).astype(np.float32)
    y, _ = layer.forward(x)
    double = x.astype(np.float64)
    expected = (double - double.mean(axis=0)) / np.sqrt(double.var(axis=0) + 1e-5)
    np.testing.assert_allclose(y, expected, atol=2e-4)


def test_a_network_standardises_its_inputs_by_itself(rng: np.random.Generator) -> None:
    """Inputs of very different sizes, which a Dense alone could not learn from at this rate."""
    x = rng.normal([100.0, -3.0, 0.0], [20.0, 0.1, 1.0], (400, 3))
    y = (x - [100, -3, 0]) / [20, 0.1, 1] @ np.array([[1.0], [-2.0], [0.5]])
    net = Sequential([BatchNorm(), Dense(1)], input_shape=3, rng=0)
    net.fit(x, y, loss=MeanSquaredError(), optimizer=SGD(0.1), epochs=100, batch_size=None)
    assert net.evaluate(x, y, loss=MeanSquaredError())["loss"] < 1e-4
    assert list(net.named_buffers()) == ["0.running_mean", "0.running_variance"]
    assert list(net.named_parameters()) == ["0.gain", "0.shift", "1.weight", "1.bias"]
