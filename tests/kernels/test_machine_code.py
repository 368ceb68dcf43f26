"""Compiled kernels on disk: stored once, never read when damaged or stale, and never required."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from forms import needs_numba

import deepbp
from deepbp import doctor, kernels
from deepbp.kernels import machine_code

SIGMOID = "import numpy as np; from deepbp import kernels; print(float(kernels.sigmoid(np.ones(1))[0]))"
TRUE = 0.7310585786300049


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that serves with NUMBA_CACHE_DIR; it does not exist yet."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    (only,) = machine_code.folders()
    assert only.parent == tmp_path / "chosen"
    return only


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place where nobody can create a folder, not even root."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr(machine_code, "NOT_STORED", [])
    return tmp_path / "file"


def test_what_is_stored_is_found_under_its_name_and_key(folder: Path) -> None:
    assert machine_code.load("relu", "float32") is None
    machine_code.store("relu", "float32", b"code")
    assert machine_code.load("relu", "float32") == b"code"
    assert machine_code.load("relu", "float64") is None
    assert machine_code.load("sigmoid", "float32") is None
    assert machine_code.stored() == 1
    assert [path.suffix for path in folder.iterdir()] == [".nbc"]


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-1], lambda b: b"garbage\n", lambda b: b + b"\0"])
def test_a_damaged_file_counts_as_missing_and_is_written_again(folder: Path, damage: object) -> None:
    machine_code.store("relu", "float32", b"code")
    (path,) = folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert machine_code.load("relu", "float32") is None
    machine_code.store("relu", "float32", b"code")
    assert machine_code.load("relu", "float32") == b"code"


def test_every_changed_bit_is_noticed(folder: Path) -> None:
    machine_code.store("relu", "float32", b"code")
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert machine_code.load("relu", "float32") is None


def test_files_from_other_sources_are_not_found_and_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_code.store("relu", "float32", b"old")
    machine_code.store("relu_backward", "float32", b"of another kernel")
    monkeypatch.setattr(machine_code, "SOURCES", "0" * 12)
    assert machine_code.load("relu", "float32") is None
    machine_code.store("relu", "float32", b"new")
    assert machine_code.load("relu", "float32") == b"new"
    assert sorted(path.name.partition("-")[0] for path in folder.iterdir()) == ["relu", "relu_backward"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX owners")
def test_a_file_of_another_user_is_not_executed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_code.store("relu", "float32", b"code")
    monkeypatch.setattr(Path, "stat", lambda self, **_: SimpleNamespace(st_uid=os.geteuid() + 54_321))
    assert machine_code.load("relu", "float32") is None


def test_without_a_folder_there_is_one_warning(nowhere: Path) -> None:
    with pytest.warns(RuntimeWarning, match="every process compiles its kernels again") as warned:
        machine_code.store("relu", "float32", b"code")
    machine_code.store("sigmoid", "float32", b"code")  # a second warning would be an error
    assert str(nowhere) in str(warned[0].message)
    assert "set NUMBA_CACHE_DIR to a folder that can be written, or DEEPBP_KERNELS=numpy" in str(warned[0].message)
    assert machine_code.NOT_STORED == ["relu", "sigmoid"]
    assert machine_code.load("relu", "float32") is None


def test_the_folders_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where there is neither HOME nor an entry
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert all(path.is_absolute() for path in machine_code.folders())
    assert machine_code.folders()[0] == Path(machine_code.__file__).parent / "__pycache__"


@needs_numba
def test_the_doctor_shows_the_folders(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_measure", lambda *_: {"current": 1.0})
    monkeypatch.setattr(kernels, "current", lambda: "numba")
    report = doctor.examine()
    assert list(report.cache.values()) == [False]
    assert f"cache       {nowhere}" in str(report)
    assert "(not writable; NUMBA_CACHE_DIR names another)" in str(report)
    assert f"every process compiles its kernels again: {machine_code.FIX}" in report.advice


def run(root: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(cache), "DEEPBP_KERNELS": "numba"}
    command = [sys.executable, "-c", SIGMOID]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


@needs_numba
def test_a_changed_helper_leaves_no_old_machine_code_in_use(tmp_path: Path) -> None:
    """The exponential function is a module of its own; with a factor of 0 in it, sigmoid(1) is 1."""
    package = Path(deepbp.__file__).parent
    shutil.copytree(package, tmp_path / "deepbp", ignore=shutil.ignore_patterns("__pycache__"))
    cache = tmp_path / "cache"
    done = run(tmp_path, cache)
    assert done.stderr == ""
    assert float(done.stdout) == pytest.approx(TRUE)
    for damaged in cache.rglob("*.nbc"):
        damaged.write_bytes(damaged.read_bytes()[:100])
    helper = tmp_path / "deepbp" / "kernels" / "numba_math.py"
    text = helper.read_text(encoding="utf-8")
    assert text.count("return polynomial(r) *") == 1
    helper.write_text(text.replace("return polynomial(r) *", "return t(0) *"), encoding="utf-8")
    done = run(tmp_path, cache)
    assert (done.stderr, done.stdout) == ("", "1.0\n")
    assert len(list(cache.rglob("*.nbc"))) == 1


@needs_numba
def test_kernels_work_without_any_folder(nowhere: Path) -> None:
    done = run(Path(deepbp.__file__).parents[1], nowhere)
    assert float(done.stdout) == pytest.approx(TRUE)
    assert done.stderr.count("RuntimeWarning") == 1


def test_an_entry_that_became_a_folder_is_stored_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    machine_code.store("kernel", "key", b"code")
    (entry,) = tmp_path.rglob("*.nbc")
    entry.unlink()
    entry.mkdir()
    assert machine_code.load("kernel", "key") is None
    machine_code.store("kernel", "key", b"code")  # a warning would be an error
    assert machine_code.load("kernel", "key") == b"code"
