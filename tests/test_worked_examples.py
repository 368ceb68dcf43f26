"""Published worked examples, through the public interface: every number comes out to its stated tolerance.

The examples hold their biases fixed, or have none; a fixed bias is a layer without parameters.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import define, field

from deepbp import Sequential, Trainer
from deepbp.layers import Dense, Layer, Sigmoid
from deepbp.losses import SumSquaredError
from deepbp.optimizers import SGD
from deepbp.typing import Array

EXAMPLES: dict[str, dict[str, Any]] = {
    example["id"]: example
    for example in json.loads((Path(__file__).parent / "data" / "worked_examples.json").read_text(encoding="utf-8"))
}


@define(eq=False)
class Shift(Layer[None]):
    """y = x + a constant that is not trained."""

    by: float = field()

    def forward(self, x: Array) -> tuple[Array, None]:
        return x + self.by, None

    def backward(self, saved: None, delta: Array) -> Array:
        return delta


class Mazur:
    """Two inputs, two hidden neurons, two outputs; ½Σ of squares, η = 0.5, fixed biases."""

    def __init__(self) -> None:
        given = EXAMPLES["mazur_h"]["inputs"]
        first, second = Dense(2, use_bias=False), Dense(2, use_bias=False)
        layers = [first, Shift(given["b1"]), Sigmoid(), second, Shift(given["b2"]), Sigmoid()]
        self.net = Sequential(layers, input_shape=2, dtype="float64")
        first.weight.value, second.weight.value = np.transpose(given["W1_out_in"]), np.transpose(given["W2_out_in"])
        self.first, self.second = first.weight, second.weight
        self.x, self.y = np.array([given["x"]]), np.array([given["target"]])
        self.trainer = Trainer(self.net, SumSquaredError(scale=0.5), SGD(learning_rate=given["lr"]))

    def loss(self, outputs: slice = slice(None)) -> float:
        return SumSquaredError(scale=0.5).forward(self.net.predict(self.x)[:, outputs], self.y[:, outputs])[0]

    def error_signal(self, layers: int) -> Array:
        """∂E/∂(what enters the last ``layers`` layers)."""
        loss, end = SumSquaredError(scale=0.5), self.net[-layers:]
        prediction, saved = end.forward(self.net[:-layers].predict(self.x))
        return end.backward(saved, loss.backward(loss.forward(prediction, self.y)[1]))

    def after(self, steps: int) -> "Mazur":
        for _ in range(steps):
            self.trainer.step(self.x, self.y)
        return self

    def gradients(self) -> list[float]:
        self.after(1)
        return [self.second.grad[0, 0], self.first.grad[0, 0]]

    def weights(self) -> Array:
        """w1 … w8, each neuron's incoming weights after one another."""
        return np.concatenate([self.first.value.T.ravel(), self.second.value.T.ravel()])


TRASK_X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=float)


def trask(example: str, target: list[int]) -> tuple[Sequential, Trainer, Array]:
    """A net without biases from the example's first weights; ½Σ of squares, η = 1."""
    given = EXAMPLES[example]["inputs"]
    weights = [np.array(given[name]) for name in ("syn0", "syn1") if name in given]
    dense = [Dense(w.shape[1], use_bias=False) for w in weights]
    net = Sequential([layer for one in dense for layer in (one, Sigmoid())], input_shape=3, dtype="float64")
    for layer, w in zip(dense, weights, strict=True):
        layer.weight.value = w
    return net, Trainer(net, SumSquaredError(scale=0.5), SGD(learning_rate=1.0)), np.array(target)[:, None]


def trask_one_layer() -> Array:
    net, trainer, y = trask("trask_2layer", [0, 0, 1, 1])
    for _ in range(EXAMPLES["trask_2layer"]["inputs"]["iters"] - 1):
        trainer.step(TRASK_X, y)
    return net.predict(TRASK_X)  # as printed: before the last update


@cache
def trask_two_layers() -> tuple[list[float], Array]:
    """The mean absolute error at every 10,000th step, and the outputs before the last of 60,000 updates."""
    net, trainer, y = trask("trask_3layer_errors", [0, 1, 1, 0])
    errors, outputs = [], TRASK_X
    for step in range(60_000):
        if step % 10_000 == 0 or step == 59_999:
            outputs = net.predict(TRASK_X)
            errors.append(float(np.abs(y - outputs).mean()))
        trainer.step(TRASK_X, y)
    return errors[:6], outputs


def long_run() -> list[float]:
    example = Mazur().after(10_000)
    final = EXAMPLES["mazur_10000_CORRECT"]
    np.testing.assert_allclose(example.first.value.T, final["final_W1"], rtol=1e-11)
    np.testing.assert_allclose(example.second.value.T, final["final_W2"], rtol=1e-11)
    return [example.loss(), *example.net.predict(example.x)[0]]


ANSWERS: dict[str, Callable[[], Any]] = {
    "mazur_h": lambda: Mazur().net[:3].predict(Mazur().x),
    "mazur_o": lambda: Mazur().net.predict(Mazur().x),
    "mazur_E": lambda: Mazur().loss(),
    "mazur_E_parts": lambda: [Mazur().loss(slice(0, 1)), Mazur().loss(slice(1, 2))],
    "mazur_delta_o1": lambda: Mazur().error_signal(1)[0, 0],
    "mazur_dEdh1": lambda: Mazur().error_signal(3)[0, 0],
    "mazur_dW": lambda: Mazur().gradients(),
    "mazur_W_after": lambda: Mazur().after(1).weights(),
    "mazur_E_after1_CORRECT": lambda: Mazur().after(1).loss(),
    "mazur_10000_CORRECT": long_run,
    "trask_2layer": trask_one_layer,
    "trask_3layer_errors": lambda: trask_two_layers()[0],
    "trask_3layer_final": lambda: trask_two_layers()[1],
}


def test_every_example_is_worked_here() -> None:
    assert ANSWERS.keys() == EXAMPLES.keys()


@pytest.mark.parametrize("name", ANSWERS)
def test_example_comes_out(name: str) -> None:
    example, answer = EXAMPLES[name], np.ravel(ANSWERS[name]())
    np.testing.assert_allclose(answer, np.ravel(example["published"]), rtol=0, atol=example["abs_tol_published"])
    np.testing.assert_allclose(answer, np.ravel(example["computed"]), rtol=1e-12)
