"""How far predictions are from the targets, where large errors count more."""

import numpy as np
from attrs import frozen

from deepbp.losses.loss import check_same_shape
from deepbp.training.metrics.metric import Metric
from deepbp.typing import Array


@frozen
class RootMeanSquaredError(Metric):
    """√(Σ (ŷ − y)² / n), in the units of the target; n counts samples times outputs."""

    name = "root_mean_squared_error"
    higher_is_better = False

    def __call__(self, prediction: Array, target: Array) -> float:
        check_same_shape(prediction, target, type(self).__name__)
        return float(np.sqrt(np.mean((prediction - target) ** 2)))
