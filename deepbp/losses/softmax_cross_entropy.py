"""How surprising the right class is, given scores: softmax and cross-entropy in one stable step."""

from typing import Any

import numpy as np
from attrs import frozen

from deepbp.losses.labels import check_labels, prepare_labels, row_weights, subtract_one_hot
from deepbp.losses.loss import Loss
from deepbp.typing import Array, ArrayLike, Shape


@frozen
class SoftmaxCrossEntropy(Loss[tuple[Array, Array, Array | None]]):
    """L = Σ [ln Σⱼ eᶻʲ − Σ y z] / N; ∂L/∂z = (softmax(z) − y) / N.

    z (B, …, C) is the prediction, on logits: scores of any size, from a network that ends *without* Softmax; y the
    labels (B, …), or one-hot rows (B, …, C); N the number of rows, that is of samples where the shape is (B, C).

    Raises:
        ShapeError, DataTypeError, DataError: when labels have another shape, are no whole numbers, or out of range.
    """

    expects = "logits"
    formula = "L = Σ [ln Σ eᶻ − Σ y z] / N"

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        return prepare_labels(target, output_shape, dtype, name)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, Array, Array | None]]:
        check_labels(target, prediction.shape)
        z = prediction.reshape(-1, prediction.shape[-1])
        z = z - z.max(axis=1, keepdims=True)  # so that no exponential overflows
        e = np.exp(z)
        total = e.sum(axis=1)
        if target.ndim < prediction.ndim:
            right = z[np.arange(len(z)), target.reshape(-1)]
        else:
            right = (z * target.reshape(z.shape)).sum(axis=1)
        terms = np.log(total) - right
        weight = row_weights(sample_weight, prediction)
        value = terms.sum() if weight is None else terms @ weight
        probability = e / total[:, None]
        return float(value) / len(z), (probability.reshape(prediction.shape), target, weight)

    def backward(self, saved: tuple[Array, Array, Array | None]) -> Array:
        probability, target, weight = saved
        rows = probability.reshape(-1, probability.shape[-1]).copy()
        subtract_one_hot(rows, target.reshape(-1) if target.ndim < probability.ndim else target.reshape(rows.shape))
        rows /= len(rows)
        if weight is not None:
            rows *= weight[:, None]
        return rows.reshape(probability.shape)
