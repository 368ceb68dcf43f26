"""A smooth distance: ½d² near 0, |d| − ln 2 far away."""

import numpy as np
from attrs import frozen

from deepbp.layers.formula import LossFormula
from deepbp.losses.loss import Loss, check_same_shape
from deepbp.losses.reduction import mean, mean_backward
from deepbp.typing import Array


@frozen
class LogCosh(Loss[tuple[Array, Array | None]]):
    """L = Σ ln cosh(ŷ − y) / n, where n counts samples times outputs; ∂L/∂ŷ = tanh(ŷ − y) / n.

    Raises:
        ShapeError: when the target has not exactly the prediction's shape.
    """

    formula = LossFormula("total(log(cosh(prediction - target))) / n", "tanh(prediction - target) / n")

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, Array | None]]:
        check_same_shape(prediction, target)
        difference = prediction - target
        size = np.abs(difference)
        terms = size + np.log1p(np.expm1(-2 * size) / 2)  # cosh itself overflows; this keeps small numbers' digits, too
        return mean(terms, sample_weight), (difference, sample_weight)

    def backward(self, saved: tuple[Array, Array | None]) -> Array:
        difference, weight = saved
        return mean_backward(np.tanh(difference), weight)
