"""Custom layers, and constructor arguments of every kind that a file can hold."""

from enum import Enum
from typing import Any

import numpy as np
from attrs import define, field, frozen

from deepbp import Buffer, Parameter
from deepbp.initializers import Initializer, Ones
from deepbp.layers import Builder, Layer
from deepbp.typing import Array, Shape


class Direction(Enum):
    UP = 1
    DOWN = -1


@frozen
class Slope:
    """Configuration that is no layer."""

    size: float
    directions: tuple[Direction, ...] = (Direction.UP,)


class Twos(Initializer):
    """A plain class without arguments."""

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> Array:
        return np.full(shape, 2, dtype)


@define(eq=False)
class Everything(Layer[Array]):
    """y = x · scale · mean(table), with arguments of all kinds, of which most do nothing."""

    argument: Any
    table: Array = field(factory=lambda: np.ones(2))
    init: Initializer = field(factory=Ones, kw_only=True)
    scale: Parameter = field(init=False)
    count: Buffer = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.scale, self.count = builder.parameter(input_shape, self.init), builder.buffer((1,))
        self.scale.value[0] = 3  # as a layer may that starts some of its numbers elsewhere
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        self.count.value = self.count.value + 1
        return self.predict(x), x

    def backward(self, x: Array, delta: Array) -> Array:
        factor = self.table.mean(dtype=x.dtype)
        self.scale.accumulate((delta * x * factor).sum(axis=0))
        moved: Array = delta * self.scale.value * factor
        return moved

    def predict(self, x: Array) -> Array:
        product: Array = x * self.scale.value * self.table.mean(dtype=x.dtype)
        return product


@define(eq=False)
class Beside(Layer[Array]):
    """Uses a parameter that it is given."""

    scale: Parameter

    def forward(self, x: Array) -> tuple[Array, Array]:
        return x * self.scale.value, x

    def backward(self, x: Array, delta: Array) -> Array:
        self.scale.accumulate((delta * x).sum(axis=0))
        return delta * self.scale.value


def twice(z: Array) -> Array:
    return z + z


def two(z: Array) -> Array:
    return np.full_like(z, 2)
