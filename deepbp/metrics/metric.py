"""The contract of a metric: how it is called, what its predictions mean, and how it is computed from sums."""

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import nan
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, TypeGuard

import numpy as np
from attrs import frozen

from deepbp._suggestions import named
from deepbp._tables import as_plain_array, as_texts, library_of, numbered
from deepbp.errors import ArgumentTypeError, ConfigurationError, ContractError, DataTypeError, ShapeError, shown
from deepbp.errors.validators import ExplainedArguments
from deepbp.layers import Layer
from deepbp.losses.loss import Loss, not_arrays
from deepbp.typing import Array


class Metric(ExplainedArguments, ABC):
    """Base class of metrics: a name and a function of all predictions and targets of an epoch.

    Any other callable of the two serves as well. If it has a parameter ``sample_weight``, it receives the weights of
    the samples wherever there are any.

    >>> import numpy as np
    >>> from deepbp.metrics import Metric
    >>> class Bias(Metric):
    ...     name = "bias"
    ...     higher_is_better = False
    ...     def __call__(self, prediction, target):
    ...         return float(np.mean(prediction - target))
    >>> Bias()(np.array([[1.0], [3.0]]), np.array([[1.0], [2.0]]))
    0.5
    """

    higher_is_better: ClassVar[bool]

    if TYPE_CHECKING:
        name: Any  # a text: a subclass may state an attribute or a property, and type checkers let it choose
    else:

        @property
        def name(self) -> str:
            """The column of the history: a subclass states ``name = "accuracy"``; by default, the class's name."""
            return type(self).__name__

    @abstractmethod
    def __call__(self, prediction: Array, target: Array) -> float:
        """The metric over all samples."""

    def bind(self, loss: Loss[Any]) -> Self:
        """This metric for predictions that ``loss`` is trained on; ``fit`` and ``evaluate`` call it at their start."""
        return self


