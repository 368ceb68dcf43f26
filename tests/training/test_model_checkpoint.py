"""Files of a training while it runs: the newest, those before it, the best; and what happens when writing fails."""

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import SQUARES, values

from deepbp import Trainer
from deepbp.errors import ArgumentTypeError, ConfigurationError, DeepBPError
from deepbp.optimizers import Adam
from deepbp.training import Callback, EarlyStopping, ModelCheckpoint

X, Y, LOSS = SQUARES.x, SQUARES.y, SQUARES.loss
STEPS = 3  # an epoch, with batches of 8


def trained(*callbacks: Callback, epochs: int = 4, **options: Any) -> Trainer:
    trainer = Trainer(SQUARES.network(), LOSS, Adam(0.01), callbacks=list(callbacks))
    trainer.fit(X, Y, epochs=epochs, batch_size=8, **options)
    return trainer


def stored(path: Path, *callbacks: Callback) -> Trainer:
    trainer = Trainer(SQUARES.network(rng=9), LOSS, Adam(0.01), callbacks=list(callbacks))
    trainer.load(path)
    return trainer


def files(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_the_newest_file_holds_the_end_of_the_training(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    trainer = trained(ModelCheckpoint(path))
    again = stored(path, ModelCheckpoint(path))
    assert files(tmp_path) == {"run.npz"}
    assert values(again.model) == values(trainer.model)  # type: ignore[arg-type]
    assert again.history == trainer.history
    assert (again.epoch, again.steps) == (4, 12)


class Steps(Callback):
    """Notes after which steps there is a file, and from which step it is."""

    runs_last = True

    def __init__(self, path: Path) -> None:
        self.path, self.seen = path, dict[int, int]()

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        if self.path.exists():
            with np.load(self.path) as file:
                assert "0.weight" in file.files
            probe = Trainer(
                SQUARES.network(), LOSS, Adam(0.01), callbacks=[ModelCheckpoint(self.path), Steps(self.path)]
            )
            probe.load(self.path)
            self.seen[trainer.steps] = probe.steps


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"every_epochs": 2}, {7: 6, 8: 6, 9: 6, 10: 6, 11: 6, 12: 6}),
        ({"every_epochs": None, "every_steps": 5}, {5: 5, 6: 5, 7: 5, 8: 5, 9: 5, 10: 10, 11: 10, 12: 10}),
        ({"every_epochs": 3, "every_steps": 8}, {8: 8, 9: 8, 10: 9, 11: 9, 12: 9}),
    ],
)
def test_how_often(how: dict[str, Any], expected: dict[int, int], tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    steps = Steps(path)
    trained(ModelCheckpoint(path, **how), steps)
    assert steps.seen == expected


@pytest.mark.parametrize("links", [True, False])
def test_the_last_files_are_kept(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:
        monkeypatch.delattr("os.link")
        monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError("no links here")), raising=False)
    path = tmp_path / "run.npz"
    (tmp_path / "run-stepping.npz").write_text("not mine")
    trained(ModelCheckpoint(path, keep=3))
    assert files(tmp_path) == {"run.npz", "run-step9.npz", "run-step6.npz", "run-stepping.npz"}
    for name, steps in {"run.npz": 12, "run-step9.npz": 9, "run-step6.npz": 6}.items():
        assert stored(tmp_path / name, ModelCheckpoint(path)).steps == steps


def test_the_best_file_is_that_of_the_best_epoch(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"

    class Worse(Callback):
        def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
            if trainer.epoch == 1:
                trainer.parameters.values[...] += 3

    trainer = trained(Worse(), ModelCheckpoint(path, best="loss"))
    best = trainer.history.best("loss")
    assert best.epoch == 2
    assert files(tmp_path) == {"run.npz", "run-best.npz"}
    assert stored(tmp_path / "run-best.npz", Worse(), ModelCheckpoint(path, best="loss")).epoch == 2


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_only_what_this_training_has_written_is_deleted(keep: int, tmp_path: Path) -> None:
    others = {f"run-step{step}.npz" for step in (1, 2, 4, 5, 7, 8, 10)}  # of yesterday, with fewer updates
    for name in others:
        (tmp_path / name).write_text("mine")
    path = tmp_path / "run.npz"
    own = {f"run-step{step}.npz" for step in (9, 6)[: keep - 1]}
    trained(ModelCheckpoint(path, keep=keep))
    assert files(tmp_path) == {"run.npz"} | others | own
    assert {name for name in others if (tmp_path / name).read_text() == "mine"} == others
    again = stored(path, ModelCheckpoint(path, keep=keep))  # a training that goes on knows which files are its own
    again.fit(X, Y, epochs=6, batch_size=8)
    assert files(tmp_path) == {"run.npz"} | others | {f"run-step{step}.npz" for step in (15, 12)[: keep - 1]}


def test_a_file_of_the_same_name_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "run-step9.npz").write_text("of yesterday")
    callback = ModelCheckpoint(tmp_path / "run.npz", keep=2)
    trained(callback)
    assert stored(tmp_path / "run-step9.npz", ModelCheckpoint(tmp_path / "run.npz")).steps == 9
    trained(callback, epochs=2)  # of another trainer, which has written nothing yet
    assert files(tmp_path) == {"run.npz", "run-step9.npz", "run-step3.npz"}


