"""Training that overflows stops before the bad update, and says when and where."""

import re
from typing import Any

import numpy as np
import pytest
from attrs import define
from problems import CLASSES, SQUARES, values

from deepbp import Sequential, Trainer
from deepbp.errors import NonFiniteError
from deepbp.initializers import Constant
from deepbp.layers import Dense, Layer, ReLU, Tanh
from deepbp.losses import MeanSquaredError, SumSquaredError
from deepbp.optimizers import SGD, Adam
from deepbp.training import Callback
from deepbp.typing import Array

X, Y = SQUARES.x, SQUARES.y


class Weights(Callback):
    """Keeps the weights as they were after the last step."""

    def __init__(self) -> None:
        self.last = b""

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        self.last = trainer.parameters.values.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_diverging_fit_stops_before_the_bad_update(dtype: str) -> None:
    net = Sequential([Dense(5), ReLU(), Dense(4)], input_shape=3, rng=0, dtype=dtype)
    weights = Weights()
    trainer = Trainer(net, SumSquaredError(), SGD(1.0), callbacks=[weights])
    with pytest.raises(NonFiniteError) as caught:
        trainer.fit(X, Y, epochs=1000, batch_size=8)
    place = re.match(
        r"epoch (\d+), step (\d+): (the loss became (inf|nan)|a gradient is not finite);", str(caught.value)
    )
    assert place, str(caught.value)
    epoch, step = map(int, place.groups()[:2])
    assert (epoch, step) == (trainer.epoch + 1, trainer.steps + 1)
    assert (step - 1) // 3 + 1 == epoch == trainer.history.epochs + 1 > 1
    assert str(caught.value).endswith(
        "The update was not applied. Try a lower learning rate, clip_norm=1.0, or inputs scaled to about ±1"
    )
    assert trainer.parameters.values.tobytes() == weights.last
    assert np.isfinite(trainer.parameters.values).all()


LARGE = Constant(1e30)


@pytest.mark.parametrize(
    ("layers", "first"),
    [
        ([Dense(5), Tanh(), Dense(4, weight_init=LARGE)], "the loss itself"),
        (
            [Dense(5, weight_init=LARGE), Dense(6, weight_init=LARGE), Dense(4)],
            f"layer 1, Dense(6, weight_init={LARGE})",
        ),
        (
            [Dense(5), Sequential([ReLU(), Dense(4, weight_init=Constant(3e38))])],
            "layer 1, Sequential > layer 1, Dense(4, weight_init=Constant(3e+38))",
        ),
    ],
)
def test_the_first_layer_that_overflowed_is_named(layers: list[Layer[Any]], first: str) -> None:
    net = Sequential(layers, input_shape=3, rng=0)
    before = values(net)
    with pytest.raises(NonFiniteError) as caught:
        net.fit(np.abs(X) * 10, Y, loss=MeanSquaredError(), optimizer=Adam())
    assert "epoch 1, step 1: the loss became " in str(caught.value)
    assert f"; the first place that is not finite: {first}. The update" in str(caught.value)
    assert values(net) == before


@define(eq=False)
class Breaks(Layer[Array]):
    """y = x, with an error signal that is not finite."""

    value: float

    def forward(self, x: Array) -> tuple[Array, Array]:
        return x, x

    def backward(self, x: Array, delta: Array) -> Array:
        return np.full_like(delta, self.value)


@pytest.mark.parametrize("value", [np.inf, np.nan, -np.inf])
def test_a_bad_gradient_behind_a_good_loss_is_caught(value: float) -> None:
    net = CLASSES.network(dtype="float32")
    broken = Sequential([*net[:2], Breaks(value), *net[2:]], input_shape=3)
    before = values(broken)
    trainer = Trainer(broken, CLASSES.loss, Adam())
    with pytest.raises(NonFiniteError) as caught:
        trainer.step(CLASSES.x, CLASSES.y)
    assert str(caught.value).startswith(
        "epoch 1, step 1: a gradient is not finite; the first place that is not finite: the gradient of 0.bias. "
    )
    assert values(broken) == before
    assert trainer.state["step"] == trainer.steps == 0
    assert not trainer.state["mean"].any()


def test_a_gradient_that_overflows_by_itself() -> None:
    """The loss is 1e38 and finite; its gradient for the weight is 2 · 1e19 · 1e20."""
    net = Sequential([Dense(1, use_bias=False, weight_init=Constant(0.1))], input_shape=1)
    with pytest.raises(NonFiniteError, match=r"a gradient is not finite; .* the gradient of 0\.weight\. "):
        net.fit([[1e20]], [[0.0]], loss=SumSquaredError(), optimizer=SGD(1e-30))
    assert net.parameters()[0].value.item() == np.float32(0.1)


def test_a_network_that_was_stopped_can_be_trained_on() -> None:
    net = SQUARES.network()
    trainer = Trainer(net, SQUARES.loss, SGD(0.01))
    trainer.fit(X, Y, epochs=2)
    with pytest.raises(NonFiniteError, match=r"epoch 3, step 3: the loss became nan; .*: the inputs x\. "):
        trainer.step(X * np.nan, Y)
    twin = SQUARES.network()
    Trainer(twin, SQUARES.loss, SGD(0.01)).fit(X, Y, epochs=3)
    trainer.fit(X, Y)
    assert values(net) == values(twin)  # the bad step left nothing behind


def test_a_validation_loss_that_overflows_stands_in_the_history_without_a_warning() -> None:
    net = Sequential([Dense(2, weight_init=LARGE), Dense(1, weight_init=LARGE)], input_shape=1)
    x, y = np.zeros((2, 1)), np.ones((2, 1))
    history = net.fit(x, y, loss=SumSquaredError(), optimizer=SGD(0.0), validation_data=(x + 1, y))
    assert history == {"loss": [2.0], "val_loss": [np.inf]}
