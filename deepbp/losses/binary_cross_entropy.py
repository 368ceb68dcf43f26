"""How surprising yes-or-no answers are, given their predicted probabilities."""

from typing import Any

import numpy as np
from attrs import frozen

from deepbp import kernels
from deepbp.layers.formula import LossFormula
from deepbp.losses.loss import Loss, check_range, check_same_shape, weight_column
from deepbp.typing import Array, ArrayLike, Shape

_FIX_TARGET = "encode the answers as 0 and 1"


class _BinaryLoss(Loss[tuple[Array, Array, Array | None]]):
    """What both forms share: targets from 0 to 1, and a mean over samples and outputs."""

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        array = super().prepare_target(target, output_shape, dtype, name)
        check_range(array, name, _FIX_TARGET)
        return array

    def _check(self, prediction: Array, target: Array, sample_weight: Array | None) -> Array | None:
        check_same_shape(prediction, target)
        check_range(target, "target", _FIX_TARGET)
        return None if sample_weight is None else weight_column(sample_weight, prediction)


@frozen
class BinaryCrossEntropy(_BinaryLoss):
    """L = −Σ [y ln p + (1 − y) ln(1 − p)] / n, where n counts samples times outputs; ∂L/∂p = (p − y) / (p (1 − p) n).

    p is the prediction, a probability, as a Sigmoid layer gives it; exactly 0 and 1 are replaced by their nearest
    neighbours in the dtype, so that loss and error signal stay finite. ``SigmoidBinaryCrossEntropy`` on the scores
    themselves is more accurate.

    Raises:
        ShapeError: when the target has not exactly the prediction's shape.
        DataError: when a prediction or a target lies outside [0, 1].
    """

    expects = "probabilities"
    formula = LossFormula(
        "-total(target * log(prediction) + (1 - target) * log(1 - prediction)) / n",
        "(prediction - target) / (prediction * (1 - prediction) * n)",
        symbols={"prediction": "p"},
    )

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, Array, Array | None]]:
        weight = self._check(prediction, target, sample_weight)
        check_range(prediction, "prediction", "end the network with Sigmoid(), or use SigmoidBinaryCrossEntropy()")
        limits = np.finfo(prediction.dtype)
        p = np.clip(prediction, limits.tiny, 1 - limits.epsneg)
        terms = target * np.log(p) + (1 - target) * np.log1p(-p)
        value = terms.sum() if weight is None else (terms * weight).sum()
        return -float(value) / terms.size, (p, target, weight)

    def backward(self, saved: tuple[Array, Array, Array | None]) -> Array:
        p, target, weight = saved
        delta = (p - target) / (p * (1 - p)) / p.size
        return np.asarray(delta if weight is None else delta * weight)


@frozen
class SigmoidBinaryCrossEntropy(_BinaryLoss):
    """L = Σ [ln(1 + eᶻ) − y z] / n, where n counts samples times outputs; ∂L/∂z = (σ(z) − y) / n.

    Binary cross-entropy of σ(z), on logits: the prediction z is a score of any size, from a network that ends
    *without* Sigmoid.

    Raises:
        ShapeError: when the target has not exactly the prediction's shape.
        DataError: when a target lies outside [0, 1].
    """

    expects = "logits"
    formula = LossFormula(
        "total(log(1 + exp(prediction)) - target * prediction) / n",
        "(sigmoid(prediction) - target) / n",
        symbols={"prediction": "z"},
    )

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, Array, Array | None]]:
        weight = self._check(prediction, target, sample_weight)
        z = prediction
        terms = np.maximum(z, 0) - z * target + np.log1p(np.exp(-np.abs(z)))  # no overflow for any z
        value = terms.sum() if weight is None else (terms * weight).sum()
        return float(value) / z.size, (z, target, weight)

    def backward(self, saved: tuple[Array, Array, Array | None]) -> Array:
        z, target, weight = saved
        delta = (kernels.sigmoid(z) - target) / z.size
        return np.asarray(delta if weight is None else delta * weight)
