"""The file holds the history after every epoch, whatever happens to the training or to the disk."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from scripted import Each, X, Y, fit, numbers, resumed, trainer

from deepbp import Trainer
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.training import Callback, CSVLog


class Same(Callback):
    """Holds the file against what the history would write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        whole = self.path.with_suffix(".whole")
        trainer.history.to_csv(whole)
        assert self.path.read_bytes() == whole.read_bytes()


def test_the_file_is_the_history_after_each_epoch(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    it = fit(trainer(CSVLog(path), Same(path), scores=[0.1, float("nan"), 1e-300]), 3)
    lines = path.read_text().splitlines()
    assert lines[0] == "epoch,loss,score"
    assert [float(line.split(",")[1]) for line in lines[1:]] == it.history["loss"]  # every digit
    assert [line.split(",")[2] for line in lines[1:]] == ["0.1", "nan", "1e-300"]


def test_a_row_is_added_and_not_the_whole_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    files = []
    fit(trainer(CSVLog(str(path)), Each(lambda it: files.append(path.stat().st_ino))), 4)
    assert len(set(files)) == 1


def test_it_goes_on_with_the_same_trainer_and_a_column_may_come_later(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    it = fit(fit(trainer(CSVLog(path), Same(path))))
    it.fit(X, Y, epochs=2, validation_data=(X, Y))
    lines = path.read_text().splitlines()
    assert lines[0] == "epoch,loss,val_loss"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3", "4"]
    assert [line.endswith(",nan") for line in lines[1:]] == [True, True, False, False]


def test_another_trainer_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log = CSVLog(path)
    fit(trainer(log), 3)
    fit(trainer(log, Same(path)), 2)
    assert len(path.read_text().splitlines()) == 3


def test_a_stored_training_goes_on_with_its_own_rows(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    whole, other = resumed(lambda: CSVLog(path), 5, 1)
    assert numbers(whole) == numbers(other)
    lines = path.read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2", "3", "4", "5"]
    assert [float(line.split(",")[1]) for line in lines[1:]] == whole.history["loss"]


def test_a_file_that_cannot_be_written_is_an_error_before_training(tmp_path: Path) -> None:
    it = trainer(CSVLog(tmp_path / "nowhere" / "log.csv"))
    before = numbers(it)
    with pytest.raises(ConfigurationError, match=r"^CSVLog: path: expected a file that can be written, got .*nowhere"):
        fit(it)
    assert numbers(it) == before


def test_a_disk_that_fails_later_is_a_warning_and_no_row_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    path = folder / "log.csv"

    def move(it: Trainer) -> None:
        if it.epoch == 0:
            os.rename(folder, tmp_path / "away")
        if it.epoch == 3:
            os.rename(tmp_path / "away", folder)

    it = trainer(CSVLog(path), Each(move))
    with pytest.warns(
        UserWarning, match=r"^CSVLog: .*log\.csv'?: training goes on, and each epoch tries again"
    ) as caught:
        fit(it, 6)
    assert len(caught) == 1
    it.history.to_csv(tmp_path / "whole.csv")
    assert path.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_the_log_is_true_when_training_fails(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"

    def fail(it: Trainer) -> None:
        if it.epoch == 1:
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError):
        fit(trainer(CSVLog(path), Each(fail)), 5)
    assert len(path.read_text().splitlines()) == 3


@pytest.mark.parametrize("path", [3, None, 2.5])
def test_path(path: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=f"^CSVLog: path: expected str or PathLike, got {path}$"):
        CSVLog(path)
