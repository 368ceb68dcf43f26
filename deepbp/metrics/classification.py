"""Classification metrics: accuracies, ratios of counts, and the area under the ROC curve."""

from abc import abstractmethod
from math import nan
from typing import Any, Literal, Self

import numpy as np
from attrs import evolve, field, frozen

from deepbp.errors import ConfigurationError, DataError, ShapeError
from deepbp.errors.validators import finite, instance_of, one_of, optional, positive_int
from deepbp.losses.loss import Loss, check_same_shape, not_arrays
from deepbp.losses.targets import check_binary
from deepbp.metrics.metric import MeanMetric, Metric, as_arrays, divided, term_weights
from deepbp.metrics.thresholds import LossAware, is_of_classes, scores_and_labels
from deepbp.typing import Array

_FIX = "for answers 0 or 1 use BinaryAccuracy(), for numbers R2() or MeanAbsoluteError()"


@frozen
class Accuracy(LossAware, MeanMetric):
    """Accuracy: the share of samples whose largest score is that of the right class; labels or one-hot rows.

    For a network with one output it is the binary accuracy: the share of answers 0 or 1 that are predicted right,
    where ½ divides probabilities, and 0 divides logits and scores, as the loss of the training tells. Raises
    ``DataError`` for targets that are neither classes nor answers.

    Args:
        loss: what predictions are; ``fit`` and ``evaluate`` fill in the loss of the training.

    >>> import numpy as np
    >>> from deepbp.metrics import Accuracy
    >>> Accuracy()(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    >>> Accuracy()(np.array([[0.9], [0.8], [0.1], [0.2]]), np.array([[0], [1], [1], [1]]))  # one output
    0.25
    """

    name = "accuracy"
    higher_is_better = True

    def terms(self, prediction: Array, target: Array) -> Array:
        if not getattr(prediction, "shape", ()) or not getattr(target, "shape", ()):
            raise not_arrays(prediction=prediction, target=target)
        try:
            if prediction.ndim == 1 or prediction.shape[-1] == 1:
                return self._one_output(prediction, target)
            if target.shape not in (prediction.shape, prediction.shape[:-1]):
                raise ShapeError(
                    f"Accuracy: expected labels of shape {prediction.shape[:-1]} or one-hot rows of shape "
                    f"{prediction.shape}, got {target.shape}"
                )
            scores, labels = scores_and_labels(prediction, target, "Accuracy")
        except DataError as error:
            if len(target) == 0:
                raise DataError("Accuracy: expected at least one sample, got none") from None
            raise DataError(f"{error}: {_FIX}") from None
        return with_nan(scores.argmax(axis=1) == labels, scores, axis=1).reshape(prediction.shape[:-1])

    def _one_output(self, prediction: Array, target: Array) -> Array:
        if is_of_classes(self.loss):
            raise ShapeError(
                f"Accuracy: {self.loss} needs a score for each of at least 2 classes, (B, …, C), got {prediction.shape}"
            )
        if prediction.shape[-1] == 1 and target.shape == prediction.shape[:-1]:
            target = target[..., None]
        predicted, true = self._positive(prediction, target, 0.5)
        return with_nan(predicted == true, prediction)


@frozen
class BinaryAccuracy(LossAware, MeanMetric):
    """Binary accuracy: the share of predictions on the right side of the threshold, for targets 0 or 1.

    Raises ``DataError`` for other targets, such as −1 and 1.

    Args:
        threshold: the probability above which class 1 is predicted. In ``fit`` and ``evaluate`` the loss tells what
            predictions are, so that 0.5 is 0 for logits and scores; without a loss they are compared as they are.
        loss: what predictions are; ``fit`` and ``evaluate`` fill in the loss of the training.

    >>> import numpy as np
    >>> from deepbp.losses import SigmoidBinaryCrossEntropy
    >>> from deepbp.metrics import BinaryAccuracy
    >>> BinaryAccuracy()(np.array([[0.9], [0.2], [0.6], [0.4]]), np.array([[1], [0], [1], [1]]))
    0.75
    >>> logits = np.array([[2.2], [-1.4], [0.4], [-0.4]])
    >>> BinaryAccuracy(loss=SigmoidBinaryCrossEntropy())(logits, np.array([[1], [0], [1], [1]]))
    0.75
    """

    name = "binary_accuracy"
    higher_is_better = True

    threshold: float = field(default=0.5, validator=finite)

    def terms(self, prediction: Array, target: Array) -> Array:
        predicted, true = self._positive(prediction, target, self.threshold)
        return with_nan(predicted == true, prediction)


