"""Atomic writes: full disks, killed processes, and the temporary files that they leave."""

import fcntl
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from networks import small

import deepbp
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.storage.atomic import whole_file

UMASK = os.umask(0)
os.umask(UMASK)

FULL = """
import resource, signal, sys
from deepbp import Sequential
from deepbp.layers import Dense

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that a write past the limit fails, as it does on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    Sequential([Dense(1000)], input_shape=1000).save(sys.argv[1])
except OSError as error:
    print(error)
"""
DIES = """
import os, sys
from deepbp.storage.atomic import whole_file

with whole_file(sys.argv[1], binary=True) as file:
    file.write(b"half of it")
    file.flush()
    os._exit(9)
"""


def run(code: str, path: Path) -> Any:
    return subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_a_full_disk_leaves_the_old_file(ending: str, tmp_path: Path) -> None:
    path = small().save(tmp_path / f"network{ending}")
    old = path.read_bytes()
    done = run(FULL, path)
    assert done.stdout == f"[Errno 27] File too large: nothing was written, an old file is as it was: '{path}'\n"
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == [path.name]


def test_what_a_dead_process_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "network.npz"
    for _ in range(2):
        assert run(DIES, path).returncode == 9
        assert len(os.listdir(tmp_path)) == 1  # the second one has removed what the first one left
    beside = [".network.npz.1.tmp", ".network.npz.1.12345678.tmp.txt", ".other.npz.1.12345678.tmp", "network.npz.1.tmp"]
    for name in beside:
        (tmp_path / name).touch()
    small().save(path)
    assert sorted(os.listdir(tmp_path)) == sorted([*beside, "network.npz"])


def test_what_another_writer_is_writing_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "text"
    with whole_file(path) as first:
        first.write("first")
        with whole_file(path) as second:
            second.write("second")
        assert path.read_text() == "second"
        assert len(os.listdir(tmp_path)) == 2
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["text"]


def test_text_and_bytes(tmp_path: Path) -> None:
    with whole_file(tmp_path / "text") as text:
        text.write("ü\r\n")
    assert (tmp_path / "text").read_bytes() == "ü\r\n".encode()
    with whole_file(tmp_path / "bytes", binary=True) as binary:
        binary.write(b"\xff")
    assert (tmp_path / "bytes").read_bytes() == b"\xff"
    with pytest.raises(ArgumentTypeError, match="path: expected a file name, got None"), whole_file(None):  # type: ignore[call-overload]
        pass


def test_the_file_and_then_its_folder_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, bool]] = []
    fsync, path = os.fsync, tmp_path / "network.npz"

    def watched(descriptor: int) -> None:
        seen.append((os.readlink(f"/proc/self/fd/{descriptor}"), path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    small().save(path)
    (written, early), (folder, late) = seen
    assert Path(written).parent == Path(folder) == tmp_path
    assert (early, late) == (False, True)


def test_an_interrupted_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small().save(tmp_path / "network.npz")
    old = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        small(rng=1).save(path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["network.npz"]
    assert isinstance(deepbp.load(path), deepbp.Sequential)


def test_a_new_file_has_the_permissions_of_the_old_one(tmp_path: Path) -> None:
    path = small().save(tmp_path / "network.npz")
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~UMASK
    for mode in (0o600, 0o640, 0o664):
        path.chmod(mode)
        small(rng=1).save(path)
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_what_is_being_written_is_no_more_readable_than_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "text").touch(mode=0o640)
    with whole_file(tmp_path / "text"):
        (temporary,) = tmp_path.glob(".text.*.tmp")
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600


def test_a_read_only_file_is_not_replaced(tmp_path: Path) -> None:
    path = small().save(tmp_path / "network.npz")
    path.chmod(0o444)
    old = path.read_bytes()
    message = "The file is read-only: nothing was written, an old file is as it was: "
    with pytest.raises(PermissionError, match=re.escape(f"{message}'{path}'")):
        small(rng=1).save(path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == [path.name]


def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    target, link = tmp_path / "runs" / "run5.npz", tmp_path / "current.npz"
    link.symlink_to("runs/run5.npz")
    for rng in (0, 1):  # without and with a file there
        small(rng=rng).save(link)
        assert link.is_symlink()
        assert deepbp.load(target).rng == rng
    assert os.listdir(tmp_path / "runs") == ["run5.npz"]
    (tmp_path / "circle.npz").symlink_to("circle.npz")
    with pytest.raises(OSError, match="symbolic links"):
        small().save(tmp_path / "circle.npz")


@pytest.mark.parametrize("letter", ["n", "ü"])
def test_names_of_every_legal_length(letter: str, tmp_path: Path) -> None:
    for size in (99, 101, 231, 232, 255):
        path = tmp_path / (letter * ((size - 4) // len(letter.encode())) + ".npz")
        assert run(DIES, path).returncode == 9
        small().save(path)
        assert os.listdir(tmp_path) == [path.name]
        path.unlink()
    with pytest.raises(OSError, match="name too long"):
        small().save(tmp_path / ("n" * 252 + ".npz"))


def test_pipes_named_as_temporary_files_are_left_alone(tmp_path: Path) -> None:
    pipe = tmp_path / ".network.npz.1.aaaaaaaa.tmp"
    os.mkfifo(pipe)
    small().save(tmp_path / "network.npz")
    assert sorted(os.listdir(tmp_path)) == [pipe.name, "network.npz"]


def test_another_writer_may_take_a_new_file_for_a_leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the creation of the temporary file and its lock: once it is locked elsewhere, once it is gone."""
    taken: list[Path] = []
    path, flock = tmp_path / "text", fcntl.flock

    def too_late(descriptor: int, operation: int) -> None:
        if len(taken) < 2:
            (temporary,) = tmp_path.glob(".text.*.tmp")
            taken.append(temporary)
            temporary.unlink()
            if len(taken) == 1:
                raise BlockingIOError
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", too_late)
    with whole_file(path) as file:
        file.write("whole")
    assert path.read_text() == "whole"
    assert len({*taken}) == 2
    assert os.listdir(tmp_path) == ["text"]


def test_the_lock_is_held_until_the_file_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, another writer takes the temporary file for a leftover."""
    path, replace = tmp_path / "text", os.replace

    def with_another_writer(source: Any, target: Any) -> None:
        monkeypatch.setattr(os, "replace", replace)
        with whole_file(path) as other:
            other.write("other")
        replace(source, target)

    monkeypatch.setattr(os, "replace", with_another_writer)
    with whole_file(path) as file:
        file.write("one")
    assert path.read_text() == "one"
    assert os.listdir(tmp_path) == ["text"]


def test_errors_name_the_file_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system", "a temporary name")

    monkeypatch.setattr(os, "replace", read_only)
    monkeypatch.setattr(Path, "unlink", read_only)
    message = f"[Errno 30] Read-only file system: nothing was written, an old file is as it was: '{tmp_path / 'text'}'"
    with pytest.raises(OSError, match=re.escape(message)), whole_file(tmp_path / "text"):
        pass


@pytest.mark.parametrize("name", ["a\0.npz", "\ud800.npz"])
def test_names_that_no_system_has(name: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"path: expected a file name, got {name!r}: ")):
        small().save(name)
