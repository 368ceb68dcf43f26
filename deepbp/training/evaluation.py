"""The loss and the metrics of a model on data, without training on it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from math import nan
from typing import Any

import numpy as np

from deepbp.errors import ConfigurationError, DataError, FileFormatError
from deepbp.kernels.blas_threads import threads_for
from deepbp.layers import Layer, boundary
from deepbp.losses import Loss
from deepbp.losses.loss import broken_pair
from deepbp.metrics.metric import (
    Call,
    MetricLike,
    StreamingMetric,
    as_number,
    bind_metrics,
    compute,
    is_streaming,
    metric_name,
    noted,
)
from deepbp.training.data import Data
from deepbp.typing import Array

ROWS_AT_ONCE = 1024
PENDING = 2**16  # bytes of predictions and targets that are kept before they are added to sums


class Meter:
    """Combines the losses and predictions of batches into those of an epoch.

    Where all metrics are computed from sums, predictions are kept until there are ``PENDING`` bytes of them, and then
    added to the sums, all but the last row. Otherwise they are kept to the end of the epoch.
    """

    def __init__(self, loss: Loss[Any], metrics: Sequence[MetricLike], has_penalty: bool = False) -> None:
        self._loss, self._metrics = loss, bind_metrics(metrics, loss) if metrics else []
        streaming = [metric for metric in self._metrics if is_streaming(metric)]
        self._streaming: list[StreamingMetric] = streaming if len(streaming) == len(metrics) else []
        self._counts_all = type(loss)._samples is Loss._samples
        self.total, self.seen = 0.0, 0
        self.counted = 0.0  # samples that the mean is over: less than were seen, where targets are missing
        self.penalty = 0.0 if has_penalty else None  # the share of penalties in the total
        self.sums: dict[str, Array] = {}  # the state of each metric that is computed from sums
        self.pending = Pending()

    def add(
        self,
        value: float,
        prediction: Array,
        target: Array,
        sample_weight: Array | None = None,
        penalty: float = 0.0,
    ) -> None:
        """Add a batch: its loss, predictions, targets and weights, and the penalties that the loss includes."""
        counted = len(prediction) if self._counts_all else self._loss._samples(prediction, target)
        self.total += value if self._loss.reduction == "sum" else value * counted
        if self.penalty is not None:
            self.penalty += penalty if self._loss.reduction == "sum" else penalty * counted
        self.counted += counted
        self.seen += len(prediction)
        if self._metrics:
            self.pending.add(prediction, np.asarray(target), sample_weight)
            if self._streaming and self.pending.size > PENDING:
                self._flush(*self.pending.arrays())

    def count(self, values: Array, samples: int, penalties: Sequence[float]) -> None:
        """Add the losses of batches of so many samples, in which every sample counts and which no metric needs.

        ``penalties`` has one for each batch, or none where they are 0.
        """
        share = 1 if self._loss.reduction == "sum" else samples
        if len(values):
            totals = values * share
            totals[0] += self.total
            self.total = float(np.add.accumulate(totals)[-1])  # one after another, as ``add`` does
        if self.penalty is not None:
            for penalty in penalties:
                self.penalty += penalty * share
        self.counted += samples * len(values)
        self.seen += samples * len(values)

    def _flush(self, prediction: Array, target: Array, sample_weight: Array | None) -> None:
        """Add what is pending to the sums; the last row, by which a file is validated, stays."""
        if len(prediction) > 1:
            weights = (None, None) if sample_weight is None else (sample_weight[:-1], sample_weight[-1:].copy())
            self.sums, self.pending = self._updated(prediction[:-1], target[:-1], weights[0]), Pending()
            self.pending.add(prediction[-1:].copy(), target[-1:].copy(), weights[1])

    def _updated(self, prediction: Array, target: Array, sample_weight: Array | None) -> dict[str, Array]:
        """The sums with further samples, which are added in pieces, so that the memory for a step is small."""
        sums = dict(self.sums)
        rows = max(1, PENDING // max(1, (prediction.nbytes + target.nbytes) // len(prediction)))
        for start in range(0, len(prediction), rows):
            here = slice(start, start + rows)
            weight = None if sample_weight is None else sample_weight[here]
            given = self._loss._counted(prediction[here], target[here], weight)
            for metric in self._streaming if len(given[0]) else ():
                name = metric_name(metric)
                with noted(metric, prediction, target), np.errstate(all="ignore"):
                    sums[name] = metric.update(sums.get(name), *given)
        return sums

    def content(self) -> tuple[Any, ...]:
        """What a process sends to the others; see ``merged``."""
        pending = self.pending.arrays() if self.pending.size else None
        return self.total, self.seen, self.counted, self.penalty, self.sums, pending

    def merged(self, contents: Sequence[tuple[Any, ...]]) -> "Meter":
        """A meter of all samples that several processes have seen, given the ``content`` of each."""
        whole = Meter(self._loss, self._metrics, self.penalty is not None)
        for total, seen, counted, penalty, sums, pending in contents:
            whole.total, whole.seen, whole.counted = whole.total + total, whole.seen + seen, whole.counted + counted
            if whole.penalty is not None:
                whole.penalty += penalty
            if pending is not None:
                whole.pending.add(*pending)
            for metric in self._streaming if sums else ():
                name = metric_name(metric)
                held = whole.sums.get(name)
                whole.sums[name] = sums[name] if held is None else metric.combined(held, sums[name])
        return whole

    def state(self) -> dict[str, Any]:
        """The state, for a training that is stored in the middle of an epoch."""
        kept: dict[str, Any] = self.pending.describe()
        if self.counted != self.seen:
            kept["counted"] = self.counted
        if self.penalty is not None:
            kept["penalty"] = float(self.penalty)
        return {"total": float(self.total), "seen": self.seen, **kept, **({"sums": self.sums} if self.sums else {})}

    def restore(self, state: Mapping[str, Any], built: Any) -> None:
        """Continue from a state. Raises FileFormatError, or another error, if a model ``built`` so cannot have it.

        States of earlier versions hold all predictions of the epoch, without weights, which then are 1, and no penalty.
        """
        if self.penalty is not None:
            state = dict(state)
            self.penalty = state.pop("penalty", nan)
            if type(self.penalty) is not float:
                raise FileFormatError(f"expected the penalties so far, got {self.penalty!r:.100}")
        kept = {"predictions", "targets"} if state["seen"] and self._metrics else set()
        optional = {"weights", "sums"} & state.keys() if kept else set()
        sums = state["sums"] if "sums" in optional else {}
        names = [metric_name(metric) for metric in self._streaming]
        if (state.keys() - {"total", "seen", "counted"} == set()) != (kept == set()) or (sums and [*sums] != names):
            raise ConfigurationError(
                "load: the metrics: the file was stored in the middle of an epoch, with metrics or without: "
                "make the trainer as it was made for the training that was stored"
            )
        numbers = {"total", "counted"} & state.keys()
        if state.keys() != {"seen"} | numbers | kept | optional or any(type(state[n]) is not float for n in numbers):
            raise FileFormatError(f"expected the loss and the samples seen so far, got {state!r:.200}")
        if kept:
            prediction, target, weight = state["predictions"], state["targets"], state.get("weights")
            count = len(prediction) if sums and 0 < len(prediction) <= state["seen"] else state["seen"]
            wanted = (count, *built.output_shape)
            if not isinstance(prediction, np.ndarray) or (prediction.dtype, prediction.shape) != (built.dtype, wanted):
                raise FileFormatError(f"expected predictions of shape {wanted}, got {prediction!r:.100}")
            # Targets that a loss has converted are not converted again.
            keeps = self._loss._keeps_targets() or not isinstance(target, np.ndarray)
            again = self._loss.prepare_target(target, built.output_shape, built.dtype) if keeps else target
            if not isinstance(target, np.ndarray) or again.dtype != target.dtype or len(again) != count:
                raise FileFormatError(f"expected {count} targets, got {target!r:.100}")
            if weight is not None and (not isinstance(weight, np.ndarray) or weight.shape[:1] != (count,)):
                raise FileFormatError(f"expected {count} weights, got {weight!r:.100}")
            for metric in self._streaming if sums else ():
                given = self._loss._counted(prediction, target, weight)
                if not len(given[0]):
                    continue
                fitting = metric.update(None, *given)
                found = sums[metric_name(metric)]
                if not isinstance(found, np.ndarray) or (found.dtype, found.shape) != (fitting.dtype, fitting.shape):
                    raise FileFormatError(f"expected the sums of {metric}, {fitting.shape}, got {found!r:.100}")
            self.sums, self.pending = dict(sums), Pending()
            self.pending.add(prediction, target, weight)
        self.total, self.seen = state["total"], state["seen"]
        self.counted = state.get("counted", self.seen)

    def row(self) -> dict[str, float]:
        """The loss and the metrics of all samples, as if they had been one batch."""
        if self.seen == 0:
            raise DataError("evaluate: expected at least one sample, got none")
        divisor = 1 if self._loss.reduction == "sum" else self.counted or 1
        row = {"loss": self.total / divisor}
        if self.penalty is not None:
            row["penalty"] = float(self.penalty / divisor)
        if self._metrics:
            pending = self.pending.arrays()
            sums = self._updated(*pending)
            for metric in self._metrics:
                name = metric_name(metric)
                given = self._loss._counted(*pending, Call.of(metric).weighted)
                if name not in sums and not len(given[0]):
                    row[name] = nan  # all labels are ignored
                elif self._streaming and isinstance(metric, StreamingMetric):
                    row[name] = as_number(metric, metric.result(sums[name]))
                else:
                    row[name] = compute(metric, *given)
        return row


class Pending:
    """Predictions, targets and weights of batches that no metric has been computed from."""

    def __init__(self) -> None:
        self.size = 0  # bytes
        self._batches: list[tuple[Array, Array, Array | None]] = []

    def add(self, prediction: Array, target: Array, sample_weight: Array | None) -> None:
        """Append a batch."""
        self.size += prediction.nbytes + target.nbytes
        self._batches.append((prediction, target, sample_weight))

    def arrays(self) -> tuple[Array, Array, Array | None]:
        """All of them. Batches without weights have the weight 1 where others have some."""
        if len(self._batches) == 1:
            return self._batches[0]
        predictions, targets, weights = zip(*self._batches, strict=True)
        together = None
        if any(weight is not None for weight in weights):
            pairs = zip(predictions, weights, strict=True)
            axes = next(weight.shape[1:] for weight in weights if weight is not None)
            ones = [np.ones((len(one), *axes)) if weight is None else weight for one, weight in pairs]
            together = np.concatenate(ones)
        return np.concatenate(predictions), np.concatenate(targets), together

    def describe(self) -> dict[str, Array]:
        """The arrays by name, for a file."""
        if not self._batches:
            return {}
        named = zip(("predictions", "targets", "weights"), self.arrays(), strict=True)
        return {name: array for name, array in named if array is not None}


def evaluate(
    model: Layer[Any],
    loss: Loss[Any],
    metrics: Sequence[MetricLike],
    batches: Iterable[Data],
    programmed: Callable[[Data], tuple[float, Array] | None] = lambda batch: None,
) -> dict[str, float]:
    """Compute the loss and the metrics of a model on batches of data, without training on them.

    ``programmed`` may compute loss and prediction of a batch in another way, or return None.

    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import SumSquaredError
    >>> from deepbp.training import Data, evaluate
    >>> net, loss = Sequential([Dense(1)], input_shape=2, rng=0), SumSquaredError()
    >>> data = Data.of(net, loss, [[0, 0], [0, 0], [0, 0]], [[1], [2], [3]])
    >>> evaluate(net, loss, [], data.batches(2))  # the network predicts 0: 1² + 2² + 3²
    {'loss': 14.0}
    """
    return measure(model, loss, metrics, batches, programmed).row()


def measure(
    model: Layer[Any],
    loss: Loss[Any],
    metrics: Sequence[MetricLike],
    batches: Iterable[Data | None],
    programmed: Callable[[Data], tuple[float, Array] | None] = lambda batch: None,
) -> Meter:
    """The sums from which ``evaluate`` computes the loss and the metrics; a batch that is None has no samples."""
    meter, largest = Meter(loss, metrics), max((one.value.size for one in model.parameters()), default=0)
    with np.errstate(all="ignore"):
        for batch in batches:
            if batch is None:
                continue
            if (found := programmed(batch)) is None:
                with threads_for(batch.x, largest) or nullcontext():
                    prediction = boundary.predict(model, batch.x)
                value = loss_of(loss, prediction, batch)
            else:
                value, prediction = found
            meter.add(value, prediction, batch.y, batch.sample_weight)
    return meter


def loss_of(loss: Loss[Any], prediction: Array, batch: Data) -> float:
    """The loss of predictions for a batch."""
    pair = loss.forward(prediction, batch.y, batch.sample_weight)
    try:
        return float(pair[0])
    except (TypeError, ValueError, IndexError):
        raise broken_pair(loss, pair) from None
