"""Networks with branches and penalties whose derivations and traces are looked at."""

from typing import Any

import numpy as np
from attrs import define, field
from nets import Gain

from deepbp import Sequential
from deepbp.layers import (
    L1,
    L1L2,
    L2,
    Dense,
    Layer,
    Parallel,
    Penalized,
    ReLU,
    Repeat,
    Residual,
    Sigmoid,
    Softmax,
    Split,
    Tanh,
)
from deepbp.typing import Array


@define(eq=False)
class Taxed(Gain):
    """A black box that adds to the loss by itself: 0.3 Σ gain²."""

    def penalty(self, saved: tuple[Array, Array]) -> float:
        return float(0.3 * np.sum(self.gain.value**2))

    def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
        self.gain.accumulate(0.6 * self.gain.value)
        return super().backward(saved, delta)


@define(eq=False)
class Wrapped(Layer[Any]):
    """A composite of a user's, with a penalty inside that it hands on."""

    inside: Layer[Any] = field(factory=lambda: Penalized(Dense(3), weights=L2(0.1)))

    def build(self, input_shape: Any, builder: Any) -> Any:
        return builder.build(self.inside, input_shape)

    def forward(self, x: Array) -> tuple[Array, Any]:
        return self.inside.forward(x)

    def backward(self, saved: Any, delta: Array) -> Array:
        return self.inside.backward(saved, delta)

    def penalty(self, saved: Any) -> float:
        return self.inside.penalty(saved)


def net(*layers: Layer[Any], dtype: str = "float64", inputs: int = 3) -> Sequential:
    return Sequential(layers, input_shape=inputs, rng=3, dtype=dtype)


def branched_nets(dtype: str = "float64") -> dict[str, Sequential]:
    """One of each kind, nested, each with two outputs."""
    shared = Dense(3)
    block = Residual([Penalized([Dense(5), Tanh()], weights=L2(0.1), outputs=L1(0.2)), Dense(3)])
    made: dict[str, list[Layer[Any]]] = {
        "residual": [Dense(3), Residual([Dense(3), Sigmoid()]), Dense(2)],
        "shortcut": [Residual([Dense(4), Tanh()], Dense(4, use_bias=False)), Dense(2)],
        "plain": [Residual(Residual(Tanh())), Dense(2)],
        "concat": [Dense(3), Parallel([[Dense(2), ReLU()], None, Dense(1)]), Dense(2)],
        "add": [Parallel([shared, [Dense(4), Tanh(), Dense(3)], shared], merge="add"), Tanh(), Dense(2)],
        "mean": [Parallel([Dense(2), Dense(2)], merge="mean")],
        "multiply": [Dense(3), Parallel([Dense(2), [Dense(2), Sigmoid()], Dense(2)], merge="multiply")],
        "square": [Dense(2), Parallel([None, None], merge="multiply")],
        "split": [Dense(5), Split([[Dense(2), Tanh()], None], sizes=(3, 2)), Dense(2)],
        "columns": [Dense(4), Parallel([Split([Dense(2), Dense(1)], sizes=(1, 3)), Split([Tanh(), None])]), Dense(2)],
        "copies": [Repeat([Dense(3), Tanh()], 2), Dense(2)],
        "recurrent": [Repeat(Residual([Dense(3), Tanh()]), 3, share=True), Dense(2)],
        "penalties": [block, Penalized(Dense(2), weights=L1L2(0.1, 0.2), outputs=L2(0.3))],
        "paid twice": [Repeat(Penalized(Dense(3), weights=L2(0.1)), 2, share=True), Dense(2)],
        "black boxes": [Residual(Taxed()), Residual(Wrapped()), Dense(2), Softmax()],
        "deep": [Residual(Parallel([Dense(3), Residual([Dense(3), Residual(Tanh())])], merge="mean")), Dense(2)],
    }
    return {name: net(*layers, dtype=dtype) for name, layers in made.items()}


NAMES = list(branched_nets())


def data(rows: int = 4) -> tuple[Array, Array]:
    rng = np.random.default_rng(5)
    return rng.normal(size=(rows, 3)), rng.normal(size=(rows, 2))
