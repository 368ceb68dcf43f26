"""Regression losses: distances between prediction and target."""

from typing import Any

import numpy as np
from attrs import field, frozen

from deepbp import kernels
from deepbp.errors import ShapeError
from deepbp.errors.validators import number, positive
from deepbp.formulas.language import LossFormula
from deepbp.losses.loss import (
    Loss,
    as_tuple,
    check_same_shape,
    each,
    for_each,
    limits,
    mean,
    mean_backward,
    not_arrays,
    weight_column,
)
from deepbp.typing import Array, ArrayLike, Shape


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


@frozen
class MeanSquaredError(Loss[Array]):
    """L = Σ (ŷ − y)² / n, where n counts samples times outputs; ∂L/∂ŷ = 2 (ŷ − y) / n.

    Raises:
        ShapeError: when the target has not exactly the prediction's shape.
    """

    formula = LossFormula("total((prediction - target)**2) / n", "2 * (prediction - target) / n")

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        check_same_shape(prediction, target)
        size = prediction.size
        if sample_weight is None:
            total, delta = kernels.squared_error(prediction, target, 2 / size)
            return total / size, delta
        difference = prediction - target
        weighted = difference * weight_column(sample_weight, prediction)
        return float(np.vdot(difference, weighted)) / size, weighted * (2 / size)

    def backward(self, delta: Array) -> Array:
        return delta


@frozen
class MeanAbsoluteError(Loss[tuple[Array, Array | None]]):
    """L = Σ |ŷ − y| / n, where n counts samples times outputs; ∂L/∂ŷ = sgn(ŷ − y) / n, and 0 where ŷ = y.

    Raises:
        ShapeError: when the target has not exactly the prediction's shape.
    """

    formula = LossFormula("total(abs(prediction - target)) / n", "sign(prediction - target) / n")

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, Array | None]]:
        check_same_shape(prediction, target)
        difference = prediction - target
        return mean(np.abs(difference), sample_weight), (difference, sample_weight)

    def backward(self, saved: tuple[Array, Array | None]) -> Array:
        difference, weight = saved
        return mean_backward(np.sign(difference), weight)


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
