"""Gradients of every parameter and of the input, for nets of depth 1 to 12, against float64 differences."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.layers import Dense, Flatten, Layer, ReLU, Reshape, Sigmoid, Softmax, Tanh
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

ACTIVATIONS: tuple[type[Layer[Any]], ...] = (Sigmoid, Tanh, ReLU, Softmax)
DEPTHS = range(1, 13)
SAMPLES = 4
AWAY_FROM_KINKS = 0.02  # differences move a ReLU's input less than this


def flat(layers: Sequence[Layer[Any]]) -> list[Layer[Any]]:
    """The layers, with those of nested networks in their place."""
    return [inner for layer in layers for inner in (flat(layer.layers) if isinstance(layer, Sequential) else [layer])]


def settle(net: Sequential, x: Array, rng: np.random.Generator) -> float:
    """Give what enters each activation mean 0 and size 1, and return how near any ReLU comes to its kink.

    So the error signal survives any depth, and differences can resolve it.
    """
    nearest, settled = np.inf, set()
    for layer in flat(net.layers):
        if isinstance(layer, Dense) and layer not in settled:
            assert layer.bias is not None
            settled.add(layer)
            z = layer.predict(x)
            size = (z - z.mean(axis=0)).std()
            layer.weight.value = layer.weight.value / size
            layer.bias.value = 0.1 * rng.normal(size=layer.units) - z.mean(axis=0) / size
        if isinstance(layer, ReLU):
            nearest = min(nearest, float(np.abs(x).min()))
        x = layer.predict(x)
    return nearest


def settled(make: Callable[[np.random.Generator], list[Layer[Any]]]) -> tuple[Sequential, Array, np.random.Generator]:
    """The first net of random start, and inputs for it, that keep away from kinks."""
    for seed in count():
        rng = np.random.default_rng(seed)
        inputs = int(rng.integers(2, 6))
        net = Sequential(make(rng), input_shape=inputs, rng=rng, dtype="float64")
        x = rng.normal(size=(SAMPLES, inputs))
        if settle(net, x, rng) > AWAY_FROM_KINKS:
            return net, x, rng
    raise AssertionError


def deep(depth: int, activations: Sequence[type[Layer[Any]]]) -> Callable[[np.random.Generator], list[Layer[Any]]]:
    """A recipe: ``depth`` Dense layers of random width, the activations after them in turn."""
    return lambda rng: [
        layer for i in range(depth) for layer in (Dense(int(rng.integers(3, 6))), activations[i % len(activations)]())
    ]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation: type[Layer[Any]], depth: int, assert_gradients: Any, upstream: Any) -> None:
    net, x, _ = settled(deep(depth, [activation]))
    assert_gradients(net, x, upstream(net.predict(x)))


@pytest.mark.parametrize("depth", DEPTHS)
def test_mixed_activations(depth: int, assert_gradients: Any, upstream: Any) -> None:
    net, x, _ = settled(deep(depth, ACTIVATIONS))
    assert_gradients(net, x, upstream(net.predict(x)))


def probabilities(rng: np.random.Generator) -> Array:
    return rng.uniform(size=(SAMPLES, 6))


def numbers_in_time(rng: np.random.Generator) -> Array:
    return rng.normal(size=(SAMPLES, 2, 3))


def labels(rng: np.random.Generator) -> Array:
    return rng.integers(0, 6, SAMPLES)


def one_hot(rng: np.random.Generator) -> Array:
    return np.eye(6)[labels(rng)]


def soft_rows(rng: np.random.Generator) -> Array:
    return rng.dirichlet(np.ones(6), SAMPLES)


def labels_in_time(rng: np.random.Generator) -> Array:
    return rng.integers(0, 3, (SAMPLES, 2))


def one_hot_in_time(rng: np.random.Generator) -> Array:
    return np.eye(3)[labels_in_time(rng)]


IN_TIME: tuple[Layer[Any], ...] = (Reshape((2, 3)),)  # (B, T, C): a class for each of two moments
LOSSES: list[tuple[Loss[Any], Callable[[np.random.Generator], Array], tuple[Layer[Any], ...]]] = [
    (SumSquaredError(), probabilities, ()),
    (SumSquaredError(scale=0.5), numbers_in_time, IN_TIME),
    (MeanSquaredError(), probabilities, ()),
    (MeanSquaredError(), numbers_in_time, IN_TIME),
    (BinaryCrossEntropy(), probabilities, (Sigmoid(),)),
    (SigmoidBinaryCrossEntropy(), probabilities, ()),
    (CrossEntropy(), labels, (Softmax(),)),
    (CrossEntropy(), one_hot, (Softmax(),)),
    (CrossEntropy(), soft_rows, (Softmax(),)),
    (CrossEntropy(), labels_in_time, (*IN_TIME, Softmax())),
    (CrossEntropy(), one_hot_in_time, (*IN_TIME, Softmax())),
    (SoftmaxCrossEntropy(), labels, ()),
    (SoftmaxCrossEntropy(), one_hot, ()),
    (SoftmaxCrossEntropy(), soft_rows, ()),
    (SoftmaxCrossEntropy(), labels_in_time, IN_TIME),
    (SoftmaxCrossEntropy(), one_hot_in_time, IN_TIME),
]


@pytest.mark.parametrize("depth", [*DEPTHS[:7], DEPTHS[-1]])
@pytest.mark.parametrize(
    ("loss", "draw_target", "end"), LOSSES, ids=[f"{loss}-{draw.__name__}-{len(end)}" for loss, draw, end in LOSSES]
)
def test_every_loss(
    loss: Loss[Any],
    draw_target: Callable[[np.random.Generator], Array],
    end: tuple[Layer[Any], ...],
    depth: int,
    assert_gradients: Any,
) -> None:
    """Of even depth with sample weights, of odd depth without; the activation changes with the depth, too."""
    hidden = ACTIVATIONS[depth // 2 % 4]
    net, x, rng = settled(lambda rng: [*deep(depth - 1, [hidden])(rng), Dense(6), *end])
    target, weight = draw_target(rng), rng.uniform(0.5, 2, SAMPLES) if depth % 2 == 0 else None

    def head(prediction: Array) -> tuple[float, Array]:
        value, saved = loss.forward(prediction, target, weight)
        return value, loss.backward(saved)

    assert_gradients(net, x, head)


@pytest.mark.parametrize("seed", range(5))
def test_network_in_a_network_in_a_network(seed: int, assert_gradients: Any, upstream: Any) -> None:
    inner = deep(2, [Tanh, ReLU])

    def nested(rng: np.random.Generator) -> list[Layer[Any]]:
        return [
            Dense(4 + seed),
            Sequential([*inner(rng), Sequential([*inner(rng), Softmax()]), Dense(3)]),
            *inner(rng),
        ]

    net, x, _ = settled(nested)
    assert len(net.parameters()) == 2 * 8
    assert_gradients(net, x, upstream(net.predict(x)))


@pytest.mark.parametrize("times", [2, 3, 5])
def test_layer_used_several_times(times: int, assert_gradients: Any, upstream: Any) -> None:
    """Its gradient is the sum over its uses, which only a saved state for each use can give."""
    shared = Dense(5)
    net, x, _ = settled(lambda rng: [Dense(5), *[layer for _ in range(times) for layer in (shared, Sigmoid())]])
    assert len(net.parameters()) == 4
    assert_gradients(net, x, upstream(net.predict(x)))


def test_nested_network_used_twice(assert_gradients: Any, upstream: Any) -> None:
    block = Sequential([Dense(4), Tanh(), Dense(4), Sigmoid()])
    net, x, _ = settled(lambda rng: [Dense(4), block, block])
    assert len(net.parameters()) == 6
    assert_gradients(net, x, upstream(net.predict(x)))


@pytest.mark.parametrize("end", [(), (Dense(2), Reshape((2, 1)))], ids=["flat", "matrix"])
def test_flatten_and_reshape(
    end: tuple[Layer[Any], ...], rng: np.random.Generator, assert_gradients: Any, upstream: Any
) -> None:
    layers = [Flatten(), Dense(6), Sigmoid(), Reshape((3, -1)), Softmax(), Reshape((1, 2, 3)), Tanh(), Flatten(), *end]
    net = Sequential(layers, input_shape=(2, 1, 3), rng=0, dtype="float64")
    x = rng.normal(size=(SAMPLES, 2, 1, 3))
    assert_gradients(net, x, upstream(net.predict(x)))


def test_backward_parameters_gives_the_gradients_of_backward() -> None:
    """And skips only what no parameter needs: an activation before the first Dense layer, its own input's signal."""
    rng = np.random.default_rng(0)
    net = Sequential([Tanh(), Dense(4), Sigmoid(), Dense(2)], input_shape=3, rng=0, dtype="float64")
    x, delta = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    _, saved = net.forward(x)
    net.backward(saved, delta)
    expected = [p.grad.copy() for p in net.parameters()]
    for p in net.parameters():
        p.clear_grad()
    net.backward_parameters(saved, delta)
    for p, gradient in zip(net.parameters(), expected, strict=True):
        np.testing.assert_array_equal(p.grad, gradient)
