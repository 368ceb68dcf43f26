"""Atomic writes: full disks, killed processes, and the temporary files that they leave."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from networks import small

import deepbp
from deepbp.errors import ArgumentTypeError
from deepbp.storage.atomic import whole_file

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
