"""How well scores put the ones before the others, whatever the threshold."""

from math import nan
from typing import Literal

import numpy as np
from attrs import field, frozen

from deepbp.losses.loss import check_same_shape
from deepbp.training.metrics.averaging import one_of
from deepbp.training.metrics.labels import scores_and_labels
from deepbp.training.metrics.metric import Metric
from deepbp.typing import Array


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
