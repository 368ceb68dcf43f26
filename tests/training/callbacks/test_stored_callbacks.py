"""Callbacks of a training that is stored in a file go on as if it had not been."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
from numpy.testing import assert_equal
from scripted import Each, X, Y, fit, numbers, trainer

from deepbp import Trainer
from deepbp.training import (
    Callback,
    CSVLog,
    EarlyStopping,
    ReduceOnPlateau,
    SignalMonitor,
    TensorBoard,
    TimeLimit,
    WeightAverage,
)


def all_of_them(folder: Path) -> list[Callback]:
    return [
        EarlyStopping("loss", patience=3, min_delta=0.05),
        ReduceOnPlateau("loss", patience=1, min_delta=0.05, factor=0.5),
        WeightAverage(0.8, use=True),
        CSVLog(folder / "log.csv"),
        TensorBoard(folder / "runs"),
        TimeLimit(1000),
        SignalMonitor(X, Y),
    ]


@pytest.mark.parametrize("steps", [1, 5, 6, 16])
def test_all_of_them_at_any_step(steps: int, tmp_path: Path) -> None:
    def store(it: Trainer) -> None:
        if it.steps == steps:
            it.save(tmp_path / "run.npz")

    (tmp_path / "whole").mkdir()
    (tmp_path / "other").mkdir()
    whole = fit(trainer(*all_of_them(tmp_path / "whole"), Each(step=store)), 20)
    other = trainer(*all_of_them(tmp_path / "other"), Each(), rng=1)
    other.load(tmp_path / "run.npz")
    fit(other, 20)
    assert 6 < whole.epoch == other.epoch < 20  # stopped early
    assert numbers(whole) == numbers(other)
    assert dict(whole.history) == dict(other.history)
    assert whole.optimizer == other.optimizer != trainer().optimizer
    for one, two in zip(whole.callbacks[:-2], other.callbacks[:-2], strict=True):
        assert_equal(two.state(), one.state())
    assert (tmp_path / "whole" / "log.csv").read_bytes() == (tmp_path / "other" / "log.csv").read_bytes()


@pytest.mark.parametrize("make", [partial(EarlyStopping, "loss"), ReduceOnPlateau, WeightAverage])
def test_a_state_before_the_first_epoch_can_be_stored(make: Callable[[], Callback], tmp_path: Path) -> None:
    it = trainer(make())
    it.save(tmp_path / "run.npz")
    other = trainer(make())
    other.load(tmp_path / "run.npz")
    other.callbacks[0].on_fit_start(other)
    assert_equal(other.callbacks[0].state().keys() - {"level"}, it.callbacks[0].state().keys() - {"level"})


class Fails(Callback):
    def on_fit_start(self, trainer: Trainer) -> None:
        raise RuntimeError("mine")


@pytest.mark.parametrize("make", [lambda: EarlyStopping("loss"), lambda: WeightAverage(0.9, use=True)])
@pytest.mark.parametrize("same", [False, True])
def test_a_fit_that_does_not_begin_leaves_the_network_alone(make: Callable[[], Callback], same: bool) -> None:
    callback = make()
    first = fit(trainer(callback), 2)
    it = first if same else trainer(callback, rng=1)
    it.callbacks = (Fails(), callback)
    before = numbers(it)
    with pytest.raises(RuntimeError, match=r"^mine"):
        fit(it)
    assert numbers(it) == before
    first.callbacks = (callback,)
    alone = fit(fit(trainer(make()), 2), 2)
    assert numbers(fit(first, 2)) == numbers(alone)


@pytest.mark.parametrize("copied", [deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies_go_on_alike(copied: Callable[[Trainer], Trainer], tmp_path: Path) -> None:
    it = fit(trainer(*all_of_them(tmp_path)), 2)
    other = copied(it)
    assert numbers(fit(it, 3)) == numbers(fit(other, 3))
    assert_equal(other.callbacks[0].state(), it.callbacks[0].state())


def test_the_average_of_steps_by_hand_is_not_put_into_another_network() -> None:
    average = WeightAverage(0.9, use=True)
    average.update(trainer())
    it = trainer(Fails(), average, rng=1)
    before = numbers(it)
    with pytest.raises(RuntimeError, match=r"^mine"):
        fit(it)
    assert numbers(it) == before
