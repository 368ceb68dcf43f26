"""How many yes-or-no answers are right."""

import numpy as np
from attrs import field, frozen

from deepbp.errors.validators import finite
from deepbp.losses.loss import check_same_shape
from deepbp.training.metrics.metric import Metric
from deepbp.typing import Array


@frozen
class BinaryAccuracy(Metric):
    """The share of 0-or-1 answers on the right side of ``threshold``: 0.5 for probabilities, 0 for logits."""

    name = "binary_accuracy"
    higher_is_better = True

    threshold: float = field(default=0.5, validator=finite)

    def __call__(self, prediction: Array, target: Array) -> float:
        check_same_shape(prediction, target, type(self).__name__)
        return float(np.mean((prediction > self.threshold) == (target > 0.5)))
