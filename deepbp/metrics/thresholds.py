"""Thresholds and labels: what raw predictions mean to a metric, and the confusion matrix."""

import warnings
from math import log
from typing import Any, Self

import numpy as np
from attrs import evolve, field, frozen

from deepbp._tables import numbered
from deepbp._validation import as_numbers, check_same_length
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DataTypeError, ShapeError, shown
from deepbp.errors.validators import instance_of, optional
from deepbp.losses.loss import Loss, check_same_shape, not_arrays
from deepbp.losses.targets import ClassTargetLoss, check_binary, check_labels, check_rows
from deepbp.metrics.metric import StreamingMetric
from deepbp.typing import Array, ArrayLike


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
        target: labels (N,), binary targets (N, 1), or one-hot rows (N, C). Labels may be text: the names of the classes
            in the order of the alphabet.
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
        raise ArgumentTypeError(f"loss: expected an instance such as SigmoidBinaryCrossEntropy(), got {shown(loss)}")
    _, (prediction, target) = numbered(None, {"prediction": prediction, "target": target})
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
