"""Loss functions: each class is a formula and its derivative, and its name states the reduction and the input."""

from deepbp._config import publish
from deepbp.losses.combined import IgnoreMissing, OnOutputs, SumOfLosses
from deepbp.losses.cross_entropies import (
    BinaryCrossEntropy,
    CrossEntropy,
    SigmoidBinaryCrossEntropy,
    SoftmaxCrossEntropy,
)
from deepbp.losses.distances import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanSquaredError,
    Quantile,
    SumSquaredError,
)
from deepbp.losses.focal import SigmoidFocal, SoftmaxFocal
from deepbp.losses.likelihoods import KLDivergence, LogPoisson, Poisson
from deepbp.losses.loss import Loss
from deepbp.losses.margins import CategoricalHinge, Hinge, SquaredHinge
from deepbp.losses.targets import sample_weights

__all__ = [
    "BinaryCrossEntropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "CrossEntropy",
    "Hinge",
    "Huber",
    "IgnoreMissing",
    "KLDivergence",
    "LogCosh",
    "LogPoisson",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "OnOutputs",
    "Poisson",
    "Quantile",
    "SigmoidBinaryCrossEntropy",
    "SigmoidFocal",
    "SoftmaxCrossEntropy",
    "SoftmaxFocal",
    "SquaredHinge",
    "SumOfLosses",
    "SumSquaredError",
    "sample_weights",
]

publish(__name__)
