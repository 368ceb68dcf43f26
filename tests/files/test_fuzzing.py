"""The harness of ``make fuzz`` runs and finds nothing, for a moment, where atheris is installed."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not offered for this system")
def test_a_moment_of_fuzzing_finds_nothing(tmp_path: Path) -> None:
    harness = Path(__file__).parent / "fuzz_reader.py"
    done = subprocess.run(
        [sys.executable, harness, tmp_path / "corpus", "-runs=1000", f"-artifact_prefix={tmp_path}/"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Done 1000 runs" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
