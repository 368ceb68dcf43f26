"""Trainings of random kinds, and interruptions of random kinds at random places."""

import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from attrs import define, field

from deepbp import Sequential, Trainer
from deepbp.layers import BatchNorm, Dense, Dropout, GaussianNoise, Layer, Tanh
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import SGD, Adam
from deepbp.parameters import Buffer, Parameter
from deepbp.training import Accuracy, Callback, EarlyStopping, ModelCheckpoint, ReduceOnPlateau, WeightAverage
from deepbp.typing import Array

ROWS, FEATURES, CLASSES, BATCH = 41, 5, 3, 8

rng = np.random.default_rng(5)
X = rng.normal(size=(ROWS, FEATURES))
Y = (X[:, 0] > 0) + (X[:, 1] > 0).astype(int)
HUGE = np.where(np.isin(np.arange(ROWS), [3, 20])[:, None], 1e300, X)  # two rows overflow
ONE_HUGE = np.where(np.arange(ROWS)[:, None] == 3, 1e300, X)


class InterruptionError(Exception):
    """What a piece of the user's may raise."""


@define
class Interruption:
    """Interrupts the training at the nth time that a place is passed."""

    way: str = ""
    place: str = ""
    countdown: int = 0

    def passed(self, place: str, trainer: Any = None) -> None:
        if place != self.place:
            return
        self.countdown -= 1
        if self.countdown:
            return
        if self.way == "stop":
            trainer.stop(now=True)
        elif self.way == "error":
            raise InterruptionError
        else:
            for _ in range(int(self.way)):
                signal.raise_signal(signal.SIGINT)


WAYS = [
    *[("1", place) for place in ("step end", "epoch end", "epoch start", "forward", "predict")],
    *[("2", place) for place in ("fit start", "epoch start", "forward", "backward", "predict")],
    *[("error", place) for place in ("fit start", "step end", "item", "forward", "backward", "predict")],
    ("stop", "step end"),
]


@define(eq=False)
class Passage(Layer[None]):
    """y = x."""

    interruption: Interruption

    def forward(self, x: Array) -> tuple[Array, None]:
        self.interruption.passed("forward")
        return x, None

    def backward(self, saved: None, delta: Array) -> Array:
        self.interruption.passed("backward")
        return delta

    def predict(self, x: Array) -> Array:
        self.interruption.passed("predict")
        return x


@define(eq=False)
class Draws(Callback):
    def on_epoch_start(self, trainer: Trainer) -> None:
        trainer.generator.random(3)


@define(eq=False)
class Interrupts(Callback):
    """Between the other callbacks and the one that stores: what one misses because another fails, it has missed."""

    interruption: Interruption

    def on_fit_start(self, trainer: Trainer) -> None:
        self.interruption.passed("fit start")

    def on_epoch_start(self, trainer: Trainer) -> None:
        self.interruption.passed("epoch start")

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        self.interruption.passed("step end", trainer)

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        self.interruption.passed("epoch end")


@define(eq=False)
class Rows:
    x: Array
    interruption: Interruption

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        self.interruption.passed("item")
        return self.x[row], Y[row]


@define(eq=False)
class Training:
    """All of one, drawn by a seed: made anew, it is the same."""

    seed: int
    path: Path
    interruption: Interruption = field(factory=Interruption)
    data: str = field(init=False)
    trainer: Trainer = field(init=False)
    arguments: dict[str, Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        draw = Random(self.seed)
        self.data = draw.choice(["arrays", "arrays", "split", "items", "stream", "endless"])
        skip = draw.random() < 0.4
        validated = self.data == "split" or draw.random() < 0.5
        self.arguments = {"epochs": 5, "batch_size": BATCH, "shuffle": draw.random() < 0.7}
        self.arguments["prefetch"] = draw.choice([0, 2])
        if self.data == "split":
            self.arguments["validation_split"] = 0.3
        elif validated:
            self.arguments["validation_data"] = (X[:9], Y[:9])
        self.arguments.update(self._source(ONE_HUGE if skip else X))
        monitor = "val_loss" if validated and not (skip and self.data == "split") else "loss"
        callbacks: list[Callback] = [
            EarlyStopping(monitor, patience=2),
            ReduceOnPlateau(monitor, patience=1, factor=0.5),
            WeightAverage(0.9, use=draw.random() < 0.5),
            Draws(),
        ]
        self.trainer = Trainer(
            self._network(draw),
            SoftmaxCrossEntropy(),
            draw.choice([SGD(0.5), SGD(0.1, momentum=0.9), Adam(0.05)]),
            metrics=[Accuracy()] if draw.random() < 0.4 else [],
            callbacks=[
                *draw.sample(callbacks, draw.randrange(4)),
                Interrupts(self.interruption),
                ModelCheckpoint(self.path, every_epochs=draw.choice([None, 1]), every_steps=draw.choice([None, 2])),
            ],
            accumulate=min(draw.choice([1, 1, 2, 3]), 2 if skip else 3),  # some updates of an epoch are made
            non_finite="skip" if skip else "raise",
            rng=draw.choice([None, None, 3]),
        )

    def _source(self, x: Array) -> dict[str, Any]:
        def batches() -> Iterator[tuple[Any, Any]]:
            for start in range(0, ROWS, BATCH):
                self.interruption.passed("item")
                yield x[start : start + BATCH], Y[start : start + BATCH]

        def endless() -> Iterator[tuple[Any, Any]]:
            while True:
                yield from batches()

        if self.data == "endless":  # an epoch ends in the middle of the rows
            return {"x": endless(), "steps_per_epoch": 4}
        if self.data == "stream":
            return {"x": batches}
        return {"x": Rows(x, self.interruption)} if self.data == "items" else {"x": x, "y": Y}

    def _network(self, draw: Random) -> Sequential:
        own_seed = Sequential([Dense(4), Dropout(0.2), GaussianNoise(0.1)], rng=7)
        some = draw.sample([BatchNorm(), Dropout(0.3), own_seed], draw.randrange(4))
        layers = [Dense(6), Passage(self.interruption), *some, Tanh(), Dense(CLASSES)]
        return Sequential(layers, input_shape=FEATURES, rng=1, dtype="float64")

    def result(self) -> dict[str, Any]:
        """All that can be told of it."""
        trainer = self.trainer
        held: dict[str, Parameter | Buffer] = {**trainer.model.named_parameters(), **trainer.model.named_buffers()}
        return {
            "values": {name: one.value for name, one in held.items()},
            "state": trainer.state,
            "history": dict(trainer.history),
            "rest": [trainer.epoch, trainer.skipped, trainer.generator.bit_generator.state, trainer.optimizer],
            "callbacks": [one.state() for one in trainer.callbacks[:-1]],
        }
