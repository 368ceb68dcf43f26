"""Targets: labels, one-hot rows and binary targets, those of several losses; and weights of classes."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from math import inf
from numbers import Integral, Real
from typing import Any

import numpy as np
from attrs import evolve, field, frozen

from deepbp import kernels
from deepbp._validation import as_numbers, as_type, check_same_length
from deepbp.errors import (
    ArgumentTypeError,
    ConfigurationError,
    ContractError,
    DataError,
    DataTypeError,
    ShapeError,
    shown,
)
from deepbp.errors.validators import optional, whole_number
from deepbp.formulas.language import LossFormula
from deepbp.losses.loss import (
    Loss,
    MeanLoss,
    MeanSaved,
    Saved,
    check_range,
    check_same_shape,
    missing_flatten,
    not_arrays,
)
from deepbp.typing import Array, ArrayLike, Shape


class PreparedTarget(np.ndarray[Any, Any]):
    """Targets that losses convert to different arrays: the first of them, and as ``parts`` that of each loss.

    Selecting samples selects those of the parts, too. After any other operation there are no parts, and a loss raises
    ``ContractError`` instead of computing with targets that are not its own.
    """

    _parts: tuple[Array, ...] | None = None

    @classmethod
    def of(cls, whole: Array, parts: Sequence[Array] | None) -> "PreparedTarget":
        """Join an array (N, …) and the targets (N, …) of each loss."""
        made = np.asarray(whole).view(cls)
        made._parts = None if parts is None else tuple(parts)
        return made

    @property
    def parts(self) -> tuple[Array, ...]:
        """The targets of each loss."""
        if self._parts is None:
            raise ContractError(
                "target: expected what prepare_target returned, or some of its samples, got an array computed from it: "
                "compute before prepare_target"
            )
        return self._parts

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        if self._parts is not None and (isinstance(key, slice) or (isinstance(key, np.ndarray) and key.ndim == 1)):
            found._parts = tuple(part[key] for part in self._parts)  # pyright: ignore[reportAttributeAccessIssue]
        return found

    def take(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise"
    ) -> Any:
        """Select samples, where axis is 0."""
        return self[np.asarray(indices)] if axis == 0 else super().take(indices, axis, out, mode)

    def astype(self, *arguments: Any, **options: Any) -> Any:
        """Convert all floats; labels stay whole numbers."""

        def converted(array: Array) -> Array:
            return array.astype(*arguments, **options) if array.dtype.kind == "f" else array

        return PreparedTarget.of(converted(np.asarray(self)), [converted(part) for part in self.parts])

    def __deepcopy__(self, memo: Any) -> "PreparedTarget":
        return PreparedTarget.of(np.array(self), deepcopy(self._parts, memo))

    def __reduce__(self) -> Any:
        return PreparedTarget.of, (np.asarray(self), self._parts)


def same_targets(one: Array, other: Array) -> bool:
    """Whether two prepared targets are the same numbers of the same dtype, without parts."""
    if isinstance(one, PreparedTarget) or isinstance(other, PreparedTarget):
        return False
    return one is other or (one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True))


def prepare_labels(
    target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str, ignored: int | None = None
) -> Array:
    """Validated labels as indices, or one-hot rows of the network's dtype."""
    if type(target) is np.ndarray and target.dtype.kind in "iu" and target.ndim and target.size:
        array: Array = target
    else:
        array = as_numbers(target, name)
    if not output_shape:
        raise ShapeError(f"{name}: a classifier needs a score for each class, got outputs of shape ()")
    if array.shape[1:] == output_shape:
        array = as_type(array, name, dtype)
    elif array.dtype.kind in "iub":
        array = array.astype(np.intp, copy=False)
    checked = array
    if ignored is not None and array.dtype.kind in "iu":
        checked = np.where(array == ignored, 0, array)
    check_labels(checked, (len(array), *output_shape), name, target)
    return array


