"""A training that was left goes on as the same call of fit with the same callbacks, and as no other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import SQUARES, values

from deepbp import Trainer
from deepbp.errors import ConfigurationError, FileFormatError
from deepbp.optimizers import Adam
from deepbp.training import Callback, EarlyStopping, ModelCheckpoint

X, Y, LOSS = SQUARES.x, SQUARES.y, SQUARES.loss


def trainer(*callbacks: Callback) -> Trainer:
    return Trainer(SQUARES.network(), LOSS, Adam(0.01), callbacks=list(callbacks))


def left(path: Path, *callbacks: Callback) -> Trainer:
    """A training of 4 epochs of 3 steps, left after step 7, with its file."""

    class Leave(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            if trainer.steps == 7:
                trainer.save(path)
                trainer.stop(now=True)

    trained = trainer(*callbacks, Leave())
    trained.fit(X, Y, epochs=4, batch_size=8)
    return trained


class Leave(Callback):
    """Takes the place of the other."""


class Fails(Callback):
    """Lets no training begin."""

    def on_fit_start(self, trainer: Trainer) -> None:
        raise RuntimeError("mine")


def test_what_is_loaded_and_stored_again_is_the_same(tmp_path: Path) -> None:
    """Also what is saved before fit could give the callbacks their states back."""
    path, again, whole = tmp_path / "run.npz", tmp_path / "again.npz", trainer(EarlyStopping("loss"), Leave())
    left(path, EarlyStopping("loss"))
    loaded = trainer(EarlyStopping("loss"), Leave())
    loaded.load(path)
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()
    loaded.callbacks = [EarlyStopping("loss"), ModelCheckpoint(again), Fails()]
    with pytest.raises(RuntimeError, match="mine"):
        loaded.fit(X, Y, epochs=4, batch_size=8)
    other = trainer(EarlyStopping("loss"), Leave())
    other.load(again)
    other.fit(X, Y, epochs=4, batch_size=8)
    whole.fit(X, Y, epochs=4, batch_size=8)
    assert other.history == whole.history
    assert values(other.model) == values(whole.model)  # type: ignore[arg-type]
    np.testing.assert_equal(other.callbacks[0].state(), whole.callbacks[0].state())


@pytest.mark.parametrize(
    ("rows", "arguments", "got"),
    [
        (23, {"batch_size": 9}, "23 samples, batch_size=9, shuffle=True"),
        (22, {"batch_size": 8}, "22 samples, batch_size=8, shuffle=True"),
        (23, {"batch_size": 8, "shuffle": False}, "23 samples, batch_size=8, shuffle=False"),
    ],
)
def test_an_epoch_goes_on_as_it_began(rows: int, arguments: dict[str, Any], got: str, tmp_path: Path) -> None:
    """Otherwise some samples would come twice in it, and others not at all."""
    left(tmp_path / "run.npz")
    other = trainer(Leave())
    other.load(tmp_path / "run.npz")
    had = "the epoch that was left in the middle had 23 samples, batch_size=8, shuffle=True"
    with pytest.raises(ConfigurationError, match=f"^fit: {had}, got {got}: go on with the same call"):
        other.fit(X[:rows], Y[:rows], epochs=4, **arguments)
    assert other.fit(X, Y, epochs=4, batch_size=8).epochs == 4


def test_the_callbacks_must_be_those_that_were_stored(tmp_path: Path) -> None:
    left(tmp_path / "run.npz")
    other = trainer(Leave())
    other.load(tmp_path / "run.npz")
    other.callbacks = []
    with pytest.raises(
        ConfigurationError, match=r"fit: expected the callbacks that were stored, \['Leave'\], got \[\]"
    ):
        other.fit(X, Y, epochs=4, batch_size=8)


def test_a_state_that_a_callback_can_do_nothing_with(tmp_path: Path) -> None:
    class Forgetful(EarlyStopping):
        def state(self) -> dict[str, Any]:
            return {"kept": np.zeros(3), "kept_buffers": [], **({} if self.monitor else super().state())}

    class Other(Forgetful):
        def state(self) -> dict[str, Any]:
            return {**EarlyStopping.state(self), "kept": np.zeros(3), "kept_buffers": []}

    wrong = "expected the state of a model of 44 parameters and 0 buffers"
    for kind, message in ((Forgetful, "'best'"), (Other, wrong)):
        one, other = trainer(kind("loss")), trainer(kind("loss"))
        one.save(tmp_path / "run.npz")
        other.load(tmp_path / "run.npz")
        with pytest.raises(FileFormatError, match=f"^load: expected a state of {kind.__name__}, got .*{message}"):
            other.fit(X, Y)
        assert other.steps == 0


@pytest.mark.parametrize("name", ["top:1", "../x", "a/b", "é ü", "x" * 300])
def test_a_metric_may_have_any_name(name: str, tmp_path: Path) -> None:
    def agrees(prediction: Any, target: Any) -> float:
        return 1.0

    agrees.__name__ = name
    path = tmp_path / "run.npz"
    one, other = (
        Trainer(SQUARES.network(), LOSS, Adam(0.01), callbacks=[ModelCheckpoint(path)], metrics=[agrees])
        for _ in range(2)
    )
    one.fit(X, Y, epochs=2)
    other.load(path)
    assert other.history == one.history
    assert other.history[name] == [1.0, 1.0]
