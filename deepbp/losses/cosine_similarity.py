"""Directions alone count: how far the angle between prediction and target is from 0."""

import numpy as np
from attrs import frozen

from deepbp.errors import ShapeError
from deepbp.layers.formula import LossFormula
from deepbp.losses.loss import Loss, check_same_shape, limits
from deepbp.losses.reduction import mean, mean_backward
from deepbp.typing import Array

_DOT, _PREDICTED, _TRUE = "row_sum(prediction * target)", "row_sum(prediction**2)", "row_sum(target**2)"


@frozen
class CosineSimilarity(Loss[tuple[Array, Array | None]]):
    """L = Σ (1 − cos) / N with cos = ŷ·y / (|ŷ| |y|) along the last axis; ∂L/∂ŷ = (cos ŷ / |ŷ| − y / |y|) / (|ŷ| N).

    From 0, the same direction, to 2, the opposite one; N is the number of vectors (B, …), that is of samples where the
    shape is (B, D). A vector of zeros, or one shorter than the root of the smallest number of the dtype, 1e-19 in
    float32, has no direction: its loss is 1 and its error signal 0.

    Raises:
        ShapeError: when the target has not exactly the prediction's shape, or samples are no vectors.
    """

    formula = LossFormula(
        f"total(1 - {_DOT} / (sqrt({_PREDICTED}) * sqrt({_TRUE}))) / rows",
        f"(prediction * ({_DOT} / {_PREDICTED}) - target) / (sqrt({_PREDICTED}) * sqrt({_TRUE}) * rows)",
        symbols={"rows": "N"},
    )

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, Array | None]]:
        check_same_shape(prediction, target)
        if prediction.ndim < 2:
            raise ShapeError(f"loss: expected vectors, (B, …, D), got predictions of shape {prediction.shape}")
        unit, inverse = _directions(prediction)
        true, there = _directions(target.astype(prediction.dtype, copy=False))
        apart = unit - true
        terms = (apart * apart).sum(axis=-1, keepdims=True) / 2  # 1 − cos of unit vectors, to the last digit near 0
        both = (inverse > 0) & (there > 0)
        slopes = ((1 - terms) * unit - true) * inverse * both
        return mean(np.where(both, terms, 1)[..., 0], sample_weight), (slopes, sample_weight)

    def backward(self, saved: tuple[Array, Array | None]) -> Array:
        slopes, weight = saved
        return mean_backward(slopes, weight, slopes.size // slopes.shape[-1])


def _directions(vectors: Array) -> tuple[Array, Array]:
    """(v / |v|, 1 / |v|); (0, 0) where |v| is too short to be divided by."""
    length = np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True))
    long_enough = length > np.sqrt(limits(vectors).tiny)
    inverse = np.where(long_enough, 1 / np.where(long_enough, length, 1), 0)
    return vectors * inverse, inverse
