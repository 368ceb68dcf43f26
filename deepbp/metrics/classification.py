"""Classification metrics."""

from math import nan
from typing import Literal

import numpy as np
from attrs import field, frozen

from deepbp.errors import ConfigurationError, DataError, ShapeError
from deepbp.errors.validators import finite, positive_int
from deepbp.losses.loss import check_same_shape, not_arrays
from deepbp.metrics.metric import Averaged, Metric, one_of, ratio, scores_and_labels
from deepbp.typing import Array


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
class TopKAccuracy(Metric):
    """The share of samples whose right class is among the ``k`` largest scores; targets are labels or one-hot rows.

    Of equal scores the class that comes first is taken first, so that k = 1 is ``Accuracy``.
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
    """Right ones among the predicted ones, TP / (TP + FP); 0 where nothing was predicted. See ``Averaged``."""

    def share(self, hits: Array, predicted: Array, true: Array) -> Array:
        return ratio(hits, predicted)


@frozen
class Recall(Averaged):
    """Found ones among the true ones, TP / (TP + FN); 0 where there are none. See ``Averaged``."""

    def share(self, hits: Array, predicted: Array, true: Array) -> Array:
        return ratio(hits, true)


@frozen
class F1(Averaged):
    """The harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN); 0 where there are none. See ``Averaged``.

    Of several classes it is the mean of theirs, not what their mean precision and recall would make.

    Source: van Rijsbergen 1979, "Information retrieval".
    """

    def share(self, hits: Array, predicted: Array, true: Array) -> Array:
        return ratio(2 * hits, predicted + true)


@frozen
class ROCAUC(Metric):
    """The area under the receiver operating characteristic: how probably a yes has a higher score than a no.

    1 is a perfect order, ½ none; equal scores count half. Computed exactly, from ranks. Where all answers are the same
    it is NaN: there is nothing to put in order.

    Args:
        average: ``"binary"`` is for answers 0 or 1 of the prediction's shape, those of several outputs together;
            probabilities and logits give the same. ``"macro"`` is for classes, with labels or one-hot rows as targets:
            each against the rest, the mean over those that occur in the targets; ``"weighted"`` counts each as often as
            it occurs there. There the scores of different samples are compared, so they should be probabilities.

    Source: Mann & Whitney 1947; Hand & Till 2001, for classes one against the rest.
    """

    higher_is_better = True

    average: Literal["binary", "macro", "weighted"] = field(
        default="binary", validator=one_of("binary", "macro", "weighted")
    )

    @property
    def name(self) -> str:
        """roc_auc for answers, macro_roc_auc or weighted_roc_auc for classes."""
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


def _area(scores: Array, yes: Array) -> float:
    """From the ranks of the yes: their sum, less the least that it could be, as a share of the most."""
    ones = int(yes.sum())
    pairs = ones * (len(yes) - ones)
    if pairs == 0:
        return nan
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # equal scores share the mean of their ranks
    return float(ranks[place][yes].sum() - ones * (ones + 1) / 2) / pairs
