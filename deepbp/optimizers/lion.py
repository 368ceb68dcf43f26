"""Steps of one length, each against the sign of a mean gradient."""

import numpy as np
from attrs import field, frozen

from deepbp.errors.validators import fraction, non_negative
from deepbp.kernels.blocks import average, blocks
from deepbp.layers.formula import UpdateFormula
from deepbp.optimizers.descent import DECAY, Descent, decay
from deepbp.optimizers.optimizer import Schedule, State, rate_or_schedule
from deepbp.parameter import ParameterVector

SYMBOLS = {"ahead": "c", "beta1": "β₁", "beta2": "β₂", "mean": "m", "rate": "η", "weight_decay": "λ"}


@frozen
class Lion(Descent):
    """c = β₁ m + (1 − β₁) g, m ← β₂ m + (1 − β₂) g, w ← w − η sgn(c). It remembers half of what Adam does.

    Args:
        learning_rate: η, a number or a callable of the step; a third to a tenth of Adam's.
        beta1, beta2: how slowly the mean forgets, for the step and for what is kept.
        weight_decay: λ, as in AdamW: beside the step, for parameters of two or more dimensions only; three to ten
            times AdamW's.

    Source: Chen et al. 2023, algorithm 2.
    """

    learning_rate: float | Schedule = field(default=0.0001, validator=rate_or_schedule)
    beta1: float = field(default=0.9, validator=fraction)
    beta2: float = field(default=0.99, validator=fraction)
    weight_decay: float = field(default=0.0, validator=non_negative)

    def stated_formula(self) -> UpdateFormula:
        decayed = (DECAY,) if self.weight_decay else ()
        return UpdateFormula(
            (
                *decayed,
                ("ahead", "beta1 * mean + (1 - beta1) * g"),
                ("mean", "beta2 * mean + (1 - beta2) * g"),
                ("w", "w - rate * sign(ahead)"),
            ),
            symbols=SYMBOLS,
        )

    def start(self, parameters: ParameterVector) -> State:
        return {"step": 0, "mean": np.zeros_like(parameters.values)}

    def _move(self, parameters: ParameterVector, state: State, rate: float) -> None:
        decay(parameters, rate * self.weight_decay)
        for w, g, m, ahead, scratch in blocks(parameters.values, parameters.grads, state["mean"], scratch=2):
            np.multiply(m, self.beta1, out=ahead)
            np.multiply(g, 1 - self.beta1, out=scratch)
            ahead += scratch
            np.sign(ahead, out=scratch)  # written over its own argument, it took thirteen times as long
            scratch *= rate
            w -= scratch
            average(m, self.beta2, g, scratch)
