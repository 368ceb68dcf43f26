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
        size = prediction.size
        if sample_weight is None:
            total, delta = kernels.squared_error(prediction, target, 2 / size)
            return total / size, delta
        difference = prediction - target
        weighted = difference * weight_column(sample_weight, prediction)
        return float(np.vdot(difference, weighted)) / size, weighted * (2 / size)

    def backward(self, delta: Array) -> Array:
        return delta
