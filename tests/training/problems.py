"""What the tests of training share: a small problem for each loss, and a layer that remembers what passed."""

from typing import Any

import numpy as np
from attrs import define, evolve, field, frozen

from deepbp import Sequential
from deepbp.layers import Dense, Layer, Sigmoid, Softmax, Tanh
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

ROWS, FEATURES, OUTPUTS = 23, 3, 4  # 23 is prime: every batch size leaves a short last batch


@define(eq=False)
class Recorder(Layer[None]):
    """y = x; keeps a copy of all that passes."""

    trained: list[Array] = field(factory=list, init=False)
    predicted: list[Array] = field(factory=list, init=False)
    deltas: list[Array] = field(factory=list, init=False)

    def forward(self, x: Array) -> tuple[Array, None]:
        self.trained.append(x.copy())
        return x, None

    def backward(self, saved: None, delta: Array) -> Array:
        self.deltas.append(delta.copy())
        return delta

    def predict(self, x: Array) -> Array:
        self.predicted.append(x.copy())
        return x


@frozen(eq=False)
class Problem:
    """A loss, the layer that a network for it ends with, inputs and targets."""

    loss: Loss[Any]
    ends_with: type[Layer[Any]] | None
    y: Array
    x: Array = field(factory=lambda: np.random.default_rng(1).normal(size=(ROWS, FEATURES)))

    def network(self, *more: Layer[Any], dtype: str = "float64", rng: int = 0) -> Sequential:
        ending = [] if self.ends_with is None else [self.ends_with()]
        return Sequential(
            [Dense(5), Tanh(), Dense(OUTPUTS), *ending, *more], input_shape=FEATURES, rng=rng, dtype=dtype
        )

    def of(self, rows: Any) -> "Problem":
        return evolve(self, x=self.x[rows], y=self.y[rows])


_rng = np.random.default_rng(2)
_values = _rng.normal(size=(ROWS, OUTPUTS))
_answers = (_values > 0).astype(float)
_labels = _rng.integers(0, OUTPUTS, ROWS)
_one_hot = np.eye(OUTPUTS)[_labels]

PROBLEMS = {
    "sum squared": Problem(SumSquaredError(), None, _values),
    "half sum squared": Problem(SumSquaredError(scale=np.float64(0.5)), None, _values),
    "mean squared": Problem(MeanSquaredError(), None, _values),
    "binary": Problem(BinaryCrossEntropy(), Sigmoid, _answers),
    "binary on logits": Problem(SigmoidBinaryCrossEntropy(), None, _answers),
    "labels": Problem(CrossEntropy(), Softmax, _labels),
    "one-hot": Problem(CrossEntropy(), Softmax, _one_hot),
    "labels on logits": Problem(SoftmaxCrossEntropy(), None, _labels),
    "one-hot on logits": Problem(SoftmaxCrossEntropy(), None, _one_hot),
    "whole one-hot on logits": Problem(SoftmaxCrossEntropy(), None, _one_hot.astype(int)),
}
SQUARES = PROBLEMS["sum squared"]
CLASSES = PROBLEMS["labels on logits"]


def values(net: Sequential) -> bytes:
    """All parameters, byte by byte."""
    return b"".join(parameter.value.tobytes() for parameter in net.parameters())
