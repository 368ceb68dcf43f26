"""The right class must win by a margin: the hinge loss of several classes."""

from typing import Any

import numpy as np
from attrs import frozen

from deepbp.errors import DataError
from deepbp.layers.formula import LossFormula
from deepbp.losses.labels import check_labels, prepare_labels
from deepbp.losses.loss import Loss, not_arrays
from deepbp.losses.reduction import mean, mean_backward
from deepbp.typing import Array, ArrayLike, Shape

Saved = tuple[Array, Array | None]


@frozen
class CategoricalHinge(Loss[Saved]):
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

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Saved]:
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

    def backward(self, saved: Saved) -> Array:
        slopes, weight = saved
        return mean_backward(slopes, weight, slopes.size // slopes.shape[-1])
