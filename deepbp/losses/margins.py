"""Margin losses."""

from typing import Any

import numpy as np
from attrs import frozen

from deepbp.errors import DataError
from deepbp.formulas.language import LossFormula
from deepbp.losses.loss import Loss, check_same_shape, mean, mean_backward, not_arrays
from deepbp.losses.targets import AnswerLoss, check_answers, check_labels, prepare_labels
from deepbp.typing import Array, ArrayLike, Shape

HingeSaved = tuple[Array, Array, Array | None]
_GAP = "maximum(0, 1 - (2 * target - 1) * prediction)"


def side_and_gap(prediction: Array, target: Array) -> tuple[Array, Array]:
    """(s, max(0, 1 − s z)): the side −1 or 1 on which each score should be, and how far it is from its margin."""
    check_same_shape(prediction, target)
    check_answers(target)
    side = 2 * target - 1
    return side, np.maximum(0, 1 - side * prediction)


@frozen
class Hinge(AnswerLoss[HingeSaved]):
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

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, HingeSaved]:
        side, gap = side_and_gap(prediction, target)
        return mean(gap, sample_weight), (side, gap, sample_weight)

    def backward(self, saved: HingeSaved) -> Array:
        side, gap, weight = saved
        return mean_backward(-side * (gap > 0), weight)


@frozen
class SquaredHinge(AnswerLoss[HingeSaved]):
    """L = Σ max(0, 1 − s z)² / n, with s = 2y − 1; ∂L/∂z = −2 s max(0, 1 − s z) / n: a hinge without a kink.

    See ``Hinge`` for z, y, s and n, and for what raises.
    """

    expects = "scores"
    formula = LossFormula(f"total({_GAP}**2) / n", f"2 * (1 - 2 * target) * {_GAP} / n", symbols={"prediction": "z"})

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, HingeSaved]:
        side, gap = side_and_gap(prediction, target)
        return mean(gap * gap, sample_weight), (side, gap, sample_weight)

    def backward(self, saved: HingeSaved) -> Array:
        side, gap, weight = saved
        return mean_backward(-2 * side * gap, weight)


CategoricalHingeSaved = tuple[Array, Array | None]


@frozen
class CategoricalHinge(Loss[CategoricalHingeSaved]):
    """L = Σ max(0, 1 + largest wrong score − right score) / N; ∂L/∂z = (one-hot of the winner − y) / N.

    z (B, …, C) is the prediction, scores of any size; y the labels (B, …), or one-hot rows (B, …, C); N the number of
    rows, that is of samples where the shape is (B, C). In one formula: maxⱼ(z + 1 − y) − Σⱼ y z, for the right class
    itself enters the maximum without the margin. The winner is the class that this maximum is of, the first of several.

    Raises:
        ShapeError, DataTypeError, DataError: when labels have another shape, are no whole numbers, or out of range.

    Source: Crammer & Singer 2001, "On the algorithmic implementation of multiclass kernel-based vector machines".
    """

    expects = "scores"
    formula = LossFormula(
        "total(row_max(prediction + 1 - target) - row_sum(target * prediction)) / rows",
        "((prediction + 1 - target == row_max(prediction + 1 - target)) - target) / rows",
        symbols={"prediction": "z", "rows": "N"},
    )

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        return prepare_labels(target, output_shape, dtype, name)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, CategoricalHingeSaved]:
        if not getattr(prediction, "shape", ()):
            raise not_arrays(prediction=prediction)
        check_labels(target, prediction.shape)
        if target.ndim == prediction.ndim:
            if (target.max(axis=-1) != 1).any():
                raise DataError("target: expected rows of 0 and a single 1, got a row that divides the 1")
            target = target.argmax(axis=-1)
        right = target[..., None]
        margins = prediction - np.take_along_axis(prediction, right, axis=-1) + 1
        np.put_along_axis(margins, right, 0, axis=-1)
        winner = margins.argmax(axis=-1)[..., None]
        slopes = np.zeros_like(prediction)
        np.put_along_axis(slopes, winner, 1, axis=-1)
        np.put_along_axis(slopes, right, np.take_along_axis(slopes, right, axis=-1) - 1, axis=-1)
        return mean(margins.max(axis=-1), sample_weight), (slopes, sample_weight)

    def backward(self, saved: CategoricalHingeSaved) -> Array:
        slopes, weight = saved
        return mean_backward(slopes, weight, slopes.size // slopes.shape[-1])
