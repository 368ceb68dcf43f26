"""Classification metrics: accuracies, ratios of counts, and the area under the ROC curve."""

from math import nan
from typing import Literal

import numpy as np
from attrs import field, frozen

from deepbp.errors import ConfigurationError, DataError, ShapeError
from deepbp.errors.validators import finite, one_of, positive_int
from deepbp.losses.loss import check_same_shape, not_arrays
from deepbp.metrics.metric import Averaged, Metric, ratio, scores_and_labels
from deepbp.typing import Array


@frozen
class Accuracy(Metric):
    """Accuracy: the share of samples whose largest score is that of the right class; labels or one-hot rows.

    >>> import numpy as np
    >>> from deepbp.metrics import Accuracy
    >>> Accuracy()(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """

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
    """Binary accuracy: the share of predictions on the right side of the threshold, for targets 0 or 1.

    Args:
        threshold: 0.5 for probabilities, 0 for logits.

    >>> import numpy as np
    >>> from deepbp.metrics import BinaryAccuracy
    >>> BinaryAccuracy()(np.array([[0.9], [0.2], [0.6], [0.4]]), np.array([[1], [0], [1], [1]]))
    0.75
    """

    name = "binary_accuracy"
    higher_is_better = True

    threshold: float = field(default=0.5, validator=finite)

    def __call__(self, prediction: Array, target: Array) -> float:
        check_same_shape(prediction, target, type(self).__name__)
        return float(np.mean((prediction > self.threshold) == (target > 0.5)))


@frozen
class TopKAccuracy(Metric):
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

    def __call__(self, prediction: Array, target: Array) -> float:
        scores, labels = scores_and_labels(prediction, target, type(self).__name__)
        classes = scores.shape[1]
        if self.k > classes:
            raise ConfigurationError(f"TopKAccuracy: k: expected at most {classes}, as there are classes, got {self.k}")
        right = np.take_along_axis(scores, labels[:, None], axis=1)
        equal_before = (scores == right) & (np.arange(classes) < labels[:, None])
        return float(np.mean(((scores > right) | equal_before).sum(axis=1) < self.k))


@frozen
class Precision(Averaged):
    """Precision, TP / (TP + FP): the right ones among the positive predictions, 0 without any.

    Args:
        average, threshold: ``"binary"``, ``"macro"``, ``"micro"`` or ``"weighted"``, see ``F1``.

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
        average, threshold: ``"binary"``, ``"macro"``, ``"micro"`` or ``"weighted"``, see ``F1``.

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
        threshold: for binary targets: 0.5 for probabilities, 0 for logits.

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

    1 is a perfect order, ½ a random one; equal scores count half. It is computed exactly, from ranks, and is NaN where
    all targets are equal.

    Args:
        average: ``"binary"`` is for binary targets of the prediction's shape, several outputs together; probabilities
            and logits give the same. ``"macro"`` is for classes, with labels or one-hot rows as targets: each against
            the rest, the mean over those that occur in the targets; ``"weighted"`` weights each by its number of
            targets. Scores of different samples are compared, so they should be probabilities.

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

    @property
    def name(self) -> str:
        """roc_auc for binary targets, macro_roc_auc or weighted_roc_auc for classes."""
        return "roc_auc" if self.average == "binary" else f"{self.average}_roc_auc"

    def __call__(self, prediction: Array, target: Array) -> float:
        if self.average == "binary":
            check_same_shape(prediction, target, type(self).__name__)
            return _area(prediction.reshape(-1), target.reshape(-1) > 0.5)
        scores, labels = scores_and_labels(prediction, target, type(self).__name__)
        counts = np.bincount(labels)
        occurring = np.flatnonzero(counts)
        areas = [_area(scores[:, k], labels == k) for k in occurring]
        return float(np.average(areas, weights=counts[occurring] if self.average == "weighted" else None))


def _area(scores: Array, positive: Array) -> float:
    """The area from the rank sum of the positive samples, less its minimum, divided by the number of pairs."""
    ones = int(positive.sum())
    pairs = ones * (len(positive) - ones)
    if pairs == 0:
        return nan
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # equal scores share the mean of their ranks
    return float(ranks[place][positive].sum() - ones * (ones + 1) / 2) / pairs
