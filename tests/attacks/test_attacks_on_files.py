"""The campaigns of ``make attack`` against files and saves, for a moment; they notice planted mistakes."""

from pathlib import Path
from typing import Any

import files
import numpy as np
import pytest
import saves

import deepbp
from deepbp.files import write_archive
from deepbp.storage import atomic, contents


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # finds are kept in its output/
    monkeypatch.setattr(files, "SECONDS", 1e9)  # tests do not depend on the time that anything takes


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_found_in_files(seed: int) -> None:
    assert files.attack(seed=seed, seconds=1e9, most=60) == []


def test_a_reader_that_raises_something_else_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def raising(*_: Any, **__: Any) -> None:
        raise KeyError("\x1b[2J")

    monkeypatch.setattr(deepbp, "load", raising)
    finds = files.attack(seconds=1e9, most=20)
    assert finds
    assert all("KeyError" in find and find.isprintable() for find in finds)
    assert len([*(tmp_path / "output").iterdir()]) == len(finds)


def test_messages_that_cannot_be_shown_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_printable", lambda text: f"{text}\x1b")
    assert any("its message cannot be shown" in find for find in files.attack(seconds=1e9, most=20))


def test_much_memory_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    held = deepbp.load
    monkeypatch.setattr(deepbp, "load", lambda path: (bytearray(60_000_000), held(path)))
    assert any("60 MB" in find for find in files.attack(seconds=1e9, most=20))


def test_no_save_is_lost() -> None:
    assert saves.attack(seconds=1e9, most=120, processes=2) == []


def test_a_save_without_a_lock_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one process of several threads, since others would not have the mistake."""
    monkeypatch.setattr(atomic, "_lock", lambda descriptor: True)
    path = tmp_path / "network.npz"
    write_archive(path, {"by": [-1, 0]}, {"numbers": np.zeros(1)})
    for seed in range(50):
        if finds := saves._process(str(path), 1e9, seed, 40)[1]:
            assert any("nothing was written" in find for find in finds)
            return
    pytest.fail("nothing was found")
