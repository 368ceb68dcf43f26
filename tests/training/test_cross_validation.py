"""Cross-validation is a training and an evaluation for each fold, with nothing shared between them."""

from math import sqrt
from typing import Any

import numpy as np
import pytest
from problems import CLASSES, SQUARES

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError
from deepbp.layers import Dense
from deepbp.losses import MeanSquaredError, SoftmaxCrossEntropy
from deepbp.optimizers import SGD, Adam
from deepbp.training import Accuracy, EarlyStopping, Scores, cross_validate, k_fold

X, Y = CLASSES.x, CLASSES.y


def test_scores_are_those_of_trainings_by_hand() -> None:
    weight = np.random.default_rng(3).uniform(0.5, 2, len(X))
    fit: dict[str, Any] = {"loss": SoftmaxCrossEntropy(), "metrics": [Accuracy()]}
    scores = cross_validate(
        CLASSES.network, X, Y, folds=3, stratify=Y, sample_weight=weight, rng=4, optimizer=Adam(0.05), epochs=3, **fit
    )
    by_hand: dict[str, list[float]] = {"loss": [], "accuracy": []}
    for train, test in k_fold(len(X), 3, stratify=Y, rng=4):
        net = CLASSES.network()
        net.fit(X[train], Y[train], sample_weight=weight[train], optimizer=Adam(0.05), epochs=3, **fit)
        row = net.evaluate(X[test], Y[test], sample_weight=weight[test], **fit)
        for name, value in row.items():
            by_hand[name].append(value)
    assert scores == by_hand


def test_mean_spread_and_print() -> None:
    scores = Scores({"loss": [1.0, 2.0, 4.0], "accuracy": [0.5, 0.5, 0.75]})
    assert scores.mean("loss") == pytest.approx(7 / 3)
    assert scores.spread("loss") == pytest.approx(sqrt(((4 / 3) ** 2 + (1 / 3) ** 2 + (5 / 3) ** 2) / 2))
    assert str(scores).splitlines() == [
        "loss      2.333 ± 1.5  (1, 2, 4)",
        "accuracy  0.5833 ± 0.14  (0.5, 0.5, 0.75)",
    ]
    with pytest.raises(ConfigurationError, match=r"^scores: expected one of \['loss', 'accuracy'\], got 'f1'$"):
        scores.mean("f1")


def test_one_callback_serves_all_folds() -> None:
    stopping = EarlyStopping("val_loss", patience=1)
    kept: list[int] = []

    def make() -> Sequential:
        kept.append(stopping.best_epoch)
        return SQUARES.network()

    scores = cross_validate(
        make,
        SQUARES.x,
        SQUARES.y,
        loss=MeanSquaredError(),
        folds=3,
        rng=0,
        optimizer=SGD(0.05),
        epochs=4,
        validation_split=0.3,
        callbacks=[stopping],
    )
    assert len(scores["loss"]) == 3
    assert kept[0] == 0
    assert min(kept[1:]) >= 1


def test_a_network_without_a_shape_is_built_by_its_data() -> None:
    scores = cross_validate(
        lambda: Sequential([Dense(4)], rng=0),
        X.tolist(),
        SQUARES.y.tolist(),
        loss=MeanSquaredError(),
        folds=2,
        optimizer=SGD(0.1),
    )
    assert len(scores["loss"]) == 2


SHARED = Dense(4)
NETWORK = CLASSES.network()


@pytest.mark.parametrize("make", [lambda: NETWORK, lambda: Sequential([SHARED], input_shape=3)])
def test_networks_that_are_not_new(make: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected a new network each time, got one with layers of the last"):
        cross_validate(make, X, Y, loss=CLASSES.loss, folds=2, optimizer=SGD(0.1))


def test_what_makes_no_network() -> None:
    make: Any = lambda: None  # noqa: E731
    with pytest.raises(ArgumentTypeError, match="expected a function that makes a Sequential, returned None"):
        cross_validate(make, X, Y, loss=CLASSES.loss, optimizer=SGD(0.1))


def test_data_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="expected the same number of samples everywhere, got: x has 23, y has 22"):
        cross_validate(CLASSES.network, X, Y[:-1], loss=CLASSES.loss, optimizer=SGD(0.1))


def test_an_error_says_in_which_fold() -> None:
    with pytest.raises(ConfigurationError) as caught:
        cross_validate(CLASSES.network, X, Y, loss=CLASSES.loss, optimizer=SGD(0.1), folds=2, epochs=-1)
    assert "in fold 1 of 2" in caught.value.__notes__
