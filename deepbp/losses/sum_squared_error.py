"""The notes' loss: squared differences, added up."""

import numpy as np
from attrs import field, frozen

from deepbp import kernels
from deepbp.errors.validators import positive
from deepbp.layers.formula import LossFormula
from deepbp.losses.loss import Loss, check_same_shape, weight_column
from deepbp.typing import Array


@frozen
class SumSquaredError(Loss[Array]):
    """L = scale · Σ (ŷ − y)², over all samples and outputs; ∂L/∂ŷ = 2 · scale · (ŷ − y).

    Args:
        scale: 1 is the notes' sum, 0.5 the textbook's ½Σ.

    Raises:
        ShapeError: when the target has not exactly the prediction's shape.

    Source: the notes' steps 1 and 3.
    """

    reduction = "sum"
    formula = LossFormula("scale * total((prediction - target)**2)", "2 * scale * (prediction - target)")

    scale: float = field(default=1.0, validator=positive)

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        check_same_shape(prediction, target)
        factor = 2 * self.scale
        if sample_weight is None:
            total, delta = kernels.squared_error(prediction, target, factor)
            return self.scale * total, delta
        difference = prediction - target
        weighted = difference * weight_column(sample_weight, prediction)
        return self.scale * float(np.vdot(difference, weighted)), weighted * float(factor)

    def backward(self, delta: Array) -> Array:
        return delta
