"""Regularization: penalties on weights and outputs, added to the loss."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeAlias

import numpy as np
from attrs import define, field, frozen

from deepbp._suggestions import ExplainedArguments
from deepbp.errors import ConfigurationError
from deepbp.errors.validators import instance_of, non_negative, optional
from deepbp.formulas.language import PenaltyFormula
from deepbp.layers.composites import Sublayer, as_layer, require_sublayers
from deepbp.layers.inner_graph import InnerGraph, Node, PenaltyTerm
from deepbp.layers.layer import Builder, Layer
from deepbp.parameters import Parameter
from deepbp.typing import Array, Shape


class Penalty(ExplainedArguments, ABC):
    """A price on numbers. It is configuration: a subclass is ``@frozen``, and one may stand in many places.

    Value and gradient come from one method, so that they cannot be of two definitions. Both are sums over all the
    numbers given; whoever asks says what they are sums of, and divides: see ``Penalized``.
    """

    __slots__ = ()

    formula: ClassVar[PenaltyFormula | None] = None
    """The mathematics, stated once: ``derivation`` prints it."""

    @abstractmethod
    def __call__(self, values: Array) -> tuple[float, Array]:
        """What these numbers cost, and the derivative of that by each of them."""


@frozen
class L1(Penalty):
    """λ Σ |w|, which draws numbers to exactly 0: the gradient is λ sign w, and at 0, where |w| has a kink, it is 0.

    Args:
        strength: λ.

    Source: Tibshirani 1996, the lasso.
    """

    formula = PenaltyFormula("strength * total(abs(w))", "strength * sign(w)")

    strength: float = field(validator=non_negative)

    def __call__(self, values: Array) -> tuple[float, Array]:
        strength = float(self.strength)
        return strength * float(np.abs(values).sum()), strength * np.sign(values)


@frozen
class L2(Penalty):
    """λ Σ w², which draws large numbers down the most: the gradient is 2 λ w, with the 2, for there is no ½ in front.

    The ``weight_decay`` of plain gradient descent subtracts λ w, so it is the gradient of an L2 of half that strength.

    Args:
        strength: λ.

    Source: Hoerl & Kennard 1970, ridge regression; Krogh & Hertz 1992.
    """

    formula = PenaltyFormula("strength * total(w**2)", "2 * strength * w")

    strength: float = field(validator=non_negative)

    def __call__(self, values: Array) -> tuple[float, Array]:
        strength = float(self.strength)
        return strength * float(np.vdot(values, values)), 2 * strength * values


@frozen
class L1L2(Penalty):
    """λ₁ Σ |w| + λ₂ Σ w²: both at once, with the gradient λ₁ sign w + 2 λ₂ w.

    Args:
        l1, l2: λ₁ and λ₂.

    Source: Zou & Hastie 2005, the elastic net.
    """

    formula = PenaltyFormula("l1 * total(abs(w)) + l2 * total(w**2)", "l1 * sign(w) + 2 * l2 * w")

    l1: float = field(validator=non_negative)
    l2: float = field(validator=non_negative)

    def __call__(self, values: Array) -> tuple[float, Array]:
        (size, by_size), (square, by_square) = L1(self.l1)(values), L2(self.l2)(values)
        return size + square, by_size + by_square


Saved: TypeAlias = tuple[Any, float, list[tuple[Parameter, Array]], Array | None]
"""What the layer remembers, the penalty, its gradient by each weight, and by the outputs."""


@define(eq=False)
class Penalized(Layer[Saved]):
    """y = layer(x), and L grows by the penalty of the weights inside and by that of the outputs.

    The penalty of the weights is summed over all parameters inside that have two or more dimensions, biases are left
    out; each counts once, however often it is used inside, and frozen ones not at all, for nothing could lower their
    price. The penalty of the outputs is summed over the units and is the mean over the samples of the batch.

    Backward: ∂penalty/∂W is added to ∂L/∂W, and ∂penalty/∂y, divided by the number of samples, to δ, before that goes
    back through the layer. A penalised layer that is itself used n times is paid for n times, in both.

    Args:
        layer: or a list of layers, one after another.
        weights, outputs: such as ``L2(1e-4)``; at least one of them.

    Raises:
        ConfigurationError: without a penalty; when built, where there are no weights to be penalised.
    """

    _locates_errors = True

    layer: Layer[Any] = field(converter=as_layer)
    weights: Penalty | None = field(default=None, kw_only=True, validator=optional(instance_of(Penalty)))
    outputs: Penalty | None = field(default=None, kw_only=True, validator=optional(instance_of(Penalty)))
    inner: tuple[Sublayer, ...] = field(default=(), init=False)

    def __attrs_post_init__(self) -> None:
        if self.weights is None and self.outputs is None:
            raise ConfigurationError("Penalized: expected a penalty, got none: give weights=L2(1e-4), outputs=L1(1e-3)")

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        inner = Sublayer.built("layer", self.layer, input_shape, builder)
        self.inner = (inner,)
        if self.weights is not None and not any(p.value.ndim > 1 for p in inner.parameters):
            raise ConfigurationError(
                f"weights={self.weights}: expected parameters of two or more dimensions in {self.layer}, got none: "
                "outputs=... penalises what it gives"
            )
        return inner.output_shape

    def penalized_parameters(self) -> list[Parameter]:
        """Those that ``weights`` is a price on."""
        if self.weights is None:
            return []
        return [p for p in self.inner[0].parameters if p.value.ndim > 1 and not p.frozen]

    def forward(self, x: Array) -> tuple[Array, Saved]:
        y, memory = self.inner[0].forward(x)
        price, by_outputs = 0.0, None
        by_weights: list[tuple[Parameter, Array]] = []
        if self.weights is not None:
            for parameter in self.penalized_parameters():
                value, gradient = self.weights(parameter.value)
                price += value
                by_weights.append((parameter, gradient))
        if self.outputs is not None:
            value, gradient = self.outputs(y)
            samples = max(len(y), 1)
            price += value / samples
            by_outputs = gradient / samples
        return y, (memory, price, by_weights, by_outputs)

    def backward(self, saved: Saved, delta: Array) -> Array:
        delta = self._with_penalties(saved, delta)
        return self.inner[0].backward(saved[0], delta)

    def backward_parameters(self, saved: Saved, delta: Array) -> None:
        delta = self._with_penalties(saved, delta)
        self.inner[0].backward_parameters(saved[0], delta)

    def penalty(self, saved: Saved) -> float:
        return saved[1] + self.inner[0].penalty(saved[0])

    def predict(self, x: Array) -> Array:
        return self.inner[0].predict(x)

    def _require_built(self) -> None:
        require_sublayers(self, self.inner)

    def inner_graph(self) -> InnerGraph:
        inner = self.inner[0]
        nodes = [Node(inner.name, inner.layer)]
        for i, parameter in enumerate(self.penalized_parameters()):
            nodes.append(Node(f"weights.{i}", PenaltyTerm(self.weights, parameter), ()))
        if self.outputs is not None:
            nodes.append(Node("outputs", PenaltyTerm(self.outputs), inner.name))
        penalties = (("weights", self.weights), ("outputs", self.outputs))
        listed = ", ".join(f"{penalty} of {name}" for name, penalty in penalties if penalty is not None)
        return InnerGraph(inner.input_shape, nodes, f"y = layer(x), plus {listed}")

    def _with_penalties(self, saved: Saved, delta: Array) -> Array:
        """Accumulates what the weights' penalty adds, and returns δ with what the outputs' penalty adds."""
        _, _, by_weights, by_outputs = saved
        for parameter, gradient in by_weights:
            parameter.accumulate(gradient)
        return delta if by_outputs is None else delta + by_outputs
