"""What happens to the gradients between backpropagation and the optimizer: they are collected, checked and clipped."""

from math import isfinite, sqrt

import numpy as np
from attrs import define, field

from deepbp import kernels
from deepbp.parameter import ParameterVector
from deepbp.typing import Array


def clip(grads: Array, value: float | None, norm: float | None) -> bool:
    """Bound each number by ``value``, then the length of the whole vector by ``norm``; False where it is not finite."""
    length = sqrt(grads.dot(grads))
    if not isfinite(length) and not isfinite(length := _length(grads)):
        return False
    if value is not None:
        kernels.clip_values(grads, value)
        length = length if norm is None else _length(grads)
    if norm is not None:
        kernels.clip_norm(grads, length, norm)
    return True


def _length(grads: Array) -> float:
    """In float64, for the square of a large float32 may overflow where the number itself does not."""
    return float(np.linalg.norm(grads.astype(np.float64)))


@define(eq=False)
class Accumulation:
    """The gradients of several batches, put together to those of one large batch.

    A loss that is a mean weighs each batch by its samples, one that is a sum adds them. So they are the gradients of
    all the samples at once, though only one batch is in memory at a time.
    """

    is_sum: bool
    results: list[tuple[float, Array, Array]] = field(factory=list, init=False)  # for a Meter
    _grads: Array | None = field(default=None, init=False)
    _loss: float = field(default=0.0, init=False)
    _weight: int = field(default=0, init=False)

    def add(self, parameters: ParameterVector, loss: float, prediction: Array, target: Array) -> None:
        """Take in what one batch gave."""
        weight = 1 if self.is_sum else len(prediction)
        if self._grads is None:
            self._grads = np.zeros_like(parameters.grads)
        self._grads += parameters.grads * parameters.grads.dtype.type(weight)
        self._loss += loss * weight
        self._weight += weight
        self.results.append((loss, prediction, target))

    def give(self, parameters: ParameterVector) -> float:
        """Put the gradients of all batches into place; returns the loss of all their samples."""
        assert self._grads is not None, "no batch was added"
        divisor = 1 if self.is_sum else self._weight
        np.divide(self._grads, divisor, out=parameters.grads)
        return self._loss / divisor

    def forget(self) -> None:
        """Begin anew."""
        self._grads, self._loss, self._weight, self.results = None, 0.0, 0, []
