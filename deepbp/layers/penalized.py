"""Regularization: penalties on weights and outputs, added to the loss."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeAlias

import numpy as np
from attrs import define, field, frozen

from deepbp.errors import ConfigurationError
from deepbp.errors.validators import ExplainedArguments, instance_of, non_negative, optional
from deepbp.formulas.language import PenaltyFormula
from deepbp.kernels.blocks import plan_of_sum
from deepbp.layers.chain import AnyLayer
from deepbp.layers.inner_graph import InnerGraph, Node, PenaltyTerm
from deepbp.layers.layer import Builder, Layer
from deepbp.layers.masking import Context
from deepbp.layers.sublayers import Sublayer, as_layer, require_built_sublayers
from deepbp.parameters import Parameter
from deepbp.program.layout import NotLoweredError
from deepbp.program.program import Program, Slot
from deepbp.typing import Array, Shape


class Penalty(ExplainedArguments, ABC):
    """Base class of penalties (regularization terms): a function of numbers that is added to the loss.

    A subclass is a ``@frozen`` attrs class and configuration only, so one instance may serve in many places. One method
    returns value and gradient, so that the two cannot disagree. Both are sums over the numbers given.

    >>> import numpy as np
    >>> from attrs import frozen
    >>> from deepbp.layers import Penalty
    >>> @frozen
    ... class Quartic(Penalty):
    ...     def __call__(self, values):
    ...         return float((values**4).sum()), 4 * values**3
    >>> Quartic()(np.array([1.0, 2.0]))
    (17.0, array([ 4., 32.]))
    """

    __slots__ = ()

    formula: ClassVar[PenaltyFormula | None] = None
    """The mathematics, stated once: ``derivation`` prints it."""

    @abstractmethod
    def __call__(self, values: Array) -> tuple[float, Array]:
        """Return the penalty of these numbers, and its gradient by each of them."""


@frozen
class L1(Penalty):
    """L1 penalty (lasso): λ Σ |w|, with the gradient λ sign w, which is 0 at the kink, w = 0.

    Draws weights to exactly 0.

    Args:
        strength: λ.

    >>> import numpy as np
    >>> from deepbp.layers import L1
    >>> L1(0.5)(np.array([2.0, 0.0, -4.0]))
    (3.0, array([ 0.5,  0. , -0.5]))

    Source: Tibshirani 1996.
    """

    formula = PenaltyFormula("strength * total(abs(w))", "strength * sign(w)")

    strength: float = field(validator=non_negative)

    def __call__(self, values: Array) -> tuple[float, Array]:
        strength = float(self.strength)
        return strength * float(np.abs(values).sum()), strength * np.sign(values)


@frozen
class L2(Penalty):
    """L2 penalty (ridge): λ Σ w², with the gradient 2 λ w; there is no factor ½.

    The ``weight_decay`` of plain gradient descent subtracts λ w: it equals an L2 penalty of half that strength.

    Args:
        strength: λ.

    >>> import numpy as np
    >>> from deepbp.layers import L2
    >>> L2(0.5)(np.array([2.0, 0.0, -4.0]))
    (10.0, array([ 2.,  0., -4.]))

    Source: Hoerl & Kennard 1970, ridge regression; Krogh & Hertz 1992.
    """

    formula = PenaltyFormula("strength * total(w**2)", "2 * strength * w")

    strength: float = field(validator=non_negative)

    def __call__(self, values: Array) -> tuple[float, Array]:
        strength = float(self.strength)
        return strength * float(np.vdot(values, values)), 2 * strength * values


@frozen
class L1L2(Penalty):
    """Elastic net penalty: λ₁ Σ |w| + λ₂ Σ w², with the gradient λ₁ sign w + 2 λ₂ w.

    Args:
        l1, l2: λ₁ and λ₂.

    >>> import numpy as np
    >>> from deepbp.layers import L1L2
    >>> L1L2(1.0, 0.5)(np.array([2.0, -4.0]))
    (16.0, array([ 3., -5.]))

    Source: Zou & Hastie 2005.
    """

    formula = PenaltyFormula("l1 * total(abs(w)) + l2 * total(w**2)", "l1 * sign(w) + 2 * l2 * w")

    l1: float = field(validator=non_negative)
    l2: float = field(validator=non_negative)

    def __call__(self, values: Array) -> tuple[float, Array]:
        (one, one_gradient), (two, two_gradient) = L1(self.l1)(values), L2(self.l2)(values)
        return one + two, one_gradient + two_gradient


def _strengths(penalty: Penalty | None) -> tuple[float, float] | None:
    """λ₁ and λ₂ of a penalty that has an instruction, −1 for what it leaves out."""
    if type(penalty) is L1:
        return float(penalty.strength), -1.0
    if type(penalty) is L2:
        return -1.0, float(penalty.strength)
    return (float(penalty.l1), float(penalty.l2)) if type(penalty) is L1L2 else None


def _added(values: Array) -> float:
    total = 0.0
    for value in values.tolist():  # the built-in sum would not round as the forward pass does
        total += value
    return total


Saved: TypeAlias = tuple[Any, float, list[tuple[Parameter, Array]], Array | None]
"""What the layer saved, the penalty, the gradient of the penalty by each parameter, and by the outputs."""


@define(eq=False)
class Penalized(Layer[Saved]):
    """Regularization of a layer: y = layer(x), with penalties of its weights and of its outputs added to the loss.

    The penalty of the weights is the sum over all parameters inside with two or more dimensions, so without biases, and
    without tables of embeddings and positions if there are others; shared ones count once, frozen ones not at all. The
    penalty of the outputs is summed over the units and averaged
    over the samples of the batch.

    Gradients: ∂penalty/∂W is added to ∂L/∂W, and ∂penalty/∂y, divided by the number of samples, to δ. If the penalized
    layer is used n times, its penalty and its gradient count n times.

    Args:
        layer: a layer, or a list of layers.
        weights, outputs: the penalties, such as ``L2(1e-4)``; at least one.

    Raises:
        ConfigurationError: without a penalty; by ``build``, if there are no weights to penalize.

    >>> import numpy as np
    >>> from deepbp.layers import L2, Builder, Dense, Penalized
    >>> layer = Penalized(Dense(1), weights=L2(0.1))
    >>> _ = Builder(dtype="float64").build(layer, (2,))
    >>> layer.layer.weight.value = [[3.0], [1.0]]
    >>> y, saved = layer.forward(np.ones((1, 2)))
    >>> y, layer.penalty(saved)  # 0.1 · (9 + 1)
    (array([[4.]]), 1.0)
    """

    any_length = True
    _locates_errors = True

    layer: AnyLayer = field(converter=as_layer)
    weights: Penalty | None = field(default=None, kw_only=True, validator=optional(instance_of(Penalty)))
    outputs: Penalty | None = field(default=None, kw_only=True, validator=optional(instance_of(Penalty)))
    inner: tuple[Sublayer, ...] = field(default=(), init=False)

    def __attrs_post_init__(self) -> None:
        if self.weights is None and self.outputs is None:
            raise ConfigurationError("Penalized: expected a penalty, got none: give weights=L2(1e-4), outputs=L1(1e-3)")

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        inner = Sublayer.built("layer", self.layer, input_shape, builder)
        self.inner = (inner,)
        if self.weights is not None and not self._weights():
            raise ConfigurationError(
                f"weights={self.weights}: expected parameters of two or more dimensions in {self.layer}, got none: "
                "outputs=... penalises what it gives"
            )
        return inner.output_shape

    def penalized_parameters(self) -> list[Parameter]:
        """The parameters to which the penalty of the weights applies."""
        if self.weights is None:
            return []
        return [parameter for parameter in self._weights() if not parameter.frozen]

    def _weights(self) -> list[Parameter]:
        """The weights inside; without any, the tables."""
        every = self.inner[0].parameters
        return [p for p in every if p.is_decayed] or [p for p in every if p.value.ndim > 1]

    def forward(self, x: Array) -> tuple[Array, Saved]:
        return self._forward(x)

    def forward_with(self, x: Array, context: Context) -> tuple[Array, Saved]:
        return self._forward(x, context)

    def _forward(self, x: Array, context: Context | None = None) -> tuple[Array, Saved]:
        y, memory = self.inner[0].forward(x, context)
        penalty, output_gradient = 0.0, None
        weight_gradients: list[tuple[Parameter, Array]] = []
        if self.weights is not None:
            for parameter in self.penalized_parameters():
                value, gradient = self.weights(parameter.value)
                penalty += value
                weight_gradients.append((parameter, gradient))
        if self.outputs is not None:
            value, gradient = self.outputs(y)
            samples = max(len(y), 1)
            penalty += value / samples
            output_gradient = gradient / samples
        return y, (memory, penalty, weight_gradients, output_gradient)

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

    def predict_with(self, x: Array, context: Context) -> Array:
        return self.inner[0].predict(x, context)

    def lower(self, program: Program, x: Slot) -> Slot:
        strengths = None if self.outputs is not None else _strengths(self.weights)
        if strengths is None or not self._is_lowered_within(program, x):
            return program.layer(self, x)
        parameters = self.penalized_parameters()
        values, back = np.zeros(len(parameters)), list[tuple[Any, ...]]()
        program.penalize(lambda: _added(values))
        for place, parameter in enumerate(parameters):
            w, plan = parameter.value, np.array(plan_of_sum(parameter.value.size), np.int64)
            memory = plan, len(plan), np.zeros(len(plan), w.dtype), program.scratch(w.size)
            program.then("penalty", w, values[place:], w.size, *memory, *strengths[:2])
            back.append(("penalty_gradient", w, parameter._grad_array(), w.size, strengths[0], 2 * strengths[1]))
        program.on_the_way_back(*back)  # what was added first runs last: products write the gradients before
        return program.lower(self.inner[0].layer, x)

    def _is_lowered_within(self, program: Program, x: Slot) -> bool:
        """Whether instructions compute each gradient, once, and no further penalty is added to it."""
        inner: Any = self.inner[0].layer
        if any(isinstance(one, Penalized) for one in (inner, *inner.named_layers().values())):
            return False
        plan = Program(program.dtype, program.rows, plans=True)
        try:
            plan.lower(inner, Slot(x.value, x.delta))
        except NotLoweredError:
            return False
        return not plan.in_python and plan.written.issuperset(self.penalized_parameters())

    def lower_predict(self, program: Program, x: Slot) -> Slot:
        return program.lower_predict(self.inner[0].layer, x)

    def start(self, batch: int) -> Any:
        return self.inner[0].start(batch)

    def step(self, x: Array, state: Any) -> tuple[Array, Any]:
        return self.inner[0].step(x, state)

    def _require_built(self) -> None:
        require_built_sublayers(self, self.inner)

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
        _, _, weight_gradients, output_gradient = saved
        for parameter, gradient in weight_gradients:
            parameter.accumulate(gradient)
        return delta if output_gradient is None else delta + output_gradient
