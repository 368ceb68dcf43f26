"""How many of those that are there were found."""

from attrs import frozen

from deepbp.training.metrics.averaging import Averaged, ratio
from deepbp.typing import Array


@frozen
class Recall(Averaged):
    """Found ones among the true ones, TP / (TP + FN); 0 where there are none. See ``Averaged``."""

    def share(self, hits: Array, predicted: Array, true: Array) -> Array:
        return ratio(hits, true)
