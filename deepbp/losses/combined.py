"""Losses made of losses: on some of the outputs, on the targets that are present, and weighted sums."""

from collections.abc import Sequence
from typing import Any, Literal

import attrs
import numpy as np
from attrs import field, frozen

from deepbp._validation import as_numbers, as_type
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, ShapeError, shown
from deepbp.errors.validators import (
    as_tuple,
    instance_of,
    non_negative,
    non_negative_int,
    optional,
    positive_int,
    scalar_or_each,
)
from deepbp.formulas.language import LossFormula, renamed
from deepbp.losses.loss import Expects, Loss, not_arrays, weight_column
from deepbp.losses.targets import ClassTargetLoss, PreparedTarget, same_targets
from deepbp.typing import Array, ArrayLike, Shape


def _as_columns(columns: Sequence[int] | None) -> tuple[int, int] | None:
    pair: tuple[int, int] | None = as_tuple(columns)
    return pair


def _as_losses(losses: Sequence[Loss[Any]]) -> tuple[Loss[Any], ...]:
    several: tuple[Loss[Any], ...] = as_tuple(losses)
    return several


def _as_weights(weights: Sequence[float] | Array | None) -> tuple[float, ...] | None:
    numbers: tuple[float, ...] | None = as_tuple(weights)
    return numbers


