"""Large activations: glibc keeps their memory from step to step, unless it is told not to."""

import platform
import subprocess
import sys

import pytest

from deepbp import doctor
from deepbp.kernels import memory

SCRIPT = """
import resource
import numpy as np
from deepbp import kernels
from deepbp.kernels import memory
from deepbp.layers import Builder, Conv2D, Dense
kernels.use("numpy")
def faults(layer, shape):
    Builder(0).build(layer, shape[1:])
    x = np.ones(shape, np.float32)
    for _ in range(3):
        layer.forward(x)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        layer.forward(x)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 5
faults(Dense(2), (4, 3))
faults(Conv2D(2, 3), (1, 5, 5, 1))
print(memory.STATE)
print(faults(Conv2D(16, 3), (16, 64, 64, 1)))
print(memory.STATE)
"""
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of the C library of Linux")


def run(**environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env={**CLEAN, **environment}
    )
    return done.stdout.splitlines()


CLEAN = {"PYTHONPATH": ":".join(path for path in sys.path if path), "OPENBLAS_NUM_THREADS": "1"}


@glibc
def test_large_arrays_cause_no_page_faults() -> None:
    before, faults, after = run()
    assert before == "as the C library does by default"  # which small networks leave alone
    assert after == "kept for later steps, since large arrays occurred (DEEPBP_KEEP_MEMORY=0 returns it)"
    assert float(faults) < 20
    before, without, after = run(DEEPBP_KEEP_MEMORY="0")
    assert after == "as the C library does by default (DEEPBP_KEEP_MEMORY=0)"
    assert float(without) > 1000


@glibc
@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_settings_of_the_user_come_first(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_decided", False)
    monkeypatch.setattr(memory, "STATE", memory.STATE)
    monkeypatch.setenv(name, "1")
    monkeypatch.delenv("DEEPBP_KEEP_MEMORY", raising=False)
    memory.keep_memory(memory.LARGE + 1)
    assert f"as {name} says" == memory.STATE


def test_the_doctor_says_what_happens_to_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_measure", lambda *_: {"current": 1.0})
    monkeypatch.setattr(memory, "STATE", "kept for later steps")
    assert "memory      kept for later steps\n" in str(doctor.examine())
    monkeypatch.setattr(memory, "STATE", "as the C library does by default")
    assert "memory      is freed as the C library does by default\n" in str(doctor.examine())
