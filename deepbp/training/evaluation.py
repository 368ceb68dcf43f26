"""The loss and the metrics of a model on data, without training on it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from deepbp.errors import DataError
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.losses.loss import broken_pair
from deepbp.metrics.metric import MetricLike, compute, metric_name
from deepbp.training.data import Data
from deepbp.typing import Array

ROWS_AT_ONCE = 1024


class Meter:
    """Puts the losses and predictions of batches together to those of an epoch."""

    def __init__(self, loss: Loss[Any], metrics: Sequence[MetricLike]) -> None:
        self._loss, self._metrics = loss, metrics
        self.total, self.seen = 0.0, 0
        self.predictions: list[Array] = []  # of each batch, kept where a metric needs them
        self.targets: list[Array] = []

    def add(self, value: float, prediction: Array, target: Array) -> None:
        """A batch: its loss, and what the model said."""
        count = len(prediction)
        self.total += value if self._loss.reduction == "sum" else value * count
        if self._metrics:
            self.predictions.append(prediction)
            self.targets.append(target)
        self.seen += count

    def state(self) -> dict[str, Any]:
        """For a training that is stored in the middle of an epoch."""
        kept = {"predictions": self.predictions, "targets": self.targets}
        return {"total": float(self.total), "seen": self.seen, **{k: np.concatenate(v) for k, v in kept.items() if v}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.total, self.seen = float(state["total"]), int(state["seen"])
        self.predictions, self.targets = ([state[k]] if k in state else [] for k in ("predictions", "targets"))

    def row(self) -> dict[str, float]:
        """The loss of all samples together, as if they had been one batch, and each metric over all of them."""
        if self.seen == 0:
            raise DataError("evaluate: expected at least one sample, got none")
        row = {"loss": self.total if self._loss.reduction == "sum" else self.total / self.seen}
        if self._metrics:
            prediction, target = np.concatenate(self.predictions), np.concatenate(self.targets)
            for metric in self._metrics:
                row[metric_name(metric)] = compute(metric, prediction, target)
        return row


def evaluate(
    model: Layer[Any], loss: Loss[Any], metrics: Sequence[MetricLike], batches: Iterable[Data]
) -> dict[str, float]:
    """``{"loss": …, "accuracy": …}`` of a model on batches of data."""
    meter = Meter(loss, metrics)
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
