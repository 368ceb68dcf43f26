"""How far predictions are from the targets, on average."""

import numpy as np
from attrs import frozen

from deepbp.losses.loss import check_same_shape
from deepbp.training.metrics.metric import Metric
from deepbp.typing import Array


@frozen
class MeanAbsoluteError(Metric):
    """Σ |ŷ − y| / n, in the units of the target."""

    name = "mean_absolute_error"
    higher_is_better = False

    def __call__(self, prediction: Array, target: Array) -> float:
        check_same_shape(prediction, target, type(self).__name__)
        return float(np.mean(np.abs(prediction - target)))
