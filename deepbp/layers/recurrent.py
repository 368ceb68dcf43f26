"""Recurrent layers: SimpleRNN, GRU and LSTM, which read a sequence step by step, and both directions of them."""

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from attrs import define, evolve, field

from deepbp.errors import ConfigurationError, ShapeError
from deepbp.errors.validators import boolean, finite, instance_of, one_of, positive_int
from deepbp.formulas.language import Formula, reversed_in_time
from deepbp.initializers import GlorotUniform, Initializer, Orthogonal, Zeros
from deepbp.kernels import unchecked as kernels
from deepbp.kernels.memory import keep_memory
from deepbp.layers.boundary import check_delta
from deepbp.layers.composites import ParallelContainer
from deepbp.layers.inner_graph import InnerGraph
from deepbp.layers.layer import Builder, Layer
from deepbp.layers.masking import Context, StepOrder
from deepbp.layers.merging import Merge, validate_merge
from deepbp.parameters import UNBUILT, Parameter
from deepbp.typing import Array, Shape

Saved: TypeAlias = tuple[Array, tuple[Array, ...], StepOrder]
"""The inputs in the order of the recurrence, what the kernel saves, states first, and the order."""


@define(eq=False)
class Recurrent(Layer[Saved]):
    """Base class of recurrent layers: one state (B, U) for each sequence, which every step changes.

    A subclass has the number of its gates, and its kernels. The products with the inputs of all steps are one matrix
    product; the steps themselves are one call of a kernel.
    """

    any_length = True
    gates: ClassVar[int]
    states: ClassVar[int] = 1  # arrays that a step hands to the next one
    first_signals: ClassVar[Mapping[str, str]] = {}  # what the first step sends back to each state of the formula

    units: int = field(validator=positive_int)
    return_sequences: bool = field(default=False, kw_only=True, validator=boolean)
    reverse: bool = field(default=False, kw_only=True, validator=boolean)
    initial_state: Literal["zeros", "learned"] = field(
        default="zeros", kw_only=True, validator=one_of("zeros", "learned")
    )
    weight_init: Initializer = field(factory=GlorotUniform, kw_only=True, validator=instance_of(Initializer))
    recurrent_init: Initializer = field(factory=Orthogonal, kw_only=True, validator=instance_of(Initializer))
    bias_init: Initializer = field(factory=Zeros, kw_only=True, validator=instance_of(Initializer))
    weight: Parameter = field(init=False, default=UNBUILT)
    recurrent_weight: Parameter = field(init=False, default=UNBUILT)
    bias: Parameter = field(init=False, default=UNBUILT)
    initial: Parameter | None = field(init=False, default=None)

    def stated_formula(self) -> Formula | None:
        """The formula in time, with the initial states if they are learned."""
        stated = self.formula
        if stated is None or (self.initial is not None and not self.first_signals):
            return None
        if self.initial is not None:
            stated = _with_initial(stated, self.first_signals)
        if not self.return_sequences:
            signal = {name: text.replace("delta", "at_last(delta, h)") for name, text in stated.where_back.items()}
            stated = evolve(stated, forward="last(h)", where_back=signal)
        if self.reverse:
            turn = reversed_in_time
            where, back, gradients = (
                {name: turn(text) for name, text in each.items()}
                for each in (stated.where, stated.where_back, stated.gradients)
            )
            stated = evolve(stated, forward=turn(stated.forward), where=where, where_back=back, gradients=gradients)
        return stated

    @abstractmethod
    def run_steps(self, z: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        """Fill the states (B, T + 1, U), given the first ones and z = x W + b; returns what ``run_back`` needs too."""

    @abstractmethod
    def run_back(self, saved: tuple[Array, ...], delta: Array, moved: tuple[Array, ...]) -> tuple[Array, Array, Array]:
        """Return ∂L/∂(x W + b), ∂L/∂(h R) and ∂L/∂b; ``moved``, zeros (B, U), become ∂L/∂(the first states)."""

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        if len(input_shape) != 2:
            raise ShapeError(f"expects sequences, samples of shape (steps, features), got {input_shape}")
        steps, features = input_shape
        wide = self.gates * self.units
        self.weight = builder.parameter((features, wide), self.weight_init)
        self.recurrent_weight = builder.parameter((self.units, wide), self.recurrent_init)
        self.bias = builder.parameter((wide,), self.bias_init)
        if self.initial_state == "learned":
            self.initial = builder.parameter((self.states, self.units), Zeros(), decay=False)
        return (steps, self.units) if self.return_sequences else (self.units,)

    def forward(self, x: Array) -> tuple[Array, Saved]:
        return self._forward(x, None)

    def forward_with(self, x: Array, context: Context) -> tuple[Array, Saved]:
        return self._forward(x, context.mask)

    def predict_with(self, x: Array, context: Context) -> Array:
        return self._forward(x, context.mask)[0]

    def _forward(self, x: Array, mask: Array | None) -> tuple[Array, Saved]:
        order = StepOrder.of(x, mask, self.reverse)
        ordered = order.take(x)
        batch, steps, features = x.shape
        z = self._with_inputs(ordered.reshape(batch * steps, features)).reshape(batch, steps, self.gates * self.units)
        keep_memory(z.nbytes)
        states = tuple(np.zeros((batch, steps + 1, self.units), z.dtype) for _ in range(self.states))
        if self.initial is not None:
            for state, first in zip(states, self.initial.value, strict=True):
                state[:, 0] = first
        saved = self.run_steps(z, states)
        h = states[0]
        y = order.put(h[:, 1:]) if self.return_sequences else h[np.arange(batch), order.lengths]
        return y, (ordered, (*states, *saved), order)

    def _with_inputs(self, rows: Array) -> Array:
        z = kernels.matrix_product(rows, self.weight.value)
        kernels.add_bias(z, self.bias.value)
        return z

    def backward(self, saved: Saved, delta: Array) -> Array:
        dz = self._backward_gates(saved, delta)
        rows = dz.reshape(dz.shape[0] * dz.shape[1], dz.shape[2])
        moved = kernels.matrix_product(rows, self.weight.value.T)  # by one layer
        return saved[2].put(moved.reshape(saved[0].shape))

    def backward_parameters(self, saved: Saved, delta: Array) -> None:
        self._backward_gates(saved, delta)

    def _backward_gates(self, saved: Saved, delta: Array) -> Array:
        x, inner, order = saved
        h = inner[0]
        batch, steps, features = x.shape
        check_delta(self, delta, x.shape)
        moved = tuple(np.zeros((batch, self.units), delta.dtype) for _ in range(self.states))
        if self.return_sequences:
            signal = order.take_real(delta)
        else:  # the signal enters at the last real step, or, without one, at the initial state
            signal, real = np.zeros((batch, steps, self.units), delta.dtype), order.lengths > 0
            signal[np.flatnonzero(real), order.lengths[real] - 1] = delta[real]
        dz, dp, db = self.run_back(inner, signal, moved)
        if not self.return_sequences:
            moved[0][order.lengths == 0] += delta[order.lengths == 0]
        rows, wide = batch * steps, self.gates * self.units
        self.weight.accumulate_product(x.reshape(rows, features).T, dz.reshape(rows, wide))  # ∂L/∂W = Σₜ xₜᵀ δₜ
        self.recurrent_weight.accumulate_product(h[:, :-1].reshape(rows, self.units).T, dp.reshape(rows, wide))
        self.bias.accumulate(db)
        if self.initial is not None:
            self.initial.accumulate(np.stack([each.sum(axis=0) for each in moved]))
        return dz

    def start(self, batch: int) -> tuple[Array, ...]:
        """The state before the first step: h, and c of an LSTM, each (B, U)."""
        value = self.weight.value
        if self.reverse:
            raise ConfigurationError(f"{self}: step: it begins with the last step, which is not known yet")
        first = np.zeros((self.states, self.units), value.dtype) if self.initial is None else self.initial.value
        return tuple(np.repeat(one[None], batch, axis=0) for one in first)

    def step(self, x: Array, state: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        """hₜ, from xₜ (B, F) and the state: one step of ``predict``."""
        z = self._with_inputs(x).reshape(len(x), 1, self.gates * self.units)
        states = tuple(np.stack([before, before], axis=1) for before in state)
        self.run_steps(z, states)
        after = tuple(np.ascontiguousarray(one[:, 1]) for one in states)
        return after[0], after


_GRADIENTS = {
    "weight": "step_products(x, dz)",
    "recurrent_weight": "step_products(before(h), dz)",
    "bias": "feature_sum(dz)",
}
_LETTERS = {"weight": "W", "recurrent_weight": "R", "bias": "b", "h": "hₜ", "initial": "s₀", "dz": "δₜ"}


def _letters(names: str, signals: str, **others: str) -> dict[str, str]:
    """The letters of arrays in time, and of the signals ∂L/∂ of some of them."""
    moving = {**{one: f"{one}ₜ" for one in names}, **{f"d{one}": f"∂L/∂{one}ₜ" for one in signals}}
    return {**_LETTERS, **moving, **others}


def _with_initial(stated: Formula, signals: Mapping[str, str]) -> Formula:
    """The formula with states before the first step, in the order of the signals that go back to them."""
    first = {state: f"before({state}, nth(initial, {i}))" for i, state in enumerate(signals)}
    where, where_back, gradients = (
        {name: re.sub(r"before\((\w+)\)", lambda found: first[found[1]], text) for name, text in each.items()}
        for each in (stated.where, stated.where_back, stated.gradients)
    )
    sums = ", ".join(f"batch_sum({signal})" for signal in signals.values())
    return evolve(stated, where=where, where_back=where_back, gradients={**gradients, "initial": f"stack({sums})"})


@define(eq=False)
class SimpleRNN(Recurrent):
    """Recurrent (Elman) layer: hₜ = tanh(xₜ W + hₜ₋₁ R + b).

    Shapes: x (B, T, F), W (F, U), R (U, U), b (U,); y (B, T, U), all states, or (B, U), the last one.

    Gradients, with δₜ = (∂L/∂hₜ + δₜ₊₁ Rᵀ) · (1 − hₜ²), the error signal moved by one step in time: ∂L/∂W = Σ xₜᵀ δₜ,
    ∂L/∂R = Σ hₜ₋₁ᵀ δₜ, ∂L/∂b = Σ δₜ, over samples and steps; backpropagated gradient: δₜ Wᵀ.

    Args:
        units: U, the size of the state.
        return_sequences: whether y holds the states of all steps, or that of the last step.
        reverse: whether the recurrence runs from the last step to the first; outputs keep the order of the steps.
        initial_state: h₀ is "zeros", or "learned", a parameter ``initial`` for each state.
        weight_init, recurrent_init, bias_init: the initializers of W, R and b.

    Raises:
        ShapeError: by ``build``, for samples that are not (steps, features).

    >>> import numpy as np
    >>> from deepbp.initializers import Ones
    >>> from deepbp.layers import Builder, SimpleRNN
    >>> layer = SimpleRNN(1, return_sequences=True, weight_init=Ones(), recurrent_init=Ones())
    >>> _ = Builder(dtype="float64").build(layer, (3, 1))
    >>> layer.predict(np.array([[[1.0], [0.0], [0.0]]])).round(3).ravel()
    array([0.762, 0.642, 0.566])

    Source: Elman 1990; Werbos 1990 on backpropagation through time.
    """

    formula = Formula(
        "h",
        where={"h": "tanh(x @ weight + before(h) @ recurrent_weight + bias)"},
        where_back={"dz": "(delta + after(dz) @ recurrent_weight.T) * (1 - h**2)"},
        backward="dz @ weight.T",
        gradients=_GRADIENTS,
        symbols=_LETTERS,
    )
    gates = 1
    first_signals: ClassVar[Mapping[str, str]] = {"h": "first(dz) @ recurrent_weight.T"}

    def run_steps(self, z: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        kernels.rnn(z, self.recurrent_weight.value, *states)
        return ()

    def run_back(self, saved: tuple[Array, ...], delta: Array, moved: tuple[Array, ...]) -> tuple[Array, Array, Array]:
        (dh,), dz, db = moved, np.empty_like(delta), np.empty(self.units, delta.dtype)
        kernels.rnn_backward(saved[0], self.recurrent_weight.value, delta, dz, dh, db)
        return dz, dz, db


@define(eq=False)
class LSTM(Recurrent):
    """Long short-term memory: iₜ, fₜ, oₜ = σ(xₜ W + hₜ₋₁ R + b), gₜ = tanh(xₜ W + hₜ₋₁ R + b); cₜ = fₜ cₜ₋₁ + iₜ gₜ;
    hₜ = oₜ tanh cₜ.

    Each gate has its own columns of W, R and b, in the order i, f, g, o of PyTorch and Keras: input gate, forget gate,
    candidate, output gate.

    Shapes: x (B, T, F), W (F, 4U), R (U, 4U), b (4U,); y (B, T, U), all states h, or (B, U), the last one.

    Gradients: ∂L/∂cₜ = ∂L/∂hₜ · oₜ · (1 − tanh² cₜ) + ∂L/∂cₜ₊₁ · fₜ₊₁, where ∂L/∂hₜ has the signal from outside, and
    δₜ₊₁ Rᵀ, moved by one step in time; δₜ joins the signals at the four gates. ∂L/∂W = Σ xₜᵀ δₜ, ∂L/∂R = Σ hₜ₋₁ᵀ δₜ,
    ∂L/∂b = Σ δₜ; backpropagated gradient: δₜ Wᵀ.

    Args:
        forget_bias: is added to the initial bias of the forget gate: at 1, a new layer remembers.
        units, return_sequences, reverse, initial_state, weight_init, recurrent_init, bias_init: as in ``SimpleRNN``.

    Raises:
        ShapeError: by ``build``, for samples that are not (steps, features).

    >>> import numpy as np
    >>> from deepbp.layers import Builder, LSTM
    >>> layer = LSTM(2)
    >>> Builder(rng=0).build(layer, (5, 3)), layer.weight.value.shape
    ((2,), (3, 8))
    >>> layer.bias.value
    array([0., 0., 1., 1., 0., 0., 0., 0.], dtype=float32)
    >>> y, state = layer.step(np.ones((1, 3), np.float32), layer.start(1))  # one step, for generation
    >>> y.shape, len(state)
    ((1, 2), 2)

    Source: Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000 for the forget gate; Jozefowicz, Zaremba &
    Sutskever 2015 for its bias.
    """

    formula = Formula(
        "h",
        where={
            "z": "x @ weight + before(h) @ recurrent_weight + bias",
            "i": "sigmoid(part(z, 0, 4))",
            "f": "sigmoid(part(z, 1, 4))",
            "g": "tanh(part(z, 2, 4))",
            "o": "sigmoid(part(z, 3, 4))",
            "c": "f * before(c) + i * g",
            "h": "o * tanh(c)",
        },
        where_back={
            "dh": "delta + after(dz) @ recurrent_weight.T",
            "dc": "dh * o * (1 - tanh(c)**2) + after(dc) * after(f)",
            "di": "dc * g",
            "df": "dc * before(c)",
            "dg": "dc * i",
            "do": "dh * tanh(c)",
            "dz": "beside(di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o))",
        },
        backward="dz @ weight.T",
        gradients=_GRADIENTS,
        symbols=_letters("zifgoc", "hcifgo"),
    )
    gates = 4
    states = 2
    first_signals: ClassVar[Mapping[str, str]] = {"h": "first(dz) @ recurrent_weight.T", "c": "first(dc) * first(f)"}

    forget_bias: float = field(default=1.0, kw_only=True, validator=finite)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        output_shape = super().build(input_shape, builder)
        bias = self.bias.value.copy()
        bias[self.units : 2 * self.units] += bias.dtype.type(self.forget_bias)
        self.bias.value = bias
        return output_shape

    def run_steps(self, z: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        kernels.lstm(z, self.recurrent_weight.value, *states)
        return (z,)  # now the gates

    def run_back(self, saved: tuple[Array, ...], delta: Array, moved: tuple[Array, ...]) -> tuple[Array, Array, Array]:
        (_, c, gates), (dh, dc) = saved, moved
        dz, db = np.empty_like(gates), np.empty(4 * self.units, gates.dtype)
        kernels.lstm_backward(gates, c, self.recurrent_weight.value, delta, dz, dh, dc, db)
        return dz, dz, db


@define(eq=False)
class GRU(Recurrent):
    """Gated recurrent unit: rₜ, uₜ = σ(xₜ W + hₜ₋₁ R + b); nₜ = tanh(xₜ W + b + rₜ · (hₜ₋₁ R + b₂));
    hₜ = (1 − uₜ) nₜ + uₜ hₜ₋₁.

    Each gate has its own columns of W, R and b, in PyTorch's order: reset gate r, update gate u (PyTorch and Keras call
    it z), candidate n. The reset gate stands behind the product with R, as in PyTorch, cuDNN and Keras, so the
    candidate has a second bias b₂ there.

    Shapes: x (B, T, F), W (F, 3U), R (U, 3U), b (3U,), b₂ (U,); y (B, T, U), all states h, or (B, U), the last one.

    Gradients: with δₜ = ∂L/∂(xₜ W + b) and εₜ, which equals δₜ but for the candidate's part rₜ · δₜ: ∂L/∂W = Σ xₜᵀ δₜ,
    ∂L/∂R = Σ hₜ₋₁ᵀ εₜ, ∂L/∂b = Σ δₜ, ∂L/∂b₂ = Σ εₜ of the candidate; the signal moved by one step in time is
    ∂L/∂hₜ · uₜ + εₜ Rᵀ; backpropagated gradient: δₜ Wᵀ.

    Args:
        units, return_sequences, reverse, initial_state, weight_init, recurrent_init, bias_init: as in ``SimpleRNN``.

    Raises:
        ShapeError: by ``build``, for samples that are not (steps, features).

    >>> from deepbp import Sequential
    >>> from deepbp.layers import GRU, Dense
    >>> net = Sequential([GRU(8, return_sequences=True), GRU(8), Dense(1)], input_shape=(None, 4), rng=0)
    >>> import numpy as np
    >>> net.predict(np.ones((2, 7, 4))).shape, net.predict(np.ones((2, 30, 4))).shape  # any number of steps
    ((2, 1), (2, 1))

    Source: Cho et al. 2014; Chung et al. 2014.
    """

    formula = Formula(
        "h",
        where={
            "z": "x @ weight + bias",
            "p": "before(h) @ recurrent_weight",
            "r": "sigmoid(part(z, 0, 3) + part(p, 0, 3))",
            "u": "sigmoid(part(z, 1, 3) + part(p, 1, 3))",
            "n": "tanh(part(z, 2, 3) + r * (part(p, 2, 3) + hidden_bias))",
            "h": "(1 - u) * n + u * before(h)",
        },
        where_back={
            "dh": "delta + after(dp) @ recurrent_weight.T + after(dh) * after(u)",
            "dn": "dh * (1 - u)",
            "du": "dh * (before(h) - n)",
            "dr": "dn * (1 - n**2) * (part(p, 2, 3) + hidden_bias)",
            "dz": "beside(dr * r * (1 - r), du * u * (1 - u), dn * (1 - n**2))",
            "dp": "beside(part(dz, 0, 3), part(dz, 1, 3), part(dz, 2, 3) * r)",
        },
        backward="dz @ weight.T",
        gradients={
            **_GRADIENTS,
            "recurrent_weight": "step_products(before(h), dp)",
            "hidden_bias": "feature_sum(part(dp, 2, 3))",
        },
        symbols=_letters("zprun", "hnur", hidden_bias="b₂", dp="εₜ"),
    )
    gates = 3
    first_signals: ClassVar[Mapping[str, str]] = {"h": "first(dp) @ recurrent_weight.T + first(dh) * first(u)"}

    hidden_bias: Parameter = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        output_shape = super().build(input_shape, builder)
        self.hidden_bias = builder.parameter((self.units,), self.bias_init)
        return output_shape

    def run_steps(self, z: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        product = np.empty((len(z), z.shape[1], self.units), z.dtype)
        kernels.gru(z, self.recurrent_weight.value, self.hidden_bias.value, states[0], product)
        return z, product

    def run_back(self, saved: tuple[Array, ...], delta: Array, moved: tuple[Array, ...]) -> tuple[Array, Array, Array]:
        (h, gates, product), (dh,) = saved, moved
        dz, dp, db = np.empty_like(gates), np.empty_like(gates), np.empty(4 * self.units, gates.dtype)
        kernels.gru_backward(gates, product, h, self.recurrent_weight.value, delta, dz, dp, dh, db)
        self.hidden_bias.accumulate(db[3 * self.units :])
        return dz, dp, db[: 3 * self.units]


@define(eq=False)
class Bidirectional(ParallelContainer):
    """Both directions of a recurrent layer: y = merge(layer(x), reversed layer(x)).

    The reversed layer has weights of its own, and runs from the last step to the first; its outputs keep the order of
    the steps. Backpropagated gradient: the sum of both, as in ``Parallel``.

    Args:
        layer: a recurrent layer, which also configures the reversed one.
        merge: "concat" along the last axis, "add", "multiply", or "mean".

    Raises:
        ShapeError: by ``build``, for samples that are not (steps, features).

    >>> from deepbp.layers import LSTM, Bidirectional, Builder
    >>> Builder().build(Bidirectional(LSTM(8, return_sequences=True)), (5, 3))
    (5, 16)

    Source: Schuster & Paliwal 1997.
    """

    layer: Recurrent = field(validator=instance_of(Recurrent))
    merge: Merge = field(default="concat", kw_only=True, validator=validate_merge)
    reversed_layer: Recurrent = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.reversed_layer = evolve(self.layer, reverse=not self.layer.reverse)

    def named_branches(self) -> "dict[str, Layer[Any] | None]":
        return {"layer": self.layer, "reversed_layer": self.reversed_layer}

    def merging(self) -> Merge:
        return self.merge

    def inner_graph(self) -> InnerGraph:
        return super().inner_graph()

    def _formula_text(self) -> str:
        parts = {"concat": "[{}, {}]", "add": "{} + {}", "multiply": "{} · {}", "mean": "({} + {}) / 2"}
        return f"y = {parts[self.merge].format('forwards(x)', 'backwards(x)')}"
