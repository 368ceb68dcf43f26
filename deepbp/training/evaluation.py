"""The loss and the metrics of a model on data, without training on it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from deepbp.errors import ConfigurationError, DataError, FileFormatError
from deepbp.layers import Layer, boundary
from deepbp.losses import Loss
from deepbp.losses.loss import broken_pair
from deepbp.metrics.metric import MetricLike, compute, metric_name
from deepbp.training.data import Data
from deepbp.typing import Array

ROWS_AT_ONCE = 1024


class Meter:
    """Combines the losses and predictions of batches into the loss and the metrics of an epoch."""

    def __init__(self, loss: Loss[Any], metrics: Sequence[MetricLike]) -> None:
        self._loss, self._metrics = loss, metrics
        self.total, self.seen = 0.0, 0
        self.predictions: list[Array] = []  # of each batch, if there are metrics
        self.targets: list[Array] = []

    def add(self, value: float, prediction: Array, target: Array) -> None:
        """Add the loss and the predictions of a batch."""
        count = len(prediction)
        self.total += value if self._loss.reduction == "sum" else value * count
        if self._metrics:
            self.predictions.append(prediction)
            self.targets.append(target)
        self.seen += count

    def state(self) -> dict[str, Any]:
        """The state, for a checkpoint within an epoch."""
        kept = {"predictions": self.predictions, "targets": self.targets}
        return {"total": float(self.total), "seen": self.seen, **{k: np.concatenate(v) for k, v in kept.items() if v}}

    def restore(self, state: Mapping[str, Any], built: Any) -> None:
        """Continue from a state. Raises FileFormatError, or another error, if a model ``built`` so cannot have it."""
        kept = {"predictions", "targets"} if state["seen"] and self._metrics else set()
        if (state.keys() - {"total", "seen"} == set()) != (kept == set()):
            raise ConfigurationError(
                "load: the metrics: the file was stored in the middle of an epoch, with metrics or without: "
                "make the trainer as it was made for the training that was stored"
            )
        if state.keys() != {"total", "seen"} | kept or type(state["total"]) is not float:
            raise FileFormatError(f"expected the loss and the samples seen so far, got {state!r:.200}")
        if kept:
            prediction, target = state["predictions"], state["targets"]
            wanted = (state["seen"], *built.output_shape)
            if not isinstance(prediction, np.ndarray) or (prediction.dtype, prediction.shape) != (built.dtype, wanted):
                raise FileFormatError(f"expected predictions of shape {wanted}, got {prediction!r:.100}")
            again = self._loss.prepare_target(target, built.output_shape, built.dtype)
            if not isinstance(target, np.ndarray) or again.dtype != target.dtype or len(again) != state["seen"]:
                raise FileFormatError(f"expected {state['seen']} targets, got {target!r:.100}")
            self.predictions, self.targets = [prediction], [target]
        self.total, self.seen = state["total"], state["seen"]

    def row(self) -> dict[str, float]:
        """The loss and the metrics of all samples, as if they had been one batch."""
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
    """Compute the loss and the metrics of a model on batches of data, without training on them.

    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import SumSquaredError
    >>> from deepbp.training import Data, evaluate
    >>> net, loss = Sequential([Dense(1)], input_shape=2, rng=0), SumSquaredError()
    >>> data = Data.of(net, loss, [[0, 0], [0, 0], [0, 0]], [[1], [2], [3]])
    >>> evaluate(net, loss, [], data.batches(2))  # the network predicts 0: 1² + 2² + 3²
    {'loss': 14.0}
    """
    meter = Meter(loss, metrics)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for batch in batches:
            prediction = boundary.predict(model, batch.x)
            pair = loss.forward(prediction, batch.y, batch.sample_weight)
            try:
                value = float(pair[0])
            except (TypeError, ValueError, IndexError):
                raise broken_pair(loss, pair) from None
            meter.add(value, prediction, batch.y)
    return meter.row()
