"""Numbers that people read: computed on all predictions of an epoch, so that any function of them is right."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
from attrs import field, frozen

from deepbp.errors import ArgumentTypeError, ConfigurationError, ContractError, DataError, ShapeError
from deepbp.errors.validators import finite
from deepbp.losses.loss import check_same_shape, not_arrays
from deepbp.typing import Array


class Metric(ABC):
    """A name and a function of predictions and targets. Any other callable of the two serves as well."""

    name: ClassVar[str]
    higher_is_better: ClassVar[bool]

    @abstractmethod
    def __call__(self, prediction: Array, target: Array) -> float:
        """The metric over all samples."""


MetricLike: TypeAlias = Metric | Callable[[Array, Array], float]


@frozen
class Accuracy(Metric):
    """The share of samples whose largest score is that of the right class; targets are labels or one-hot rows."""

    name = "accuracy"
    higher_is_better = True

    def __call__(self, prediction: Array, target: Array) -> float:
        if not getattr(prediction, "shape", ()) or not getattr(target, "shape", ()):
            raise not_arrays(prediction=prediction, target=target)
        if target.shape == prediction.shape:
            target = target.argmax(axis=-1)
        if target.shape != prediction.shape[:-1]:
            raise ShapeError(
                f"Accuracy: expected labels of shape {prediction.shape[:-1]} or one-hot rows of shape "
                f"{prediction.shape}, got {target.shape}"
            )
        if len(target) == 0:
            raise DataError("Accuracy: expected at least one sample, got none")
        return float(np.mean(prediction.argmax(axis=-1) == target))


@frozen
class BinaryAccuracy(Metric):
    """The share of 0-or-1 answers on the right side of ``threshold``: 0.5 for probabilities, 0 for logits."""

    name = "binary_accuracy"
    higher_is_better = True

    threshold: float = field(default=0.5, validator=finite)

    def __call__(self, prediction: Array, target: Array) -> float:
        check_same_shape(prediction, target, type(self).__name__)
        return float(np.mean((prediction > self.threshold) == (target > 0.5)))


@frozen
class MeanAbsoluteError(Metric):
    """Σ |ŷ − y| / n, in the units of the target."""

    name = "mean_absolute_error"
    higher_is_better = False

    def __call__(self, prediction: Array, target: Array) -> float:
        check_same_shape(prediction, target, type(self).__name__)
        return float(np.mean(np.abs(prediction - target)))


def metric_name(metric: MetricLike) -> str:
    """The key under which the history holds it."""
    return str(getattr(metric, "name", None) or getattr(metric, "__name__", type(metric).__name__))


def check_metrics(metrics: Sequence[MetricLike]) -> tuple[MetricLike, ...]:
    """Instances or functions, each with a name of its own."""
    if not isinstance(metrics, list | tuple):
        raise ArgumentTypeError(f"metrics: expected a list such as [Accuracy()], got {metrics!r}")
    for metric in metrics:
        if not callable(metric) or isinstance(metric, type):
            raise ArgumentTypeError(f"metrics: expected callables such as Accuracy(), got {metric!r}")
    names = [metric_name(metric) for metric in metrics]
    if len(set(names)) < len(names) or "loss" in names:
        raise ConfigurationError(f"metrics: expected names that differ, and none called 'loss', got {names}")
    return tuple(metrics)


def compute(metric: MetricLike, prediction: Array, target: Array) -> float:
    """The metric's value, with its name in any error."""
    try:
        value: Any = metric(prediction, target)
    except Exception as error:
        error.add_note(f"in metric {metric_name(metric)}: predictions {prediction.shape}, targets {target.shape}")
        raise
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ContractError(f"metric {metric_name(metric)}: expected a single number, returned {value!r}") from None
