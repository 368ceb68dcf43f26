"""The contract of a metric, and how metrics average over classes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np
from attrs import field, frozen

from deepbp._suggestions import ExplainedArguments, named
from deepbp._validation import as_numbers, check_same_length
from deepbp.errors import ArgumentTypeError, ConfigurationError, ContractError, DataTypeError, ShapeError
from deepbp.errors.validators import finite, one_of
from deepbp.losses.loss import check_same_shape, not_arrays
from deepbp.losses.targets import check_labels
from deepbp.typing import Array, ArrayLike


class Metric(ExplainedArguments, ABC):
    """Base class of metrics: a name and a function of all predictions and targets of an epoch.

    Any other callable of the two serves as well.

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


MetricLike: TypeAlias = Metric | Callable[[Array, Array], float]


def metric_name(metric: MetricLike) -> str:
    """The key of a metric in the history.

    >>> from deepbp.metrics import Accuracy, metric_name
    >>> metric_name(Accuracy())
    'accuracy'
    """
    return str(getattr(metric, "name", None) or getattr(metric, "__name__", type(metric).__name__))


def check_metrics(metrics: Sequence[MetricLike]) -> tuple[MetricLike, ...]:
    """Validate metrics: instances or functions with different names.

    >>> from deepbp.metrics import Accuracy, check_metrics
    >>> check_metrics([Accuracy()])
    (Accuracy(),)
    """
    if not isinstance(metrics, list | tuple):
        raise ArgumentTypeError(f"metrics: expected a list such as [Accuracy()], got {metrics!r}")
    for metric in metrics:
        if not callable(metric) or isinstance(metric, type):
            raise ArgumentTypeError(
                f"metrics: expected callables such as Accuracy(), got {metric!r}{named(metric, 'Metric')}"
            )
    names = [metric_name(metric) for metric in metrics]
    if len(set(names)) < len(names) or "loss" in names:
        raise ConfigurationError(f"metrics: expected names that differ, and none called 'loss', got {names}")
    return tuple(metrics)


def compute(metric: MetricLike, prediction: Array, target: Array) -> float:
    """The value of a metric; errors get a note with its name, and anything but a number is a ``ContractError``.

    >>> import numpy as np
    >>> from deepbp.metrics import Accuracy, compute
    >>> compute(Accuracy(), np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    try:
        value: Any = metric(prediction, target)
    except Exception as error:
        error.add_note(f"in metric {metric_name(metric)}: predictions {prediction.shape}, targets {target.shape}")
        raise
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ContractError(f"metric {metric_name(metric)}: expected a single number, returned {value!r}") from None


def as_labels(values: ArrayLike, name: str, threshold: float) -> Array:
    """Labels (N,) unchanged; from (N, 1), whether the number exceeds the threshold; from (N, C), the largest."""
    array = as_numbers(values, name)
    if array.ndim == 2 and array.shape[1]:
        return np.asarray((array[:, 0] > threshold).astype(int) if array.shape[1] == 1 else array.argmax(axis=1))
    if array.ndim != 1:
        raise ShapeError(f"{name}: expected labels (N,) or a score for each class (N, C), got {array.shape}")
    labels: Array = array.astype(int)
    wrong = array[(labels != array) | (labels < 0)]
    if len(wrong):
        raise DataTypeError(f"{name}: expected labels 0, 1, 2, …, got {wrong[0]}")
    return labels


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


def confusion_matrix(prediction: ArrayLike, target: ArrayLike, *, threshold: float = 0.5) -> Array:
    """Confusion matrix (C, C): the number of samples of each class (row) that were predicted as each class (column).

    A history holds single numbers, so this is a function rather than a metric; ``deepbp.plots.confusion_matrix`` draws
    it. C is the number of scores, or one more than the largest label, and at least 2.

    Args:
        prediction: what ``net.predict(x)`` returns, (N, C) or (N, 1), or labels (N,).
        target: labels (N,), binary targets (N, 1), or one-hot rows (N, C).
        threshold: for one output, where class 1 begins: 0.5 for probabilities, 0 for logits.

    >>> from deepbp.metrics import confusion_matrix
    >>> confusion_matrix(prediction=[0, 1, 1], target=[0, 0, 1])
    array([[1, 1],
           [0, 1]])
    """
    predicted = as_labels(prediction, "prediction", threshold)
    true = as_labels(target, "target", 0.5)
    check_same_length(prediction=predicted, target=true)
    largest = max(int(predicted.max()), int(true.max()))
    return count_pairs(true, predicted, max(largest + 1, 2, *np.shape(prediction)[1:]))


def count_pairs(true: Array, predicted: Array, classes: int) -> Array:
    """The counts (C, C) of pairs of labels."""
    return np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)


@frozen
class Averaged(Metric):
    """Base class of metrics that are a ratio of counts, for binary targets or averaged over classes.

    Args:
        average: ``"binary"`` is for binary targets of the prediction's shape; several outputs (multi-label) are counted
            together. The others are for classes, with labels or one-hot rows as targets; the class with the largest
            score is the predicted one: ``"macro"`` is the mean over the classes that occur, in targets or predictions;
            ``"weighted"`` weights each by its number of targets; ``"micro"`` counts the samples of all classes
            together, so that all these metrics equal the accuracy.
        threshold: for binary targets: 0.5 for probabilities, 0 for logits.
    """

    higher_is_better = True

    average: Literal["binary", "macro", "micro", "weighted"] = field(
        default="binary", validator=one_of("binary", "macro", "micro", "weighted")
    )
    threshold: float = field(default=0.5, kw_only=True, validator=finite)

    @property
    def name(self) -> str:
        """Such as precision, for binary targets, or macro_precision."""
        own = type(self).__name__.lower()
        return own if self.average == "binary" else f"{self.average}_{own}"

    @abstractmethod
    def share(self, hits: Array, predicted: Array, true: Array) -> Array:
        """The ratio for each class, from the counts of right predictions, of predictions, and of targets."""

    def __call__(self, prediction: Array, target: Array) -> float:
        if self.average == "binary":
            return float(self.share(*self._binary_counts(prediction, target)))
        scores, labels = scores_and_labels(prediction, target, type(self).__name__)
        matrix = count_pairs(labels, scores.argmax(axis=1), scores.shape[1])
        hits, predicted, true = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
        if self.average == "micro":
            return float(self.share(hits.sum(), predicted.sum(), true.sum()))
        weights = true if self.average == "weighted" else (predicted + true > 0)
        return float(np.average(self.share(hits, predicted, true), weights=weights))

    def _binary_counts(self, prediction: Array, target: Array) -> tuple[Array, Array, Array]:
        place = type(self).__name__
        if np.shape(prediction)[:-1] == np.shape(target) != () and np.shape(prediction)[-1] > 1:
            raise ShapeError(
                f"{place}: expected answers of the prediction's shape {np.shape(prediction)}, got {np.shape(target)}: "
                f"for labels of classes use {place}('macro')"
            )
        check_same_shape(prediction, target, place)
        predicted, true = prediction > self.threshold, target > 0.5
        return (predicted & true).sum(), predicted.sum(), true.sum()


def ratio(above: Array, below: Array) -> Array:
    """A ratio of counts; 0 / 0 is 0."""
    return np.asarray(above / np.maximum(below, 1))
