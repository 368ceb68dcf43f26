"""Yes-or-no questions of which most are easy: what is answered well counts less, so that the hard ones lead."""

import numpy as np
from attrs import field, frozen

from deepbp import kernels
from deepbp.errors.validators import non_negative, number, optional
from deepbp.layers.formula import LossFormula
from deepbp.losses.answers import AnswerLoss, check_answers
from deepbp.losses.loss import check_same_shape
from deepbp.losses.reduction import mean, mean_backward
from deepbp.typing import Array

_MISSED = "abs(target - sigmoid(prediction))"


@frozen
class SigmoidFocal(AnswerLoss[tuple[Array, Array | None]]):
    """L = −Σ a (1 − p)^γ ln p / n, with p the probability of the right answer, σ(z) for 1 and 1 − σ(z) for 0.

    On logits: the prediction z is a score of any size, from a network that ends *without* Sigmoid. n counts samples
    times outputs. With s = 1 for the answer 1 and −1 for 0, ∂L/∂z = s a (1 − p)^γ (γ p ln p − (1 − p)) / n. γ = 0
    without α is ``SigmoidBinaryCrossEntropy``.

    Args:
        gamma: γ, how much less the answers count that are nearly right.
        alpha: a for the answer 1, and 1 − a for 0; None means 1 for both.

    Raises:
        ShapeError: when the target has not exactly the prediction's shape.
        DataError: when a target is neither 0 nor 1.

    Source: Lin et al. 2017, "Focal loss for dense object detection", whose best are γ = 2 with α = 0.25.
    """

    expects = "logits"

    gamma: float = field(default=2.0, validator=non_negative)
    alpha: float | None = field(
        default=0.25, validator=optional(number(lambda a: 0 <= a <= 1, "a number from 0 to 1, or None"))
    )

    def stated_formula(self) -> LossFormula:
        shares = "" if self.alpha is None else "(alpha * target + (1 - alpha) * (1 - target)) * "
        slope = f"(gamma * (1 - {_MISSED}) * log(1 - {_MISSED}) - {_MISSED})"
        return LossFormula(
            f"-total({shares}{_MISSED}**gamma * log(1 - {_MISSED})) / n",
            f"(2 * target - 1) * {shares}{_MISSED}**gamma * {slope} / n",
            symbols={"prediction": "z"},
        )

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, Array | None]]:
        check_same_shape(prediction, target)
        check_answers(target)
        side = 2 * target - 1
        z = side * prediction
        p, missed = kernels.sigmoid(z), kernels.sigmoid(-z)  # each accurate where it is small
        log_p = np.minimum(z, 0) - np.log1p(np.exp(-np.abs(z)))
        factor = missed ** float(self.gamma)  # a NumPy number would bring its dtype along
        if self.alpha is not None:
            a = float(self.alpha)
            factor = factor * (a * target + (1 - a) * (1 - target))
        slopes = side * factor * (float(self.gamma) * p * log_p - missed)
        return mean(-factor * log_p, sample_weight), (slopes, sample_weight)

    def backward(self, saved: tuple[Array, Array | None]) -> Array:
        return mean_backward(*saved)