@frozen
class OnOutputs(Loss[tuple[Any, Shape]]):
    """A loss on the columns ``start`` to ``stop`` − 1 of prediction and target; other outputs have gradient 0.

    Columns count from 0 along the last axis (B, …, K). Classes have one-hot rows in their columns, or their labels in a
    single column of the target, ``targets=(1, 2)``. Raises ``ShapeError`` when prediction or target has fewer columns.

    Args:
        loss: the loss of these columns.
        start, stop: the columns of the prediction.
        targets: (start, stop) of the target, where they differ: a ``Quantile`` loss of three quantiles has three
            columns of the prediction and one of the target.

    >>> import numpy as np
    >>> from deepbp.losses import MeanSquaredError, OnOutputs
    >>> loss = OnOutputs(MeanSquaredError(), 1, 2)  # the second column only
    >>> value, saved = loss.forward(np.array([[5.0, 2.0]]), np.array([[0.0, 4.0]]))
    >>> value, loss.backward(saved)
    (4.0, array([[ 0., -4.]]))
    """

    loss: Loss[Any] = field(validator=instance_of(Loss))
    start: int = field(validator=non_negative_int)
    stop: int = field(validator=positive_int)
    targets: tuple[int, int] | None = field(default=None, kw_only=True, converter=_as_columns)

    def __attrs_post_init__(self) -> None:
        if self.stop <= self.start:
            raise ConfigurationError(f"OnOutputs: stop: expected more than start={self.start}, got {self.stop}")
        match self.targets:
            case None:
                return
            case (int(start), int(stop)) if 0 <= start < stop:
                return
            case _:
                raise ConfigurationError(
                    f"OnOutputs: targets: expected (start, stop) of its columns, got {shown(self.targets)}"
                )

    @property
    def reduction(self) -> Literal["sum", "mean"]:  # type: ignore[override]  # that of the loss, not of the class
        """The reduction of the inner loss."""
        return self.loss.reduction

    @property
    def expects(self) -> Expects:  # type: ignore[override]  # as above
        """What the inner loss expects."""
        return self.loss.expects

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        array = as_type(as_numbers(target, name, missing=True), name, dtype, missing=True)  # in columns of other losses
        if not output_shape or output_shape[-1] < self.stop:
            raise ShapeError(f"{self}: expected at least {self.stop} outputs, got outputs of shape {output_shape}")
        own_shape = (*output_shape[:-1], self.stop - self.start)
        own = self._own_targets(array, name)
        name = f"{name}[..., {self._targets[0]}:{self._targets[1]}]"
        if self._has_labels(own):
            labels = _as_labels(own, name)
            prepared = self.loss.prepare_target(labels, own_shape, dtype, name)
            return array if same_targets(prepared, labels) else PreparedTarget.of(array, (prepared,))
        prepared = self.loss.prepare_target(own, own_shape, dtype, name)
        if same_targets(prepared, own):
            return array
        if isinstance(prepared, PreparedTarget) or (prepared.dtype, prepared.shape) != (own.dtype, own.shape):
            return PreparedTarget.of(array, (prepared,))
        converted = array.copy()
        self._own_targets(converted, name)[...] = prepared
        return converted

    def stated_formula(self) -> LossFormula | None:
        """The formula of the inner loss, for its columns."""
        stated, width = self.loss.stated_formula(), self.stop - self.start
        if stated is None:
            return None
        first, end = self._targets
        target = f"columns(target, {first}, {end})"
        if end - first == 1 < width and _of_classes(self.loss):
            target = f"indicators({target}, {width})"
        names = {"prediction": f"columns(prediction, {self.start}, {self.stop})", "target": target}
        names |= {"n": f"(rows * {width})" if width > 1 else "rows", "classes": str(width)}
        delta = f"into_columns({renamed(stated.delta, names)}, {self.start}, {self.stop}, prediction)"
        return LossFormula(renamed(stated.value, names), delta, symbols=stated.symbols)

    def _keeps_targets(self) -> bool:
        return self.loss._keeps_targets()

    def _takes_missing(self) -> bool:
        return self.loss._takes_missing()

    def probabilities(self, prediction: Array) -> Array | None:
        """Those of the inner loss in its columns; the other columns stay as they are."""
        own = self.loss.probabilities(_columns(prediction, "prediction", self.start, self.stop))
        if own is None:
            return None
        whole = prediction.astype(own.dtype)
        whole[..., self.start : self.stop] = own
        return whole

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Any, Shape]]:
        own = _columns(prediction, "prediction", self.start, self.stop)
        if isinstance(target, PreparedTarget):
            own_target = target.parts[0]
        elif self._has_labels(own_target := self._own_targets(target, "target")):
            own_target = _as_labels(own_target, "target")
        value, saved = self.loss.forward(own, own_target, sample_weight)
        return value, (saved, prediction.shape)

    def backward(self, saved: tuple[Any, Shape]) -> Array:
        inner, shape = saved
        own = self.loss.backward(inner)
        delta = np.zeros(shape, own.dtype)
        delta[..., self.start : self.stop] = own
        return delta

    @property
    def _targets(self) -> tuple[int, int]:
        return self.targets or (self.start, self.stop)

    def _has_labels(self, own: Array) -> bool:
        """Whether a column of the target holds labels of several classes."""
        return own.shape[-1] == 1 and self.stop - self.start > 1 and _of_classes(self.loss)

    def _own_targets(self, target: Array, name: str) -> Array:
        return _columns(target, name, *self._targets)


def _fields_of(loss: Loss[Any]) -> dict[str, Any]:
    """The values of the names in the formula of a loss, which may be that of a loss inside it."""
    if isinstance(loss, SumOfLosses):
        return loss.formula_values()
    kind = type(loss)
    held = {one.name: getattr(loss, one.name) for one in attrs.fields(kind)} if attrs.has(kind) else {}
    return (_fields_of(held["loss"]) if isinstance(held.get("loss"), Loss) else {}) | held


def _of_classes(loss: Loss[Any]) -> bool:
    return all(map(_of_classes, loss.losses)) if isinstance(loss, SumOfLosses) else isinstance(loss, ClassTargetLoss)


def _as_labels(column: Array, name: str) -> Array:
    """The whole numbers in a column (B, …, 1), as labels (B, …)."""
    with np.errstate(invalid="ignore"):  # NaN and infinity, which are no labels
        labels = column[..., 0].astype(np.intp)
    wrong = column[..., 0][labels != column[..., 0]]
    if wrong.size:
        raise DataError(f"{name}: expected whole-number labels in this column, got {wrong.flat[0]}")
    return labels


