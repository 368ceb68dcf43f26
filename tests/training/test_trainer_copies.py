"""A trainer can be copied, and its optimizer leaves the gradients as they were."""

import copy

import numpy as np

from deepbp import Sequential, Trainer
from deepbp.layers import Dense
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD

X, Y = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)


def test_a_copy_goes_on_as_the_original_does_and_apart_from_it() -> None:
    trainer = Trainer(Sequential([Dense(2)], input_shape=3, rng=0), MeanSquaredError(), SGD(0.1, momentum=0.9))
    trainer.step(X, Y)
    twin = copy.deepcopy(trainer)
    before = trainer.parameters.values.copy()
    losses = [twin.step(X, Y) for _ in range(3)]
    assert np.array_equal(trainer.parameters.values, before)
    assert [trainer.step(X, Y) for _ in range(3)] == losses


def test_weight_decay_leaves_the_gradients_as_they_are() -> None:
    gradients = []
    for decay in (0.0, 0.5):
        trainer = Trainer(
            Sequential([Dense(2)], input_shape=3, rng=0), MeanSquaredError(), SGD(0.1, weight_decay=decay)
        )
        trainer.step(X, Y)
        gradients.append(trainer.parameters.grads.copy())
    plain, decayed = gradients
    assert np.array_equal(plain, decayed)
