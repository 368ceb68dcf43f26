"""What is frozen at the bottom of a network costs no backward pass."""

import numpy as np
import pytest
from attrs import define, field

from deepbp import Sequential
from deepbp.initializers import Ones
from deepbp.layers import Builder, Layer, Residual, Tanh
from deepbp.parameters import UNBUILT, Parameter
from deepbp.typing import Array, Shape

X = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)


@define(eq=False)
class Counted(Layer[Array]):
    """y = gain · x, and a note of every backward pass."""

    calls: list[str] = field(factory=list)
    gain: Parameter = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = builder.parameter(input_shape, Ones())
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        return x * self.gain.value, x

    def backward(self, x: Array, delta: Array) -> Array:
        self.calls.append("backward")
        self.gain.accumulate((x * delta).sum(axis=0))
        return delta * self.gain.value

    def backward_parameters(self, x: Array, delta: Array) -> None:
        self.calls.append("parameters")
        self.gain.accumulate((x * delta).sum(axis=0))


@pytest.mark.parametrize(
    ("frozen", "expected"),
    [
        ("", ["parameters", "backward", "backward", "backward"]),
        ("a", ["", "parameters", "backward", "backward"]),
        ("ab", ["", "", "parameters", "backward"]),
        ("abc", ["", "", "", "parameters"]),
        ("b", ["parameters", "backward", "backward", "backward"]),
        ("d", ["parameters", "backward", "backward", "backward"]),
        ("abcd", ["", "", "", ""]),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_below_the_first_that_is_trained_nothing_goes_back(frozen: str, expected: list[str], nested: bool) -> None:
    layers = {name: Counted() for name in "abcd"}
    a, b, c, d = layers.values()
    net = Sequential([Sequential([a, Tanh(), Sequential([b])]), c, d] if nested else [a, Tanh(), b, c, d])
    net.build(3)
    for name in frozen:
        layers[name].freeze()
    net.backward_parameters(net.forward(X)[1], X)
    assert [" ".join(layer.calls) for layer in layers.values()] == expected


def test_in_a_residual_block_the_frozen_part_is_not_waited_for() -> None:
    bottom, body, top = Counted(), Counted(), Counted()
    net = Sequential([bottom, Residual(body), top], input_shape=3)
    bottom.freeze()
    body.freeze()
    net.backward_parameters(net.forward(X)[1], X)
    assert (bottom.calls, body.calls, top.calls) == ([], [], ["parameters"])