class StreamingMetric(Metric):
    """Base class of metrics computed from sums over batches, so that no predictions are kept during an epoch.

    A subclass states how a batch changes the state, a float64 array, and the value that follows from it. A prediction
    that is NaN makes the value NaN.

    >>> import numpy as np
    >>> from deepbp.metrics import StreamingMetric
    >>> class Bias(StreamingMetric):
    ...     name = "bias"
    ...     higher_is_better = False
    ...     def update(self, state, prediction, target, sample_weight=None):
    ...         error = prediction.astype(np.float64) - target
    ...         return np.array([error.sum(), error.size]) + (0 if state is None else state)
    ...     def result(self, state):
    ...         return float(state[0] / state[1])
    >>> Bias()(np.array([[1.0], [3.0]]), np.array([[1.0], [2.0]]))
    0.5
    """

    @abstractmethod
    def update(self, state: Array | None, prediction: Array, target: Array, sample_weight: Array | None) -> Array:
        """The state after another batch; ``state`` is None for the first one, and is left unchanged."""

    @abstractmethod
    def result(self, state: Array) -> float:
        """The metric over all batches."""

    def combined(self, state: Array, other: Array) -> Array:
        """The state after the batches of two states, which several processes have seen; their sum, by default."""
        return state + other

    def __call__(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> float:
        return self.result(self.update(None, *as_arrays(prediction, target), sample_weight))


def as_arrays(prediction: Any, target: Any) -> tuple[Array, Array]:
    """Predictions and targets of a metric that a user calls: series as arrays, names of classes as labels.

    Raises DataTypeError for predictions that are names of classes.
    """
    if as_texts(prediction, "prediction") is not None:
        raise DataTypeError(
            "prediction: expected numbers, as net.predict(x) returns them, got names of classes: "
            "use (prediction == target).mean() for the share that is right"
        )
    _, given = numbered(None, {"prediction": prediction, "target": target})
    places = zip(given, ("prediction", "target"), strict=True)
    prediction, target = (as_plain_array(one, name) if library_of(one) else one for one, name in places)
    return prediction, target


@frozen
class MeanMetric(StreamingMetric):
    """Base class of metrics that are a mean of one term for each sample or number, Σ w t / Σ w."""

    @abstractmethod
    def terms(self, prediction: Array, target: Array) -> Array:
        """The terms t of one batch, of shape (B, …), after validation of the batch."""

    def update(self, state: Array | None, prediction: Array, target: Array, sample_weight: Array | None) -> Array:
        terms = self.terms(prediction, target)
        weight = term_weights(sample_weight, terms)
        total = terms.sum(dtype=np.float64) if weight is None else np.vdot(terms.astype(np.float64), weight)
        sums = np.array([total, terms.size if weight is None else weight.sum()], np.float64)
        return sums if state is None else state + sums

    def result(self, state: Array) -> float:
        return divided(state[0], state[1])


MetricLike: TypeAlias = Metric | Callable[..., float]
"""A metric, or a function of predictions and targets, of which the names tell which is which.

>>> from deepbp import Sequential
>>> from deepbp.layers import Dense
>>> from deepbp.losses import MeanSquaredError
>>> from deepbp.training import MetricLike
>>> def largest_error(prediction, target):
...     return float(abs(prediction - target).max())
>>> metrics: list[MetricLike] = [largest_error]
>>> net = Sequential([Dense(1)], input_shape=1, rng=0)
>>> sorted(net.evaluate([[0.0]], [[1.0]], loss=MeanSquaredError(), metrics=metrics))
['largest_error', 'loss']
"""


def metric_name(metric: MetricLike) -> str:
    """The key of a metric in the history.

    >>> from deepbp.metrics import Accuracy, metric_name
    >>> metric_name(Accuracy())
    'accuracy'
    """
    return str(getattr(metric, "name", None) or getattr(metric, "__name__", type(metric).__name__))


def check_metrics(metrics: Sequence[MetricLike]) -> tuple[MetricLike, ...]:
    """Validate metrics: instances or functions with different names, and with an order of arguments that is clear.

    >>> from deepbp.metrics import Accuracy, check_metrics
    >>> check_metrics([Accuracy()])
    (Accuracy(),)
    """
    if not isinstance(metrics, list | tuple):
        raise ArgumentTypeError(f"metrics: expected a list such as [Accuracy()], got {shown(metrics)}")
    for metric in metrics:
        if not callable(metric) or isinstance(metric, type | Layer):
            raise ArgumentTypeError(
                f"metrics: expected callables such as Accuracy(), got {shown(metric)}{named(metric, 'Metric')}"
            )
        Call.of(metric)
    names = [metric_name(metric) for metric in metrics]
    if len(set(names)) < len(names) or "loss" in names:
        raise ConfigurationError(f"metrics: expected names that differ, and none called 'loss', got {names}")
    return tuple(metrics)


def bind_metrics(metrics: Sequence[MetricLike], loss: Loss[Any]) -> list[MetricLike]:
    """The metrics for predictions of this loss. Raises ConfigurationError for a threshold that it does not allow."""
    return [metric.bind(loss) if isinstance(metric, Metric) else metric for metric in metrics]


def compute(metric: MetricLike, prediction: Array, target: Array, sample_weight: Array | None = None) -> float:
    """The value of a metric; errors get a note with its name, and anything but a number is a ``ContractError``.

    A function with parameters such as ``y_true`` and ``y_pred`` is called by these names, in whatever order they are,
    and otherwise as ``metric(prediction, target)``. The weights are passed to a parameter ``sample_weight``.

    >>> import numpy as np
    >>> from deepbp.metrics import Accuracy, compute
    >>> compute(Accuracy(), np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    >>> def excess(y_true, y_pred):
    ...     return (y_pred - y_true).mean()
    >>> compute(excess, prediction=np.array([3.0]), target=np.array([1.0]))
    2.0
    """
    with noted(metric, prediction, target):
        value = Call.of(metric)(metric, prediction, target, sample_weight)
    return as_number(metric, value)


def as_number(metric: MetricLike, value: Any) -> float:
    """What a metric has returned, as a float. Raises ContractError for anything but a single number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ContractError(
            f"metric {metric_name(metric)}: expected a single number, returned {shown(value)}"
        ) from None


def is_streaming(metric: MetricLike) -> TypeGuard[StreamingMetric]:
    """Whether sums over batches are enough: a subclass with a ``__call__`` of its own needs all predictions."""
    return isinstance(metric, StreamingMetric) and type(metric).__call__ is StreamingMetric.__call__


@contextmanager
def noted(metric: MetricLike, prediction: Array, target: Array) -> Iterator[None]:
    """A context that adds the name of the metric, and the shapes, to an exception."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in metric {metric_name(metric)}: predictions {prediction.shape}, targets {target.shape}")
        raise


