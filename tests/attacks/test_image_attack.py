"""The compiled kernels for images stay inside of all arrays, and give the numbers of the NumPy form."""

import os

import pytest
from pages import ROOT
from test_kernel_attack import SCRIPT, run

pytest.importorskip("numba", reason="the compiled kernels need Numba: pip install 'deepbp[fast]'")


@pytest.mark.skipif(os.name == "nt", reason="pages without access are made with mprotect")
def test_no_kernel_for_images_reads_or_writes_outside_of_an_array() -> None:
    assert (ROOT / "tests" / "attacks" / "images.py").exists()
    done = run(str(SCRIPT.with_name("images.py")), "--calls", "300")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "300 calls, seed 0: 0 found" in done.stdout
