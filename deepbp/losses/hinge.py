"""Scores on the right side of a margin cost nothing: the losses of support vector machines."""

import numpy as np
from attrs import frozen

from deepbp.layers.formula import LossFormula
from deepbp.losses.answers import AnswerLoss, check_answers
from deepbp.losses.loss import check_same_shape
from deepbp.losses.reduction import mean, mean_backward
from deepbp.typing import Array

Saved = tuple[Array, Array, Array | None]
_GAP = "maximum(0, 1 - (2 * target - 1) * prediction)"


def side_and_gap(prediction: Array, target: Array) -> tuple[Array, Array]:
    """(s, max(0, 1 − s z)): the side −1 or 1 on which each score should be, and how far it is from its margin."""
    check_same_shape(prediction, target)
    check_answers(target)
    side = 2 * target - 1
    return side, np.maximum(0, 1 - side * prediction)


@frozen
class Hinge(AnswerLoss[Saved]):
    """L = Σ max(0, 1 − s z) / n, with s = 2y − 1; ∂L/∂z = −s / n where s z < 1, else 0.

    z is the prediction, a score of any size: above 0 means yes. y are the answers 0 and 1, as for all losses of
    yes-or-no questions here, and s is −1 and 1. n counts samples times outputs.

    Raises:
        ShapeError: when the target has not exactly the prediction's shape.
        DataError: when a target is neither 0 nor 1.

    Source: Cortes & Vapnik 1995, "Support-vector networks".
    """

    expects = "scores"
    formula = LossFormula(
        f"total({_GAP}) / n",
        "(1 - 2 * target) * ((2 * target - 1) * prediction < 1) / n",
        symbols={"prediction": "z"},
    )

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Saved]:
        side, gap = side_and_gap(prediction, target)
        return mean(gap, sample_weight), (side, gap, sample_weight)

    def backward(self, saved: Saved) -> Array:
        side, gap, weight = saved
        return mean_backward(-side * (gap > 0), weight)


@frozen
class SquaredHinge(AnswerLoss[Saved]):
    """L = Σ max(0, 1 − s z)² / n, with s = 2y − 1; ∂L/∂z = −2 s max(0, 1 − s z) / n: a hinge without a kink.

    See ``Hinge`` for z, y, s and n, and for what raises.
    """

    expects = "scores"
    formula = LossFormula(f"total({_GAP}**2) / n", f"2 * (1 - 2 * target) * {_GAP} / n", symbols={"prediction": "z"})

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Saved]:
        side, gap = side_and_gap(prediction, target)
        return mean(gap * gap, sample_weight), (side, gap, sample_weight)

    def backward(self, saved: Saved) -> Array:
        side, gap, weight = saved
        return mean_backward(-2 * side * gap, weight)
