"""Several losses at once, added up."""

from typing import Any, Literal

import numpy as np
from attrs import field, frozen

from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.errors.validators import non_negative, optional
from deepbp.losses.loss import Expects, Loss
from deepbp.losses.several import as_tuple, each
from deepbp.typing import Array, ArrayLike, Shape


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
