"""Regression losses: distances between prediction and target."""

from math import isfinite
from typing import Any

import numpy as np
from attrs import field, frozen

from deepbp import kernels
from deepbp.errors import ShapeError
from deepbp.errors.validators import number, positive, scalar_or_each, scalar_or_tuple
from deepbp.formulas.language import LossFormula
from deepbp.losses.loss import Loss, MeanLoss, check_same_shape, limits, not_arrays, per_output, weight_column
from deepbp.program.program import Program, Slot
from deepbp.typing import Array, ArrayLike, Shape


def _squared_error(prediction: Array, target: Array, sample_weight: Array | None, factor: float) -> tuple[float, Array]:
    """Σ w (ŷ − y)², and factor · w (ŷ − y)."""
    if sample_weight is None:
        return kernels.squared_error(prediction, target, factor)
    weight_column(sample_weight, prediction)  # validates them
    return kernels.weighted_squared_error(prediction, target, sample_weight.reshape(-1), factor)


@frozen
class SumSquaredError(Loss[Array]):
    """Sum of squared errors, L = scale · Σ (ŷ − y)², over all samples and outputs; ∂L/∂ŷ = 2 · scale · (ŷ − y).

    Raises ``ShapeError`` unless prediction and target have the same shape.

    Args:
        scale: 1 is the notes' sum, 0.5 the textbook's ½Σ.

    >>> import numpy as np
    >>> from deepbp.losses import SumSquaredError
    >>> SumSquaredError().forward(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]]))  # the loss, and ∂L/∂ŷ
    (4.0, array([[ 0., -4.]]))

    Source: the notes' steps 1 and 3.
    """

    reduction = "sum"
    formula = LossFormula("scale * total((prediction - target)**2)", "2 * scale * (prediction - target)")

    scale: float = field(default=1.0, validator=positive)

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        check_same_shape(prediction, target)
        total, delta = _squared_error(prediction, target, sample_weight, 2 * self.scale)
        return self.scale * total, delta

    def backward(self, delta: Array) -> Array:
        return delta

    def lower(self, program: Program, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        program.squared_error(self, prediction, target, weight, float(self.scale))


@frozen
class MeanSquaredError(Loss[Array]):
    """Mean squared error, L = Σ (ŷ − y)² / n, where n counts samples times outputs; ∂L/∂ŷ = 2 (ŷ − y) / n.

    Raises ``ShapeError`` unless prediction and target have the same shape.

    >>> import numpy as np
    >>> from deepbp.losses import MeanSquaredError
    >>> MeanSquaredError().forward(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]]))  # the loss, and ∂L/∂ŷ
    (2.0, array([[ 0., -2.]]))
    """

    formula = LossFormula("total((prediction - target)**2) / n", "2 * (prediction - target) / n")

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        check_same_shape(prediction, target)
        total, delta = _squared_error(prediction, target, sample_weight, 2 / prediction.size)
        return total / prediction.size, delta

    def backward(self, delta: Array) -> Array:
        return delta

    def lower(self, program: Program, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        program.squared_error(self, prediction, target, weight, 0.0)


@frozen
class MeanAbsoluteError(MeanLoss):
    """Mean absolute error, L = Σ |ŷ − y| / n, where n counts samples times outputs; ∂L/∂ŷ = sgn(ŷ − y) / n.

    At the kink, ŷ = y, the derivative is 0. Raises ``ShapeError`` unless prediction and target have the same shape.

    >>> import numpy as np
    >>> from deepbp.losses import MeanAbsoluteError
    >>> loss = MeanAbsoluteError()
    >>> value, saved = loss.forward(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]]))
    >>> value, loss.backward(saved)
    (1.0, array([[ 0. , -0.5]]))
    """

    formula = LossFormula("total(abs(prediction - target)) / n", "sign(prediction - target) / n")

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        difference = prediction - target
        return np.abs(difference), np.sign(difference)

    def lower(self, program: Program, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        self._lower_terms(program, prediction, target, weight, "absolute_error")


_SIZE = "minimum(abs(prediction - target), delta)"


@frozen
class Huber(MeanLoss):
    """Huber loss, L = Σ h / n, with d = ŷ − y, h = ½d² where |d| ≤ δ, and h = δ(|d| − ½δ) elsewhere.

    ∂L/∂ŷ = d / n, clipped to ±δ / n; n counts samples times outputs. In one formula, h = c(d − ½c) with c = d clipped
    to ±δ. Raises ``ShapeError`` unless prediction and target have the same shape.

    Args:
        delta: δ, the error at which the loss turns from quadratic to linear.

    >>> import numpy as np
    >>> from deepbp.losses import Huber
    >>> value, saved = Huber(delta=1.0).forward(np.array([[1.0, 3.0]]), np.array([[0.5, 0.0]]))
    >>> value, Huber().backward(saved)  # (½ · 0.5² + 3 − ½) / 2
    (1.3125, array([[0.25, 0.5 ]]))

    Source: Huber 1964, "Robust estimation of a location parameter".
    """

    formula = LossFormula(
        f"total({_SIZE} * (abs(prediction - target) - {_SIZE} / 2)) / n",
        "maximum(minimum(prediction - target, delta), -delta) / n",
        symbols={"delta": "δ"},
    )

    delta: float = field(default=1.0, validator=positive)

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        difference = prediction - target
        limit = float(self.delta)  # a NumPy number would bring its dtype along
        clipped = difference.clip(-limit, limit)
        return clipped * (difference - clipped / 2), clipped

    def lower(self, program: Program, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        self._lower_terms(program, prediction, target, weight, "huber", float(self.delta))


@frozen
class LogCosh(MeanLoss):
    """Log-cosh loss, L = Σ ln cosh(ŷ − y) / n, where n counts samples times outputs; ∂L/∂ŷ = tanh(ŷ − y) / n.

    Raises ``ShapeError`` unless prediction and target have the same shape.

    >>> import numpy as np
    >>> from deepbp.losses import LogCosh
    >>> value, saved = LogCosh().forward(np.array([[np.log(2)]]), np.array([[0.0]]))
    >>> round(value, 4), LogCosh().backward(saved)  # cosh(ln 2) = (2 + ½) / 2 = 1.25, tanh(ln 2) = 1.5 / 2.5
    (0.2231, array([[0.6]]))
    """

    formula = LossFormula("total(log(cosh(prediction - target))) / n", "tanh(prediction - target) / n")

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        return kernels.log_cosh(prediction, target)

    def lower(self, program: Program, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        self._lower_terms(program, prediction, target, weight, "log_cosh")


@frozen
class Quantile(MeanLoss):
    """Quantile (pinball) loss, L = Σ max(q (y − ŷ), (q − 1)(y − ŷ)) / n; ∂L/∂ŷ = (𝟙[ŷ > y] − q) / n, and 0 where ŷ = y.

    With q = 0.9, a prediction that is too low costs nine times as much as one that is too high by the same amount, so
    the best prediction is the number that 90 % of the targets stay below. n counts the numbers of the prediction.
    Raises ``ShapeError`` unless the target has the shape described.

    Args:
        quantiles: a single q, such as ``0.5`` for the median; prediction and target then have the same shape. Or
            several, ``(0.1, 0.5, 0.9)``: the last axis of the prediction (B, …, Q) holds one estimate for each, and the
            target is (B, …, 1). A network then ends with ``Dense(3)``; for K numbers of three quantiles each, with
            ``Dense(3 * K)`` and ``Reshape((K, 3))``, and the targets are (B, K, 1).

    >>> import numpy as np
    >>> from deepbp.losses import Quantile
    >>> value, saved = Quantile((0.1, 0.9)).forward(np.array([[2.0, 2.0]]), np.array([[3.0]]))
    >>> value, Quantile((0.1, 0.9)).backward(saved)  # both are too low by 1: (0.1 + 0.9) / 2
    (0.5, array([[-0.05, -0.45]]))

    Source: Koenker & Bassett 1978, "Regression quantiles".
    """

    formula = LossFormula(
        "total(quantiles * (target - prediction) + maximum(prediction - target, 0)) / n",
        "((prediction > target) - quantiles * (prediction != target)) / n",
        symbols={"quantiles": "q"},
    )

    quantiles: float | tuple[float, ...] = field(
        default=0.5,
        converter=scalar_or_tuple,
        validator=scalar_or_each(number(lambda q: 0 < q < 1, "a number, or several, above 0 and below 1")),
    )

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        if isinstance(self.quantiles, tuple) and output_shape:
            output_shape = (*output_shape[:-1], 1)
        return super().prepare_target(target, output_shape, dtype, name)

    def check(self, prediction: Array, target: Array) -> None:
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
            check_same_shape(prediction[..., :1], target)  # finds an empty batch

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        q = per_output(self.quantiles, prediction, "Quantile: prediction")
        above = prediction - target
        return np.maximum(above, 0) - q * above, (above > 0) - q * (above != 0)

    def lower(self, program: Program, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        q, several = self.quantiles, isinstance(self.quantiles, tuple)
        self._lower_terms(program, prediction, target, weight, "quantile", of_outputs=q, one_target=several)


_DOT, _PREDICTED, _TRUE = "row_sum(prediction * target)", "row_sum(prediction**2)", "row_sum(target**2)"


@frozen
class CosineSimilarity(MeanLoss):
    """Cosine loss, L = Σ (1 − cos) / N with cos = ŷ·y / (|ŷ| |y|) along the last axis.

    ∂L/∂ŷ = (cos ŷ / |ŷ| − y / |y|) / (|ŷ| N); N is the number of vectors (B, …), the samples where the shape is (B, D).
    The loss of a vector lies between 0, the same direction, and 2, the opposite one. A vector of zeros, or one shorter
    than the root of the smallest number of the dtype (1e-19 in float32), has loss 1 and gradient 0. Raises
    ``ShapeError`` unless prediction and target are vectors of the same shape.

    >>> import numpy as np
    >>> from deepbp.losses import CosineSimilarity
    >>> value, saved = CosineSimilarity().forward(np.array([[2.0, 0.0]]), np.array([[0.0, 3.0]]))  # a right angle
    >>> value, CosineSimilarity().backward(saved)
    (1.0, array([[ 0. , -0.5]]))
    """

    _by_rows = True
    formula = LossFormula(
        f"total(1 - {_DOT} / (sqrt({_PREDICTED}) * sqrt({_TRUE}))) / rows",
        f"(prediction * ({_DOT} / {_PREDICTED}) - target) / (sqrt({_PREDICTED}) * sqrt({_TRUE}) * rows)",
        symbols={"rows": "N"},
    )

    def check(self, prediction: Array, target: Array) -> None:
        check_same_shape(prediction, target)
        if prediction.ndim < 2:
            raise ShapeError(f"loss: expected vectors, (B, …, D), got predictions of shape {prediction.shape}")

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        unit, inverse = _directions(prediction)
        true, inverse_true = _directions(target.astype(prediction.dtype, copy=False))
        # 1 − cos = |u − v|² / 2 for unit vectors, which is accurate to the last digit near 0.
        apart = unit - true
        terms = (apart * apart).sum(axis=-1, keepdims=True) / 2
        both = (inverse > 0) & (inverse_true > 0)
        return np.where(both, terms, 1)[..., 0], ((1 - terms) * unit - true) * inverse * both


def _directions(vectors: Array) -> tuple[Array, Array]:
    """(v / |v|, 1 / |v|), or (0, 0) where |v| is too short to divide by."""
    length = np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True))
    if (
        not isfinite(np.add.reduce(length, axis=None)) and np.isfinite(vectors).all()
    ):  # a square overflowed: take the directions of shorter vectors
        scale = np.maximum(np.abs(vectors).max(axis=-1, keepdims=True), 1)
        unit, inverse = _directions(vectors / scale)
        return unit, inverse / scale
    long_enough = length > np.sqrt(limits(vectors).tiny)
    inverse = np.where(long_enough, 1 / np.where(long_enough, length, 1), 0)
    return vectors * inverse, inverse
