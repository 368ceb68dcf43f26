"""Precision and recall in one number, which is high only if both are."""

from attrs import frozen

from deepbp.training.metrics.averaging import Averaged, ratio
from deepbp.typing import Array


@frozen
class F1(Averaged):
    """The harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN); 0 where there are none. See ``Averaged``.

    Of several classes it is the mean of theirs, not what their mean precision and recall would make.

    Source: van Rijsbergen 1979, "Information retrieval".
    """

    def share(self, hits: Array, predicted: Array, true: Array) -> Array:
        return ratio(2 * hits, predicted + true)