@frozen
class TopKAccuracy(MeanMetric):
    """Top-k accuracy: the share of samples whose right class is among the ``k`` largest scores; labels or one-hot rows.

    Of equal scores the first class counts as larger, so k = 1 is ``Accuracy``.

    >>> import numpy as np
    >>> from deepbp.metrics import TopKAccuracy
    >>> TopKAccuracy(k=2)(np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]), np.array([1, 2]))
    0.5
    """

    higher_is_better = True

    k: int = field(default=5, validator=positive_int)

    @property
    def name(self) -> str:
        """Such as top_5_accuracy."""
        return f"top_{self.k}_accuracy"

    def terms(self, prediction: Array, target: Array) -> Array:
        scores, labels = scores_and_labels(prediction, target, type(self).__name__)
        classes = scores.shape[1]
        if self.k > classes:
            raise ConfigurationError(f"TopKAccuracy: k: expected at most {classes}, as there are classes, got {self.k}")
        right = np.take_along_axis(scores, labels[:, None], axis=1)
        equal_before = (scores == right) & (np.arange(classes) < labels[:, None])
        among = ((scores > right) | equal_before).sum(axis=1) < self.k
        return with_nan(among, scores, axis=1).reshape(prediction.shape[:-1])


def with_nan(right: Array, scores: Array, axis: int | None = None) -> Array:
    """Whether predictions are right, or NaN for those whose scores are; ``axis``: the one over which they compete."""
    unknown = np.isnan(scores)
    if not unknown.any():
        return right
    return np.where(unknown if axis is None else unknown.any(axis=axis), nan, right)


