"""Margin (hinge) losses on scores."""

import numpy as np
from attrs import frozen

from deepbp.errors import DataError
from deepbp.formulas.language import LossFormula
from deepbp.losses.targets import BinaryTargetLoss, ClassTermsLoss
from deepbp.program.program import Program, Slot
from deepbp.typing import Array

_GAP = "maximum(0, 1 - (2 * target - 1) * prediction)"


@frozen
class Hinge(BinaryTargetLoss):
    """Hinge loss, L = Σ max(0, 1 − s z) / n, with s = 2y − 1; ∂L/∂z = −s / n where s z < 1, else 0.

    The prediction z is a score of any size, above 0 for class 1. The binary targets y are 0 and 1, so s is −1 and 1;
    n counts samples times outputs. Raises ``ShapeError`` for different shapes, ``DataError`` for a target other than
    0 and 1.

    >>> import numpy as np
    >>> from deepbp.losses import Hinge
    >>> value, saved = Hinge().forward(np.array([[0.5, 2.0]]), np.array([[0.0, 1.0]]))
    >>> value, Hinge().backward(saved)  # (1 + 0.5) / 2; the second score is beyond its margin
    (0.75, array([[ 0.5, -0. ]]))

    Source: Cortes & Vapnik 1995, "Support-vector networks".
    """

    expects = "scores"
    formula = LossFormula(
        f"total({_GAP}) / n",
        "(1 - 2 * target) * ((2 * target - 1) * prediction < 1) / n",
        symbols={"prediction": "z"},
    )

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        side = 2 * target - 1
        gap = np.maximum(0, 1 - side * prediction)
        return gap, -side * (gap > 0)

    def lower(self, program: Program, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        self._lower_terms(program, prediction, target, weight, "hinge")


@frozen
class SquaredHinge(BinaryTargetLoss):
    """Squared hinge loss, L = Σ max(0, 1 − s z)² / n, with s = 2y − 1; ∂L/∂z = −2 s max(0, 1 − s z) / n.

    It has no kink. ``Hinge`` explains z, y, s and n, and what raises.

    >>> import numpy as np
    >>> from deepbp.losses import SquaredHinge
    >>> value, saved = SquaredHinge().forward(np.array([[0.5, 2.0]]), np.array([[0.0, 1.0]]))
    >>> value, SquaredHinge().backward(saved)  # 1.5² / 2
    (1.125, array([[ 1.5, -0. ]]))
    """

    expects = "scores"
    formula = LossFormula(f"total({_GAP}**2) / n", f"2 * (1 - 2 * target) * {_GAP} / n", symbols={"prediction": "z"})

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        side = 2 * target - 1
        gap = np.maximum(0, 1 - side * prediction)
        return gap * gap, -2 * side * gap

    def lower(self, program: Program, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        self._lower_terms(program, prediction, target, weight, "squared_hinge")


@frozen
class CategoricalHinge(ClassTermsLoss):
    """Multiclass hinge loss, L = Σ max(0, 1 + largest wrong score − right score) / N; ∂L/∂z = (winner − y) / N.

    The prediction z (B, …, C) holds scores of any size; y the labels (B, …), or one-hot rows (B, …, C); N is the number
    of rows, the samples where the shape is (B, C). In one formula the term is maxⱼ(z + 1 − y) − Σⱼ y z, since the right
    class enters the maximum without the margin. The winner is a one-hot row, for the first class with this maximum.
    Raises ``ShapeError``, ``DataTypeError`` or ``DataError`` for labels of another shape, dtype or range.

    Args:
        ignore_label: as in ``SoftmaxCrossEntropy``.

    >>> import numpy as np
    >>> from deepbp.losses import CategoricalHinge
    >>> value, saved = CategoricalHinge().forward(np.array([[2.0, 1.5, 0.0]]), np.array([0]))
    >>> value, CategoricalHinge().backward(saved)  # 1 + 1.5 − 2
    (0.5, array([[-1.,  1.,  0.]]))

    Source: Crammer & Singer 2001, "On the algorithmic implementation of multiclass kernel-based vector machines".
    """

    expects = "scores"
    formula = LossFormula(
        "total(row_max(prediction + 1 - target) - row_sum(target * prediction)) / rows",
        "((prediction + 1 - target == row_max(prediction + 1 - target)) - target) / rows",
        symbols={"prediction": "z", "rows": "N"},
    )

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        if target.ndim == prediction.ndim:
            if (target.max(axis=-1) != 1).any():
                raise DataError("target: expected rows of 0 and a single 1, got a row that divides the 1")
            target = target.argmax(axis=-1)
        # Margins of all classes against the right one, whose own margin is 0; the largest is the loss of the row.
        right = target[..., None]
        margins = prediction - np.take_along_axis(prediction, right, axis=-1) + 1
        np.put_along_axis(margins, right, 0, axis=-1)
        # The slope is +1 at the winner and −1 at the right class, 0 where the right class wins.
        winner = margins.argmax(axis=-1)[..., None]
        slopes = np.zeros_like(prediction)
        np.put_along_axis(slopes, winner, 1, axis=-1)
        np.put_along_axis(slopes, right, np.take_along_axis(slopes, right, axis=-1) - 1, axis=-1)
        return margins.max(axis=-1), slopes
