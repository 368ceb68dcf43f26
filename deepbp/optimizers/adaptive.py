"""Optimizers that adapt the step of each number to its gradients, and sign-based ones."""

from typing import Any

import numpy as np
from attrs import field, frozen

from deepbp.errors import ConfigurationError, shown
from deepbp.errors.validators import boolean, fraction, non_negative, number, positive, rate_or_schedule
from deepbp.formulas.language import UpdateFormula
from deepbp.kernels import unchecked as kernels
from deepbp.kernels.blocks import blocks
from deepbp.optimizers.optimizer import (
    DECAY,
    Descent,
    Schedule,
    State,
    decay,
    decay_has_square,
    decayed_gradient,
    has_square,
    lower_decay,
    lower_decayed_gradient,
    zeros,
)
from deepbp.parameters import ParameterVector
from deepbp.typing import Array


@frozen
class Adagrad(Descent):
    """Adagrad: s ← s + g², w ← w − η g / (√s + ε). Parameters with few or small gradients take larger steps.

    Args:
        learning_rate, weight_decay: η and λ, as in ``SGD``.
        initial: s before the first step, 0 as in PyTorch; Keras begins at 0.1.
        epsilon: ε, outside the root (PyTorch's convention; Keras's differs).

    >>> import numpy as np
    >>> from deepbp import Parameter, ParameterVector, optimizers
    >>> parameters, adagrad = ParameterVector([Parameter(np.array([1.0]))]), optimizers.Adagrad(0.1)
    >>> parameters.grads[:] = 4.0
    >>> adagrad.step(parameters, state := adagrad.start(parameters))
    >>> parameters.values.round(6), state["square"]  # 1 − η g / √g²
    (array([0.9]), array([16.]))

    Source: Duchi, Hazan & Singer 2011, the diagonal form.
    """

    learning_rate: float | Schedule = field(default=0.01, validator=rate_or_schedule)
    initial: float = field(default=0.0, validator=non_negative)
    epsilon: float = field(default=1e-10, validator=positive)
    weight_decay: float = field(default=0.0, validator=non_negative)

    def stated_formula(self) -> UpdateFormula:
        step = "w - rate * g / (sqrt(square) + epsilon)"
        return self._update(("square", "square + g**2"), ("w", step), symbols={"square": "s"})

    def start(self, parameters: ParameterVector) -> State:
        return {"step": 0, "square": np.full_like(parameters.values, self.initial)}

    def _takes_sparse(self) -> bool:
        return not self.weight_decay

    def _may_overflow(self, parameters: ParameterVector, state: State, rate: float) -> bool:
        # s is a sum that only grows
        return not (has_square(state["square"]) and decay_has_square(parameters, self.weight_decay))

    def _move(self, parameters: ParameterVector, grads: Array, state: State, rate: float) -> None:
        grads = decayed_gradient(parameters, grads, self.weight_decay)
        kernels.adagrad(parameters.values, grads, state["square"], rate, self.epsilon)

    def _lower(self, parameters: ParameterVector, state: State) -> list[tuple[Any, ...]] | None:
        rows, grads = lower_decayed_gradient(parameters, self.weight_decay)
        values, square = parameters.values, state["square"]
        check = ("check_square", square, square.size, 1.0)
        return [check, *rows, ("adagrad", values, grads, square, square.size, float(self.epsilon))]


