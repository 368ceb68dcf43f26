"""Distances, averaged: large errors weigh no more than they are large."""

import numpy as np
from attrs import frozen

from deepbp.layers.formula import LossFormula
from deepbp.losses.loss import Loss, check_same_shape
from deepbp.losses.reduction import mean, mean_backward
from deepbp.typing import Array


@frozen
class MeanAbsoluteError(Loss[tuple[Array, Array | None]]):
    """L = Σ |ŷ − y| / n, where n counts samples times outputs; ∂L/∂ŷ = sgn(ŷ − y) / n, and 0 where ŷ = y.

    Raises:
        ShapeError: when the target has not exactly the prediction's shape.
    """

    formula = LossFormula("total(abs(prediction - target)) / n", "sign(prediction - target) / n")

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, Array | None]]:
        check_same_shape(prediction, target)
        difference = prediction - target
        return mean(np.abs(difference), sample_weight), (difference, sample_weight)

    def backward(self, saved: tuple[Array, Array | None]) -> Array:
        difference, weight = saved
        return mean_backward(np.sign(difference), weight)
