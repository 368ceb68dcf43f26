"""A loss under examination, and the data it is given."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from attrs import frozen

from deepbp.losses import Loss
from deepbp.typing import Array, Shape

Draw: TypeAlias = Callable[[np.random.Generator, Shape], Array]
"""Draws predictions or targets of a shape that includes the batch axis."""


ROWS = 5


@frozen
class LossCase:
    """A loss, and the predictions and targets that it is given."""

    subject: Loss[Any]
    output_shape: Shape
    predictions: Draw
    targets: Draw
    seed: int

    def rng(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream])

    def pair(self, stream: int = 0, dtype: str = "float64", rows: int = ROWS) -> tuple[Array, Array]:
        """A prediction and its target, others for each stream."""
        shape = (rows, *self.output_shape)
        prediction, target = self.predictions(self.rng(stream), shape), self.targets(self.rng(stream + 100), shape)
        return prediction.astype(dtype), target.astype(dtype) if target.dtype.kind == "f" else target

    def weights(self, stream: int = 0) -> Array:
        return self.rng(stream + 200).uniform(0.5, 2, ROWS)

    def gradient(self, prediction: Array, target: Array, weight: Array | None = None) -> Array:
        return self.subject.backward(self.subject.forward(prediction, target, weight)[1])
