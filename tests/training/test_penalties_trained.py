"""What a penalty adds to the loss is in the history, in the gradients, and in no evaluation."""

import numpy as np
import pytest
from problems import SQUARES

from deepbp import Sequential, Trainer
from deepbp.errors import NonFiniteError
from deepbp.initializers import Constant
from deepbp.layers import L1, L2, Dense, Penalized, Tanh
from deepbp.optimizers import SGD

X, Y, LOSS = SQUARES.x, SQUARES.y, SQUARES.loss


def test_the_loss_of_a_step_is_that_of_the_data_and_the_penalties() -> None:
    net = Sequential(
        [Penalized([Dense(5), Tanh()], weights=L2(0.3), outputs=L1(0.2)), Dense(4)],
        input_shape=3,
        rng=0,
        dtype="float64",
    )
    weight = net.named_parameters()["0.layer.0.weight"]
    hidden = np.tanh(X @ weight.value)  # biases are 0
    penalty = 0.3 * (weight.value**2).sum() + 0.2 * np.abs(hidden).sum() / len(X)
    alone = LOSS.forward(net.predict(X), Y)[0]
    trainer = Trainer(net, LOSS, SGD(0.0))
    assert trainer.step(X, Y) == pytest.approx(alone + penalty, rel=1e-12)
    assert trainer.fit(X, Y, batch_size=None)["loss"] == pytest.approx([alone + penalty], rel=1e-12)
    assert trainer.evaluate(X, Y)["loss"] == pytest.approx(alone, rel=1e-12)


def test_a_penalty_that_overflows_stops_the_training() -> None:
    net = Sequential([Penalized(Dense(4, weight_init=Constant(1e30)), weights=L2(1.0))], input_shape=3, rng=0)
    with pytest.raises(NonFiniteError, match="the loss became inf"):
        net.fit(X * 1e-30, Y, loss=LOSS, optimizer=SGD(0.0))
