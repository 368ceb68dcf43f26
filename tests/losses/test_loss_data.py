"""Data that the losses refuse, and in which words."""

from typing import Any

import numpy as np
import pytest

from deepbp.errors import ArgumentTypeError, DataError, DataTypeError, DeepBPError, ShapeError
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
    Quantile,
    SigmoidBinaryCrossEntropy,
    SigmoidFocal,
    SoftmaxFocal,
    SquaredHinge,
)

HALVES, LABELS = np.full((4, 2), 0.5), np.zeros(4, int)
NUMBERS: list[Loss[Any]] = [
    MeanAbsoluteError(),
    Huber(),
    LogCosh(),
    Poisson(),
    LogPoisson(),
    KLDivergence(),
    Hinge(),
    SquaredHinge(),
    SigmoidFocal(),
    Quantile(),
    CosineSimilarity(),
]


@pytest.mark.parametrize("loss", NUMBERS, ids=repr)
def test_shapes_that_would_broadcast_no_samples_and_wrong_weights(loss: Loss[Any]) -> None:
    with pytest.raises(ShapeError, match=r"loss: expected a target of the prediction's shape \(4, 1\), got \(4,\)"):
        loss.forward(HALVES[:, :1], HALVES[:, 0])
    with pytest.raises(DataError, match="loss: expected at least one sample, got none"):
        loss.forward(HALVES[:0], HALVES[:0])
    missing: Any = None
    with pytest.raises(ArgumentTypeError, match=r"target: expected an array with samples along axis 0, got None"):
        loss.forward(HALVES, missing)
    zeros = np.eye(2)[LABELS]
    for weight in (np.ones(3), np.ones((4, 1))):
        with pytest.raises(ShapeError, match=r"sample_weight: expected one weight a sample, shape \(4,\)"):
            loss.forward(HALVES, zeros, weight)


@pytest.mark.parametrize("loss", [SoftmaxFocal(), CategoricalHinge()], ids=repr)
@pytest.mark.parametrize(
    ("prediction", "target", "error", "message"),
    [
        (HALVES, LABELS + 2, DataError, "target: expected labels from 0 to 1, for the network has 2 outputs, got 2"),
        (HALVES, LABELS / 1, DataTypeError, "target: expected whole-number labels, got float64"),
        (HALVES, LABELS[:3], ShapeError, "target: expected labels of shape (4,) or one-hot rows of shape (4, 2), got"),
        (HALVES, HALVES * 0.5, DataError, "target: expected rows that sum to 1"),
        (3.0, LABELS, ArgumentTypeError, "prediction: expected an array with samples along axis 0, got 3.0"),
    ],
)
def test_labels(loss: Loss[Any], prediction: Any, target: Any, error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error) as caught:
        loss.forward(prediction, target)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("loss", "prediction", "target", "error", "message"),
    [
        (
            Poisson(),
            -HALVES,
            HALVES,
            DataError,
            "prediction: expected numbers of at least 0, got -0.5: end the network",
        ),
        (Poisson(), HALVES, -HALVES, DataError, "target: expected numbers of at least 0, got -0.5: counts are not neg"),
        (LogPoisson(), HALVES, HALVES * np.nan, DataError, "target: expected numbers of at least 0, got nan"),
        (
            KLDivergence(),
            HALVES,
            HALVES / 2,
            DataError,
            "target: expected rows that sum to 1, as one-hot labels do, go",
        ),
        (KLDivergence(), HALVES * 3, HALVES, DataError, "prediction: expected numbers from 0 to 1, got 1.5: end the"),
        (
            KLDivergence(),
            HALVES[:, 0],
            HALVES[:, 0],
            ShapeError,
            "target: expected rows of a number for each class, (B",
        ),
        (CosineSimilarity(), HALVES[:, 0], HALVES[:, 0], ShapeError, "loss: expected vectors, (B, …, D), got predic"),
        (Hinge(), HALVES, HALVES, DataError, "target: expected answers 0 or 1, got 0.5: encode the answers as 0 and 1"),
        (Hinge(), HALVES, 4 * HALVES - 3, DataError, "target: expected answers 0 or 1, got -1.0: use (target + 1) / 2"),
        (SquaredHinge(), HALVES, HALVES * np.nan, DataError, "target: expected answers 0 or 1, got nan"),
        (SigmoidFocal(), HALVES, HALVES, DataError, "target: expected answers 0 or 1, got 0.5"),
        (
            CategoricalHinge(),
            HALVES,
            HALVES,
            DataError,
            "target: expected rows of 0 and a single 1, got a row that div",
        ),
        (
            SoftmaxFocal(alpha=[1, 2, 3]),
            HALVES,
            LABELS,
            ShapeError,
            "SoftmaxFocal: alpha: expected one number for each",
        ),
        (
            CosineSimilarity(),
            HALVES.astype(int),
            HALVES,
            DataTypeError,
            "prediction: expected floating-point numbers",
        ),
        (LogCosh(), np.array(0.5), np.array(0.5), ArgumentTypeError, "prediction: expected an array with samples alon"),
        (
            SigmoidBinaryCrossEntropy(pos_weight=[1]),
            HALVES,
            HALVES,
            ShapeError,
            "pos_weight: expected one number for each output, 2 of them, got 1: (1,)",
        ),
    ],
)
def test_data(loss: Loss[Any], prediction: Any, target: Any, error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error) as caught:
        loss.forward(prediction, target)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("loss", "target", "message"),
    [
        (LogPoisson(), -HALVES, "answers: expected numbers of at least 0"),
        (KLDivergence(), HALVES / 2, "answers: expected rows that sum to 1"),
        (Hinge(), HALVES, "answers: expected answers 0 or 1"),
        (SigmoidFocal(), 4 * HALVES - 3, r"answers: expected answers 0 or 1, got -1.0: use \(answers \+ 1\) / 2"),
        (CategoricalHinge(), LABELS + 2, "answers: expected labels from 0 to 1"),
        (SoftmaxFocal(), LABELS - 1, "answers: expected labels from 0 to 1"),
    ],
)
def test_targets_as_a_network_is_given_them(loss: Loss[Any], target: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        loss.prepare_target(target, (2,), np.dtype(np.float32), "answers")
