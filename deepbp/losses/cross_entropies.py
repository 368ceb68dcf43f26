"""Cross-entropy losses for classification."""

from typing import Any, ClassVar

import numpy as np
from attrs import field, frozen

from deepbp import kernels
from deepbp.errors.validators import fraction, non_negative, number, optional, positive
from deepbp.formulas.language import LossFormula
from deepbp.losses.loss import (
    Loss,
    Saved,
    as_tuple,
    check_range,
    check_same_shape,
    each,
    for_each,
    limits,
    mean,
    mean_backward,
    not_arrays,
)
from deepbp.losses.targets import (
    AnswerLoss,
    as_rows,
    check_answers,
    check_labels,
    prepare_labels,
    row_weights,
    smoothed,
)
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


SoftmaxSaved = tuple[
    Array, Array, Array | None, Shape
]  # rows of probabilities, labels or one-hot rows, weights, the shape


@frozen
class SoftmaxCrossEntropy(Loss[SoftmaxSaved]):
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

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, SoftmaxSaved]:
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

    def _forward_one_hot(
        self, z: Array, target: Array, weight: Array | None, shape: Shape
    ) -> tuple[float, SoftmaxSaved]:
        probability = kernels.softmax(z)
        shifted = z - z.max(axis=1, keepdims=True)  # so that no exponential overflows
        terms = np.log(np.exp(shifted).sum(axis=1)) * target.sum(axis=1) - (shifted * target).sum(axis=1)
        value = terms.sum() if weight is None else terms @ weight
        return float(value) / len(z), (probability, target, weight, shape)

    def backward(self, saved: SoftmaxSaved) -> Array:
        probability, target, weight, shape = saved
        if target.ndim == 1:
            return np.asarray(kernels.softmax_cross_entropy_backward(probability, target, weight)).reshape(shape)
        delta = (probability * target.sum(axis=1, keepdims=True) - target) / len(probability)
        return np.asarray(delta if weight is None else delta * weight[:, None]).reshape(shape)


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


_MISSED = "abs(target - sigmoid(prediction))"


@frozen
class SigmoidFocal(AnswerLoss[tuple[Array, Array | None]]):
    """L = −Σ a (1 − p)^γ ln p / n, with p the probability of the right answer, σ(z) for 1 and 1 − σ(z) for 0.

    On logits: the prediction z is a score of any size, from a network that ends *without* Sigmoid. n counts samples
    times outputs. With s = 1 for the answer 1 and −1 for 0, ∂L/∂z = s a (1 − p)^γ (γ p ln p − (1 − p)) / n. γ = 0
    without α is ``SigmoidBinaryCrossEntropy``.

    Args:
        gamma: γ, how much less the answers count that are nearly right.
        alpha: a for the answer 1, and 1 − a for 0; None means 1 for both.

    Raises:
        ShapeError: when the target has not exactly the prediction's shape.
        DataError: when a target is neither 0 nor 1.

    Source: Lin et al. 2017, "Focal loss for dense object detection", whose best are γ = 2 with α = 0.25.
    """

    expects = "logits"

    gamma: float = field(default=2.0, validator=non_negative)
    alpha: float | None = field(
        default=0.25, validator=optional(number(lambda a: 0 <= a <= 1, "a number from 0 to 1, or None"))
    )

    def stated_formula(self) -> LossFormula:
        shares = "" if self.alpha is None else "(alpha * target + (1 - alpha) * (1 - target)) * "
        slope = f"(gamma * (1 - {_MISSED}) * log(1 - {_MISSED}) - {_MISSED})"
        return LossFormula(
            f"-total({shares}{_MISSED}**gamma * log(1 - {_MISSED})) / n",
            f"(2 * target - 1) * {shares}{_MISSED}**gamma * {slope} / n",
            symbols={"prediction": "z"},
        )

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, Array | None]]:
        check_same_shape(prediction, target)
        check_answers(target)
        side = 2 * target - 1
        z = side * prediction
        p, missed = kernels.sigmoid(z), kernels.sigmoid(-z)  # each accurate where it is small
        log_p = np.minimum(z, 0) - np.log1p(np.exp(-np.abs(z)))
        factor = missed ** float(self.gamma)  # a NumPy number would bring its dtype along
        if self.alpha is not None:
            a = float(self.alpha)
            factor = factor * (a * target + (1 - a) * (1 - target))
        slopes = side * factor * (float(self.gamma) * p * log_p - missed)
        return mean(-factor * log_p, sample_weight), (slopes, sample_weight)

    def backward(self, saved: tuple[Array, Array | None]) -> Array:
        return mean_backward(*saved)