_PREDICTED = re.compile(
    "y?pred|preds|predictions?|predicted|predict|y?hat|scores?|probs?|probas?|probabilit(y|ies)|logits?|outputs?|out|"
    "decision|estimate[sd]?|forecast|guess|simulated|computed|results?|fitted|got|input|p"
)
_TRUE = re.compile(
    "y?true|truth|targets?|tgt|labels?|actuals?|expected|observed|answers?|gt|references?|measured|correct|exact|"
    "desired|y|t|d"
)


def _role(name: str) -> str:
    """Whether a parameter of this name is a "prediction" or a "target"; "" where the name does not tell."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_")
    if any(map(_PREDICTED.fullmatch, words)):
        return "prediction"
    return "target" if any(map(_TRUE.fullmatch, words)) else ""


@frozen
class Call:
    """How a function of predictions and targets is called: scikit-learn's take (y_true, y_pred), deepbp's the reverse.

    Attributes:
        reverse: whether the target is the first argument.
        names: the parameters of prediction and target, where both are passed by name.
        weighted: whether there is a parameter ``sample_weight``.
    """

    reverse: bool = False
    names: tuple[str, str] | None = None
    weighted: bool = False

    @classmethod
    def of(cls, function: Any) -> "Call":
        """Read the parameters. Raises ConfigurationError if their names leave open which one is the prediction."""
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # a function that is not written in Python
            return cls()
        weighted = any(p.name == "sample_weight" and p.kind != p.POSITIONAL_ONLY for p in parameters)
        several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        free = [p for p in parameters if p.kind not in several and p.name != "sample_weight"]
        required = [p for p in free if p.default is p.empty]
        two = required if len(required) == 2 else [p for p in free if p.kind != p.KEYWORD_ONLY][:2]
        if len(two) < 2:
            return cls(weighted=weighted)
        roles = [_role(p.name) for p in two]
        if roles[0] == roles[1] != "":
            raise ConfigurationError(
                f"metric {metric_name(function)}: expected parameters of which one is the prediction and one the "
                f"target, got {two[0].name} and {two[1].name}, both a {roles[0]} by their names: "
                "name them prediction and target"
            )
        reverse = roles[0] == "target" or roles[1] == "prediction"
        first, second = reversed(two) if reverse else two
        by_name = all(p.kind != p.POSITIONAL_ONLY for p in two) and (
            roles != ["", ""] or two[1].kind == two[1].KEYWORD_ONLY
        )
        return cls(reverse, (first.name, second.name) if by_name else None, weighted)

    def __call__(self, function: Any, prediction: Array, target: Array, sample_weight: Array | None) -> Any:
        weights = {"sample_weight": sample_weight} if self.weighted and sample_weight is not None else {}
        if self.names is not None:
            return function(**dict(zip(self.names, (prediction, target), strict=True)), **weights)
        return function(*((target, prediction) if self.reverse else (prediction, target)), **weights)


def term_weights(sample_weight: Array | None, terms: Array) -> Array | None:
    """Weights (B,), or of the terms' shape, as float64 weights of the terms' shape."""
    if sample_weight is None:
        return None
    if not getattr(sample_weight, "shape", ()):
        raise not_arrays(sample_weight=sample_weight)
    if sample_weight.shape != terms.shape[: sample_weight.ndim]:
        raise ShapeError(
            f"sample_weight: expected one weight a sample, shape {terms.shape[:1]}, got {sample_weight.shape}"
        )
    column = sample_weight.astype(np.float64).reshape(*sample_weight.shape, *(1,) * (terms.ndim - sample_weight.ndim))
    return np.broadcast_to(column, terms.shape)


def divided(above: float, below: float) -> float:
    """A quotient; NaN if the weights add up to 0."""
    return float(above / below) if below != 0 else nan
