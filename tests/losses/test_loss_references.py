"""The same numbers through PyTorch 2.13 and Keras 3.15, computed there once, where their conventions are ours."""

from typing import Any

import numpy as np
import pytest

from deepbp.losses import (
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    LogPoisson,
    Loss,
    MeanAbsoluteError,
    Poisson,
    SigmoidBinaryCrossEntropy,
    SigmoidFocal,
    SoftmaxCrossEntropy,
    SoftmaxFocal,
    SquaredHinge,
)
from deepbp.typing import Array

P = np.array([[0.3, -1.2, 2.5], [1.1, 0.4, -0.7]])
T = np.array([[0.1, 0.5, -1.0], [1.0, 2.0, 0.0]])
LABELS = np.array([2, 0])
ANSWERS = np.array([[0.0, 1, 1], [1, 0, 0]])
COUNTS = np.array([[0.0, 2, 1], [3, 1, 0]])
RATES = np.array([[0.5, 1.5, 2.0], [2.5, 0.25, 1.0]])
ROWS = np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]])
TRUE_ROWS = np.array([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25]])

TORCH: list[tuple[Loss[Any], Array, Array, float]] = [
    (MeanAbsoluteError(), P, T, 1.3),  # l1_loss
    (Huber(0.8), P, T, 0.7916666666666666),  # huber_loss(delta=0.8); smooth_l1_loss(beta=0.8) is this / 0.8
    (Poisson(), RATES, COUNTS, 0.8138907830646366),  # poisson_nll_loss(log_input=False), which adds 1e-8 to the rate
    (LogPoisson(), P, COUNTS, 2.504353834261799),  # poisson_nll_loss
    (KLDivergence(), ROWS, TRUE_ROWS, 0.07835033425343149),  # kl_div(reduction="batchmean") of the logarithms
    (SigmoidBinaryCrossEntropy(pos_weight=[3, 1, 0.5]), P, ANSWERS, 0.7558816425974227),
    (SoftmaxCrossEntropy(label_smoothing=0.1), P, LABELS, 0.45752429845503734),
    (CosineSimilarity(), P, T, 1.1787504583948947),  # cosine_embedding_loss
]
KERAS: list[tuple[Loss[Any], Array, Array, float]] = [
    (MeanAbsoluteError(), P, T, 1.3),
    (Huber(0.8), P, T, 0.7916667),
    (LogCosh(), P, T, 0.8410636),
    (Poisson(), RATES, COUNTS, 0.8138907),
    (KLDivergence(), ROWS, TRUE_ROWS, 0.0783503),
    (Hinge(), P, ANSWERS, 0.8666667),  # also for targets −1 and 1
    (SquaredHinge(), P, ANSWERS, 1.43),
    (CategoricalHinge(), P, LABELS, 0.15),  # where at least one wrong score is above 0
    (SigmoidBinaryCrossEntropy(label_smoothing=0.2), P, ANSWERS, 0.7066774),
    (SoftmaxCrossEntropy(label_smoothing=0.1), P, LABELS, 0.4575243),
    (CosineSimilarity(), P, T, 1 + 0.1787505),  # Keras gives −cos
    (SigmoidFocal(), P, ANSWERS, 0.1184719),  # apply_class_balancing=True
    (SigmoidFocal(alpha=None), P, ANSWERS, 0.2560329),
    (SoftmaxFocal(alpha=0.25), P, LABELS, 0.01029783),
]


@pytest.mark.parametrize(("loss", "prediction", "target", "expected"), TORCH, ids=lambda case: f"{case}"[:40])
def test_pytorch(loss: Loss[Any], prediction: Array, target: Array, expected: float) -> None:
    assert loss.forward(prediction, target)[0] == pytest.approx(expected, rel=2e-8 if loss == Poisson() else 1e-13)


@pytest.mark.parametrize(("loss", "prediction", "target", "expected"), KERAS, ids=lambda case: f"{case}"[:40])
def test_keras(loss: Loss[Any], prediction: Array, target: Array, expected: float) -> None:
    assert loss.forward(prediction, target)[0] == pytest.approx(expected, rel=1e-6)
