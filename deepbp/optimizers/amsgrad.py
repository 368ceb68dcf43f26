"""Adam with a memory for the largest: a step never grows because large gradients were forgotten."""

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
class AMSGrad(Adam):
    """Adam with u ← max(u, v) in the place of v: w ← w − η m̂ / (√û + ε), with û = u / (1 − β₂ᵗ).

    Both means are corrected as in Adam (PyTorch's convention, and Keras's up to ε; the paper corrects neither).

    Args:
        learning_rate, beta1, beta2, epsilon: as in Adam.
        weight_decay: λ, as in AdamW: beside the step, for parameters of two or more dimensions only.

    Source: Reddi, Kale & Kumar 2018, algorithm 2.
    """

    weight_decay: float = field(default=0.0, validator=non_negative)

    def stated_formula(self) -> UpdateFormula:
        decayed = (DECAY,) if self.weight_decay else ()
        *means, (w, step) = super().stated_formula().assignments
        largest = ("largest", "maximum(largest, square)")
        return UpdateFormula(
            (*decayed, *means, largest, (w, step.replace("square", "largest"))), symbols={**SYMBOLS, "largest": "u"}
        )

    def start(self, parameters: ParameterVector) -> State:
        return {**super().start(parameters), "largest": np.zeros_like(parameters.values)}

    def _move(self, parameters: ParameterVector, state: State, rate: float) -> None:
        decay(parameters, rate * self.weight_decay)
        t = state["step"] + 1
        correction = sqrt(1 - self.beta2**t)  # as in Adam, no corrected copies are made
        rate, epsilon = rate * correction / (1 - self.beta1**t), self.epsilon * correction
        arrays = (parameters.values, parameters.grads, state["mean"], state["square"], state["largest"])
        for w, g, m, v, u, scratch in blocks(*arrays):
            average(m, self.beta1, g, scratch)
            average_square(v, self.beta2, g, scratch)
            np.maximum(u, v, out=u)
            np.sqrt(u, out=scratch)
            scratch += epsilon
            np.divide(m, scratch, out=scratch)
            scratch *= rate
            w -= scratch
