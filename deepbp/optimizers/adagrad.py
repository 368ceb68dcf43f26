"""Steps that grow ever shorter, each over the root of all squares so far."""

import numpy as np
from attrs import field, frozen

from deepbp.errors.validators import non_negative, positive
from deepbp.kernels.blocks import blocks
from deepbp.layers.formula import UpdateFormula
from deepbp.optimizers.descent import DECAYED_GRADIENT, Descent, decayed_gradient
from deepbp.optimizers.optimizer import Schedule, State, rate_or_schedule
from deepbp.parameter import ParameterVector

SYMBOLS = {"epsilon": "ε", "rate": "η", "square": "s", "weight_decay": "λ"}


@frozen
class Adagrad(Descent):
    """s ← s + g², w ← w − η g / (√s + ε): what is seldom moved still takes long steps.

    Args:
        learning_rate: η, a number or a callable of the step.
        initial: s before the first step, 0 as in PyTorch; Keras begins at 0.1.
        epsilon: ε, outside the root (PyTorch's convention; Keras's differs).
        weight_decay: λ adds λ w to the gradient, for parameters of two or more dimensions only: not for biases.

    Source: Duchi, Hazan & Singer 2011, the diagonal form.
    """

    learning_rate: float | Schedule = field(default=0.01, validator=rate_or_schedule)
    initial: float = field(default=0.0, validator=non_negative)
    epsilon: float = field(default=1e-10, validator=positive)
    weight_decay: float = field(default=0.0, validator=non_negative)

    def stated_formula(self) -> UpdateFormula:
        decayed = (DECAYED_GRADIENT,) if self.weight_decay else ()
        return UpdateFormula(
            (*decayed, ("square", "square + g**2"), ("w", "w - rate * g / (sqrt(square) + epsilon)")),
            symbols=SYMBOLS,
        )

    def start(self, parameters: ParameterVector) -> State:
        return {"step": 0, "square": np.full_like(parameters.values, self.initial)}

    def _move(self, parameters: ParameterVector, state: State, rate: float) -> None:
        grads = decayed_gradient(parameters, self.weight_decay)
        for w, g, s, scratch in blocks(parameters.values, grads, state["square"]):
            np.multiply(g, g, out=scratch)
            s += scratch
            np.sqrt(s, out=scratch)
            scratch += self.epsilon
            np.divide(g, scratch, out=scratch)
            scratch *= rate
            w -= scratch
