"""What the losses refuse, as arguments and as data, and in which words."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DataTypeError, DeepBPError, ShapeError
from deepbp.losses import (
    BinaryCrossEntropy,
    CategoricalHinge,
    CosineSimilarity,
    CrossEntropy,
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
    SoftmaxCrossEntropy,
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
BAD = {"64": ArgumentTypeError, None: ArgumentTypeError, float("nan"): ConfigurationError, -3: ConfigurationError}
SMOOTHING = "a number of at least 0 and below 1"
CONSTRUCTORS: list[tuple[Callable[..., Loss[Any]], str, dict[Any, type[DeepBPError]], str]] = [
    (Huber, "delta", BAD | {0: ConfigurationError}, "a number above 0"),
    (
        Quantile,
        "quantiles",
        BAD | {0: ConfigurationError, 2.5: ConfigurationError},
        "a number, or several, above 0 and",
    ),
    (Quantile, "quantiles", {(0.5, 1.0): ConfigurationError, (0.5, "a"): ArgumentTypeError}, "a number, or several"),
    (Quantile, "quantiles", {(): ConfigurationError}, "at least one number"),
    (SigmoidFocal, "gamma", BAD, "a number of at least 0"),
    (
        SigmoidFocal,
        "alpha",
        {-3: ConfigurationError, 2.5: ConfigurationError, "a": ArgumentTypeError},
        "a number from 0",
    ),
    (SoftmaxFocal, "gamma", BAD, "a number of at least 0"),
    (
        SoftmaxFocal,
        "alpha",
        {-3: ConfigurationError, (1, -1): ConfigurationError, "a": ArgumentTypeError},
        "a number of",
    ),
    (
        SigmoidBinaryCrossEntropy,
        "pos_weight",
        BAD | {0: ConfigurationError, (1, 0): ConfigurationError},
        "a number above",
    ),
    (SigmoidBinaryCrossEntropy, "label_smoothing", BAD | {1: ConfigurationError}, SMOOTHING),
    (BinaryCrossEntropy, "label_smoothing", BAD, SMOOTHING),
    (CrossEntropy, "label_smoothing", BAD | {2.5: ConfigurationError}, SMOOTHING),
    (SoftmaxCrossEntropy, "label_smoothing", BAD | {1: ConfigurationError}, SMOOTHING),
]


@pytest.mark.parametrize(
    ("make", "name", "value", "error", "expected"),
    [(make, name, value, error, text) for make, name, bad, text in CONSTRUCTORS for value, error in bad.items()],
)
def test_constructors(
    make: Callable[..., Loss[Any]], name: str, value: Any, error: type[DeepBPError], expected: str
) -> None:
    with pytest.raises(error) as caught:
        make(**{name: value})
    assert str(caught.value).startswith(f"{make.__name__}: {name}: expected {expected}")


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


@pytest.mark.parametrize(
    "loss",
    [
        Huber(np.float64(0.5)),
        Quantile(np.float64(0.5)),
        Quantile(np.array([0.2, 0.8])),
        SigmoidFocal(np.float64(2), alpha=np.float64(0.5)),
        SoftmaxFocal(np.float64(2), alpha=np.float64(0.5)),
        SigmoidBinaryCrossEntropy(pos_weight=np.float64(2), label_smoothing=np.float64(0.1)),
        BinaryCrossEntropy(label_smoothing=np.float64(0.1)),
        CrossEntropy(label_smoothing=np.float64(0.1)),
        SoftmaxCrossEntropy(label_smoothing=np.float64(0.1)),
    ],
    ids=repr,
)
def test_numbers_of_numpy_bring_no_dtype_along(loss: Loss[Any]) -> None:
    target = np.array([[0], [1]]) if isinstance(loss, Quantile) and isinstance(loss.quantiles, tuple) else np.eye(2)
    _, saved = loss.forward(np.full((2, 2), 0.5, np.float32), target.astype(np.float32))
    assert loss.backward(saved).dtype == np.float32
