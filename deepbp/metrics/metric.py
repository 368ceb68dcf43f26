"""The contract of a metric: how it is called, what its predictions mean, and how it is computed from sums."""

import inspect
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import log, nan
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, TypeGuard

import numpy as np
from attrs import evolve, field, frozen

from deepbp._suggestions import ExplainedArguments, named
from deepbp._validation import as_numbers, check_same_length
from deepbp.errors import ArgumentTypeError, ConfigurationError, ContractError, DataError, DataTypeError, ShapeError
from deepbp.errors.validators import instance_of, optional
from deepbp.layers import Layer
from deepbp.losses.loss import Loss, check_same_shape, not_arrays
from deepbp.losses.targets import ClassTargetLoss, check_binary, check_labels, check_rows
from deepbp.typing import Array, ArrayLike


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

    def __call__(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> float:
        return self.result(self.update(None, prediction, target, sample_weight))


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
        raise ArgumentTypeError(f"metrics: expected a list such as [Accuracy()], got {metrics!r}")
    for metric in metrics:
        if not callable(metric) or isinstance(metric, type | Layer):
            raise ArgumentTypeError(
                f"metrics: expected callables such as Accuracy(), got {metric!r}{named(metric, 'Metric')}"
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
        raise ContractError(f"metric {metric_name(metric)}: expected a single number, returned {value!r}") from None


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


def _check_threshold(threshold: float, loss: Loss[Any] | None, place: str) -> None:
    """Raise ConfigurationError for a threshold that the loss gives no meaning to."""
    if loss is None:
        return
    if loss.expects == "logits" and not 0 < threshold < 1:
        raise ConfigurationError(
            f"{place}: threshold: expected a probability between 0 and 1, got {threshold}: "
            f"{loss} makes logits, whose sigmoid is compared with it: threshold=0.5 is a logit of 0"
        )
    if loss.expects == "scores" and threshold != 0.5:
        raise ConfigurationError(
            f"{place}: threshold: expected 0.5, which stands for a score of 0, got {threshold}: "
            f"the scores of {loss} are no probabilities"
        )


def comparable(prediction: Array, threshold: float, loss: Loss[Any] | None, place: str) -> tuple[Array, float]:
    """Numbers, and the number above which they mean class 1; without a loss, predictions and threshold as they are."""
    _check_threshold(threshold, loss, place)
    if loss is None:
        return prediction, threshold
    if loss.expects == "scores":
        return prediction, 0.0
    accurate = prediction.astype(np.float64)  # in float32 σ(1e-9) is ½
    probability = loss.probabilities(accurate)
    if probability is None and loss.expects == "logits":
        return prediction, log(threshold / (1 - threshold))
    return (prediction if probability is None or probability is accurate else probability), threshold


class Default(float):
    """A number that an argument has where none was given, which tells it from the same number given on purpose."""


HALF = Default(0.5)


def warn_of_logits(prediction: Array, threshold: float, loss: Loss[Any] | None, place: str) -> None:
    """Warn where neither loss nor threshold is given, and predictions of one output are evidently no probabilities."""
    if loss is None and isinstance(threshold, Default) and not (prediction.min() >= 0 and prediction.max() <= 1):
        warnings.warn(
            f"{place}: numbers from {prediction.min():.3g} to {prediction.max():.3g} were compared with 0.5: "
            "give the loss of the training, such as loss=SigmoidBinaryCrossEntropy() for logits, or threshold=0.5 "
            "where that is meant",
            stacklevel=3,
        )


def positive(prediction: Array, threshold: float, loss: Loss[Any] | None, place: str) -> Array:
    """Whether each prediction stands for a probability above the threshold."""
    numbers, limit = comparable(prediction, threshold, loss, place)
    return np.asarray(numbers > limit)


@frozen
class LossAware(StreamingMetric):
    """Base class of classification metrics, whose predictions mean what the loss of the training says.

    Args:
        loss: what predictions are; ``fit`` and ``evaluate`` fill in the loss of the training.
    """

    loss: Loss[Any] | None = field(default=None, kw_only=True, repr=False, validator=optional(instance_of(Loss)))

    def bind(self, loss: Loss[Any]) -> Self:
        bound = evolve(self, loss=loss) if self.loss is None else self
        _check_threshold(getattr(self, "threshold", 0.5), bound.loss, type(self).__name__)
        return bound

    def _positive(self, prediction: Array, target: Array, threshold: float) -> tuple[Array, Array]:
        """Whether class 1 is predicted, and whether it is right, after validation: answers 0 or 1."""
        place = type(self).__name__
        if np.shape(prediction)[:-1] == np.shape(target) != () and np.shape(prediction)[-1] > 1:
            fix = "use Accuracy()" if place == "BinaryAccuracy" else f"use {place}('macro')"
            raise ShapeError(
                f"{place}: expected answers of the prediction's shape {np.shape(prediction)}, got {np.shape(target)}: "
                f"for labels of classes {fix}"
            )
        check_same_shape(prediction, target, place)
        check_binary(target, f"{place}: target")
        return positive(prediction, threshold, self.loss, place), target != 0


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


def as_labels(values: ArrayLike, name: str, threshold: float, loss: Loss[Any] | None = None) -> Array:
    """Labels (N,) unchanged; from predictions (N, 1), those above the threshold; from (N, C), the largest."""
    array = as_numbers(values, name)
    if array.ndim == 2 and array.shape[1]:
        if array.shape[1] > 1:
            return np.asarray(array.argmax(axis=1))
        return positive(array[:, :1], threshold, loss, name)[:, 0].astype(int)
    if array.ndim != 1:
        raise ShapeError(f"{name}: expected labels (N,) or a score for each class (N, C), got {array.shape}")
    labels: Array = array.astype(int)
    wrong = array[(labels != array) | (labels < 0)]
    if len(wrong):
        raise DataTypeError(f"{name}: expected labels 0, 1, 2, …, got {wrong[0]}")
    return labels


def as_true_labels(target: ArrayLike, name: str) -> Array:
    """Labels (N,) unchanged; from answers (N, 1), 0 or 1; from one-hot rows (N, C), the class. Validates each."""
    array = as_numbers(target, name)
    if array.ndim == 2 and array.shape[1]:
        if array.shape[1] == 1:
            check_binary(array, name)
        else:
            check_rows(array, name)
    return as_labels(array, name, 0.5)


def scores_and_labels(prediction: Array, target: Array, place: str) -> tuple[Array, Array]:
    """Scores (B, …, C) with labels (B, …) or one-hot rows (B, …, C), as scores (N, C) and labels (N,)."""
    if not getattr(prediction, "shape", ()) or not getattr(target, "shape", ()):
        raise not_arrays(prediction=prediction, target=target)
    classes = prediction.shape[-1]
    if prediction.ndim < 2 or classes < 2:
        raise ShapeError(
            f"{place}: expected a score for each of at least 2 classes, (B, …, C), got {prediction.shape}: "
            "answers of a single output have average='binary'"
        )
    check_labels(target, prediction.shape, f"{place}: target")
    labels = target.argmax(axis=-1) if target.ndim == prediction.ndim else target
    return prediction.reshape(-1, classes), labels.reshape(-1).astype(np.intp, copy=False)


def is_of_classes(loss: Loss[Any] | None) -> bool:
    """Whether the targets of the loss are classes, not answers 0 or 1."""
    return isinstance(loss, ClassTargetLoss)


def confusion_matrix(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    threshold: float = HALF,
    loss: Loss[Any] | None = None,
    sample_weight: ArrayLike | None = None,
) -> Array:
    """Confusion matrix (C, C): the number of samples of each class (row) that were predicted as each class (column).

    A history holds single numbers, so this is a function rather than a metric; ``deepbp.plots.confusion_matrix`` draws
    it. C is the number of scores, or one more than the largest label, and at least 2.

    Args:
        prediction: what ``net.predict(x)`` returns, (N, C) or (N, 1), or labels (N,).
        target: labels (N,), binary targets (N, 1), or one-hot rows (N, C).
        threshold: for one output, the probability above which class 1 is predicted.
        loss: the loss of the training: with logits or scores, ½ is a prediction of 0. Without it, predictions are
            compared as they are, with a warning if some lie outside [0, 1] and no threshold was given.
        sample_weight: (N,); the matrix then holds sums of weights.

    >>> import numpy as np
    >>> from deepbp.losses import SigmoidBinaryCrossEntropy
    >>> from deepbp.metrics import confusion_matrix
    >>> confusion_matrix(prediction=[0, 1, 1], target=[0, 0, 1])
    array([[1, 1],
           [0, 1]])
    >>> confusion_matrix(np.array([[0.3], [-0.2]]), np.array([[1], [0]]), loss=SigmoidBinaryCrossEntropy())
    array([[1, 0],
           [0, 1]])
    """
    if loss is not None and not isinstance(loss, Loss):
        raise ArgumentTypeError(f"loss: expected an instance such as SigmoidBinaryCrossEntropy(), got {loss!r}")
    predicted = as_labels(prediction, "prediction", threshold, loss)
    true = as_true_labels(target, "target")
    if np.shape(prediction)[1:] == (1,):
        warn_of_logits(as_numbers(prediction, "prediction"), threshold, loss, "prediction")
    weight = None if sample_weight is None else as_numbers(sample_weight, "sample_weight").astype(np.float64)
    check_same_length(prediction=predicted, target=true, sample_weight=weight)
    largest, scores = max(int(predicted.max()), int(true.max())), np.shape(prediction)[1:]
    if scores and largest >= (classes := max(2, *scores)):
        raise DataError(f"target: expected labels from 0 to {classes - 1}, as there are scores, got {largest}")
    return count_pairs(true, predicted, max(largest + 1, 2, *scores), weight)


def count_pairs(true: Array, predicted: Array, classes: int, weight: Array | None = None) -> Array:
    """The counts (C, C) of pairs of labels, or the sums of their weights."""
    return np.bincount(true * classes + predicted, weight, classes * classes).reshape(classes, classes)