def _columns(array: Array, name: str, start: int, stop: int) -> Array:
    """The columns of an array; raises ShapeError when it has fewer."""
    if not getattr(array, "shape", ()):
        raise not_arrays(**{name: array})
    if array.ndim < 2 or array.shape[-1] < stop:
        raise ShapeError(f"{name}: expected at least {stop} columns, (B, …, {stop}), got shape {array.shape}")
    return array[..., start:stop]


@frozen
class IgnoreMissing(Loss[tuple[Any, Array | None, float]]):
    """A loss that leaves out missing targets, which are NaN: their share is 0, in value and gradient.

    A mean divides by the number of the targets that are present; where none is, the loss is 0. If the loss has one term
    for each row (B, …, C), a row is left out if any of its targets is missing. Metrics leave out the same targets. The
    loss of an epoch is the mean over all targets that are present, except in ``SumOfLosses``, where it is the mean of
    the batches' losses. For a network with two outputs::

        SumOfLosses([OnOutputs(IgnoreMissing(MeanSquaredError()), 0, 1), OnOutputs(IgnoreMissing(Huber()), 1, 2)])

    Raises ``ConfigurationError`` for a loss of classes, which has ``ignore_label``, and for ``OnOutputs`` and
    ``SumOfLosses``, which stand outside.

    Args:
        loss: the loss of the other targets.

    >>> import numpy as np
    >>> from deepbp.losses import IgnoreMissing, MeanSquaredError
    >>> loss = IgnoreMissing(MeanSquaredError())
    >>> value, saved = loss.forward(np.array([[1.0, 2.0]]), np.array([[np.nan, 4.0]]))
    >>> value, loss.backward(saved)
    (4.0, array([[ 0., -4.]]))
    """

    loss: Loss[Any] = field(validator=instance_of(Loss))

    def __attrs_post_init__(self) -> None:
        fix = None
        if isinstance(self.loss, ClassTargetLoss):
            fix = f"use {type(self.loss).__name__}(ignore_label=-100), and the label -100"
        elif isinstance(self.loss, OnOutputs | SumOfLosses | IgnoreMissing):
            fix = "write the inner losses as OnOutputs(IgnoreMissing(MeanSquaredError()), 0, 1)"
        if fix:
            raise ConfigurationError(
                f"IgnoreMissing: loss: expected the loss of single numbers, got {self.loss}: {fix}"
            )

    @property
    def reduction(self) -> Literal["sum", "mean"]:  # type: ignore[override]  # that of the loss, not of the class
        """The reduction of the inner loss."""
        return self.loss.reduction

    @property
    def expects(self) -> Expects:  # type: ignore[override]  # as above
        """What the inner loss expects."""
        return self.loss.expects

    def stated_formula(self) -> LossFormula | None:
        """The formula of the inner loss, whose sums and counts are over the targets that are present."""
        return self.loss.stated_formula()

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        array = as_numbers(target, name, missing=True)
        if not (missing := np.isnan(array)).any():
            return self.loss.prepare_target(target, output_shape, dtype, name)
        if self.loss._by_rows:
            missing = np.asarray(missing.any(axis=-1))
        # Valid targets take the places of those that are missing, while the loss validates and converts the others.
        prepared = self.loss.prepare_target(_filled(array, ~missing), output_shape, dtype, name)
        missing = np.broadcast_to(missing.reshape(*missing.shape, *(1,) * (array.ndim - missing.ndim)), array.shape)
        if missing.size == prepared.size:
            return np.where(missing.reshape(prepared.shape), np.nan, prepared)
        prepared = prepared.astype(dtype)
        prepared[missing.reshape(len(array), -1).any(axis=1)] = np.nan
        return prepared

    def _keeps_targets(self) -> bool:
        return self.loss._keeps_targets()

    def _of_known_targets(self) -> Loss[Any]:
        return self.loss

    def _takes_missing(self) -> bool:
        return True

    def _samples(self, prediction: Array, target: Array) -> float:
        present = self._present(prediction, target)
        return len(prediction) * (1.0 if present is None else float(present.mean()))

    def probabilities(self, prediction: Array) -> Array | None:
        """Those of the inner loss."""
        return self.loss.probabilities(prediction)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Any, Array | None, float]]:
        present = self._present(prediction, target)
        if present is None:
            value, saved = self.loss.forward(prediction, target, sample_weight)
            return value, (saved, None, 1.0)
        if not present.any():
            return 0.0, (np.zeros_like(prediction), present, 0.0)
        weight = present.astype(prediction.dtype)
        if sample_weight is not None:
            weight *= weight_column(sample_weight, present)
        value, saved = self.loss.forward(_filled(prediction, present), _filled(target, present), weight)
        scale = 1.0 if self.reduction == "sum" else present.size / int(present.sum())
        return value * scale, (saved, present, scale)

    def backward(self, saved: tuple[Any, Array | None, float]) -> Array:
        inner, present, scale = saved
        if scale == 0:
            return np.zeros_like(inner)
        delta = self.loss.backward(inner)
        if present is None:
            return delta
        return np.where(present.reshape(*present.shape, *(1,) * (delta.ndim - present.ndim)), delta * scale, 0)

    def _present(self, prediction: Array, target: Array) -> Array | None:
        """Which targets (B, …, K), or rows (B, …) where they come and go as a whole, are present; None if all are."""
        if not isinstance(target, np.ndarray) or not isinstance(prediction, np.ndarray):
            raise not_arrays(prediction=prediction, target=target)
        missing = np.isnan(target)
        if not missing.any():
            return None
        if 1 < target.ndim == prediction.ndim:
            rows = np.asarray(missing.any(axis=-1))
            if self.loss._by_rows or target.shape != prediction.shape or np.array_equal(rows, missing.all(axis=-1)):
                missing = rows
        return ~missing