def check_labels(target: Array, scores: Shape, name: str = "target", data: Any = None) -> None:
    """Raise unless the target fits scores (B, …, C): labels (B, …) from 0 to C − 1, or rows that sum to 1.

    The fix in a message is written for ``data``, from which the target was converted.
    """
    if not isinstance(target, np.ndarray):
        raise not_arrays(target=target)
    classes = scores[-1]
    own = name.rpartition(": ")[2]  # without the place before it
    whole = own if data is None or isinstance(data, np.ndarray) else f"numpy.asarray({own})"
    if scores[0] == 0:
        raise DataError(f"{name}: expected at least one sample, got none")
    if target.shape == scores[:-1]:
        if target.dtype.kind not in "iu":
            raise DataTypeError(
                f"{name}: expected whole-number labels, got {target.dtype}: use {whole}.astype(int) if they are labels"
            )
        low, high = target.min(), target.max()
        if low < 0 or high >= classes:
            raise DataError(
                f"{name}: expected labels from 0 to {classes - 1}, for the network has {classes} outputs, "
                f"got {low if low < 0 else high}"
            )
    elif target.shape == scores:
        check_rows(target, name)
    else:
        fix = f": use {whole}.reshape(-1) for labels" if target.shape == (*scores[:-1], 1) else ""
        fix = fix or missing_flatten(target, scores[1:])
        raise ShapeError(
            f"{name}: expected labels of shape {scores[:-1]} or one-hot rows of shape {scores}, got {target.shape}{fix}"
        )


def check_rows(target: Array, name: str = "target") -> None:
    """Raise unless the target holds rows (B, …, C) of probabilities, each with the sum 1."""
    if target.ndim < 2:
        raise ShapeError(f"{name}: expected rows of a number for each class, (B, …, C), got {target.shape}")
    check_range(target, name, "one-hot rows hold 0 and a single 1")
    if not np.allclose(target.sum(axis=-1), 1, atol=1e-3):
        raise DataError(f"{name}: expected rows that sum to 1, as one-hot labels do, got {target.sum(axis=-1).min()}")


def as_rows(target: Array, prediction: Array, smoothing: float = 0.0) -> Array:
    """Validated labels (B, …), or rows, as rows (B, …, C) of the prediction's dtype, smoothed: (1 − s) y + s / C."""
    if target.ndim < prediction.ndim:
        rows = np.zeros_like(prediction)
        np.put_along_axis(rows, target[..., None], 1, axis=-1)
        target = rows
    s = float(smoothing)  # a NumPy number would bring its dtype along
    return (1 - s) * target + s / prediction.shape[-1] if s else target


def smoothed(formula: LossFormula, classes: str = "classes") -> LossFormula:
    """The formula with (1 − s) y + s / C in place of y, for a loss with a field ``label_smoothing``."""
    target = f"((1 - label_smoothing) * target + label_smoothing / {classes})"
    value, delta = (expression.replace("target", target) for expression in (formula.value, formula.delta))
    return evolve(formula, value=value, delta=delta)


