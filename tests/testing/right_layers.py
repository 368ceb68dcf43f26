"""Correct layers with special features, which the checks must not reject."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import define, field

from deepbp.initializers import Constant, GlorotUniform, Normal, Ones, Zeros
from deepbp.layers import Builder, Dense, Layer, Tanh
from deepbp.parameters import Buffer, Parameter
from deepbp.typing import Array, Shape


@define(eq=False)
class Scale(Layer[Array]):
    """y = gain · x + shift."""

    gain: Parameter = field(init=False)
    shift: Parameter = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = builder.parameter(input_shape, Ones())
        self.shift = builder.parameter(input_shape, Zeros())
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        return x * self.gain.value + self.shift.value, x

    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate((x * delta).sum(axis=0))
        self.shift.accumulate(delta.sum(axis=0))
        return delta * self.gain.value


@define(eq=False)
class Square(Layer[Array]):
    """y = x²."""

    def forward(self, x: Array) -> tuple[Array, Array]:
        return x * x, x

    def backward(self, x: Array, delta: Array) -> Array:
        return 2 * x * delta


@define(eq=False)
class GainOfTanh(Layer[tuple[Array, Array]]):
    """y = gain · tanh x."""

    gain: Parameter = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = builder.parameter(input_shape, Normal(1.0, 0.3))
        return input_shape

    def forward(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        t = np.tanh(x)
        return self.gain.value * t, (x, t)

    def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
        _, t = saved
        self.gain.accumulate((delta * t).sum(axis=0))
        moved: Array = delta * self.gain.value * (1 - t * t)
        return moved


@define(eq=False)
class LeakyReLU(Layer[Array]):
    """y = x where x > 0, slope · x elsewhere."""

    slope: float = 0.1

    def forward(self, x: Array) -> tuple[Array, Array]:
        return np.where(x > 0, x, self.slope * x), x

    def backward(self, x: Array, delta: Array) -> Array:
        return np.where(x > 0, delta, self.slope * delta)


@define(eq=False)
class Dropout(Layer[Array]):
    """Random in training, nothing in inference."""

    rate: float = 0.4
    rng: np.random.Generator = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.rng = builder.rng
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        mask = (self.rng.random(x.shape) >= self.rate).astype(x.dtype) / (1 - self.rate)
        return x * mask, mask

    def backward(self, mask: Array, delta: Array) -> Array:
        return delta * mask

    def predict(self, x: Array) -> Array:
        return x.copy()


@define(eq=False)
class Centre(Layer[int]):
    """y = x − the batch's mean, and in inference minus a running mean, kept in a buffer."""

    mean: Buffer = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.mean = builder.buffer(input_shape)
        return input_shape

    def forward(self, x: Array) -> tuple[Array, int]:
        mean = x.sum(axis=0) / max(len(x), 1)
        self.mean.value = 0.9 * self.mean.value + 0.1 * mean
        return x - mean, len(x)

    def backward(self, rows: int, delta: Array) -> Array:
        moved: Array = delta - delta.sum(axis=0) / max(rows, 1)
        return moved

    def predict(self, x: Array) -> Array:
        return x - self.mean.value


@define(eq=False)
class Largest(Layer[Array]):
    """y = the largest of each sample's numbers; at a tie the first one gets the error signal."""

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        return (1,)

    def forward(self, x: Array) -> tuple[Array, Array]:
        return x.max(axis=1, keepdims=True), np.eye(x.shape[1], dtype=x.dtype)[x.argmax(axis=1)]

    def backward(self, mask: Array, delta: Array) -> Array:
        return mask * delta


@define(eq=False)
class Log(Layer[Array]):
    """y = ln x, for x above 0 only."""

    def forward(self, x: Array) -> tuple[Array, Array]:
        return np.log(x), x

    def backward(self, x: Array, delta: Array) -> Array:
        return delta / x


@define(eq=False)
class Lookup(Layer[Array]):
    """One row of a table for each whole number."""

    size: int
    table: Parameter = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.table = builder.parameter((self.size, 2), GlorotUniform())
        return (*input_shape, 2)

    def forward(self, x: Array) -> tuple[Array, Array]:
        return self.table.value[x], x

    def backward(self, x: Array, delta: Array) -> Array:
        gradient = np.zeros_like(self.table.value)
        np.add.at(gradient, x, delta)
        self.table.accumulate(gradient)
        return np.zeros(x.shape, delta.dtype)


@define(eq=False)
class Residual(Layer[list[Any]]):
    """y = x + tanh(x W), with layers inside, also in a list, and one parameter of its own."""

    body: Sequence[Layer[Any]] = field(factory=lambda: [Dense(4), Tanh()])
    strength: Parameter = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        shape = input_shape
        for layer in self.body:
            shape = builder.build(layer, shape)
        self.strength = builder.parameter((), Constant(0.5))
        return shape

    def forward(self, x: Array) -> tuple[Array, list[Any]]:
        y, saved = x, []
        for layer in self.body:
            y, memory = layer.forward(y)
            saved.append(memory)
        return x + self.strength.value * y, [*saved, y]

    def backward(self, saved: list[Any], delta: Array) -> Array:
        self.strength.accumulate(np.asarray((delta * saved[-1]).sum()))
        moved = delta * self.strength.value
        for layer, memory in zip(reversed(self.body), reversed(saved[:-1]), strict=True):
            moved = layer.backward(memory, moved)
        total: Array = delta + moved
        return total


@define(eq=False)
class WithPenalty(Layer[tuple[Array, Array]]):
    """y = gain · x, and L grows by 0.1 Σ gain² and by the batch's mean of 0.2 Σ y²."""

    gain: Parameter = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = builder.parameter(input_shape, Ones())
        return input_shape

    def forward(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        y = x * self.gain.value
        return y, (x, y)

    def penalty(self, saved: tuple[Array, Array]) -> float:
        _, y = saved
        return float(0.1 * (self.gain.value**2).sum() + 0.2 * (y**2).sum() / max(len(y), 1))

    def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
        x, y = saved
        delta = delta + 0.4 * y / max(len(y), 1)
        self.gain.accumulate((x * delta).sum(axis=0) + 0.2 * self.gain.value)
        return delta * self.gain.value


def positive(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.uniform(0.5, 2.0, shape)


def whole(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.integers(0, 6, shape)
