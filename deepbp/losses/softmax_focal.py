"""Classes of which most samples are easy: what is told well counts less, so that the hard ones lead."""

from typing import Any

import numpy as np
from attrs import field, frozen

from deepbp.errors.validators import non_negative, optional
from deepbp.layers.formula import LossFormula
from deepbp.losses.labels import as_rows, check_labels, prepare_labels
from deepbp.losses.loss import Loss, not_arrays
from deepbp.losses.reduction import mean, mean_backward
from deepbp.losses.several import as_tuple, each, for_each
from deepbp.typing import Array, ArrayLike, Shape


@frozen
class SoftmaxFocal(Loss[tuple[Array, Array | None]]):
    """L = −Σ a y (1 − p)^γ ln p / N, with p = softmax(z).

    ∂L/∂z = (g − p Σⱼ g) / N, with g = a y (1 − p)^γ (γ p ln p / (1 − p) − 1).

    z (B, …, C) is the prediction, on logits: scores of any size, from a network that ends *without* Softmax; y the
    labels (B, …), or one-hot rows (B, …, C); N the number of rows, that is of samples where the shape is (B, C).
    γ = 0 without α is ``SoftmaxCrossEntropy``.

    Args:
        gamma: γ, how much less the samples count whose class is nearly certain.
        alpha: a, one weight for each class; None means 1 for all.

    Raises:
        ShapeError, DataTypeError, DataError: when labels have another shape, are no whole numbers, or out of range.

    Source: Lin et al. 2017, "Focal loss for dense object detection", written for softmax.
    """

    expects = "logits"

    gamma: float = field(default=2.0, validator=non_negative)
    alpha: tuple[float, ...] | None = field(default=None, converter=as_tuple, validator=optional(each(non_negative)))

    def stated_formula(self) -> LossFormula:
        share = "target * (1 - softmax(prediction))**gamma"
        share = share if self.alpha is None else f"alpha * {share}"
        log = "log(softmax(prediction))"
        g = f"{share} * (gamma * softmax(prediction) * {log} / (1 - softmax(prediction)) - 1)"
        return LossFormula(
            f"-total({share} * {log}) / rows",
            f"({g} - softmax(prediction) * row_sum({g})) / rows",
            symbols={"prediction": "z", "rows": "N", "alpha": "α"},
        )

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        return prepare_labels(target, output_shape, dtype, name)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, Array | None]]:
        if not getattr(prediction, "shape", ()):
            raise not_arrays(prediction=prediction)
        check_labels(target, prediction.shape)
        y, gamma = as_rows(target, prediction), float(self.gamma)
        shifted = prediction - prediction.max(axis=-1, keepdims=True)  # so that no exponential overflows
        log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        p, missed = np.exp(log_p), -np.expm1(log_p)
        share = y * missed**gamma
        if self.alpha is not None:
            share = share * for_each(self.alpha, prediction, "SoftmaxFocal: alpha")
        ratio = np.where(missed > 0, log_p / np.where(missed > 0, missed, 1), -1)  # ln p / (1 − p), which ends at −1
        g = share * (gamma * p * ratio - 1)
        slopes = g - p * g.sum(axis=-1, keepdims=True)
        return mean(-(share * log_p).sum(axis=-1), sample_weight), (slopes, sample_weight)

    def backward(self, saved: tuple[Array, Array | None]) -> Array:
        slopes, weight = saved
        return mean_backward(slopes, weight, slopes.size // slopes.shape[-1])
