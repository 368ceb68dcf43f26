"""Regression metrics."""

import numpy as np
from attrs import frozen

from deepbp.losses.loss import check_same_shape
from deepbp.metrics.metric import Metric
from deepbp.typing import Array


@frozen
class MeanAbsoluteError(Metric):
    """Mean absolute error, Σ |ŷ − y| / n, in the units of the target; n counts samples times outputs.

    >>> import numpy as np
    >>> from deepbp.metrics import MeanAbsoluteError
    >>> MeanAbsoluteError()(np.array([[1.0], [5.0]]), np.array([[1.0], [2.0]]))
    1.5
    """

    name = "mean_absolute_error"
    higher_is_better = False

    def __call__(self, prediction: Array, target: Array) -> float:
        check_same_shape(prediction, target, type(self).__name__)
        return float(np.mean(np.abs(prediction - target)))


@frozen
class RootMeanSquaredError(Metric):
    """Root mean squared error, √(Σ (ŷ − y)² / n), in the units of the target; n counts samples times outputs.

    >>> import numpy as np
    >>> from deepbp.metrics import RootMeanSquaredError
    >>> RootMeanSquaredError()(np.array([[1.0], [3.0]]), np.array([[0.0], [10.0]]))  # √((1² + 7²) / 2)
    5.0
    """

    name = "root_mean_squared_error"
    higher_is_better = False

    def __call__(self, prediction: Array, target: Array) -> float:
        check_same_shape(prediction, target, type(self).__name__)
        return float(np.sqrt(np.mean((prediction - target) ** 2)))


@frozen
class R2(Metric):
    """Coefficient of determination, R² = 1 − Σ (ŷ − y)² / Σ (y − ȳ)² for each output; the mean over several.

    ȳ is the mean target of the output. 1 is perfect, 0 no better than the constant ȳ, and less is worse. Where all
    targets of an output are equal, or for a single sample, it is 1 for predictions that equal them, else 0.

    >>> import numpy as np
    >>> from deepbp.metrics import R2
    >>> R2()(np.array([[1.0], [2.0], [4.0]]), np.array([[1.0], [2.0], [3.0]]))  # 1 − 1 / 2
    0.5
    """

    name = "r2"
    higher_is_better = True

    def __call__(self, prediction: Array, target: Array) -> float:
        check_same_shape(prediction, target, type(self).__name__)
        true = target.reshape(len(target), -1).astype(np.float64)  # in float32 a mean far from 0 would cost all digits
        left = ((prediction.reshape(true.shape) - true) ** 2).sum(axis=0)
        spread = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
        constant = (true == true[0]).all(axis=0)  # whose spread may be a rounding error
        explained = 1 - left / np.where(constant, 1, spread)
        return float(np.where(constant, left == 0, explained).mean())
