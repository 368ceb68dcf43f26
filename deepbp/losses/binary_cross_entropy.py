"""How surprising yes-or-no answers are, given their predicted probabilities, or the scores behind them."""

from typing import Any, ClassVar

import numpy as np
from attrs import field, frozen

from deepbp import kernels
from deepbp.errors.validators import fraction, positive
from deepbp.layers.formula import LossFormula
from deepbp.losses.labels import smoothed
from deepbp.losses.loss import Loss, Saved, check_range, check_same_shape, limits
from deepbp.losses.reduction import mean, mean_backward
from deepbp.losses.several import as_tuple, each, for_each
from deepbp.typing import Array, ArrayLike, Shape

_FIX_TARGET = "encode the answers as 0 and 1"


@frozen
class _BinaryLoss(Loss[Saved]):
    """What both forms share: targets from 0 to 1, perhaps smoothed, and a mean over samples and outputs."""

    formula: ClassVar[LossFormula]

    label_smoothing: float = field(default=0.0, kw_only=True, validator=fraction)

    def stated_formula(self) -> LossFormula:
        return smoothed(self.formula, "2") if self.label_smoothing else self.formula

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        array = super().prepare_target(target, output_shape, dtype, name)
        check_range(array, name, _FIX_TARGET)
        return array

    def _answers(self, prediction: Array, target: Array) -> Array:
        """The targets, checked and smoothed."""
        check_same_shape(prediction, target)
        check_range(target, "target", _FIX_TARGET)
        s = float(self.label_smoothing)  # a NumPy number would bring its dtype along
        return (1 - s) * target + s / 2 if s else target


@frozen
class BinaryCrossEntropy(_BinaryLoss[tuple[Array, Array, Array | None]]):
    """L = −Σ [y ln p + (1 − y) ln(1 − p)] / n, where n counts samples times outputs; ∂L/∂p = (p − y) / (p (1 − p) n).

    p is the prediction, a probability, as a Sigmoid layer gives it; exactly 0 and 1 are replaced by their nearest
    neighbours in the dtype, so that loss and error signal stay finite. ``SigmoidBinaryCrossEntropy`` on the scores
    themselves is more accurate.

    Args:
        label_smoothing: s moves the answers towards ½: (1 − s) y + s / 2 stands for y.

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
        y = self._answers(prediction, target)
        check_range(prediction, "prediction", "end the network with Sigmoid(), or use SigmoidBinaryCrossEntropy()")
        numbers = limits(prediction)
        p = np.clip(prediction, numbers.tiny, 1 - numbers.epsneg)
        return -mean(y * np.log(p) + (1 - y) * np.log1p(-p), sample_weight), (p, y, sample_weight)

    def backward(self, saved: tuple[Array, Array, Array | None]) -> Array:
        p, y, weight = saved
        return mean_backward((p - y) / (p * (1 - p)), weight)


@frozen
class SigmoidBinaryCrossEntropy(_BinaryLoss[tuple[Array, Array, Array | None, Array | None]]):
    """L = Σ [w y ln(1 + e⁻ᶻ) + (1 − y) ln(1 + eᶻ)] / n, where n counts samples times outputs, and w is 1 as a rule.

    ∂L/∂z = [(1 − y) σ(z) − w y (1 − σ(z))] / n, which is (σ(z) − y) / n for w = 1. Binary cross-entropy of σ(z), on
    logits: the prediction z is a score of any size, from a network that ends *without* Sigmoid. With several outputs
    this is the loss of several labels for each sample: each output is a question of its own.

    Args:
        pos_weight: w, how much more the answer 1 counts; one number, or one for each output, such as how many times
            rarer than 0 it is there.
        label_smoothing: s moves the answers towards ½: (1 − s) y + s / 2 stands for y.

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

    pos_weight: float | tuple[float, ...] = field(
        default=1.0, kw_only=True, converter=as_tuple, validator=each(positive)
    )

    def stated_formula(self) -> LossFormula:
        plain = super().stated_formula()
        if self.pos_weight == 1:
            return plain
        weighted = LossFormula(
            "total(pos_weight * target * log(1 + exp(-prediction)) + (1 - target) * log(1 + exp(prediction))) / n",
            "((1 - target) * sigmoid(prediction) - pos_weight * target * (1 - sigmoid(prediction))) / n",
            symbols={"prediction": "z", "pos_weight": "w"},
        )
        return smoothed(weighted, "2") if self.label_smoothing else weighted

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, Array, Array | None, Array | None]]:
        z, y = prediction, self._answers(prediction, target)
        rest = np.log1p(np.exp(-np.abs(z)))  # with which ln(1 + eᶻ) is max(z, 0) + rest, and no z overflows
        if self.pos_weight == 1:
            return mean(np.maximum(z, 0) - z * y + rest, sample_weight), (z, y, None, sample_weight)
        yes, no = y * for_each(self.pos_weight, z, "pos_weight"), 1 - y
        both = yes + no
        terms = yes * np.maximum(-z, 0) + no * np.maximum(z, 0) + both * rest
        return mean(terms, sample_weight), (z, yes, both, sample_weight)

    def backward(self, saved: tuple[Array, Array, Array | None, Array | None]) -> Array:
        z, yes, both, weight = saved
        p = kernels.sigmoid(z)
        return mean_backward((p if both is None else both * p) - yes, weight)
