"""Adam with Nesterov's look ahead."""

from math import sqrt

import numpy as np
from attrs import field, frozen

from deepbp.errors.validators import non_negative
from deepbp.kernels.blocks import average, average_square, blocks
from deepbp.layers.formula import UpdateFormula
from deepbp.optimizers.adam import SYMBOLS, Adam
from deepbp.optimizers.descent import DECAY, decay
from deepbp.optimizers.optimizer import State
from deepbp.parameter import ParameterVector


@frozen
class NAdam(Adam):
    """m and v as in Adam; μₜ = β₁ (1 − ½ · 0.96^(t ψ)), pₜ = μ₁ μ₂ … μₜ, w ← w − η n / (√v̂ + ε).

    n = μₜ₊₁ m / (1 − pₜ₊₁) + (1 − μₜ) g / (1 − pₜ): the momentum that the next step will have is applied already now.

    Args:
        learning_rate, beta1, beta2, epsilon: as in Adam.
        psi: ψ, how fast the momentum μ rises from β₁/2 to β₁; Keras's is 1.
        weight_decay: λ, as in AdamW: beside the step, for parameters of two or more dimensions only.

    Source: Dozat 2016, algorithm 2, with m that forgets by β₁ and v̂ as in Adam (PyTorch's convention, and Keras's); in
    the paper m forgets by μₜ, and v̂ has a factor β₂ more.
    """

    psi: float = field(default=0.004, validator=non_negative)
    weight_decay: float = field(default=0.0, validator=non_negative)

    def stated_formula(self) -> UpdateFormula:
        decayed = (DECAY,) if self.weight_decay else ()
        mean, square, _ = super().stated_formula().assignments
        step = "(after * mean / (1 - product * after) + (1 - now) * g / (1 - product))"
        return UpdateFormula(
            (
                *decayed,
                mean,
                square,
                ("now", "beta1 * (1 - 0.96**(t * psi) / 2)"),
                ("after", "beta1 * (1 - 0.96**((t + 1) * psi) / 2)"),
                ("product", "product * now"),
                ("w", f"w - rate * {step} / (sqrt(square / (1 - beta2**t)) + epsilon)"),
            ),
            symbols={**SYMBOLS, "now": "μ", "after": "μ′", "product": "p", "psi": "ψ"},
        )

    def start(self, parameters: ParameterVector) -> State:
        return {**super().start(parameters), "product": 1.0}

    def _move(self, parameters: ParameterVector, state: State, rate: float) -> None:
        t = state["step"] + 1
        now, after = self._momentum(t), self._momentum(t + 1)
        product = state["product"] * now
        correction = sqrt(1 - self.beta2**t)  # as in Adam, no corrected copies are made
        of_mean = rate * correction * after / (1 - product * after)
        of_gradient = rate * correction * (1 - now) / (1 - product)
        decay(parameters, rate * self.weight_decay)
        arrays = (parameters.values, parameters.grads, state["mean"], state["square"])
        for w, g, m, v, ahead, scratch in blocks(*arrays, scratch=2):
            average(m, self.beta1, g, scratch)
            average_square(v, self.beta2, g, scratch)
            np.multiply(m, of_mean, out=ahead)
            np.multiply(g, of_gradient, out=scratch)
            ahead += scratch
            np.sqrt(v, out=scratch)
            scratch += self.epsilon * correction
            ahead /= scratch
            w -= ahead
        state["product"] = product

    def _momentum(self, t: int) -> float:
        return float(self.beta1 * (1 - 0.5 * 0.96 ** (t * self.psi)))
