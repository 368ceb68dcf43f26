"""Steps fitted to each parameter: the mean gradient over its root mean square."""

from math import sqrt

import numpy as np
from attrs import evolve, field, frozen

from deepbp import kernels
from deepbp.errors.validators import fraction, non_negative, positive
from deepbp.layers.formula import UpdateFormula
from deepbp.optimizers.descent import DECAY, Descent, decay
from deepbp.optimizers.optimizer import Schedule, State, rate_or_schedule
from deepbp.parameter import ParameterVector

SYMBOLS = {
    "beta1": "β₁",
    "beta2": "β₂",
    "epsilon": "ε",
    "mean": "m",
    "rate": "η",
    "square": "v",
    "weight_decay": "λ",
}


@frozen
class Adam(Descent):
    """m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², w ← w − η m̂ / (√v̂ + ε), with m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ).

    Args:
        learning_rate: η, a number or a callable of the step.
        beta1, beta2: how slowly the two means forget.
        epsilon: ε, outside the root and beside the corrected v̂, as in the paper (PyTorch's convention, too).

    Source: Kingma & Ba 2015, algorithm 1.
    """

    learning_rate: float | Schedule = field(default=0.001, validator=rate_or_schedule)
    beta1: float = field(default=0.9, validator=fraction)
    beta2: float = field(default=0.999, validator=fraction)
    epsilon: float = field(default=1e-8, validator=positive)

    def stated_formula(self) -> UpdateFormula:
        return UpdateFormula(
            (
                ("mean", "beta1 * mean + (1 - beta1) * g"),
                ("square", "beta2 * square + (1 - beta2) * g**2"),
                ("w", "w - rate * (mean / (1 - beta1**t)) / (sqrt(square / (1 - beta2**t)) + epsilon)"),
            ),
            symbols=SYMBOLS,
        )

    def start(self, parameters: ParameterVector) -> State:
        return {"step": 0, "mean": np.zeros_like(parameters.values), "square": np.zeros_like(parameters.values)}

    def _move(self, parameters: ParameterVector, state: State, rate: float) -> None:
        # m̂ / (√v̂ + ε) = m / (√v + ε c) · c / (1 − β₁ᵗ), with c = √(1 − β₂ᵗ): no corrected copies of m and v
        t = state["step"] + 1
        correction = sqrt(1 - self.beta2**t)
        kernels.adam(
            parameters.values,
            parameters.grads,
            state["mean"],
            state["square"],
            rate * correction / (1 - self.beta1**t),
            self.beta1,
            self.beta2,
            self.epsilon * correction,
        )


@frozen
class AdamW(Adam):
    """Adam, and beside it a decay of the weights themselves, w ← w − η λ w, that the gradient's size does not touch.

    Args:
        weight_decay: λ, for parameters of two or more dimensions only: not for biases.

    Source: Loshchilov & Hutter 2019, algorithm 2, with the schedule multiplier in η (PyTorch's convention).
    """

    weight_decay: float = field(default=0.01, validator=non_negative)

    def stated_formula(self) -> UpdateFormula:
        adam = super().stated_formula()
        return evolve(adam, assignments=(DECAY, *adam.assignments))

    def _move(self, parameters: ParameterVector, state: State, rate: float) -> None:
        decay(parameters, rate * self.weight_decay)
        super()._move(parameters, state, rate)
