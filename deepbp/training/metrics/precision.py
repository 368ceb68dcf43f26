"""How many of those that were found are right."""

from attrs import frozen

from deepbp.training.metrics.averaging import Averaged, ratio
from deepbp.typing import Array


@frozen
class Precision(Averaged):
    """Right ones among the predicted ones, TP / (TP + FP); 0 where nothing was predicted. See ``Averaged``."""

    def share(self, hits: Array, predicted: Array, true: Array) -> Array:
        return ratio(hits, predicted)
