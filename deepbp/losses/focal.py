"""Focal losses, which weight hard samples more than easy ones."""

import numpy as np
from attrs import field, frozen

from deepbp import kernels
from deepbp.errors.validators import non_negative, number, optional, optional_tuple, scalar_or_each
from deepbp.formulas.language import LossFormula
from deepbp.losses.cross_entropies import log_softmax
from deepbp.losses.loss import limits, per_output
from deepbp.losses.targets import (
    BinaryTargetLoss,
    ClassTermsLoss,
    as_rows,
)
from deepbp.program.program import Program, Slot
from deepbp.typing import Array


@frozen
class SoftmaxFocal(ClassTermsLoss):
    """Focal loss on logits, L = −Σ a y (1 − p)^γ ln p / N, with p = softmax(z).

    ∂L/∂z = (g − p Σⱼ g) / N, with g = a y (1 − p)^γ (γ p ln p / (1 − p) − 1). Logits z, targets y, N and errors are as
    in ``SoftmaxCrossEntropy``, which is the case γ = 0 without α.

    Args:
        gamma: γ reduces the share of samples whose class is nearly certain.
        alpha: a, one weight for each class; None means 1 for all.
        ignore_label: as in ``SoftmaxCrossEntropy``.

    >>> import numpy as np
    >>> from deepbp.losses import SoftmaxFocal
    >>> value, saved = SoftmaxFocal(gamma=2.0).forward(np.array([[0.0, 0.0]]), np.array([1]))
    >>> round(value, 4), SoftmaxFocal().backward(saved).round(4)  # ln 2 / 4
    (0.1733, array([[ 0.2983, -0.2983]]))

    Source: Lin et al. 2017, "Focal loss for dense object detection", written for softmax.
    """

    expects = "logits"

    gamma: float = field(default=2.0, validator=non_negative)
    alpha: float | tuple[float, ...] | None = field(
        default=None, converter=optional_tuple, validator=optional(scalar_or_each(non_negative))
    )

    def stated_formula(self) -> LossFormula:
        share = "target * (1 - softmax(prediction))**gamma"
        share = share if self.alpha is None else f"alpha * {share}"
        log = "log(softmax(prediction))"
        g = f"{share} * (gamma * softmax(prediction) * {log} / (1 - softmax(prediction)) - 1)"
        return LossFormula(
            f"-total({share} * {log}) / rows",
            f"({g} - softmax(prediction) * row_sum({g})) / rows",
            symbols={"prediction": "z", "rows": "N", "alpha": "α"},
        )

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        y, gamma = as_rows(target, prediction), float(self.gamma)
        log_p = log_softmax(prediction)
        log_p = np.where(y == 0, np.maximum(log_p, limits(log_p).min), log_p)  # −∞ · 0 counts as 0
        p, missed = np.exp(log_p), -np.expm1(log_p)
        share = y * missed**gamma
        if self.alpha is not None:
            share = share * per_output(self.alpha, prediction, "SoftmaxFocal: alpha")
        ratio = np.where(missed > 0, log_p / np.where(missed > 0, missed, 1), -1)  # ln p / (1 − p), −1 in the limit
        g = share * (gamma * p * ratio - 1)
        return -(share * log_p).sum(axis=-1), g * missed - p * (g.sum(axis=-1, keepdims=True) - g)


_MISSED = "abs(target - sigmoid(prediction))"


@frozen
class SigmoidFocal(BinaryTargetLoss):
    """Binary focal loss on logits, L = −Σ a (1 − p)^γ ln p / n, with p = σ(z) for the target 1 and 1 − σ(z) for 0.

    With s = 1 for the target 1 and −1 for 0, ∂L/∂z = s a (1 − p)^γ (γ p ln p − (1 − p)) / n. The logit z
    and n are as in ``SigmoidBinaryCrossEntropy``, which is the case γ = 0 without α. Raises ``ShapeError`` for
    different shapes, ``DataError`` for a target other than 0 and 1.

    Args:
        gamma: γ reduces the share of predictions that are nearly right.
        alpha: a for the target 1, and 1 − a for 0; None means 1 for both.

    >>> import numpy as np
    >>> from deepbp.losses import SigmoidFocal
    >>> value, saved = SigmoidFocal(gamma=2.0, alpha=None).forward(np.array([[0.0]]), np.array([[1.0]]))
    >>> round(value, 4), SigmoidFocal().backward(saved).round(4)  # ln 2 / 4
    (0.1733, array([[-0.2983]]))

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

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        return kernels.sigmoid_focal(prediction, target, *self._settings())

    def lower(self, program: Program, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        self._lower_terms(program, prediction, target, weight, "sigmoid_focal", *self._settings())

    def _settings(self) -> tuple[float, float, float]:
        positive, negative = (1.0, 1.0) if self.alpha is None else (float(self.alpha), 1 - float(self.alpha))
        return float(self.gamma), positive, negative
