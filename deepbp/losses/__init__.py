"""The losses: each a formula and its derivative on one screen. The class names say sum or mean, and what they take."""

from deepbp.losses.binary_cross_entropy import BinaryCrossEntropy, SigmoidBinaryCrossEntropy
from deepbp.losses.cross_entropy import CrossEntropy
from deepbp.losses.loss import Loss
from deepbp.losses.mean_squared_error import MeanSquaredError
from deepbp.losses.softmax_cross_entropy import SoftmaxCrossEntropy
from deepbp.losses.sum_squared_error import SumSquaredError

__all__ = [
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Loss",
    "MeanSquaredError",
    "SigmoidBinaryCrossEntropy",
    "SoftmaxCrossEntropy",
    "SumSquaredError",
]
