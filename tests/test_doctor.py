"""``python -m deepbp doctor`` recommends a setting only if it was measured to be faster."""

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest

from deepbp import doctor, kernels
from deepbp.cli import main
from deepbp.program.layout import blas_addresses


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the products take the given seconds, by the family of kernels that the process was told to use."""

    def patch(seconds: dict[str, float]) -> None:
        monkeypatch.setattr(doctor, "_features", lambda: ["AVX512F", "AVX2"])

        def run(command: list[str], *, env: dict[str, str], **rest: Any) -> Any:
            told = seconds.get(env.get("OPENBLAS_CORETYPE", "current"))
            return subprocess.CompletedProcess(command, 1 if told is None else 0, stdout=f"{told}\n")

        monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
        monkeypatch.setattr(subprocess, "run", run)

    return patch


def test_a_faster_kernel_family_is_reported(timed: Any) -> None:
    timed({"current": 2.0, "SkylakeX": 1.0, "Haswell": 1.5, "Zen": 2.0})
    report = doctor.examine(repeats=3)
    assert report.faster == {"export OPENBLAS_CORETYPE=SkylakeX": 2.0}
    assert "export OPENBLAS_CORETYPE=SkylakeX   # matrix products 2.00 times as fast" in str(report)
    assert "another setting is faster" in str(report)


def test_small_gains_and_unsupported_families_are_ignored(timed: Any) -> None:
    timed({"current": 1.1, "Haswell": 1.0})
    report = doctor.examine(repeats=3)
    assert report.faster == {}
    assert report.seconds == {"current": 1.1, "Haswell": 1.0}
    assert "no other setting is faster" in str(report)


def test_what_is_set_is_not_advised(timed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    timed({"current": 2.0, "SkylakeX": 1.0, "Haswell": 2.0, "Zen": 2.0})
    monkeypatch.setenv("OPENBLAS_CORETYPE", "SkylakeX")
    report = doctor.examine(repeats=1)
    assert report.faster == {}
    assert set(report.seconds) == {"current", "Haswell", "Zen"}


@pytest.mark.parametrize(
    ("form", "setting", "expected"),
    [("numpy", "1", "the NumPy kernels are in use"), ("numba", "0", "DEEPBP_PROGRAM=0"), ("numba", "1", "")],
)
def test_whether_programs_are_on(
    form: Any, setting: str, expected: str, timed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "numba":
        pytest.importorskip("numba")
    if not expected and blas_addresses(np.dtype(np.float64)) is None:
        pytest.skip("the BLAS of this NumPy has no interface that is known")
    timed({"current": 1.0})
    monkeypatch.setenv("DEEPBP_PROGRAM", setting)
    before = kernels.current()
    kernels.use(form)
    try:
        report = doctor.examine(repeats=1)
    finally:
        kernels.use(before)  # type: ignore[arg-type]
    assert report.programs == expected
    assert f"programs    {f'off: {expected}' if expected else 'on'}" in str(report)


def test_the_setting_takes_effect_in_the_measuring_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_features", lambda: ["AVX2"])
    report = doctor.examine(repeats=1)
    assert set(report.seconds) == {"current", "Haswell", "Zen"}
    assert all(0 < seconds < 60 for seconds in report.seconds.values())


def test_the_report_names_the_active_kernels(timed: Any) -> None:
    pytest.importorskip("numba")
    timed({"current": 1.0})
    before = kernels.current()
    try:
        for form in ("numpy", "numba"):
            kernels.use(form)
            kernels.sgd(np.ones(1), np.ones(1), 0.1)  # compiled now, if it never was
            report = doctor.examine(repeats=1)
            assert report.kernels == form
            assert (report.kernels_cached > 0) == (form == "numba")
    finally:
        kernels.use("numba" if before == "numba" else "numpy")
    assert report.threads >= 1
    assert "openblas" in report.blas
    assert report.versions["deepbp"] == importlib.metadata.version("deepbp")
    told = json.loads(report.to_json())
    assert told["seconds"] == {"current": 1.0}
    assert told["processor"]


def test_without_threadpoolctl_numpy_names_the_blas(timed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    timed({"current": 1.0})
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "threadpoolctl" else find(name))
    report = doctor.examine(repeats=1)
    assert "openblas" in report.blas
    assert report.threads == os.cpu_count()
    assert any("threadpoolctl" in line for line in report.advice)


@pytest.mark.parametrize(("seconds", "code"), [(0.5, 1), (1.0, 0)])
def test_exit_code_and_json(timed: Any, capsys: pytest.CaptureFixture[str], seconds: float, code: int) -> None:
    timed({"current": 1.0, "Zen": seconds})
    assert main(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["seconds"]["Zen"] == seconds
    assert main(["doctor"]) == code
    assert "verdict" in capsys.readouterr().out


def test_sums_over_two_processes_are_measured() -> None:
    pytest.importorskip("mpi4py")
    if "without mpiexec" not in (found := doctor._mpi()):
        assert "sum over 2 processes" in found
        assert " µs for 8 numbers, " in found


@pytest.mark.parametrize(("missing", "told"), [("mpi4py", "not installed"), ("mpiexec", "without mpiexec")])
def test_what_is_missing_for_several_processes_is_named(
    missing: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if missing == "mpi4py" else name)
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    assert told in doctor._mpi()
    assert "pip install 'deepbp[mpi]'" in doctor._mpi()
