"""Adam that waits until it knows the size of the gradients: a warm-up that follows from the formula."""

from math import sqrt

from attrs import field, frozen

from deepbp.errors.validators import non_negative
from deepbp.layers.formula import UpdateFormula
from deepbp.optimizers.adam import SYMBOLS, Adam
from deepbp.optimizers.descent import DECAY, decay
from deepbp.optimizers.optimizer import State
from deepbp.parameter import ParameterVector

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