@frozen
class Adadelta(Descent):
    """Adadelta: v ← ρ v + (1 − ρ) g², d = √(u + ε) / √(v + ε) · g, u ← ρ u + (1 − ρ) d², w ← w − η d.

    The mean square u of the steps gives the next step the unit of w. It begins at 0, so ε sets the first steps.

    Args:
        learning_rate, weight_decay: η, which the paper does not have, and λ, as in ``SGD``.
        rho: ρ, the decay rate of both means.
        epsilon: ε, inside both roots, as in the paper.

    >>> import numpy as np
    >>> from deepbp import Parameter, ParameterVector, optimizers
    >>> parameters, adadelta = ParameterVector([Parameter(np.array([1.0]))]), optimizers.Adadelta(rho=0.0, epsilon=0.09)
    >>> parameters.grads[:] = 0.4
    >>> adadelta.step(parameters, adadelta.start(parameters))
    >>> parameters.values.round(6)  # 1 − √0.09 / √(0.4² + 0.09) · 0.4
    array([0.76])

    Source: Zeiler 2012, algorithm 1.
    """

    _arrays = ("square", "moved")

    learning_rate: float | Schedule = field(default=1.0, validator=rate_or_schedule)
    rho: float = field(default=0.95, validator=fraction)
    epsilon: float = field(default=1e-6, validator=positive)
    weight_decay: float = field(default=0.0, validator=non_negative)

    def stated_formula(self) -> UpdateFormula:
        return self._update(
            ("square", "rho * square + (1 - rho) * g**2"),
            ("change", "sqrt(moved + epsilon) / sqrt(square + epsilon) * g"),
            ("moved", "rho * moved + (1 - rho) * change**2"),
            ("w", "w - rate * change"),
            symbols={"change": "d", "moved": "u"},
        )

    def _may_overflow(self, parameters: ParameterVector, state: State, rate: float) -> bool:
        return not decay_has_square(parameters, self.weight_decay)

    def _move(self, parameters: ParameterVector, grads: Array, state: State, rate: float) -> None:
        grads = decayed_gradient(parameters, grads, self.weight_decay)
        square, moved = state["square"], state["moved"]
        kernels.adadelta(parameters.values, grads, square, moved, rate, self.rho, self.epsilon)

    def _lower(self, parameters: ParameterVector, state: State) -> list[tuple[Any, ...]] | None:
        rows, grads = lower_decayed_gradient(parameters, self.weight_decay)
        values, v, u = parameters.values, state["square"], state["moved"]
        return [*rows, ("adadelta", values, grads, v, u, v.size, float(self.rho), float(self.epsilon))]


@frozen
class RMSprop(Descent):
    """RMSprop: v ← ρ v + (1 − ρ) g², w ← w − η g / (√v + ε).

    With momentum μ: b ← μ b + g / (√v + ε) and w ← w − η b. Centered: m ← ρ m + (1 − ρ) g, and the variance v − m²
    replaces v; it vanishes where a gradient hardly varies, and a larger ε bounds the steps.

    Args:
        learning_rate, weight_decay: η and λ, as in ``SGD``.
        rho: ρ, the decay rate of the means.
        momentum: μ, at least 0 and below 1.
        centered: divide by the standard deviation instead of the root mean square.
        epsilon: ε, outside the root (PyTorch's convention; Keras's differs).

    >>> import numpy as np
    >>> from deepbp import Parameter, ParameterVector, optimizers
    >>> parameters, rmsprop = ParameterVector([Parameter(np.array([1.0]))]), optimizers.RMSprop(0.1, rho=0.75)
    >>> parameters.grads[:] = 4.0
    >>> rmsprop.step(parameters, state := rmsprop.start(parameters))
    >>> parameters.values.round(6), state["square"]  # v = ¼ · 4², so 1 − η g / 2
    (array([0.8]), array([4.]))

    Source: Tieleman & Hinton 2012, lecture 6.5; centered: Graves 2013, equations 38–45.
    """

    learning_rate: float | Schedule = field(default=0.001, validator=rate_or_schedule)
    rho: float = field(default=0.9, validator=fraction)
    momentum: float = field(default=0.0, validator=fraction)
    centered: bool = field(default=False, validator=boolean)
    epsilon: float = field(default=1e-8, validator=positive)
    weight_decay: float = field(default=0.0, validator=non_negative)

    def stated_formula(self) -> UpdateFormula:
        square = ("square", "rho * square + (1 - rho) * g**2")
        mean = (("mean", "rho * mean + (1 - rho) * g"),) if self.centered else ()
        root = "sqrt(maximum(square - mean**2, 0))" if self.centered else "sqrt(square)"
        step = f"g / ({root} + epsilon)"
        if not self.momentum:
            return self._update(square, *mean, ("w", f"w - rate * {step}"))
        velocity = ("velocity", f"momentum * velocity + {step}")
        return self._update(square, *mean, velocity, ("w", "w - rate * velocity"), symbols={"velocity": "b"})

    def start(self, parameters: ParameterVector) -> State:
        return zeros(parameters, "square", *["mean"] * self.centered, *["velocity"] * bool(self.momentum))

    def _may_overflow(self, parameters: ParameterVector, state: State, rate: float) -> bool:
        return not decay_has_square(parameters, self.weight_decay)

    def _move(self, parameters: ParameterVector, grads: Array, state: State, rate: float) -> None:
        grads = decayed_gradient(parameters, grads, self.weight_decay)
        values, square, mean, velocity = parameters.values, state["square"], state.get("mean"), state.get("velocity")
        kernels.rmsprop(values, grads, square, mean, velocity, rate, self.rho, self.momentum, self.epsilon)

    def _lower(self, parameters: ParameterVector, state: State) -> list[tuple[Any, ...]] | None:
        rows, grads = lower_decayed_gradient(parameters, self.weight_decay)
        values, square, kept = parameters.values, state["square"], (state.get("mean"), state.get("velocity"))
        mean, velocity = (grads if one is None else one for one in kept)
        flags, settings = (int(one is not None) for one in kept), map(float, (self.rho, self.momentum, self.epsilon))
        return [*rows, ("rmsprop", values, grads, square, mean, velocity, square.size, *flags, *settings)]


