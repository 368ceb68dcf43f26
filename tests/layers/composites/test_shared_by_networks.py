"""Layers and networks that are parts of several networks: each use is right, or refused."""

import copy
from typing import Any

import numpy as np
import pytest
from attrs import define, field

from deepbp import Parameter, ParameterVector, Sequential, Trainer
from deepbp.errors import ContractError, ShapeError
from deepbp.layers import Builder, Chain, Dense, Layer, Parallel, ReLU, Reshape, Residual, Scale, Split, Tanh
from deepbp.losses import SumSquaredError
from deepbp.optimizers import SGD, Adam
from deepbp.typing import Array, Shape


@define(eq=False)
class Positions(Layer[Any]):
    """A layer without parameters, whose ``build`` stores an array that depends on the shape."""

    offsets: Any = field(init=False, default=None)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.offsets = np.arange(input_shape[-1], dtype=builder.dtype)
        return input_shape

    def forward(self, x: Array) -> tuple[Array, None]:
        return x + self.offsets, None

    def backward(self, saved: None, delta: Array) -> Array:
        return delta


@pytest.mark.parametrize(
    "layer", [Positions(), Split([None, None], merge="add"), Parallel([None, None]), Chain([ReLU()])], ids=repr
)
def test_a_layer_that_depends_on_its_shape_is_refused_for_another(layer: Layer[Any]) -> None:
    first = Sequential([layer], input_shape=4, rng=0, dtype="float64")
    x = np.arange(8.0).reshape(2, 4)
    before = first.predict(x)
    with pytest.raises(ShapeError, match=r"built for samples of shape \(4,\), got \(6,\): make a new layer"):
        Sequential([layer], input_shape=6, dtype="float64")
    if not isinstance(layer, Parallel):  # what branches of identities store does not depend on the dtype
        with pytest.raises(ContractError, match="built with float64, the network has float32"):
            Sequential([layer], input_shape=4)
    assert np.array_equal(first.predict(x), before)
    assert np.array_equal(first.forward(x)[0], before)


def test_a_layer_that_depends_on_nothing_serves_several_shapes() -> None:
    relu = ReLU()
    first, second = (Sequential([relu, Scale()], input_shape=shape, rng=0) for shape in (3, (2, 5)))
    for net, shape in ((first, (1, 3)), (second, (1, 2, 5))):
        x = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
        assert np.array_equal(net.predict(x), np.maximum(x, 0))


def test_a_failed_build_leaves_the_layers_of_other_networks_as_they_were() -> None:
    relu, dense = ReLU(), Dense(3)
    net = Sequential([relu, dense], input_shape=3, rng=0)
    weight, fresh = dense.weight.value.copy(), Dense(2)
    with pytest.raises(ShapeError, match="Reshape"):
        Sequential([relu, dense, fresh, Reshape((7,))], input_shape=3, rng=1)
    with pytest.raises(ShapeError, match="Reshape"):
        Sequential([relu, Reshape((7,))], input_shape=5, rng=1)
    assert fresh.built is None
    assert net.summary().parameters == 12
    assert np.array_equal(net.predict(np.eye(3)), weight)
    Trainer(net, SumSquaredError(), SGD(0.1)).step(np.ones((2, 3)), np.zeros((2, 3)))


def test_networks_that_share_a_network_train_in_turn() -> None:
    """Two heads on one body, and the body alone, against gradients by hand in float64."""
    rng = np.random.default_rng(0)
    body = Sequential([Dense(3)], input_shape=3, rng=0, dtype="float64")
    nets = [
        body,
        *(Sequential([body, Tanh(), Residual(Dense(3))], input_shape=3, rng=s, dtype="float64") for s in (1, 2)),
    ]
    for net in nets:
        for parameter in net.parameters():
            parameter.value = rng.normal(size=parameter.value.shape) / 2
    held = [parameter for net in nets[1:] for parameter in net.parameters()]
    values = [parameter.value.copy() for parameter in held]
    w, b = values[0], values[1]
    heads = {1: (values[2], values[3]), 2: (values[6], values[7])}
    trainers = [Trainer(net, SumSquaredError(), SGD(0.01)) for net in nets]
    for turn in (1, 0, 2, 1, 2, 0, 0, 2, 1):
        x, y = rng.normal(size=(2, 4, 3))
        trainers[turn].step(x, y)
        z = x @ w + b
        if turn == 0:
            delta = 2 * (z - y)
        else:
            a = np.tanh(z)
            u, c = heads[turn]
            error = 2 * (a @ u + c + a - y)
            delta = (error @ u.T + error) * (1 - a * a)
            u -= 0.01 * a.T @ error
            c -= 0.01 * error.sum(axis=0)
        w -= 0.01 * x.T @ delta
        b -= 0.01 * delta.sum(axis=0)
    for parameter, value in zip(held, values[:4] + values[:2] + values[6:], strict=False):
        np.testing.assert_allclose(parameter.value, value, rtol=1e-12)


@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam()])
def test_a_vector_whose_parameters_moved_away_is_refused_by_a_step(optimizer: SGD | Adam) -> None:
    parameters = [Parameter(np.ones(2))]
    vector = ParameterVector(parameters)
    state = optimizer.start(vector)
    vector.grads[...] = 1
    optimizer.step(vector, state)
    other = ParameterVector(parameters)
    with pytest.raises(ContractError, match=r"moved to another.*use ParameterVector\.of"):
        optimizer.step(vector, state)
    other.grads[...] = 1
    optimizer.step(other, optimizer.start(other))
    copied = copy.deepcopy(other)
    copied.grads[...] = 1
    optimizer.step(copied, optimizer.start(copied))
    assert not np.array_equal(copied.parameters[0].value, parameters[0].value)
