"""How many classes are right."""

import numpy as np
from attrs import frozen

from deepbp.errors import DataError, ShapeError
from deepbp.losses.loss import not_arrays
from deepbp.training.metrics.metric import Metric
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