@frozen
class Rprop(Descent):
    """Resilient backpropagation, w ← w − η Δ s, with s = sgn(g) and a step size Δ for each number.

    Δ grows while the sign s stays the same and shrinks where it changes: with c = sgn(g) s, with the s of the step
    before, Δ ← grow · Δ where c > 0 and shrink · Δ where c < 0, clipped to the smallest and largest step. Then
    s ← sgn(g), but 0 where c < 0: a number whose gradient has changed sign rests for one step. This is iRprop⁻, which
    takes no step back (PyTorch's, too). It is for full batches, ``batch_size=None``: on small ones, signs are noise.

    Args:
        learning_rate: η, a number or a schedule, a callable of the step, which scales all steps; the paper has none.
        first_step: Δ at the start.
        grow, shrink: above 1, and between 0 and 1.
        smallest_step, largest_step: the bounds of Δ.

    >>> import numpy as np
    >>> from deepbp import Parameter, ParameterVector, optimizers
    >>> parameters, rprop = ParameterVector([Parameter(np.array([1.0]))]), optimizers.Rprop(first_step=0.1, grow=2.0)
    >>> parameters.grads[:] = 4.0
    >>> rprop.step(parameters, state := rprop.start(parameters))
    >>> rprop.step(parameters, state)
    >>> parameters.values.round(6)  # 1 − 0.1 − 0.2
    array([0.7])

    Source: Riedmiller & Braun 1993; Igel & Hüsken 2000, iRprop⁻.
    """

    learning_rate: float | Schedule = field(default=1.0, validator=rate_or_schedule)
    first_step: float = field(default=0.01, validator=positive)
    grow: float = field(default=1.2, validator=number(lambda v: v > 1, "a number above 1"))
    shrink: float = field(default=0.5, validator=number(lambda v: 0 < v < 1, "a number above 0 and below 1"))
    smallest_step: float = field(default=1e-6, validator=positive)
    largest_step: float = field(default=50.0, validator=positive)

    def __attrs_post_init__(self) -> None:
        if not self.smallest_step <= self.first_step <= self.largest_step:
            raise ConfigurationError(
                f"Rprop: expected smallest_step ≤ first_step ≤ largest_step, got {shown(self.smallest_step)}, "
                f"{self.first_step!r} and {self.largest_step!r}"
            )

    def stated_formula(self) -> UpdateFormula:
        scaled = "size * (grow * (agreement > 0) + shrink * (agreement < 0) + (agreement == 0))"
        return self._update(
            ("agreement", "sign(g) * direction"),
            ("size", f"minimum(maximum({scaled}, smallest_step), largest_step)"),
            ("direction", "sign(g) * (agreement >= 0)"),
            ("w", "w - rate * size * direction"),
            symbols={"agreement": "c", "direction": "s", "size": "Δ"},
        )

    def start(self, parameters: ParameterVector) -> State:
        values = parameters.values
        return {"step": 0, "size": np.full_like(values, self.first_step), "direction": np.zeros_like(values)}

    def _move(self, parameters: ParameterVector, grads: Array, state: State, rate: float) -> None:
        arrays = (parameters.values, grads, state["size"], state["direction"])
        for w, g, size, s, agreement, scratch in blocks(*arrays, scratch=2):
            np.sign(g, out=scratch)  # signs, not g itself: a product of two tiny gradients would be 0
            np.multiply(scratch, s, out=agreement)
            np.multiply(size, self.grow, out=size, where=agreement > 0)
            np.multiply(size, self.shrink, out=size, where=agreement < 0)
            np.clip(size, self.smallest_step, self.largest_step, out=size)
            np.multiply(scratch, agreement >= 0, out=s)
            np.multiply(size, s, out=scratch)
            scratch *= rate
            w -= scratch


