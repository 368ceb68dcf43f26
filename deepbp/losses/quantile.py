"""Errors above and below cost differently, so that the best prediction is a quantile: the pinball loss."""

from typing import Any

import numpy as np
from attrs import field, frozen

from deepbp.errors import ShapeError
from deepbp.errors.validators import number
from deepbp.layers.formula import LossFormula
from deepbp.losses.loss import Loss, check_same_shape, not_arrays
from deepbp.losses.reduction import mean, mean_backward
from deepbp.losses.several import as_tuple, each, for_each
from deepbp.typing import Array, ArrayLike, Shape


@frozen
class Quantile(Loss[tuple[Array, Array | None]]):
    """L = Σ max(q (y − ŷ), (q − 1)(y − ŷ)) / n; ∂L/∂ŷ = (𝟙[ŷ > y] − q) / n, and 0 where ŷ = y.

    With q = 0.9 a prediction that is too low costs nine times as much as one that is too high by the same amount, so
    the best prediction is the number that 90 % of the targets stay below. n counts the numbers of the prediction.

    Args:
        quantiles: one, q, for each number of the prediction, whose shape the target then has; ``0.5`` is the median.
            Or several, ``(0.1, 0.5, 0.9)``: then the prediction's last axis (B, …, Q) holds one estimate for each, and
            the target's last axis has the length 1, (B, …, 1), for it is one number that they all are estimates of.
            A network ends with ``Dense(3)``; for K numbers of three quantiles each, with ``Dense(3 * K)`` and
            ``Reshape((K, 3))``, and the targets are (B, K, 1).

    Raises:
        ShapeError: when the target has not the shape described.

    Source: Koenker & Bassett 1978, "Regression quantiles".
    """

    formula = LossFormula(
        "total(quantiles * (target - prediction) + maximum(prediction - target, 0)) / n",
        "((prediction > target) - quantiles * (prediction != target)) / n",
        symbols={"quantiles": "q"},
    )

    quantiles: float | tuple[float, ...] = field(
        default=0.5,
        converter=as_tuple,
        validator=each(number(lambda q: 0 < q < 1, "a number, or several, above 0 and below 1")),
    )

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        if isinstance(self.quantiles, tuple) and output_shape:
            output_shape = (*output_shape[:-1], 1)
        return super().prepare_target(target, output_shape, dtype, name)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, Array | None]]:
        q = self._checked(prediction, target)
        above = prediction - target
        return mean(np.maximum(above, 0) - q * above, sample_weight), ((above > 0) - q * (above != 0), sample_weight)

    def backward(self, saved: tuple[Array, Array | None]) -> Array:
        return mean_backward(*saved)

    def _checked(self, prediction: Array, target: Array) -> Array:
        """The quantiles as an array, for shapes that fit them."""
        if not isinstance(self.quantiles, tuple):
            check_same_shape(prediction, target)
        elif not getattr(prediction, "shape", ()) or not getattr(target, "shape", ()):
            raise not_arrays(prediction=prediction, target=target)
        elif prediction.ndim < 2 or target.shape != (*prediction.shape[:-1], 1):
            fix = ": use target[..., None]" if target.shape == prediction.shape[:-1] else ""
            raise ShapeError(
                f"loss: expected predictions (B, …, {len(self.quantiles)}), one for each quantile, and targets "
                f"(B, …, 1), got {prediction.shape} and {target.shape}{fix}"
            )
        else:
            check_same_shape(prediction[..., :1], target)  # no samples
        return for_each(self.quantiles, prediction, "Quantile: prediction")
