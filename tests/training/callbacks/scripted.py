"""What the tests of callbacks share: a metric that reads its numbers from a script, and trainings that are resumed."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from attrs import define, field

from deepbp import Sequential, Trainer
from deepbp.layers import Builder, Dense, Layer, Tanh
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import Adam, Optimizer
from deepbp.parameters import Buffer, Parameter
from deepbp.training import Callback, Metric
from deepbp.typing import Array, Shape

_rng = np.random.default_rng(5)
X = _rng.normal(size=(12, 3))
Y = np.sin(X[:, :2])


class Script(Metric):
    """Whatever the predictions, ``score`` is the next number of the script."""

    name = "score"
    higher_is_better = True

    def __init__(self, numbers: Sequence[float]) -> None:
        self.numbers = list(numbers)

    def __call__(self, prediction: Array, target: Array) -> float:
        return self.numbers.pop(0)


@define(eq=False)
class Centred(Layer[None]):
    """y = x − mean, with a running mean that training passes move."""

    mean: Buffer = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.mean = builder.buffer(input_shape)
        return input_shape

    def forward(self, x: Array) -> tuple[Array, None]:
        y = x - self.mean.value
        self.mean.value = 0.9 * self.mean.value + 0.1 * x.mean(axis=0)
        return y, None

    def backward(self, saved: None, delta: Array) -> Array:
        return delta.copy()

    def predict(self, x: Array) -> Array:
        return x - self.mean.value


def network(dtype: str = "float64", rng: int = 0) -> Sequential:
    return Sequential([Dense(4), Centred(), Tanh(), Dense(2)], input_shape=3, rng=rng, dtype=dtype)


def trainer(
    *callbacks: Callback, optimizer: Optimizer | None = None, scores: Sequence[float] = (), **how: Any
) -> Trainer:
    metrics = [Script(scores)] if scores else []
    optimizer = Adam(0.05) if optimizer is None else optimizer
    return Trainer(network(**how), MeanSquaredError(), optimizer, metrics=metrics, callbacks=callbacks)


def fit(it: Trainer, epochs: int = 1) -> Trainer:
    """Three steps an epoch."""
    it.fit(X, Y, epochs=epochs, batch_size=4, shuffle=False)
    return it


def numbers(it: Trainer) -> tuple[bytes, ...]:
    """All parameters and buffers, byte by byte."""
    held: list[Parameter | Buffer] = [*it.model.parameters(), *it.buffers]
    return tuple(one.value.tobytes() for one in held)


@define(eq=False)
class Each(Callback):
    """Calls a function after each epoch, or each step."""

    epoch: Callable[[Trainer], object] = lambda trainer: None
    step: Callable[[Trainer], object] = lambda trainer: None

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        self.step(trainer)

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        self.epoch(trainer)


@define(eq=False)
class Restore(Callback):
    """What reading a stored training does: each callback gets its state back after ``on_fit_start``."""

    states: list[tuple[Callback, dict[str, Any]]]

    def on_fit_start(self, trainer: Trainer) -> None:
        for callback, state in self.states:
            callback.restore(state)
        self.states = []


def can_be_stored(state: Mapping[str, Any]) -> bool:
    """Arrays, numbers, texts, and lists of them."""
    items = [item for value in state.values() for item in (value if isinstance(value, list) else [value])]
    return all(isinstance(item, np.ndarray | int | float | str) for item in items)


def store(it: Trainer, epoch: int) -> dict[str, Any]:
    states = [callback.state() for callback in it.callbacks]
    assert all(map(can_be_stored, states))
    buffers = [buffer.value for buffer in it.buffers]
    return deepcopy(
        {
            "at": (it.parameters.values, buffers, it.state, dict(it.history), epoch),
            "scores": it.metrics,
            "optimizer": it.optimizer,
            "of": states,
        }
    )


def read(stored: Mapping[str, Any], make: Callable[[], Callback], optimizer: Optimizer | None = None) -> Trainer:
    """Another trainer with a new callback, where the stored one was."""
    values, buffers, state, history, epoch = stored["at"]
    callback = make()
    other = trainer(callback, Restore([(callback, stored["of"][0])]), optimizer=optimizer, rng=1)
    other.metrics = stored["scores"]
    other.parameters.values[...] = values
    for buffer, value in zip(other.buffers, buffers, strict=True):
        buffer.value = value
    other.state, other.epoch = state, epoch
    other.history.note_direction("score", True)
    other.history.update(history)
    return other


def resumed(
    make: Callable[[], Callback],
    epochs: int,
    at: int,
    *,
    optimizer: Optimizer | None = None,
    scores: Sequence[float] = (),
    optimizer_is_stored: bool = True,
) -> tuple[Trainer, Trainer]:
    """A training in one go, and one that was stored after epoch ``at``, and goes on in another process, as it were."""
    kept: dict[str, Any] = {}

    def keep(it: Trainer) -> None:
        if it.epoch == at:
            kept.update(store(it, at + 1))

    whole = fit(trainer(make(), Each(keep), optimizer=optimizer, scores=scores), epochs)
    other = read(kept, make, kept["optimizer"] if optimizer_is_stored else optimizer)
    return whole, fit(other, epochs - at - 1)