@frozen
class Lion(Descent):
    """Lion (sign momentum): c = β₁ m + (1 − β₁) g, m ← β₂ m + (1 − β₂) g, w ← w − η sgn(c).

    Its state is half as large as Adam's. A number whose gradients are 0 from some step on moves until m is below the
    smallest normal number, which takes several hundred steps or more.

    Args:
        learning_rate: η, a number or a schedule, a callable of the step; a third to a tenth of Adam's.
        beta1, beta2: the decay rates of the mean, for the step and for the state.
        weight_decay: λ, decoupled as in ``AdamW``, for parameters of two or more dimensions only; three to ten times
            AdamW's.

    >>> import numpy as np
    >>> from deepbp import Parameter, ParameterVector, optimizers
    >>> parameters, lion = ParameterVector([Parameter(np.array([1.0, 1.0]))]), optimizers.Lion(0.1)
    >>> parameters.grads[:] = [4.0, -0.5]
    >>> lion.step(parameters, lion.start(parameters))
    >>> parameters.values
    array([0.9, 1.1])

    Source: Chen et al. 2023, algorithm 2.
    """

    _decay = DECAY
    _arrays = ("mean",)

    learning_rate: float | Schedule = field(default=0.0001, validator=rate_or_schedule)
    beta1: float = field(default=0.9, validator=fraction)
    beta2: float = field(default=0.99, validator=fraction)
    weight_decay: float = field(default=0.0, validator=non_negative)

    def stated_formula(self) -> UpdateFormula:
        return self._update(
            ("ahead", "beta1 * mean + (1 - beta1) * g"),
            ("mean", "beta2 * mean + (1 - beta2) * g"),
            ("w", "w - rate * sign(ahead)"),
            symbols={"ahead": "c"},
        )

    def _move(self, parameters: ParameterVector, grads: Array, state: State, rate: float) -> None:
        decay(parameters, rate * self.weight_decay)
        kernels.lion(parameters.values, grads, state["mean"], rate, self.beta1, self.beta2)

    def _lower(self, parameters: ParameterVector, state: State) -> list[tuple[Any, ...]] | None:
        w, g, m = parameters.values, parameters.grads, state["mean"]
        row = ("lion", w, g, m, m.size, float(self.beta1), float(self.beta2))
        return [*lower_decay(parameters, self.weight_decay), row]
