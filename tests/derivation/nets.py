"""Networks whose derivations and traces are looked at."""

import numpy as np
from attrs import define, field

from deepbp import Sequential
from deepbp.initializers import Ones
from deepbp.layers import Builder, Dense, Formula, Layer, ReLU, Reshape, Sigmoid, Softmax, Tanh
from deepbp.parameters import Parameter
from deepbp.typing import Array, Shape

X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=float)
Y = np.array([[0], [1], [1], [0]], dtype=float)


def notes_net(dtype: str = "float64") -> Sequential:
    layers = [Dense(4, use_bias=False), Sigmoid(), Dense(1, use_bias=False), Sigmoid()]
    return Sequential(layers, input_shape=3, rng=1, dtype=dtype)


@define(eq=False)
class Gain(Layer[tuple[Array, Array]]):
    """y = gain · x, which states nothing."""

    gain: Parameter = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = builder.parameter(input_shape, Ones())
        return input_shape

    def forward(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        return x * self.gain.value, (x, self.gain.value)

    def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
        x, gain = saved
        self.gain.accumulate((x * delta).sum(axis=0))
        return delta * gain


@define(eq=False)
class StatedGain(Gain):
    """The same with its forward equation, and no more."""

    formula = Formula("x * gain", symbols={"gain": "W"})


@define(eq=False)
class Noise(Layer[None]):
    """x plus noise, other noise in every pass."""

    rng: np.random.Generator = field(factory=lambda: np.random.default_rng(3))

    def forward(self, x: Array) -> tuple[Array, None]:
        return x + self.rng.normal(size=x.shape).astype(x.dtype), None

    def backward(self, saved: None, delta: Array) -> Array:
        return delta


def rich_net(dtype: str = "float64") -> Sequential:
    """Nested, with a layer used twice, a black box, a reshape, and activations one after another."""
    shared = Dense(4)
    inner = Sequential([shared, ReLU(), Softmax()])
    layers = [Reshape((4,)), shared, Tanh(), inner, Gain(), Dense(7), Sigmoid(), Dense(2)]
    return Sequential(layers, input_shape=(2, 2), rng=5, dtype=dtype)


def rich_data(rows: int = 5) -> tuple[Array, Array]:
    rng = np.random.default_rng(8)
    return rng.normal(size=(rows, 2, 2)), rng.normal(size=(rows, 2))
