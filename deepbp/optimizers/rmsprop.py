"""Steps that are as long for small gradients as for large ones: each over the root of its mean square."""

import numpy as np
from attrs import field, frozen

from deepbp.errors.validators import boolean, fraction, non_negative, positive
from deepbp.kernels.blocks import average, average_square, blocks
from deepbp.layers.formula import UpdateFormula
from deepbp.optimizers.descent import DECAYED_GRADIENT, Descent, decayed_gradient
from deepbp.optimizers.optimizer import Schedule, State, rate_or_schedule
from deepbp.parameter import ParameterVector

SYMBOLS = {
    "epsilon": "ε",
    "mean": "m",
    "momentum": "μ",
    "rate": "η",
    "rho": "ρ",
    "square": "v",
    "velocity": "b",
    "weight_decay": "λ",
}


@frozen
class RMSprop(Descent):
    """v ← ρ v + (1 − ρ) g², w ← w − η g / (√v + ε).

    With momentum μ: b ← μ b + g / (√v + ε) and w ← w − η b. Centered: m ← ρ m + (1 − ρ) g, and v − m², the variance,
    in place of v; where a gradient hardly varies, it vanishes, and a larger ε bounds the steps.

    Args:
        learning_rate: η, a number or a callable of the step.
        rho: ρ, how slowly the means forget.
        momentum: μ, at least 0 and below 1.
        centered: divide by the standard deviation instead of the root mean square.
        epsilon: ε, outside the root (PyTorch's convention; Keras's differs).
        weight_decay: λ adds λ w to the gradient, for parameters of two or more dimensions only: not for biases.

    Source: Tieleman & Hinton 2012, lecture 6.5; centered: Graves 2013, equations 38–45.
    """

    learning_rate: float | Schedule = field(default=0.001, validator=rate_or_schedule)
    rho: float = field(default=0.9, validator=fraction)
    momentum: float = field(default=0.0, validator=fraction)
    centered: bool = field(default=False, validator=boolean)
    epsilon: float = field(default=1e-8, validator=positive)
    weight_decay: float = field(default=0.0, validator=non_negative)

    def stated_formula(self) -> UpdateFormula:
        decayed = (DECAYED_GRADIENT,) if self.weight_decay else ()
        square = ("square", "rho * square + (1 - rho) * g**2")
        mean = (("mean", "rho * mean + (1 - rho) * g"),) if self.centered else ()
        root = "sqrt(maximum(square - mean**2, 0))" if self.centered else "sqrt(square)"
        step = f"g / ({root} + epsilon)"
        if not self.momentum:
            return UpdateFormula((*decayed, square, *mean, ("w", f"w - rate * {step}")), symbols=SYMBOLS)
        velocity = ("velocity", f"momentum * velocity + {step}")
        return UpdateFormula((*decayed, square, *mean, velocity, ("w", "w - rate * velocity")), symbols=SYMBOLS)

    def start(self, parameters: ParameterVector) -> State:
        names = ["square", *["mean"] * self.centered, *["velocity"] * bool(self.momentum)]
        return {"step": 0, **{name: np.zeros_like(parameters.values) for name in names}}

    def _move(self, parameters: ParameterVector, state: State, rate: float) -> None:
        grads = decayed_gradient(parameters, self.weight_decay)
        mean = state["mean"] if self.centered else grads  # looked at in no other case
        velocity = state["velocity"] if self.momentum else grads
        for w, g, v, m, b, scratch in blocks(parameters.values, grads, state["square"], mean, velocity):
            average_square(v, self.rho, g, scratch)
            if self.centered:
                average(m, self.rho, g, scratch)
                np.multiply(m, m, out=scratch)
                np.subtract(v, scratch, out=scratch)
                np.maximum(scratch, 0, out=scratch)  # rounding may leave a variance just below 0
                np.sqrt(scratch, out=scratch)
            else:
                np.sqrt(v, out=scratch)
            scratch += self.epsilon
            np.divide(g, scratch, out=scratch)
            if self.momentum:
                b *= self.momentum
                b += scratch
                np.multiply(b, rate, out=scratch)
            else:
                scratch *= rate
            w -= scratch
