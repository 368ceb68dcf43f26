"""``class_weight`` weighs samples by their classes, and multiplies the weights that they have."""

from typing import Any

import numpy as np
import pytest
from problems import CLASSES, SQUARES, values

from deepbp.errors import DeepBPError
from deepbp.optimizers import SGD

X, Y = CLASSES.x, CLASSES.y
WEIGHTS = {0: 1.0, 1: 5.0, 2: 0.0, 3: 0.25}
OWN = np.linspace(0.5, 2, len(X))


def trained(**options: Any) -> bytes:
    net = CLASSES.network()
    net.fit(X, Y, loss=CLASSES.loss, optimizer=SGD(0.1), epochs=2, batch_size=5, rng=0, **options)
    return values(net)


def test_weights_of_classes_are_weights_of_their_samples() -> None:
    by_hand = np.array([WEIGHTS[label] for label in Y.tolist()])
    assert trained(class_weight=WEIGHTS) == trained(sample_weight=by_hand) != trained()
    assert trained(class_weight=WEIGHTS, sample_weight=OWN) == trained(sample_weight=by_hand * OWN)


def test_balanced_gives_each_class_the_same_share() -> None:
    counts = np.bincount(Y, minlength=4)
    assert trained(class_weight="balanced") == trained(sample_weight=(len(Y) / (4 * counts))[Y])


def test_what_has_no_classes_has_no_weights_of_them() -> None:
    with pytest.raises(DeepBPError, match="class_weight: "):
        SQUARES.network().fit(
            SQUARES.x, SQUARES.y, loss=SQUARES.loss, optimizer=SGD(0.1), class_weight={0: 1.0, 1: 2.0}
        )
