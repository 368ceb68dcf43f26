"""Trainings of random kinds, left in random ways again and again, end in the bytes of those that nobody left."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from random_trainings import CLASSES, FEATURES, HUGE, WAYS, Interruption, InterruptionError, Training, X, Y

from deepbp import Sequential, Trainer
from deepbp.layers import Dense, Dropout
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import SGD
from deepbp.training import ModelCheckpoint

TRAININGS, TIMES = range(60), 3


@pytest.fixture(autouse=True)
def default_handler() -> Iterator[None]:
    """Whatever runs the tests may have a handler of its own."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    after = signal.signal(signal.SIGINT, before)
    assert after is signal.default_int_handler, "fit did not put the handler back"


@pytest.mark.parametrize(
    "seed", [*TRAININGS[:36], *(pytest.param(seed, marks=pytest.mark.long) for seed in TRAININGS[36:])]
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_training_interrupted_at_random_resumes_to_the_same_bytes(seed: int, tmp_path: Path) -> None:
    interrupt_and_resume(seed, tmp_path)


@pytest.mark.parametrize("seed", [2, 6, 10, 38])  # cut off in the second batch of an update, or later
@pytest.mark.usefixtures("kernel_form")  # with compiled ones, steps are programs
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_training_by_programs_resumes_to_the_same_bytes(seed: int, tmp_path: Path) -> None:
    interrupt_and_resume(seed, tmp_path)


def interrupt_and_resume(seed: int, tmp_path: Path) -> None:
    draw, whole, path = Random(seed + 1000), Training(seed, tmp_path / "whole.npz"), tmp_path / "run.npz"
    whole.trainer.fit(**whole.arguments)
    if seed % 3 == 0:  # another training begins where one was complete, with the same trainer, or with its file
        whole.trainer.save(path)
        whole.arguments["x"] = Training(seed, path).arguments["x"]
        whole.trainer.fit(**whole.arguments)
    for time in range(TIMES + 1):
        way, place = draw.choice(WAYS)
        interruption = Interruption(way, place, draw.randint(1, {"item": 60, "fit start": 1}.get(place, 9)))
        one = Training(seed, path, Interruption() if time == TIMES else interruption)
        if path.exists():
            one.trainer.load(path)
        with suppress(InterruptionError, KeyboardInterrupt):
            one.trainer.fit(**one.arguments)
    np.testing.assert_equal(one.result(), whole.result())


def test_a_generator_is_run_on_to_where_it_was(tmp_path: Path) -> None:
    """What endless epochs have in common is nothing: the rows of a third one are not those of a first."""

    def stream() -> Iterator[tuple[Any, Any]]:
        for start in range(100):
            yield np.roll(X, start, axis=0)[:3], np.roll(Y, start)[:3]

    def training(batches: Iterator[Any], epochs: int, load: bool = False) -> Trainer:
        net = Sequential([Dense(CLASSES)], input_shape=FEATURES, rng=0)
        trainer = Trainer(net, SoftmaxCrossEntropy(), SGD(0.1), callbacks=[ModelCheckpoint(tmp_path / "run.npz")])
        if load:
            trainer.load(tmp_path / "run.npz")
        trainer.fit(batches, steps_per_epoch=4, epochs=epochs)
        return trainer

    whole = training(stream(), 5)
    training(stream(), 2)
    assert training(stream(), 5, load=True).history == whole.history
    training(iter(list(islice(stream(), 20))), 5, load=True)  # which has nothing left to do, and takes nothing


def test_what_was_left_out_is_left_out_once(tmp_path: Path) -> None:
    """Ctrl-C comes in the step that overflows."""

    class Presses(SoftmaxCrossEntropy):
        pressing = True

        def forward(self, *arguments: Any) -> Any:
            value, saved = super().forward(*arguments)
            if self.pressing and not value < 1e9:  # the loss or its gradients overflow
                signal.raise_signal(signal.SIGINT)
            return value, saved

    def training() -> Trainer:
        net = Sequential([Dense(4), Dropout(0.5), Dense(CLASSES)], input_shape=FEATURES, rng=0, dtype="float64")
        return Trainer(net, Presses(), SGD(0.1), non_finite="skip", callbacks=[ModelCheckpoint(tmp_path / "run.npz")])

    overflowing = np.where(HUGE > 1e200, 1.7e308, HUGE)
    left, resumed, whole = training(), training(), training()
    assert left.fit(overflowing, Y, epochs=2, batch_size=8).interrupted
    assert left.skipped <= 1  # a program leaves the batch to the training that resumes
    Presses.pressing = False
    resumed.load(tmp_path / "run.npz")
    for one in (resumed, whole):
        one.fit(overflowing, Y, epochs=2, batch_size=8)
    assert resumed.skipped == whole.skipped > 2
    assert resumed.history == whole.history
    np.testing.assert_array_equal(resumed.parameters.values, whole.parameters.values)
