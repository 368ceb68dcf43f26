"""Paths of folders, devices, missing and unreadable files."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from networks import small

import deepbp
from deepbp.errors import ArgumentTypeError, ConfigurationError, FileFormatError


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_folders_and_devices_are_refused_at_once(ending: str, tmp_path: Path) -> None:
    (tmp_path / f"folder{ending}").mkdir()
    with pytest.raises(FileFormatError, match=r"folder\..*: expected a file, got a folder"):
        deepbp.load(tmp_path / f"folder{ending}")
    os.mkfifo(tmp_path / f"pipe{ending}")  # to open it would wait for ever
    (tmp_path / f"null{ending}").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / f"socket{ending}"))
    for name in ("pipe", "null", "socket"):
        with pytest.raises(FileFormatError, match=rf"{name}\..*: expected a file, got a device, a pipe or a socket"):
            deepbp.load(tmp_path / f"{name}{ending}")
    (tmp_path / f"empty{ending}").touch()
    with pytest.raises(FileFormatError, match=r"expected a file of deepbp, got an empty one"):
        deepbp.load(tmp_path / f"empty{ending}")


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_a_file_that_becomes_a_pipe_before_it_is_opened(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, status = small().save(tmp_path / f"network{ending}"), os.stat(tmp_path / f"network{ending}")
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(os, "stat", lambda *_, **__: status)
    with pytest.raises(FileFormatError, match="expected a file, got a device, a pipe or a socket"):
        deepbp.load(path)


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_what_the_system_refuses_stays_an_error_of_the_system(ending: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        deepbp.load(tmp_path / f"none{ending}")
    with pytest.raises(NotADirectoryError):
        deepbp.load(small().save(tmp_path / f"file{ending}") / f"inside{ending}")
    (tmp_path / f"circle{ending}").symlink_to(tmp_path / f"circle{ending}")
    with pytest.raises(OSError, match="symbolic links"):
        deepbp.load(tmp_path / f"circle{ending}")


@pytest.mark.parametrize("path", [None, 3, 2.5, ["a.npz"], b"a.npz"])
def test_a_path_is_a_file_name(path: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="path: expected a file name, got"):
        deepbp.load(path)


def test_names_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"path: expected a file name, got 'a\\x00.npz': embedded null"):
        deepbp.load("a\0.npz")
    with pytest.raises(
        ConfigurationError, match=r"path: expected a name that ends in .npz or .safetensors, got 'a.zip'"
    ):
        deepbp.load("a.zip")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "null.npz").symlink_to("/dev/null")
    for name in ("folder.npz", "null.npz"):
        with pytest.raises(
            ConfigurationError, match=r"path: expected a file name, got .*, which is a folder or a device"
        ):
            small().save(tmp_path / name)


def test_files_larger_than_the_limit_are_not_read(tmp_path: Path) -> None:
    path = small().save(tmp_path / "network.npz")
    size = path.stat().st_size
    with pytest.raises(
        FileFormatError, match=f"expected at most {size - 1:,} bytes, got {size:,}: pass limit={size} to"
    ):
        deepbp.load(path, limit=size - 1)
    deepbp.load(path, limit=size)
    with open(tmp_path / "huge.npz", "wb") as huge:
        huge.truncate(5 * 2**30)  # takes no room on the disk
    with pytest.raises(FileFormatError, match="expected at most 4,294,967,296 bytes, got 5,368,709,120: pass limit="):
        deepbp.load(tmp_path / "huge.npz")
    with pytest.raises(FileFormatError, match="expected a file of deepbp, got one that is no archive"):
        deepbp.load(tmp_path / "huge.npz", limit=10 * 2**30)
