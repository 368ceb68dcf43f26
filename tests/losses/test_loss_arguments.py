"""Arguments of losses: what is refused, in which words, and numbers of NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deepbp.errors import ArgumentTypeError, ConfigurationError, DeepBPError
from deepbp.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Huber,
    Loss,
    Quantile,
    SigmoidBinaryCrossEntropy,
    SigmoidFocal,
    SoftmaxCrossEntropy,
    SoftmaxFocal,
)

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