def test_files_of_another_training_stay_and_take_no_place(tmp_path: Path) -> None:
    others = {f"run-step{step}.npz" for step in (900, 600)}
    for name in others:
        (tmp_path / name).write_text("of a longer training")
    trained(ModelCheckpoint(tmp_path / "run.npz", keep=2))
    assert files(tmp_path) == {"run.npz", "run-step9.npz"} | others


def test_a_folder_that_does_not_exist_is_told_of_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ModelCheckpoint: path: expected a folder that exists, got "):
        trained(ModelCheckpoint(tmp_path / "no" / "run.npz"))


def test_early_stopping_keeps_its_best_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"

    def callbacks() -> list[Callback]:
        return [EarlyStopping("loss", patience=1, min_delta=1e9), ModelCheckpoint(path)]

    trainer = trained(*callbacks(), epochs=10)
    assert trainer.epoch == 2
    again = stored(path, *callbacks())
    again.fit(X, Y, epochs=10, batch_size=8)
    assert again.epoch == 2
    assert values(again.model) == values(trainer.model)  # type: ignore[arg-type]  # the first epoch's, put back


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Writes fail while the list says so."""
    full = [False]
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return full


def test_a_full_disk_is_a_warning_and_at_the_end_an_error(tmp_path: Path, full_disk: list[bool]) -> None:
    path = tmp_path / "run.npz"

    class Fill(Callback):
        def on_epoch_start(self, trainer: Trainer) -> None:
            full_disk[0] = trainer.epoch == 1

    with pytest.warns(UserWarning, match=r"ModelCheckpoint: .*No space left on device.*: the training goes on"):
        trainer = trained(Fill(), ModelCheckpoint(path))
    assert stored(path, Fill(), ModelCheckpoint(path)).epoch == trainer.epoch == 4
    before = path.read_bytes()
    full_disk[0] = True
    trainer.callbacks = [ModelCheckpoint(path, every_epochs=None)]
    with pytest.raises(OSError, match="No space left on device"):
        trainer.fit(X, Y)
    assert path.read_bytes() == before
    assert files(tmp_path) == {"run.npz"}
    assert np.isfinite(trainer.evaluate(X, Y)["loss"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": None}, "ModelCheckpoint: path: expected a file name, got None"),
        ({"every_epochs": 0}, "ModelCheckpoint: every_epochs: expected a whole number of at least 1, got 0"),
        ({"every_steps": 2.5}, "ModelCheckpoint: every_steps: expected a whole number of at least 1, got 2.5"),
        ({"keep": "64"}, "ModelCheckpoint: keep: expected a whole number of at least 1, got '64'"),
        ({"best": 3}, "ModelCheckpoint: best: expected str, got 3"),
        ({"best": "loss", "mode": "up"}, "mode: expected 'min', 'max' or None, got 'up'"),
    ],
)
def test_refused_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DeepBPError, match=re.escape(message)):
        ModelCheckpoint(**{"path": "run.npz", **arguments})


def test_a_training_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    trained(ModelCheckpoint(path))
    other = Trainer(SQUARES.network(), LOSS, Adam(0.01), callbacks=[EarlyStopping("loss"), ModelCheckpoint(path)])
    before = other.parameters.values.copy()
    with pytest.raises(
        ConfigurationError, match=r"load: the callbacks: the file has \['ModelCheckpoint'\], this trainer"
    ):
        other.load(path)
    np.testing.assert_array_equal(other.parameters.values, before)
    without = stored(path)  # they may be callbacks of one call of fit
    with pytest.raises(ConfigurationError, match=r"fit: expected the callbacks that were stored, "):
        without.fit(X, Y)
    with pytest.raises(ArgumentTypeError, match="path: expected a file name, got None"):
        other.load(None)  # type: ignore[arg-type]
