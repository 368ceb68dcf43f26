"""How surprising the right class is, given scores: softmax and cross-entropy in one stable step."""

from typing import Any

import numpy as np
from attrs import field, frozen

from deepbp import kernels
from deepbp.errors.validators import fraction
from deepbp.layers.formula import LossFormula
from deepbp.losses.labels import as_rows, check_labels, prepare_labels, row_weights, smoothed
from deepbp.losses.loss import Loss, not_arrays
from deepbp.typing import Array, ArrayLike, Shape

Saved = tuple[Array, Array, Array | None, Shape]  # rows of probabilities, labels or one-hot rows, weights, the shape


@frozen
class SoftmaxCrossEntropy(Loss[Saved]):
    """L = Σ [ln Σⱼ eᶻʲ − Σ y z] / N; ∂L/∂z = (softmax(z) − y) / N.

    z (B, …, C) is the prediction, on logits: scores of any size, from a network that ends *without* Softmax; y the
    labels (B, …), or one-hot rows (B, …, C); N the number of rows, that is of samples where the shape is (B, C).

    Args:
        label_smoothing: s, the share of each target that is spread over all classes: (1 − s) y + s / C stands for y.

    Raises:
        ShapeError, DataTypeError, DataError: when labels have another shape, are no whole numbers, or out of range.

    Source: Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision", section 7, for smoothing.
    """

    expects = "logits"
    formula = LossFormula(
        "total(log(row_sum(exp(prediction))) - row_sum(target * prediction)) / rows",
        "(softmax(prediction) - target) / rows",
        symbols={"prediction": "z", "rows": "N"},
    )

    label_smoothing: float = field(default=0.0, kw_only=True, validator=fraction)

    def stated_formula(self) -> LossFormula:
        return smoothed(self.formula) if self.label_smoothing else self.formula

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        return prepare_labels(target, output_shape, dtype, name)

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Saved]:
        try:
            z = prediction.reshape(-1, prediction.shape[-1])
            labelled = target.shape == prediction.shape[:-1] and target.dtype.kind in "iu" and len(z) > 0
        except (AttributeError, IndexError):
            raise not_arrays(prediction=prediction, target=target) from None
        weight = row_weights(sample_weight, prediction)
        if not labelled or self.label_smoothing:
            check_labels(target, prediction.shape)
            rows = as_rows(target, prediction, self.label_smoothing)
            return self._forward_one_hot(z, rows.reshape(z.shape), weight, prediction.shape)
        labels = target.reshape(-1).astype(np.intp, copy=False)
        try:
            value, probability = kernels.softmax_cross_entropy(z, labels, weight)
        except IndexError:
            check_labels(target, prediction.shape)
            raise
        return value / len(z), (probability, labels, weight, prediction.shape)

    def _forward_one_hot(self, z: Array, target: Array, weight: Array | None, shape: Shape) -> tuple[float, Saved]:
        probability = kernels.softmax(z)
        shifted = z - z.max(axis=1, keepdims=True)  # so that no exponential overflows
        terms = np.log(np.exp(shifted).sum(axis=1)) * target.sum(axis=1) - (shifted * target).sum(axis=1)
        value = terms.sum() if weight is None else terms @ weight
        return float(value) / len(z), (probability, target, weight, shape)

    def backward(self, saved: Saved) -> Array:
        probability, target, weight, shape = saved
        if target.ndim == 1:
            return np.asarray(kernels.softmax_cross_entropy_backward(probability, target, weight)).reshape(shape)
        delta = (probability * target.sum(axis=1, keepdims=True) - target) / len(probability)
        return np.asarray(delta if weight is None else delta * weight[:, None]).reshape(shape)