@frozen
class Averaged(LossAware):
    """Base class of metrics that are a ratio of counts, for binary targets or averaged over classes.

    Args:
        average: ``"binary"`` is for binary targets of the prediction's shape; several outputs (multi-label) are counted
            together. The others are for classes, with labels or one-hot rows as targets; the class with the largest
            score is the predicted one: ``"macro"`` is the mean over the classes that occur, in targets or predictions;
            ``"weighted"`` weights each by its number of targets; ``"micro"`` counts the samples of all classes
            together, so that all these metrics equal the accuracy.
        threshold: for binary targets, the probability above which class 1 is predicted, see ``BinaryAccuracy``.
        loss: what predictions are; ``fit`` and ``evaluate`` fill in the loss of the training.
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

    def update(self, state: Array | None, prediction: Array, target: Array, sample_weight: Array | None) -> Array:
        """The sums of weights of right predictions, predictions and targets of each class, and their number."""
        if self.average == "binary":
            predicted, true = (array.reshape(-1) for array in self._positive(prediction, target, self.threshold))
            weight, classes = term_weights(sample_weight, prediction), 1
            columns = (predicted & true, predicted, true)
            counts = [column.sum() if weight is None else weight.reshape(-1) @ column for column in columns]
            sums = np.array([*counts, 0], np.float64).reshape(4, 1)
        else:
            scores, labels = scores_and_labels(prediction, target, type(self).__name__)
            weight, classes = term_weights(sample_weight, prediction[..., 0]), scores.shape[1]
            winners, flat = scores.argmax(axis=1), None if weight is None else weight.reshape(-1)

            def count(chosen: Array, weights: Array | None = flat) -> Array:
                return np.bincount(chosen, weights, classes).astype(np.float64)

            right = winners == labels
            hits = count(labels[right], None if flat is None else flat[right])
            sums = np.array([hits, count(winners), count(labels), count(winners, None) + count(labels, None)])
        if np.isnan(prediction).any():
            sums[:] = nan
        return sums if state is None else state + sums

    def result(self, state: Array) -> float:
        hits, predicted, true, occurring = state
        if np.isnan(state).any():
            return nan
        if self.average in ("binary", "micro"):
            return float(self.share(hits.sum(), predicted.sum(), true.sum()))
        weights = true if self.average == "weighted" else occurring > 0
        return divided(float(np.sum(weights * self.share(hits, predicted, true))), float(np.sum(weights)))


def ratio(above: Array, below: Array) -> Array:
    """A ratio of counts; 0 / 0 is 0."""
    return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1), 0))


@frozen
class Precision(Averaged):
    """Precision, TP / (TP + FP): the right ones among the positive predictions, 0 without any.

    Args:
        average, threshold, loss: ``"binary"``, ``"macro"``, ``"micro"`` or ``"weighted"``, see ``F1``.

    >>> import numpy as np
    >>> from deepbp.metrics import Precision
    >>> Precision()(np.array([[0.9], [0.8], [0.1]]), np.array([[1], [0], [1]]))  # 1 of 2
    0.5
    """

    def share(self, hits: Array, predicted: Array, true: Array) -> Array:
        return ratio(hits, predicted)


@frozen
class Recall(Averaged):
    """Recall, TP / (TP + FN): the share of the positive targets that were predicted, 0 without any.

    Args:
        average, threshold, loss: ``"binary"``, ``"macro"``, ``"micro"`` or ``"weighted"``, see ``F1``.

    >>> import numpy as np
    >>> from deepbp.metrics import Recall
    >>> Recall()(np.array([[0.9], [0.1], [0.1], [0.2]]), np.array([[1], [1], [1], [1]]))  # 1 of 4
    0.25
    """

    def share(self, hits: Array, predicted: Array, true: Array) -> Array:
        return ratio(hits, true)


@frozen
class F1(Averaged):
    """F1 score, 2 TP / (2 TP + FP + FN): the harmonic mean of precision and recall, 0 without positives.

    Args:
        average: ``"binary"`` for binary targets; for classes ``"macro"``, the mean over those that occur,
            ``"weighted"`` by their number of targets, or ``"micro"``, over all samples. The F1 of several classes is
            the mean of their F1 scores, not the harmonic mean of the averages.
        threshold: for binary targets, the probability above which class 1 is predicted, see ``BinaryAccuracy``.
        loss: what predictions are; ``fit`` and ``evaluate`` fill in the loss of the training.

    >>> import numpy as np
    >>> from deepbp.metrics import F1
    >>> F1()(np.array([[0.9], [0.8], [0.1]]), np.array([[1], [0], [1]]))  # 2 · 1 / (2 · 1 + 1 + 1)
    0.5

    Source: van Rijsbergen 1979, "Information retrieval".
    """

    def share(self, hits: Array, predicted: Array, true: Array) -> Array:
        return ratio(2 * hits, predicted + true)


@frozen
class ROCAUC(Metric):
    """Area under the ROC curve: the probability that a positive sample has a higher score than a negative one.

    1 is a perfect order, ½ a random one; equal scores count half. It is computed exactly, from ranks, so predictions
    are kept during an epoch; it is NaN where all targets are equal.

    Args:
        average: ``"binary"`` is for binary targets of the prediction's shape, several outputs together; probabilities
            and logits give the same. ``"macro"`` is for classes, with labels or one-hot rows as targets: each against
            the rest, the mean over those that occur in the targets; ``"weighted"`` weights each by its number of
            targets. Scores of different samples are compared, so logits become probabilities where the loss is known.
        loss: what predictions are; ``fit`` and ``evaluate`` fill in the loss of the training.

    >>> import numpy as np
    >>> from deepbp.metrics import ROCAUC
    >>> ROCAUC()(np.array([[0.1], [0.4], [0.35], [0.8]]), np.array([[0], [0], [1], [1]]))  # 3 of 4 pairs
    0.75

    Source: Mann & Whitney 1947; Hand & Till 2001, for classes one against the rest.
    """

    higher_is_better = True

    average: Literal["binary", "macro", "weighted"] = field(
        default="binary", validator=one_of("binary", "macro", "weighted")
    )
    loss: Loss[Any] | None = field(default=None, kw_only=True, repr=False, validator=optional(instance_of(Loss)))

    @property
    def name(self) -> str:
        """roc_auc for binary targets, macro_roc_auc or weighted_roc_auc for classes."""
        return "roc_auc" if self.average == "binary" else f"{self.average}_roc_auc"

    def bind(self, loss: Loss[Any]) -> Self:
        return evolve(self, loss=loss) if self.loss is None else self

    def __call__(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> float:
        prediction, target = as_arrays(prediction, target)
        if self.average == "binary":
            check_same_shape(prediction, target, "ROCAUC")
            check_binary(target, "ROCAUC: target")
            weight = term_weights(sample_weight, prediction)
            return _area(
                prediction.reshape(-1), target.reshape(-1) != 0, None if weight is None else weight.reshape(-1)
            )
        scores, labels = scores_and_labels(prediction, target, "ROCAUC")
        weight = term_weights(sample_weight, prediction[..., 0])
        weights = None if weight is None else weight.reshape(-1)
        probabilities = None if self.loss is None else self.loss.probabilities(scores.astype(np.float64))
        scores = scores if probabilities is None else probabilities
        occurring = np.flatnonzero(np.bincount(labels))
        areas = np.array([_area(scores[:, k], labels == k, weights) for k in occurring])
        if self.average == "macro":
            return float(areas.mean())
        counts = np.bincount(labels, weights)[occurring]
        return divided(float(areas @ counts), float(counts.sum()))


def _area(scores: Array, true: Array, weight: Array | None) -> float:
    """The weight of the pairs in which the positive sample has the higher score, half of it for equal scores."""
    if np.isnan(scores).any():
        return nan
    ones = true.astype(np.float64) if weight is None else true * weight
    zeros = 1 - ones if weight is None else weight - ones
    distinct, place = np.unique(scores, return_inverse=True)
    above, below = (np.bincount(place.reshape(-1), part, len(distinct)) for part in (ones, zeros))
    won = above @ (np.cumsum(below) - below / 2)  # each positive sample against the weight of negative ones below it
    return divided(float(won), float(above.sum() * below.sum()))
