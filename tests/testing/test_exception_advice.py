"""Exceptions that a user's class raises are explained by the rule it breaks; the advice is tried."""

from typing import Any

import numpy as np
import pytest
from attrs import define, frozen
from right_layers import Scale, Square

from deepbp.initializers import Ones
from deepbp.layers import Dense, Layer
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD
from deepbp.testing import CheckFailure, check_layer, check_loss, check_optimizer
from deepbp.typing import Array, Shape


def report(layer: Layer[Any]) -> str:
    with pytest.raises(CheckFailure) as caught:
        check_layer(layer, (4,))
    return str(caught.value)


@define(eq=False)
class KeepsOnSelf(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        self.b = x  # type: ignore[misc]
        return x * x, x


@define(eq=False)
class UndeclaredField(Square):
    def build(self, input_shape: Shape, builder: Any) -> Shape:
        self.gain = builder.parameter(input_shape, Ones())  # type: ignore[misc]
        return input_shape


@define(eq=False)
class ReadsFromSelf(Square):
    def backward(self, x: Array, delta: Array) -> Array:
        moved: Array = 2 * self.last * delta  # type: ignore[attr-defined]
        return moved


@define(eq=False)
class AssignsTheGradient(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.grad = (x * delta).sum(axis=0)  # type: ignore[misc]
        return delta * self.gain.value


@define(eq=False)
class AddsInPlace(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.grad += (x * delta).sum(axis=0)  # type: ignore[misc]
        return delta * self.gain.value


@define(eq=False)
class UntransposedWeight(Dense):
    def backward(self, x: Array, delta: Array) -> Array:
        δ = delta  # letters of two bytes before the product
        moved: Array = δ @ self.weight.value
        return moved


@define(eq=False)
class UntransposedInput(Dense):
    def backward(self, x: Array, delta: Array) -> Array:
        self.weight.accumulate(np.matmul(x, delta))
        return super().backward(x, delta)


@define(eq=False)
class ParameterForItsValue(Scale):
    def forward(self, x: Array) -> tuple[Array, Array]:
        return x * self.gain, x


@define(eq=False)
class ParameterInAProduct(Dense):
    def forward(self, x: Array) -> tuple[Array, Array]:
        return x @ self.weight, x


CASES = [
    (KeepsOnSelf(), "no pass keeps a result on self.*from forward, as in `return y, saved`"),
    (UndeclaredField(), r"declare the field in the class: `gain: Parameter = field\(init=False\)`"),
    (ReadsFromSelf(), "if forward computes `last`, forward must return it in saved: nothing is kept on self"),
    (AssignsTheGradient(), r"a gradient is added, never assigned: write `self.gain.accumulate\(...\)`"),
    (AddsInPlace(), r"a gradient is added, never assigned: write `self.gain.accumulate\(...\)`"),
    (
        UntransposedWeight(3),
        r"`δ` has shape \(5, 3\) and `self.weight.value` \(4, 3\).*the columns of the first, 3, .* of the second, 4; "
        r"was a transpose forgotten\? These fit: `δ @ self.weight.value.T`, of shape \(5, 4\)",
    ),
    (UntransposedInput(3), r"These fit: `x.T @ delta`, of shape \(4, 3\)"),
    (ParameterForItsValue(), "`self.gain` is a parameter, and its array is `self.gain.value`"),
    (ParameterInAProduct(3), "`self.weight` is a parameter, and its array is `self.weight.value`"),
]


@pytest.mark.parametrize(("layer", "message"), CASES, ids=[type(layer).__name__ for layer, _ in CASES])
def test_the_broken_rule_is_named(layer: Layer[Any], message: str) -> None:
    with pytest.raises(CheckFailure, match=message):
        check_layer(layer, (4,))


def test_the_product_that_is_named_fits() -> None:
    delta, weight = np.ones((5, 3)), np.ones((4, 3))
    assert (delta @ weight.T).shape == (5, 4)
    assert "of shape (5, 4)" in report(UntransposedWeight(3))


def test_other_mistakes_get_no_advice() -> None:
    @define(eq=False)
    class Misspelt(Square):
        def forward(self, x: Array) -> tuple[Array, Array]:
            return x.squre(), x  # type: ignore[attr-defined]

    assert "squre" in report(Misspelt())
    assert "saved" not in report(Misspelt())


def test_losses_and_optimizers_keep_nothing_on_self() -> None:
    @frozen
    class KeepingLoss(MeanSquaredError):  # noqa: N818  # a loss, no exception
        def forward(self, prediction: Any, target: Any, *arguments: Any, **options: Any) -> Any:
            self.kept = prediction
            return super().forward(prediction, target, *arguments, **options)

    @frozen
    class KeepingOptimizer(SGD):
        def step(self, parameters: Any, state: Any) -> None:
            self.count = 1

    with pytest.raises(CheckFailure, match="a loss keeps no result on self: return what backward needs from forward"):
        check_loss(KeepingLoss(), 2)
    with pytest.raises(CheckFailure, match="an optimizer keeps nothing on self: keep what the next step needs in `st"):
        check_optimizer(KeepingOptimizer(0.1))
