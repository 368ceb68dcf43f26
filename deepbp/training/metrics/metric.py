"""The contract of a metric: a number that people read, of all predictions and targets of an epoch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

from deepbp.errors import ArgumentTypeError, ConfigurationError, ContractError
from deepbp.typing import Array


class Metric(ABC):
    """A name and a function of predictions and targets. Any other callable of the two serves as well.

    It sees all of an epoch at once, so that any function of them is right.
    """

    higher_is_better: ClassVar[bool]

    @property
    def name(self) -> str:
        """The column of the history: a subclass says ``name = "accuracy"``; by default, what the class is called."""
        return type(self).__name__

    @abstractmethod
    def __call__(self, prediction: Array, target: Array) -> float:
        """The metric over all samples."""


MetricLike: TypeAlias = Metric | Callable[[Array, Array], float]


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
