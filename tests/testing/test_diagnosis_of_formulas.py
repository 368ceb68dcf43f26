"""Diagnosis of mistakes in a derivative: sign, factor, transpose, product rule, and input for output."""

from typing import Any

import numpy as np
import pytest
from attrs import define
from right_layers import Square

from deepbp.layers import Dense, Layer, Softmax
from deepbp.testing import CheckFailure, layer_checks
from deepbp.typing import Array


def sigmoid(x: Array) -> Array:
    s: Array = 1 / (1 + np.exp(-x))
    return s


@define(eq=False)
class Swish(Layer[tuple[Array, Array]]):
    """y = x s with s = σ(x), and y′ = s + x s (1 − s)."""

    def forward(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        s = sigmoid(x)
        return x * s, (x, s)

    def backward(self, saved: tuple[Array, Array], delta: Array) -> Any:
        x, s = saved
        return delta * (s + x * s * (1 - s))


class FirstSummandOnly(Swish):
    def backward(self, saved: tuple[Array, Array], delta: Array) -> Any:
        return delta * saved[1]


class SecondSummandOnly(Swish):
    def backward(self, saved: tuple[Array, Array], delta: Array) -> Any:
        x, s = saved
        return delta * x * s * (1 - s)


class WrongSignOfASummand(Swish):
    def backward(self, saved: tuple[Array, Array], delta: Array) -> Any:
        x, s = saved
        return delta * (s - x * s * (1 - s))


class SigmoidOf(Square):
    """A sigmoid that saves its output."""

    def forward(self, x: Array) -> tuple[Array, Array]:
        y = sigmoid(x)
        return y, y

    def backward(self, y: Array, delta: Array) -> Any:
        return delta * y * (1 - y)


class WithoutOneMinus(SigmoidOf):
    def backward(self, y: Array, delta: Array) -> Any:
        return delta * y


class WithoutY(SigmoidOf):
    def backward(self, y: Array, delta: Array) -> Any:
        return delta * (1 - y)


class NegativeFactor(SigmoidOf):
    def backward(self, y: Array, delta: Array) -> Any:
        return delta * (y - 1)


class NegativeSigmoid(SigmoidOf):
    def backward(self, y: Array, delta: Array) -> Any:
        return delta * y * (y - 1)


class SavesTheInput(SigmoidOf):
    def forward(self, x: Array) -> tuple[Array, Array]:
        return sigmoid(x), x


class SavesTheOutput(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        return x * x, x * x


class SquareWeightUntransposed(Dense):
    def backward(self, x: Array, delta: Array) -> Any:
        super().backward_parameters(x, delta)
        moved: Any = delta @ self.weight.value
        return moved


class SoftmaxWithAMean(Softmax):
    def backward(self, y: Array, delta: Array) -> Any:
        moved: Any = y * (delta - (y * delta).mean(axis=-1, keepdims=True))
        return moved


class CentredWithoutItsMean(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        return 2 * (x - x.mean(axis=-1, keepdims=True)), x

    def backward(self, x: Array, delta: Array) -> Any:
        return 2 * delta


CASES = [
    (FirstSummandOnly(), r"by a summand: plus delta · y · \(1 − .*is a summand missing, as of a product rule"),
    (SecondSummandOnly(), r"by a summand: plus delta · \(y / x\) it would be right: is a summand missing"),
    (WrongSignOfASummand(), r"by a summand: plus 2 · delta · y · \(1 − .*or is its sign wrong"),
    (WithoutOneMinus(), r"lacks a factor: times \(1 − y\) it would be right"),
    (WithoutY(), r"lacks a factor: times the output it would be right"),
    (NegativeFactor(), r"lacks a factor: times minus y it would be right"),
    (NegativeSigmoid(), r"is the negative of the numeric gradient"),
    (SavesTheInput(), r"in terms of the output y, computed from the input x: save y"),
    (SavesTheOutput(), r"in terms of the input x, computed from the output y: save x"),
    (SquareWeightUntransposed(3), r"uses `weight` where its transpose belongs"),
    (
        SoftmaxWithAMean(),
        r"one number for each row times the output: is the summand missing that comes from a sum or mean over",
    ),
    (CentredWithoutItsMean(), r"wrong by one number for each row: is the summand missing"),
]


@pytest.mark.parametrize(("layer", "message"), CASES, ids=[type(layer).__name__ for layer, _ in CASES])
def test_the_mistake_is_named(layer: Layer[Array], message: str) -> None:
    checks = {check.name: check for check in layer_checks(layer, 3)}
    with pytest.raises(CheckFailure, match=message):
        checks["input_gradient"].run()


def test_the_right_layers_pass() -> None:
    for layer in (Swish(), SigmoidOf()):
        {check.name: check for check in layer_checks(layer, 3)}["input_gradient"].run()
