"""The losses: each a formula and its derivative on one screen. The class names say sum or mean, and what they take."""

from deepbp.losses.binary_cross_entropy import BinaryCrossEntropy, SigmoidBinaryCrossEntropy
from deepbp.losses.categorical_hinge import CategoricalHinge
from deepbp.losses.class_weights import sample_weights
from deepbp.losses.cosine_similarity import CosineSimilarity
from deepbp.losses.cross_entropy import CrossEntropy
from deepbp.losses.hinge import Hinge, SquaredHinge
from deepbp.losses.huber import Huber
from deepbp.losses.kl_divergence import KLDivergence
from deepbp.losses.log_cosh import LogCosh
from deepbp.losses.loss import Loss
from deepbp.losses.mean_absolute_error import MeanAbsoluteError
from deepbp.losses.mean_squared_error import MeanSquaredError
from deepbp.losses.on_outputs import OnOutputs
from deepbp.losses.poisson import LogPoisson, Poisson
from deepbp.losses.quantile import Quantile
from deepbp.losses.sigmoid_focal import SigmoidFocal
from deepbp.losses.softmax_cross_entropy import SoftmaxCrossEntropy
from deepbp.losses.softmax_focal import SoftmaxFocal
from deepbp.losses.sum_of_losses import SumOfLosses
from deepbp.losses.sum_squared_error import SumSquaredError

__all__ = [
    "BinaryCrossEntropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "CrossEntropy",
    "Hinge",
    "Huber",
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
