"""Losses made of losses."""

from typing import Any, Literal

import numpy as np
from attrs import field, frozen

from deepbp._validation import as_numbers, as_type
from deepbp.errors import ArgumentTypeError, ConfigurationError, ShapeError
from deepbp.errors.validators import instance_of, non_negative, non_negative_int, optional, positive_int
from deepbp.losses.loss import Expects, Loss, as_tuple, each, not_arrays
from deepbp.typing import Array, ArrayLike, Shape


@frozen
class OnOutputs(Loss[tuple[Any, Shape]]):
    """The loss on the columns ``start`` to ``stop`` − 1 of prediction and target; the other outputs get no signal.

    Columns are places along the last axis (B, …, K), counted from 0. Classes are one-hot rows in theirs, for labels
    and numbers do not fit into one array.

    Args:
        loss: what compares them.
        start, stop: the columns of the prediction.
        targets: (start, stop) of the target, where its columns are others: those of a ``Quantile`` loss of three
            quantiles are three of the prediction and one of the target.

    Raises:
        ShapeError: when prediction or target has fewer columns.
    """

    loss: Loss[Any] = field(validator=instance_of(Loss))
    start: int = field(validator=non_negative_int)
    stop: int = field(validator=positive_int)
    targets: tuple[int, int] | None = field(default=None, kw_only=True, converter=as_tuple)

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
                    f"OnOutputs: targets: expected (start, stop) of its columns, got {self.targets!r}"
                )

    @property
    def reduction(self) -> Literal["sum", "mean"]:  # type: ignore[override]  # that of the loss, not of the class
        """What the loss is: a mean or a sum."""
        return self.loss.reduction

    @property
    def expects(self) -> Expects:  # type: ignore[override]  # as above
        """What the loss expects."""
        return self.loss.expects

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        array = as_type(as_numbers(target, name), name, dtype)
        if not output_shape or output_shape[-1] < self.stop:
            raise ShapeError(f"{self}: expected at least {self.stop} outputs, got outputs of shape {output_shape}")
        own_shape = (*output_shape[:-1], self.stop - self.start)
        own = self._own_targets(array, name)
        self.loss.prepare_target(own, own_shape, dtype, f"{name}[..., {self._targets[0]}:{self._targets[1]}]")
        return array

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Any, Shape]]:
        own = _columns(prediction, "prediction", self.start, self.stop)
        value, saved = self.loss.forward(own, self._own_targets(target, "target"), sample_weight)
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

    def _own_targets(self, target: Array, name: str) -> Array:
        return _columns(target, name, *self._targets)


def _columns(array: Array, name: str, start: int, stop: int) -> Array:
    """Those of an array that has them."""
    if not getattr(array, "shape", ()):
        raise not_arrays(**{name: array})
    if array.ndim < 2 or array.shape[-1] < stop:
        raise ShapeError(f"{name}: expected at least {stop} columns, (B, …, {stop}), got shape {array.shape}")
    return array[..., start:stop]


@frozen
class SumOfLosses(Loss[list[Any]]):
    """L = Σ w L over the losses; ∂L/∂ŷ = Σ w ∂L/∂ŷ.

    Each sees the whole prediction and target; one inside ``OnOutputs`` sees its own columns. A network that gives a
    number and scores of three classes, side by side::

        SumOfLosses([OnOutputs(MeanSquaredError(), 0, 1), OnOutputs(SoftmaxCrossEntropy(), 1, 4)], weights=(1.0, 0.5))

    Args:
        losses: all of them means, or all of them sums.
        weights: w, one for each; None means 1 for all.
    """

    losses: tuple[Loss[Any], ...] = field(converter=as_tuple)
    weights: tuple[float, ...] | None = field(
        default=None, kw_only=True, converter=as_tuple, validator=optional(each(non_negative))
    )

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.losses, tuple) or not all(isinstance(loss, Loss) for loss in self.losses):
            raise ArgumentTypeError(
                f"SumOfLosses: losses: expected a list such as [MeanSquaredError()], got {self.losses!r}"
            )
        if len({loss.reduction for loss in self.losses}) != 1:
            kinds = ", ".join(f"{loss} is a {loss.reduction}" for loss in self.losses)
            raise ConfigurationError(
                f"SumOfLosses: losses: expected at least one, and only means or only sums, got {kinds or 'none'}"
            )
        if self.weights is not None and (not isinstance(self.weights, tuple) or len(self.weights) != len(self.losses)):
            raise ConfigurationError(
                f"SumOfLosses: weights: expected one for each of {len(self.losses)} losses, got {self.weights!r}"
            )

    @property
    def reduction(self) -> Literal["sum", "mean"]:  # type: ignore[override]  # that of the losses, not of the class
        """What all the losses are: means or sums."""
        return self.losses[0].reduction

    @property
    def expects(self) -> Expects:  # type: ignore[override]  # as above
        """What all the losses expect, if it is the same."""
        kinds = {loss.expects for loss in self.losses}
        return kinds.pop() if len(kinds) == 1 else "values"

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        prepared = [loss.prepare_target(target, output_shape, dtype, name) for loss in self.losses]
        return prepared[0]

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, list[Any]]:
        pairs = [loss.forward(prediction, target, sample_weight) for loss in self.losses]
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