def _filled(array: Array, present: Array) -> Array:
    """The array with the first number or row that is present in the place of all others, and 1, or 1 / C, for none."""
    filled = array.copy()
    filled[~present] = array[present][0] if present.any() else 1 / np.prod(array.shape[present.ndim :])
    return filled


@frozen
class SumOfLosses(Loss[list[Any]]):
    """Weighted sum of losses, L = Σ w Lₖ; ∂L/∂ŷ = Σ w ∂Lₖ/∂ŷ.

    Each loss sees the whole prediction and target; one inside ``OnOutputs`` sees its columns. For a network with one
    number and the scores of three classes side by side::

        SumOfLosses([OnOutputs(MeanSquaredError(), 0, 1), OnOutputs(SoftmaxCrossEntropy(), 1, 4)], weights=(1.0, 0.5))

    Args:
        losses: either all means or all sums.
        weights: w, one for each loss; None means 1 for all.

    >>> import numpy as np
    >>> from deepbp.losses import MeanAbsoluteError, MeanSquaredError, SumOfLosses
    >>> loss = SumOfLosses([MeanSquaredError(), MeanAbsoluteError()], weights=(1.0, 0.5))
    >>> loss.forward(np.array([[3.0]]), np.array([[1.0]]))[0]  # 1 · 2² + 0.5 · 2
    5.0
    """

    losses: tuple[Loss[Any], ...] = field(converter=_as_losses)
    weights: tuple[float, ...] | None = field(
        default=None, kw_only=True, converter=_as_weights, validator=optional(scalar_or_each(non_negative))
    )

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.losses, tuple) or not all(isinstance(loss, Loss) for loss in self.losses):
            raise ArgumentTypeError(
                f"SumOfLosses: losses: expected a list such as [MeanSquaredError()], got {shown(self.losses)}"
            )
        if len({loss.reduction for loss in self.losses}) != 1:
            kinds = ", ".join(f"{loss} is a {loss.reduction}" for loss in self.losses)
            raise ConfigurationError(
                f"SumOfLosses: losses: expected at least one, and only means or only sums, got {kinds or 'none'}"
            )
        if self.weights is not None and (not isinstance(self.weights, tuple) or len(self.weights) != len(self.losses)):
            raise ConfigurationError(
                f"SumOfLosses: weights: expected one for each of {len(self.losses)} losses, got {shown(self.weights)}"
            )

    @property
    def reduction(self) -> Literal["sum", "mean"]:  # type: ignore[override]  # that of the losses, not of the class
        """The reduction that all the losses share."""
        return self.losses[0].reduction

    @property
    def expects(self) -> Expects:  # type: ignore[override]  # as above
        """What the losses expect, or "values" where they differ."""
        kinds: set[Expects] = {loss.expects for loss in self.losses}
        return kinds.pop() if len(kinds) == 1 else "values"

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        prepared = [loss.prepare_target(target, output_shape, dtype, name) for loss in self.losses]
        if all(same_targets(prepared[0], own) for own in prepared[1:]):
            return prepared[0]
        # Metrics get the first loss's targets, with the columns that other losses have converted.
        whole = np.array(prepared[0])
        for loss, own in zip(self.losses, prepared, strict=True):
            if isinstance(loss, OnOutputs) and own.shape == whole.shape:
                start, stop = loss.targets or (loss.start, loss.stop)
                whole[..., start:stop] = own[..., start:stop]
        return PreparedTarget.of(whole, prepared)

    def stated_formula(self) -> LossFormula | None:
        """The sum of the formulas, with numbers for the fields of each loss; names of arrays end in its number."""
        stated = [loss.stated_formula() for loss in self.losses]
        values, deltas, symbols = list[str](), list[str](), dict[str, str]()
        for k, (formula, loss, weight) in enumerate(zip(stated, self.losses, self._weights, strict=True)):
            if formula is None:
                return None
            fields = _fields_of(loss)
            numbers = {name: repr(v) for name, v in fields.items() if type(v) in (int, float)}
            names = {name: numbers.get(name, f"{name}_{k}") for name in fields}
            symbols |= {names[name]: letter for name, letter in formula.symbols.items() if name in names}
            times = "" if weight == 1 else f"{weight!r} * "
            values.append(f"{times}({renamed(formula.value, names)})")
            deltas.append(f"{times}({renamed(formula.delta, names)})")
        return LossFormula(" + ".join(values), " + ".join(deltas), symbols=symbols)

    def formula_values(self) -> dict[str, Any]:
        """The values of the names in the formula."""
        fields = enumerate(map(_fields_of, self.losses))
        return {f"{name}_{k}": value for k, held in fields for name, value in held.items()}

    def _keeps_targets(self) -> bool:
        return all(loss._keeps_targets() for loss in self.losses)

    def _takes_missing(self) -> bool:
        return any(loss._takes_missing() for loss in self.losses)

    def probabilities(self, prediction: Array) -> Array | None:
        """Those of each loss in its columns; None if no loss has any, or two losses differ on the same columns."""
        whole: Array | None = None
        filled = np.zeros(prediction.shape[-1:], dtype=bool)
        for loss in self.losses:
            own = loss.probabilities(prediction)
            if own is None:
                continue
            columns = np.ones_like(filled)
            if isinstance(loss, OnOutputs):
                columns[:] = False
                columns[loss.start : loss.stop] = True
            both = columns & filled
            if whole is None:
                whole = own.copy()
            elif not np.array_equal(whole[..., both], own[..., both], equal_nan=True):
                return None
            whole[..., columns] = own[..., columns]
            filled |= columns
        return whole

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, list[Any]]:
        targets = target.parts if isinstance(target, PreparedTarget) else [target] * len(self.losses)
        pairs = [loss.forward(prediction, own, sample_weight) for loss, own in zip(self.losses, targets, strict=True)]
        value = sum(w * part for w, (part, _) in zip(self._weights, pairs, strict=True))
        return value, [saved for _, saved in pairs]

    def backward(self, saved: list[Any]) -> Array:
        first, *others = (
            loss.backward(part) * w for w, loss, part in zip(self._weights, self.losses, saved, strict=True)
        )
        for delta in others:
            first = first + delta
        return first

    @property
    def _weights(self) -> list[float]:
        return [1.0] * len(self.losses) if self.weights is None else [float(w) for w in self.weights]
