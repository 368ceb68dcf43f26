"""One call of fit: what begins, ends, and nothing else; a copy is in no call."""

import copy
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from problems import SQUARES

from deepbp import Trainer
from deepbp.errors import ConfigurationError
from deepbp.optimizers import Adam
from deepbp.training import Callback, ModelCheckpoint

X, Y, LOSS = SQUARES.x, SQUARES.y, SQUARES.loss


def trainer(*callbacks: Callback, **options: Any) -> Trainer:
    return Trainer(SQUARES.network(), LOSS, Adam(0.01), callbacks=list(callbacks), **options)


class Noted(Callback):
    """Writes down that it was called, and fails where it is told to."""

    def __init__(self, name: str, notes: list[str], fails: str = "", error: type[BaseException] = RuntimeError) -> None:
        self.name, self.notes, self.fails, self.error = name, notes, fails, error

    def _note(self, hook: str) -> None:
        self.notes.append(f"{self.name} {hook}")
        if hook == self.fails:
            raise self.error(f"of {self.name}")

    def on_fit_start(self, trainer: Trainer) -> None:
        self._note("starts")

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        self._note("sees")

    def on_fit_end(self, trainer: Trainer) -> None:
        self._note("ends")


def test_what_has_not_begun_does_not_end() -> None:
    notes: list[str] = []
    trained = trainer(Noted("a", notes), Noted("b", notes, "starts"), Noted("c", notes))
    with pytest.raises(RuntimeError, match="of b"):
        trained.fit(X, Y)
    assert notes == ["a starts", "b starts", "a ends"]


def test_one_that_fails_at_the_end_keeps_no_other_from_its_end() -> None:
    notes: list[str] = []
    trained = trainer(Noted("a", notes), Noted("b", notes, "ends"), Noted("c", notes, "ends", KeyError))
    with pytest.raises(KeyError, match=r"of c'\nthen Noted\.on_fit_end failed, too: of b$"):
        trained.fit(X, Y)
    assert notes[-3:] == ["c ends", "b ends", "a ends"]
    assert trained.epoch == trained.history.epochs == 1


def test_a_program_that_exits_stores_its_training(tmp_path: Path) -> None:
    """As a handler of SIGTERM does that calls sys.exit."""
    notes: list[str] = []
    exits = Noted("a", notes, "sees", SystemExit)
    with pytest.raises(SystemExit):
        trainer(exits, ModelCheckpoint(tmp_path / "run.npz", every_epochs=None)).fit(X, Y, epochs=3)
    assert notes == ["a starts", "a sees", "a ends"]
    assert (tmp_path / "run.npz").exists()


def test_an_epoch_whose_end_fails_is_one_all_the_same() -> None:
    trained = trainer(Noted("a", [], "sees"))
    with pytest.raises(RuntimeError, match=r"of a\nin epoch 1, after update 1"):
        trained.fit(X, Y)
    trained.callbacks = ()
    trained.fit(X, Y)
    assert trained.epoch == trained.history.epochs == trained.steps == 2


def test_a_call_within_a_call_is_refused(tmp_path: Path) -> None:
    def within(act: Callable[[Trainer], object], method: str) -> None:
        class Again(Callback):
            def on_step_end(self, trainer: Trainer, loss: float) -> None:
                act(trainer)

        trained = trainer(Again())
        trained.save(tmp_path / "run.npz")
        with pytest.raises(ConfigurationError, match=f"Trainer: {method}: expected it between two calls of fit"):
            trained.fit(X, Y)
        trained.callbacks = ()
        assert trained.fit(X, Y).epochs == 1

    within(lambda trainer: trainer.fit(X, Y), "fit")
    within(lambda trainer: trainer.load(tmp_path / "run.npz"), "load")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_is_in_no_call_and_holds_no_data(copied: Callable[[Trainer], Trainer], tmp_path: Path) -> None:
    copies: list[Trainer] = []

    class Copy(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            if trainer.steps == 4:
                trainer.callbacks, before = (), trainer.callbacks
                copies.append(copied(trainer))
                trainer.callbacks = before
                trainer.stop(now=True)

    trained = trainer(Copy())
    trained.fit(lambda: ((X[i : i + 8], Y[i : i + 8]) for i in (0, 8, 16)), epochs=4)
    trained.callbacks = ()
    for one in (*copies, copied(trained)):
        one.save(tmp_path / "copy.npz")
        other = trainer()
        other.load(tmp_path / "copy.npz")
        assert other._training.position.batches == 1
        assert one.fit(X, Y).epochs == 2
