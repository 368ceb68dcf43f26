"""Squares for small errors, distances for large ones: few outliers do not lead."""

from attrs import field, frozen

from deepbp.errors.validators import positive
from deepbp.layers.formula import LossFormula
from deepbp.losses.loss import Loss, check_same_shape
from deepbp.losses.reduction import mean, mean_backward
from deepbp.typing import Array

_SIZE = "minimum(abs(prediction - target), delta)"


@frozen
class Huber(Loss[tuple[Array, Array | None]]):
    """L = Σ h / n, with h = ½d² where |d| ≤ δ, else δ(|d| − ½δ), and d = ŷ − y; ∂L/∂ŷ = d / n, cut to between ±δ / n.

    n counts samples times outputs. In one formula, h = c(d − ½c) with c = d cut to between ±δ.

    Args:
        delta: δ, from where on an error counts by its distance.

    Raises:
        ShapeError: when the target has not exactly the prediction's shape.

    Source: Huber 1964, "Robust estimation of a location parameter".
    """

    formula = LossFormula(
        f"total({_SIZE} * (abs(prediction - target) - {_SIZE} / 2)) / n",
        "maximum(minimum(prediction - target, delta), -delta) / n",
        symbols={"delta": "δ"},
    )

    delta: float = field(default=1.0, validator=positive)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, Array | None]]:
        check_same_shape(prediction, target)
        difference = prediction - target
        limit = float(self.delta)  # a NumPy number would bring its dtype along
        cut = difference.clip(-limit, limit)
        return mean(cut * (difference - cut / 2), sample_weight), (cut, sample_weight)

    def backward(self, saved: tuple[Array, Array | None]) -> Array:
        return mean_backward(*saved)
