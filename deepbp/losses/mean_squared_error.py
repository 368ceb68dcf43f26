"""Squared differences, averaged."""

import numpy as np
from attrs import frozen

from deepbp import kernels
from deepbp.layers.formula import LossFormula
from deepbp.losses.loss import Loss, check_same_shape, weight_column
from deepbp.typing import Array


@frozen
class MeanSquaredError(Loss[Array]):
    """L = Σ (ŷ − y)² / n, where n counts samples times outputs; ∂L/∂ŷ = 2 (ŷ − y) / n.

    Raises:
        ShapeError: when the target has not exactly the prediction's shape.
    """

    formula = LossFormula("total((prediction - target)**2) / n", "2 * (prediction - target) / n")

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        check_same_shape(prediction, target)
        total, difference = kernels.squared_error(prediction, target)
        if sample_weight is not None:
            weighted = difference * weight_column(sample_weight, prediction)
            return float(np.vdot(difference, weighted)) / difference.size, weighted
        return total / difference.size, difference

    def backward(self, weighted: Array) -> Array:
        return weighted * (2 / weighted.size)
