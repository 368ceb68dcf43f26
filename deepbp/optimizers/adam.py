"""Adam and its variants."""

from math import sqrt

import numpy as np
from attrs import evolve, field, frozen

from deepbp import kernels
from deepbp.errors.validators import fraction, non_negative, positive
from deepbp.formulas.language import UpdateFormula
from deepbp.kernels.blocks import average, average_square, blocks
from deepbp.optimizers.optimizer import DECAY, Descent, Schedule, State, decay, rate_or_schedule
from deepbp.parameters import ParameterVector

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


ENOUGH = 5
"""So many gradients must v be worth before it is divided by."""


@frozen
class RAdam(Adam):
    """w ← w − η r m̂ / (√v̂ + ε) where ρ > 5, else w ← w − η m̂; m̂ and v̂ as in Adam.

    ρ = ρ₀ − 2 t β₂ᵗ / (1 − β₂ᵗ), with ρ₀ = 2 / (1 − β₂) − 1, says how many gradients v is a mean of, and
    r = √((ρ − 4) (ρ − 2) ρ₀ / ((ρ₀ − 4) (ρ₀ − 2) ρ)), which rises to 1, makes up for how uncertain that is.

    Args:
        learning_rate, beta1, beta2, epsilon: as in Adam. Where β₂ is 2/3 or less, ρ never exceeds 5.
        weight_decay: λ, as in AdamW: beside the step, for parameters of two or more dimensions only.

    Source: Liu et al. 2020, algorithm 2, with 5 in place of 4 as in the authors' code (PyTorch's convention, too).
    """

    weight_decay: float = field(default=0.0, validator=non_negative)

    def stated_formula(self) -> UpdateFormula:
        decayed = (DECAY,) if self.weight_decay else ()
        mean, square, _ = super().stated_formula().assignments
        rectified = "(length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)"
        size = f"(length > {ENOUGH}) * rectifier / (sqrt(square / (1 - beta2**t)) + epsilon) + (length <= {ENOUGH})"
        return UpdateFormula(
            (
                *decayed,
                mean,
                square,
                ("longest", "2 / (1 - beta2) - 1"),
                ("length", "longest - 2 * t * beta2**t / (1 - beta2**t)"),
                ("rectifier", f"sqrt(maximum({rectified}, 0))"),
                ("w", f"w - rate * (mean / (1 - beta1**t)) * ({size})"),
            ),
            symbols={**SYMBOLS, "length": "ρ", "longest": "ρ₀", "rectifier": "r"},
        )

    def _move(self, parameters: ParameterVector, state: State, rate: float) -> None:
        t = state["step"] + 1
        rectifier = self._rectifier(t)
        decay(parameters, rate * self.weight_decay)
        super()._move(parameters, state, rate * rectifier)  # with a rate of 0, only the means move
        if not rectifier:
            parameters.values -= rate / (1 - self.beta1**t) * state["mean"]

    def _rectifier(self, t: int) -> float:
        """R, or 0 while too little is known."""
        longest = 2 / (1 - self.beta2) - 1
        length = longest - 2 * t * self.beta2**t / (1 - self.beta2**t)
        if length <= ENOUGH:
            return 0.0
        return sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
