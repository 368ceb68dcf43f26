"""Cross-entropy losses for classification, on probabilities and on logits."""

from math import prod
from typing import Any, ClassVar, TypeAlias

import numpy as np
from attrs import field, frozen

from deepbp import kernels
from deepbp.errors.validators import (
    fraction,
    non_negative,
    optional,
    optional_tuple,
    positive,
    scalar_or_each,
    scalar_or_tuple,
)
from deepbp.formulas.language import LossFormula
from deepbp.kernels.blocks import LANES_BYTES, LONG, long_sum, plan_of_sum
from deepbp.losses.loss import MeanLoss, Saved, check_range, check_same_shape, limits, not_arrays, per_output
from deepbp.losses.targets import (
    ClassTargetLoss,
    as_rows,
    check_labels,
    label_number,
    sigmoid,
    smoothed,
)
from deepbp.program.program import Program, Slot
from deepbp.typing import Array, ArrayLike, Shape

Weighted: TypeAlias = tuple[Array, Array, Array | None]
"""Probabilities, targets, and the weights of the rows."""

SoftmaxSaved: TypeAlias = tuple[Array, Array | None, Shape]
"""Rows of p − y, the weights of the rows, and the shape of the prediction."""

_WEIGHTED = "target * class_weight"


@frozen
class _SmoothedClassLoss(ClassTargetLoss[Saved]):
    """Base class of both cross-entropies: class targets with label smoothing, class weights and an ignored label."""

    formula: ClassVar[LossFormula]  # pyright: ignore[reportIncompatibleVariableOverride]
    _weighted_formula: ClassVar[LossFormula]

    label_smoothing: float = field(default=0.0, kw_only=True, validator=fraction)
    class_weight: float | tuple[float, ...] | None = field(
        default=None, kw_only=True, converter=optional_tuple, validator=optional(scalar_or_each(non_negative))
    )
    ignore_label: int | None = field(default=None, kw_only=True, validator=optional(label_number))

    def stated_formula(self) -> LossFormula:
        formula = self.formula if self.class_weight is None else self._weighted_formula
        return smoothed(formula) if self.label_smoothing else formula

    def _rows(self, target: Array, prediction: Array) -> Array:
        """One-hot rows, smoothed, times the weight of each class."""
        rows = as_rows(target, prediction, self.label_smoothing)
        if self.class_weight is None:
            return rows
        return rows * per_output(self.class_weight, prediction, f"{type(self).__name__}: class_weight")

    def _label_weights(self, labels: Array, weight: Array | None, prediction: Array) -> Array | None:
        """The weights of the rows (N,), times those of the classes of valid labels (N,)."""
        if self.class_weight is None:
            return weight
        place = f"{type(self).__name__}: class_weight"
        each = np.broadcast_to(per_output(self.class_weight, prediction, place), prediction.shape[-1:])[labels]
        return np.asarray(each if weight is None else each * weight)


