"""How often the right class is among the first few."""

import numpy as np
from attrs import field, frozen

from deepbp.errors import ConfigurationError
from deepbp.errors.validators import positive_int
from deepbp.training.metrics.labels import scores_and_labels
from deepbp.training.metrics.metric import Metric
from deepbp.typing import Array


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
