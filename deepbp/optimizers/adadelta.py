"""Steps that need no learning rate: as long as those before them, and turned by the size of the gradient."""

import numpy as np
from attrs import field, frozen

from deepbp.errors.validators import fraction, non_negative, positive
from deepbp.kernels.blocks import average_square, blocks
from deepbp.layers.formula import UpdateFormula
from deepbp.optimizers.descent import DECAYED_GRADIENT, Descent, decayed_gradient
from deepbp.optimizers.optimizer import Schedule, State, rate_or_schedule
from deepbp.parameter import ParameterVector

SYMBOLS = {"change": "d", "epsilon": "ε", "moved": "u", "rate": "η", "rho": "ρ", "square": "v", "weight_decay": "λ"}


@frozen
class Adadelta(Descent):
    """v ← ρ v + (1 − ρ) g², d = √(u + ε) / √(v + ε) · g, u ← ρ u + (1 − ρ) d², w ← w − η d.

    The mean square u of the steps gives the next ones the unit of w. It begins at 0, so that ε sets the first steps.

    Args:
        learning_rate: η, a number or a callable of the step; the paper has none, so 1.
        rho: ρ, how slowly the means forget.
        epsilon: ε, inside both roots, as in the paper.
        weight_decay: λ adds λ w to the gradient, for parameters of two or more dimensions only: not for biases.

    Source: Zeiler 2012, algorithm 1.
    """

    learning_rate: float | Schedule = field(default=1.0, validator=rate_or_schedule)
    rho: float = field(default=0.95, validator=fraction)
    epsilon: float = field(default=1e-6, validator=positive)
    weight_decay: float = field(default=0.0, validator=non_negative)

    def stated_formula(self) -> UpdateFormula:
        decayed = (DECAYED_GRADIENT,) if self.weight_decay else ()
        return UpdateFormula(
            (
                *decayed,
                ("square", "rho * square + (1 - rho) * g**2"),
                ("change", "sqrt(moved + epsilon) / sqrt(square + epsilon) * g"),
                ("moved", "rho * moved + (1 - rho) * change**2"),
                ("w", "w - rate * change"),
            ),
            symbols=SYMBOLS,
        )

    def start(self, parameters: ParameterVector) -> State:
        return {"step": 0, "square": np.zeros_like(parameters.values), "moved": np.zeros_like(parameters.values)}

    def _move(self, parameters: ParameterVector, state: State, rate: float) -> None:
        grads = decayed_gradient(parameters, self.weight_decay)
        arrays = (parameters.values, grads, state["square"], state["moved"])
        for w, g, v, u, change, scratch in blocks(*arrays, scratch=2):
            average_square(v, self.rho, g, scratch)
            np.add(u, self.epsilon, out=change)
            np.add(v, self.epsilon, out=scratch)
            change /= scratch
            np.sqrt(change, out=change)
            change *= g
            average_square(u, self.rho, change, scratch)
            change *= rate
            w -= change