@frozen
class CrossEntropy(_SmoothedClassLoss[Weighted]):
    """Cross-entropy on probabilities, L = −Σ y ln p / N; ∂L/∂p = −y / (p N).

    The prediction p (B, …, C) holds probabilities from a Softmax layer; y the labels (B, …), or one-hot rows (B, …, C);
    N is the number of rows, the samples where the shape is (B, C). A p of exactly 0 is replaced by the smallest number
    of the dtype, so the loss stays finite. ``SoftmaxCrossEntropy`` on logits is more accurate and faster.
    Raises ``ShapeError``, ``DataTypeError`` or ``DataError`` for labels of another shape, dtype or range, ``DataError``
    for a prediction outside [0, 1].

    Args:
        label_smoothing: s, the share of each target that is spread over all classes: (1 − s) y + s / C replaces y.
        class_weight: w, one weight for each class, which multiplies its share: w y replaces y, after smoothing. The
            sum is still divided by N; PyTorch's ``weight`` divides by the sum of the labels' weights instead.
        ignore_label: labels of this value, such as −100 for padding, have value and gradient 0. N counts them, so a
            batch without any other label has loss 0; PyTorch's ``ignore_index`` divides by the number of the others.

    >>> import numpy as np
    >>> from deepbp.losses import CrossEntropy
    >>> value, saved = CrossEntropy().forward(np.array([[0.25, 0.75], [0.5, 0.5]]), np.array([0, 1]))
    >>> round(value, 4), CrossEntropy().backward(saved)  # (ln 4 + ln 2) / 2, and −1 / (p · 2)
    (1.0397, array([[-2.,  0.],
           [ 0., -1.]]))
    """

    expects = "probabilities"
    formula = LossFormula(
        "-total(target * log(prediction)) / rows",
        "-target / (prediction * rows)",
        symbols={"prediction": "p", "rows": "N"},
    )

    _weighted_formula = LossFormula(
        "-total(target * class_weight * log(prediction)) / rows",
        "-target * class_weight / (prediction * rows)",
        symbols={"prediction": "p", "rows": "N", "class_weight": "w"},
    )

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Weighted]:
        if not getattr(prediction, "shape", ()) or not isinstance(target, np.ndarray):
            raise not_arrays(prediction=prediction, target=target)
        target, weight = self._without_ignored(prediction, target, sample_weight)
        self.check(prediction, target)
        check_range(prediction, "prediction", "end the network with Softmax(), or use SoftmaxCrossEntropy()")
        p = np.maximum(prediction, limits(prediction).tiny)
        if self.label_smoothing or target.ndim == p.ndim:
            target = self._rows(target, p)
        else:
            weight = self._label_weights(target.reshape(-1), weight, p)
        if target.ndim < p.ndim:
            terms = -kernels.logarithm(np.take_along_axis(p, target[..., None], axis=-1)).reshape(-1)
        else:
            terms = -(target * kernels.logarithm(p)).sum(axis=-1).reshape(-1)
        value = long_sum(terms if weight is None else terms * weight)
        return value / len(terms), (p, target, weight)

    def backward(self, saved: Weighted) -> Array:
        p, target, weight = saved
        share = np.full(p.size // p.shape[-1], p.shape[-1] / p.size, p.dtype)
        if weight is not None:
            share *= weight
        column = share.reshape(*p.shape[:-1], 1)
        if target.ndim == p.ndim:
            return np.asarray(-target / p * column)
        # With labels, only the entry of the right class differs from 0.
        delta = np.zeros_like(p)
        labels = target[..., None]
        np.put_along_axis(delta, labels, -column / np.take_along_axis(p, labels, axis=-1), axis=-1)
        return delta

    def lower(self, program: Program, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        p, own = prediction.value, self.class_weight
        count, classes = prod(p.shape[:-1]), p.shape[-1]
        known = p.ndim > 1 and (not isinstance(own, tuple) or len(own) == classes) and count <= LONG
        labelled = target.shape == p.shape[:-1] and target.dtype == np.int64 and self.ignore_label is None
        fits = weight is None or (weight.dtype, weight.size) == (p.dtype, count)
        if not known or not labelled or not fits or self.label_smoothing:
            super().lower(program, prediction, target, weight)
            return
        plan = np.array(plan_of_sum(count), np.int64)
        memory = (np.zeros(count, p.dtype), plan, len(plan), np.zeros(len(plan), p.dtype))
        weights = 0 if weight is None else weight, 0 if own is None else np.full(classes, own, p.dtype)
        row = p, target, prediction.delta, classes, count // program.rows, *memory, *weights
        program.then("log_loss", *row, float(limits(p).tiny), classes / p.size)


@frozen
class SoftmaxCrossEntropy(_SmoothedClassLoss[SoftmaxSaved]):
    """Softmax and cross-entropy in one, on logits: L = Σ [ln Σⱼ eᶻʲ − Σ y z] / N; ∂L/∂z = (softmax(z) − y) / N.

    The prediction z (B, …, C) holds logits, scores of any size from a network that ends *without* Softmax; y the labels
    (B, …), or one-hot rows (B, …, C); N is the number of rows, the samples where the shape is (B, C). Raises
    ``ShapeError``, ``DataTypeError`` or ``DataError`` for labels of another shape, dtype or range.

    Args:
        label_smoothing: s, the share of each target that is spread over all classes: (1 − s) y + s / C replaces y.
        class_weight: w, one weight for each class, which multiplies its share: w y replaces y, after smoothing. The
            sum is still divided by N; PyTorch's ``weight`` divides by the sum of the labels' weights instead.
        ignore_label: labels of this value, such as −100 for padding, have value and gradient 0. N counts them, so a
            batch without any other label has loss 0; PyTorch's ``ignore_index`` divides by the number of the others.

    >>> import numpy as np
    >>> from deepbp.losses import SoftmaxCrossEntropy
    >>> value, saved = SoftmaxCrossEntropy().forward(np.array([[0.0, np.log(3)]]), np.array([0]))  # p = ¼, ¾
    >>> round(value, 4), SoftmaxCrossEntropy().backward(saved)  # ln 4, and p − y
    (1.3863, array([[-0.75,  0.75]]))

    Source: Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision", section 7, for smoothing.
    """

    expects = "logits"
    formula = LossFormula(
        "total(log(row_sum(exp(prediction))) - row_sum(target * prediction)) / rows",
        "(softmax(prediction) - target) / rows",
        symbols={"prediction": "z", "rows": "N"},
    )

    _weighted_formula = LossFormula(
        f"total(log(row_sum(exp(prediction))) * row_sum({_WEIGHTED}) - row_sum({_WEIGHTED} * prediction)) / rows",
        f"(softmax(prediction) * row_sum({_WEIGHTED}) - {_WEIGHTED}) / rows",
        symbols={"prediction": "z", "rows": "N", "class_weight": "w"},
    )

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, SoftmaxSaved]:
        try:
            z = prediction.reshape(-1, prediction.shape[-1])
            labelled = target.shape == prediction.shape[:-1] and target.dtype.kind in "iu" and len(z) > 0
        except (AttributeError, IndexError):
            raise not_arrays(prediction=prediction, target=target) from None
        weight = sample_weight
        if weight is not None or self.ignore_label is not None:
            target, weight = self._without_ignored(prediction, target, weight)
        if not labelled or self.label_smoothing:
            check_labels(target, prediction.shape)
            rows = as_rows(target, prediction, self.label_smoothing).reshape(z.shape)
            if (labels := one_hot_labels(rows)) is None:
                rows = self._rows(target, prediction).reshape(z.shape)
                value, residual = kernels.soft_cross_entropy(z, rows, weight)
                return value / len(z), (residual, weight, prediction.shape)
            target = labels
        # The kernel raises IndexError for a label out of range; only then are the labels checked, for the message.
        labels = target.reshape(-1).astype(np.intp, copy=False)
        if self.class_weight is not None:
            check_labels(labels, z.shape)
            weight = self._label_weights(labels, weight, prediction)
        try:
            value, residual = kernels.cross_entropy_residual(z, labels, weight)
        except IndexError:
            check_labels(target, prediction.shape)
            raise
        return value / len(z), (residual, weight, prediction.shape)

    def backward(self, saved: SoftmaxSaved) -> Array:
        residual, weight, shape = saved
        return np.asarray(kernels.cross_entropy_residual_backward(residual, weight)).reshape(shape)

    def lower(self, program: Program, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        z, own, s = prediction.value, self.class_weight, float(self.label_smoothing)
        fits = not isinstance(own, tuple) or len(own) == z.shape[-1]  # else the step itself raises
        fits = fits and (weight is None or (weight.dtype, weight.size) == (z.dtype, prod(z.shape[:-1])))
        labelled = target.shape == z.shape[:-1] and target.dtype == np.int64
        fits = fits and (labelled or (target.shape == z.shape and target.dtype == z.dtype))
        if not fits or z.ndim < 2 or (s and z.shape[-1] < 2):
            super().lower(program, prediction, target, weight)
            return
        places, classes, ignored = prod(z.shape[1:-1]), z.shape[-1], self.ignore_label
        count = program.rows * places
        of_classes = 0 if own is None else np.full(classes, own, z.dtype)
        settings = (0 if weight is None else weight, of_classes, np.zeros(count, z.dtype), np.zeros(count, np.int64))
        others = 0 if labelled else program.function_of(self, prediction, target, weight)
        scratches = program.scratch(16 * count + 16), program.scratch(count + 16)
        row = z, target, prediction.delta, classes, places, *scratches
        is_plain = weight is None and own is None and (ignored is None or not labelled)
        name = "smoothed" if s else "softmax" if is_plain else "weighted"
        ignoring = int(labelled and ignored is not None), ignored or 0
        rows = np.zeros_like(z) if s else 0
        of = "few" if classes * z.itemsize <= LANES_BYTES else "many"
        name = f"{name}_cross_entropy_of_{of}{'' if labelled else '_of_rows'}"
        program.then(name, *row, *settings, others, rows, *ignoring, 1 - s, s / classes)


def one_hot_labels(rows: Array) -> Array | None:
    """The labels of rows that hold 0 and a single 1 each; None where other shares are among them."""
    if np.count_nonzero(rows) != len(rows):
        return None
    labels = rows.argmax(axis=1)
    return labels if (rows[np.arange(len(rows)), labels] == 1).all() else None


def log_softmax(z: Array) -> Array:
    """ln softmax(z) along the last axis: −ln(1 + Σ e) for the largest z, where Σ is over the others."""
    shifted = z - z.max(axis=-1, keepdims=True)  # so that no exponential overflows
    e = np.exp(shifted)
    np.put_along_axis(e, shifted.argmax(axis=-1)[..., None], 0, axis=-1)
    return np.asarray(shifted - np.log1p(e.sum(axis=-1, keepdims=True)))


_FIX_TARGET = "encode the answers as 0 and 1"


@frozen
class _BinaryCrossEntropyLoss(MeanLoss):
    """Base class of both binary cross-entropies: targets from 0 to 1, with label smoothing."""

    formula: ClassVar[LossFormula]  # pyright: ignore[reportIncompatibleVariableOverride]

    label_smoothing: float = field(default=0.0, kw_only=True, validator=fraction)

    def stated_formula(self) -> LossFormula:
        return smoothed(self.formula, "2") if self.label_smoothing else self.formula

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        array = super().prepare_target(target, output_shape, dtype, name)
        check_range(array, name, _FIX_TARGET)
        return array

    def probabilities(self, prediction: Array) -> Array | None:
        return sigmoid(prediction) if self.expects == "logits" else super().probabilities(prediction)

    def check(self, prediction: Array, target: Array) -> None:
        check_same_shape(prediction, target)
        check_range(target, "target", _FIX_TARGET)

    def _smoothed(self, target: Array) -> Array:
        s = float(self.label_smoothing)  # a NumPy number would bring its dtype along
        return (1 - s) * target + s / 2 if s else target

    def _settings_of_smoothing(self) -> tuple[float, float]:
        s = float(self.label_smoothing)
        return 1 - s, s / 2


@frozen
class BinaryCrossEntropy(_BinaryCrossEntropyLoss):
    """Binary cross-entropy on probabilities, L = −Σ [y ln p + (1 − y) ln(1 − p)] / n; ∂L/∂p = (p − y) / (p (1 − p) n).

    The prediction p is a probability from a Sigmoid layer; n counts samples times outputs. A p of exactly 0 or 1 is
    replaced by its nearest neighbour in the dtype, so loss and gradient stay finite. ``SigmoidBinaryCrossEntropy`` on
    logits is more accurate. Raises ``ShapeError`` for different shapes, ``DataError`` for numbers outside [0, 1].

    Args:
        label_smoothing: s moves the targets towards ½: (1 − s) y + s / 2 replaces y.

    >>> import numpy as np
    >>> from deepbp.losses import BinaryCrossEntropy
    >>> value, saved = BinaryCrossEntropy().forward(np.array([[0.25]]), np.array([[1.0]]))
    >>> round(value, 4), BinaryCrossEntropy().backward(saved)  # ln 4, and −1 / p
    (1.3863, array([[-4.]]))
    """

    expects = "probabilities"
    formula = LossFormula(
        "-total(target * log(prediction) + (1 - target) * log(1 - prediction)) / n",
        "(prediction - target) / (prediction * (1 - prediction) * n)",
        symbols={"prediction": "p"},
    )

    def check(self, prediction: Array, target: Array) -> None:
        super().check(prediction, target)
        check_range(prediction, "prediction", "end the network with Sigmoid(), or use SigmoidBinaryCrossEntropy()")

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        limits(prediction)  # refuses whole numbers
        return kernels.binary_cross_entropy(prediction, self._smoothed(target))

    def lower(self, program: Program, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        settings = self._settings_of_smoothing()
        self._lower_terms(program, prediction, target, weight, "binary_cross_entropy", *settings)


@frozen
class SigmoidBinaryCrossEntropy(_BinaryCrossEntropyLoss):
    """Sigmoid and binary cross-entropy in one, on logits: L = Σ [w y ln(1 + e⁻ᶻ) + (1 − y) ln(1 + eᶻ)] / n.

    ∂L/∂z = [(1 − y) σ(z) − w y (1 − σ(z))] / n, which is (σ(z) − y) / n for the default w = 1. The prediction z is a
    logit, a score of any size from a network that ends *without* Sigmoid; n counts samples times outputs. With several
    outputs, this is the multi-label loss: each output is a binary classification. Raises ``ShapeError`` for different
    shapes, ``DataError`` for targets outside [0, 1].

    Args:
        pos_weight: w, the weight of the target 1, for unbalanced classes; one number, or one for each output.
        label_smoothing: s moves the targets towards ½: (1 − s) y + s / 2 replaces y.

    >>> import numpy as np
    >>> from deepbp.losses import SigmoidBinaryCrossEntropy
    >>> value, saved = SigmoidBinaryCrossEntropy().forward(np.array([[0.0]]), np.array([[1.0]]))
    >>> round(value, 4), SigmoidBinaryCrossEntropy().backward(saved)  # ln 2, and ½ − 1
    (0.6931, array([[-0.5]]))
    """

    expects = "logits"
    formula = LossFormula(
        "total(log(1 + exp(prediction)) - target * prediction) / n",
        "(sigmoid(prediction) - target) / n",
        symbols={"prediction": "z"},
    )

    pos_weight: float | tuple[float, ...] = field(
        default=1.0, kw_only=True, converter=scalar_or_tuple, validator=scalar_or_each(positive)
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

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        y = self._smoothed(target)
        if self.pos_weight == 1:
            return kernels.sigmoid_cross_entropy(prediction, y, 1 - y)
        positive, negative = y * per_output(self.pos_weight, prediction, "pos_weight"), 1 - y
        return kernels.sigmoid_cross_entropy(prediction, positive, negative, positive + negative)

    def lower(self, program: Program, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        settings, own = self._settings_of_smoothing(), self.pos_weight
        if own == 1:
            self._lower_terms(program, prediction, target, weight, "sigmoid_cross_entropy", *settings)
        else:
            name = "weighted_sigmoid_cross_entropy"
            self._lower_terms(program, prediction, target, weight, name, *settings, of_outputs=own)