def row_weights(sample_weight: Array | None, prediction: Array) -> Array | None:
    """Sample weights as a vector with one weight for each row (…, C) of the prediction."""
    if sample_weight is None:
        return None
    if not isinstance(sample_weight, np.ndarray):
        raise not_arrays(sample_weight=sample_weight)
    places = prediction.shape[:-1]
    if sample_weight.ndim > 1 and sample_weight.shape == places:
        return sample_weight.reshape(-1)
    if sample_weight.ndim != 1:
        whole = "" if len(places) < 2 else f", or one a label, shape {places}"
        raise ShapeError(f"sample_weight: expected one weight a sample{whole}, got shape {sample_weight.shape}")
    check_same_length(prediction=prediction, sample_weight=sample_weight)
    rows = prediction.size // prediction.shape[-1]
    return np.repeat(sample_weight, rows // len(sample_weight))


class ClassTargetLoss(Loss[Saved]):
    """Base class of losses whose targets are labels or one-hot rows.

    A subclass with a field ``ignore_label`` leaves out the rows with this label: their share is 0, in value and
    gradient.
    """

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        return prepare_labels(target, output_shape, dtype, name, getattr(self, "ignore_label", None))

    def _present(self, prediction: Array, target: Array) -> Array | None:
        """Whether each label (B, …) is one that counts; None if all do."""
        ignored = getattr(self, "ignore_label", None)
        if ignored is None or np.shape(target) != np.shape(prediction)[:-1] or target.dtype.kind not in "iu":
            return None
        present = target != ignored
        return None if present.all() else present

    def _without_ignored(
        self, prediction: Array, target: Array, sample_weight: Array | None
    ) -> tuple[Array, Array | None]:
        """The targets, and the weights of their rows (N,) or None: ignored labels get the weight 0."""
        weight = row_weights(sample_weight, prediction)
        present = self._present(prediction, target)
        if present is None:
            return target, weight
        # An ignored label becomes the class of the largest score, whose term is finite: 0 · ∞ would be NaN.
        shown = present.reshape(-1).astype(prediction.dtype)
        return np.where(present, target, prediction.argmax(axis=-1)), shown if weight is None else weight * shown

    def _counted(
        self, prediction: Array, target: Array, sample_weight: Array | None, weighted: bool = True
    ) -> tuple[Array, Array, Array | None]:
        present = self._present(prediction, target)
        if present is None:
            return prediction, target, sample_weight
        weight = row_weights(sample_weight, prediction)
        return prediction[present], target[present], None if weight is None else weight[present.reshape(-1)]

    def probabilities(self, prediction: Array) -> Array | None:
        return softmax(prediction) if self.expects == "logits" else super().probabilities(prediction)

    def check(self, prediction: Array, target: Array) -> None:
        """Validate one batch, as ``MeanLoss.check`` does."""
        if not getattr(prediction, "shape", ()):
            raise not_arrays(prediction=prediction)
        check_labels(target, prediction.shape)


label_number = whole_number(-(2**31))


@frozen
class ClassTermsLoss(ClassTargetLoss[MeanSaved], MeanLoss):
    """Base class of losses of classes with one term for each row, which leave out ignored labels."""

    ignore_label: int | None = field(default=None, kw_only=True, validator=optional(label_number))

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, MeanSaved]:
        if self.ignore_label is not None and isinstance(prediction, np.ndarray) and prediction.ndim > 0:
            target, weight = self._without_ignored(prediction, target, sample_weight)
            sample_weight = weight if weight is None else weight.reshape(prediction.shape[:-1])
        return super().forward(prediction, target, sample_weight)


class BinaryTargetLoss(MeanLoss):
    """Base class of losses whose targets are 0 or 1, of the prediction's shape."""

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        array = super().prepare_target(target, output_shape, dtype, name)
        check_binary(array, name)
        return array

    def probabilities(self, prediction: Array) -> Array | None:
        return sigmoid(prediction) if self.expects == "logits" else super().probabilities(prediction)

    def check(self, prediction: Array, target: Array) -> None:
        check_same_shape(prediction, target)
        check_binary(target, "target")


def sigmoid(logits: Array) -> Array:
    """The probability σ(z) of each logit."""
    return np.asarray(kernels.sigmoid(logits))


def softmax(logits: Array) -> Array:
    """The probabilities of classes along the last axis."""
    return np.asarray(kernels.softmax(logits))


def check_binary(target: Array, name: str) -> None:
    """Raise DataError unless every number is 0 or 1; for −1 and 1, the other convention, the message has the fix."""
    wrong = target[(target != 0) & (target != 1)]
    if wrong.size:
        fix = (
            f"use ({name.rpartition(': ')[2]} + 1) / 2"
            if np.isin(target, (-1, 1)).all()
            else "encode the answers as 0 and 1"
        )
        raise DataError(f"{name}: expected answers 0 or 1, got {wrong.flat[0]}: {fix}")


