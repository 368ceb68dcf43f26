"""Whatever arguments a kernel gets: both forms return the same or raise the same, and stay inside of the arrays."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import ROOT

pytest.importorskip("numba", reason="the compiled kernels need Numba: pip install 'deepbp[fast]'")

SCRIPT = Path(__file__).with_name("kernels.py")
posix = pytest.mark.skipif(os.name == "nt", reason="pages without access are made with mprotect")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(SCRIPT.parent)))}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)


@given(st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_both_forms_agree(data: st.DataObject) -> None:
    from kernels import QUICK, check, draw_call, ordinary_memory

    name, arguments = draw_call(lambda options: data.draw(st.sampled_from(options)), *QUICK)
    assert check(name, arguments, [ordinary_memory] * len(arguments)) == ""


@posix
def test_no_kernel_reads_or_writes_outside_of_an_array() -> None:
    done = run(str(SCRIPT), "--calls", "250", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "calls 0 to 249, seed 0: 0 found" in done.stdout


@posix
@pytest.mark.parametrize("place", [-1, 16])
def test_the_attack_notices_a_byte_outside(place: int) -> None:
    read = "import ctypes, kernels; a = kernels.Guarded()(16, {}); print(ctypes.string_at(a.ctypes.data + {}, 1))"
    assert run("-c", read.format(place > 0, 15 if place > 0 else 0)).returncode == 0
    assert run("-c", read.format(place > 0, place)).returncode == -signal.SIGSEGV
