"""How surprising the right class is, given predicted probabilities."""

from typing import Any

import numpy as np
from attrs import field, frozen

from deepbp.errors.validators import fraction
from deepbp.layers.formula import LossFormula
from deepbp.losses.labels import as_rows, check_labels, prepare_labels, row_weights, smoothed
from deepbp.losses.loss import Loss, check_range, limits, not_arrays
from deepbp.typing import Array, ArrayLike, Shape


@frozen
class CrossEntropy(Loss[tuple[Array, Array, Array | None]]):
    """L = −Σ y ln p / N; ∂L/∂p = −y / (p N).

    p (B, …, C) is the prediction, probabilities as a Softmax layer gives them; y the labels (B, …), or one-hot rows
    (B, …, C); N the number of rows, that is of samples where the shape is (B, C). A p of exactly 0 counts as the
    smallest number of the dtype, so that the loss stays finite. ``SoftmaxCrossEntropy`` on the scores themselves is
    more accurate and faster.

    Args:
        label_smoothing: s, the share of each target that is spread over all classes: (1 − s) y + s / C stands for y.

    Raises:
        ShapeError, DataTypeError, DataError: when labels have another shape, are no whole numbers, or out of range,
            or when a prediction lies outside [0, 1].
    """

    expects = "probabilities"
    formula = LossFormula(
        "-total(target * log(prediction)) / rows",
        "-target / (prediction * rows)",
        symbols={"prediction": "p", "rows": "N"},
    )

    label_smoothing: float = field(default=0.0, kw_only=True, validator=fraction)

    def stated_formula(self) -> LossFormula:
        return smoothed(self.formula) if self.label_smoothing else self.formula

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        return prepare_labels(target, output_shape, dtype, name)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, Array, Array | None]]:
        if not getattr(prediction, "shape", ()):
            raise not_arrays(prediction=prediction)
        check_labels(target, prediction.shape)
        check_range(prediction, "prediction", "end the network with Softmax(), or use SoftmaxCrossEntropy()")
        p = np.maximum(prediction, limits(prediction).tiny)
        if self.label_smoothing:
            target = as_rows(target, p, self.label_smoothing)
        if target.ndim < p.ndim:
            terms = -np.log(np.take_along_axis(p, target[..., None], axis=-1)).reshape(-1)
        else:
            terms = -(target * np.log(p)).sum(axis=-1).reshape(-1)
        weight = row_weights(sample_weight, prediction)
        value = terms.sum() if weight is None else terms @ weight
        return float(value) / len(terms), (p, target, weight)

    def backward(self, saved: tuple[Array, Array, Array | None]) -> Array:
        p, target, weight = saved
        share = np.full(p.size // p.shape[-1], p.shape[-1] / p.size, p.dtype)
        if weight is not None:
            share *= weight
        column = share.reshape(*p.shape[:-1], 1)
        if target.ndim == p.ndim:
            return np.asarray(-target / p * column)
        delta = np.zeros_like(p)
        labels = target[..., None]
        np.put_along_axis(delta, labels, -column / np.take_along_axis(p, labels, axis=-1), axis=-1)
        return delta