def sample_weights(class_weight: Mapping[Any, float] | str, target: Array, output_shape: Shape) -> Array:
    """Sample weights (N,), in float64, from class weights.

    Args:
        class_weight: ``{0: 1.0, 1: 5.0}``, where a class that is not named has weight 1; or ``"balanced"``: N / (K Nₖ)
            for a class with Nₖ of N samples, with K classes that occur. All classes then have the same total weight,
            and the mean of all weights is 1.
        target: as returned by ``loss.prepare_target``: labels (N,), one-hot rows (N, C), or binary targets (N, 1).
        output_shape: of the network: (C,), a score for each class, or (1,) for binary targets.

    Raises:
        ArgumentTypeError, ConfigurationError: when ``class_weight`` does not fit these classes.
        ShapeError, DataError: when a sample does not belong to exactly one class.

    >>> import numpy as np
    >>> from deepbp.losses import sample_weights
    >>> sample_weights("balanced", np.array([0, 0, 0, 1]), output_shape=(2,))  # 4 / (2 · 3), and 4 / (2 · 1)
    array([0.66666667, 0.66666667, 0.66666667, 2.        ])

    Source: King & Zeng 2001, "Logistic regression in rare events data", for "balanced" (scikit-learn's convention).
    """
    labels = class_labels(target, output_shape)
    classes = max(2, output_shape[-1])
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(labels, minlength=classes)
        return np.asarray(len(labels) / (np.count_nonzero(counts) * counts[labels]))
    if not isinstance(class_weight, Mapping):
        raise ArgumentTypeError(
            f"class_weight: expected a weight for each class, such as {{0: 1.0, 1: 5.0}}, or 'balanced', "
            f"got {shown(class_weight)}"
        )
    weights = np.ones(classes)
    for label, weight in class_weight.items():
        weights[_checked_label(label, classes)] = _checked_weight(weight, label)
    return np.asarray(weights[labels])


def class_labels(target: Array, output_shape: Shape, name: str = "class_weight") -> Array:
    """The class of each sample."""
    if target.ndim == 1 and target.dtype.kind in "iu" and len(output_shape) == 1:
        return target
    if target.ndim != 2 or target.shape[1:] != output_shape:
        fix = ": use sample_weight" if name == "class_weight" else ""
        raise ShapeError(
            f"{name}: expected one class for each sample: labels (N,), one-hot rows (N, C) or answers (N, 1), "
            f"got targets {target.shape} for outputs of shape {output_shape}{fix}"
        )
    if not ((target == 0) | (target == 1)).all() or (target.shape[1] > 1 and (target.sum(axis=1) != 1).any()):
        raise DataError(
            f"{name}: expected one class for each sample: answers 0 or 1, or rows of 0 and a single 1, got others"
        )
    labels: Array = target[:, 0].astype(np.intp) if target.shape[1] == 1 else target.argmax(axis=1)
    return labels


def _checked_label(label: Any, classes: int) -> int:
    if isinstance(label, bool) or not isinstance(label, Integral):
        raise ArgumentTypeError(f"class_weight: expected whole-number labels as keys, got {shown(label)}")
    if not 0 <= int(label) < classes:
        raise ConfigurationError(f"class_weight: expected labels from 0 to {classes - 1}, got {shown(label)}")
    return int(label)


def _checked_weight(weight: Any, label: int) -> float:
    if isinstance(weight, bool) or not isinstance(weight, Real):
        raise ArgumentTypeError(f"class_weight: expected a number for class {label}, got {shown(weight)}")
    if not 0 <= float(weight) < inf:
        raise ConfigurationError(
            f"class_weight: expected a number of at least 0 for class {label}, got {shown(weight)}"
        )
    return float(weight)
