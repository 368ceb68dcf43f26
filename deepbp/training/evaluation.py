"""The loss and the metrics of a model on data, without training on it."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from deepbp.errors import DataError
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.losses.loss import broken_pair
from deepbp.training.data import Data
from deepbp.training.metrics import MetricLike, compute, metric_name
from deepbp.typing import Array

ROWS_AT_ONCE = 1024


class Meter:
    """Puts the losses and predictions of batches together to those of an epoch."""

    def __init__(self, loss: Loss[Any], metrics: Sequence[MetricLike], samples: int) -> None:
        self._loss, self._metrics, self._samples = loss, metrics, samples
        self._total, self.seen = 0.0, 0
        self._predictions: Array | None = None
        self._targets: Array | None = None

    def add(self, value: float, prediction: Array, target: Array) -> None:
        """A batch: its loss, and what the model said."""
        count = len(prediction)
        self._total += value if self._loss.reduction == "sum" else value * count
        if self._metrics:
            if self._predictions is None or self._targets is None:
                self._predictions = np.empty((self._samples, *prediction.shape[1:]), prediction.dtype)
                self._targets = np.empty((self._samples, *target.shape[1:]), target.dtype)
            self._predictions[self.seen : self.seen + count] = prediction
            self._targets[self.seen : self.seen + count] = target
        self.seen += count

    def row(self) -> dict[str, float]:
        """The loss of all samples together, as if they had been one batch, and each metric over all of them."""
        if self.seen == 0:
            raise DataError("evaluate: expected at least one sample, got none")
        row = {"loss": self._total if self._loss.reduction == "sum" else self._total / self.seen}
        if self._predictions is not None and self._targets is not None:
            for metric in self._metrics:
                row[metric_name(metric)] = compute(metric, self._predictions, self._targets)
        return row


def evaluate(
    model: Layer[Any], loss: Loss[Any], metrics: Sequence[MetricLike], batches: Iterable[Data], samples: int
) -> dict[str, float]:
    """``{"loss": …, "accuracy": …}`` of a model on batches of data."""
    meter = Meter(loss, metrics, samples)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a loss that overflows says so by its value
        for batch in batches:
            prediction = model.infer(batch.x)
            pair = loss.forward(prediction, batch.y, batch.sample_weight)
            try:
                value = float(pair[0])
            except (TypeError, ValueError, IndexError):
                raise broken_pair(loss, pair) from None
            meter.add(value, prediction, batch.y)
    return meter.row()
