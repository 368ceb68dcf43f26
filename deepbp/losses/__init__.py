"""Loss functions: each class is a formula and its derivative, and its name states the reduction and the input."""

from typing import TYPE_CHECKING

from deepbp._config import publish

if TYPE_CHECKING:
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

publish(
    __name__,
    homes={
        "losses.combined": "IgnoreMissing OnOutputs SumOfLosses",
        "losses.cross_entropies": "BinaryCrossEntropy CrossEntropy SigmoidBinaryCrossEntropy SoftmaxCrossEntropy",
        "losses.distances": "CosineSimilarity Huber LogCosh MeanAbsoluteError MeanSquaredError Quantile "
        "SumSquaredError",
        "losses.focal": "SigmoidFocal SoftmaxFocal",
        "losses.likelihoods": "KLDivergence LogPoisson Poisson",
        "losses.loss": "Loss",
        "losses.margins": "CategoricalHinge Hinge SquaredHinge",
        "losses.targets": "sample_weights",
    },
)
