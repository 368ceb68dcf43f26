"""A softmax or sigmoid in front of a loss that applies its own is noticed."""

import warnings
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential, Trainer
from deepbp.layers import L2, Dense, Layer, Penalized, Sigmoid, Softmax, Tanh
from deepbp.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Hinge,
    Loss,
    MeanSquaredError,
    SigmoidBinaryCrossEntropy,
    SoftmaxCrossEntropy,
)
from deepbp.optimizers import SGD

X = np.random.default_rng(0).normal(size=(6, 3))
ONE_HOT = np.eye(2)[[0, 1, 0, 1, 1, 0]]


def net_ending_with(*last: Layer[Any]) -> Sequential:
    return Sequential([Dense(2), *last], input_shape=3, rng=0)


@pytest.mark.parametrize(
    ("last", "loss", "message"),
    [
        (
            Softmax(),
            SoftmaxCrossEntropy(),
            "the network ends with Softmax(), and SoftmaxCrossEntropy expects logits and applies its own: "
            "drop the last layer, or use a loss on probabilities such as CrossEntropy()",
        ),
        (
            Sigmoid(),
            SigmoidBinaryCrossEntropy(),
            "the network ends with Sigmoid(), and SigmoidBinaryCrossEntropy expects logits and applies its own: "
            "drop the last layer, or use a loss on probabilities such as BinaryCrossEntropy()",
        ),
        (Sequential([Tanh(), Sequential([Softmax()])]), SoftmaxCrossEntropy(), "the network ends with Softmax(), and"),
        (Penalized(Softmax(), outputs=L2(0.1)), SoftmaxCrossEntropy(), "the network ends with Softmax(), and"),
        (
            Sigmoid(),
            Hinge(),
            "the network ends with Sigmoid(), and Hinge expects scores, which may have any size: drop the last layer, "
            "or use a loss on probabilities such as BinaryCrossEntropy()",
        ),
        (Sigmoid(), SoftmaxCrossEntropy(), "the network ends with Sigmoid(), and SoftmaxCrossEntropy expects logits"),
    ],
)
def test_said_once(last: Layer[Any], loss: Loss[Any], message: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net_ending_with(last).fit(X, ONE_HOT, loss=loss, optimizer=SGD(0.1), epochs=3, batch_size=2)
    assert [warning.category for warning in caught] == [UserWarning]
    assert str(caught[0].message).startswith(message)


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        ([Softmax()], CrossEntropy()),
        ([Sigmoid()], BinaryCrossEntropy()),
        ([Softmax()], MeanSquaredError()),
        ([Sigmoid()], MeanSquaredError()),
        ([], SoftmaxCrossEntropy()),
        ([Tanh()], SigmoidBinaryCrossEntropy()),
        ([Softmax(), Dense(2)], SoftmaxCrossEntropy()),
    ],
)
def test_not_said_where_all_is_right(last: list[Layer[Any]], loss: Loss[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Trainer(net_ending_with(*last), loss, SGD(0.1)).fit(X, ONE_HOT)
