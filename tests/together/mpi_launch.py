"""Launches scripts on several processes with mpiexec; tests are skipped where MPI is not installed."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PATHS = (HERE.parent / "testing", os.environ.get("PYTHONPATH", ""))  # with every_builtin
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
needs_mpi = pytest.mark.skipif(
    not find_spec("mpi4py") or MPIEXEC is None, reason="needs mpi4py and mpiexec: pip install 'deepbp[mpi]'"
)


def launch(
    count: int, script: str, *arguments: Any, options: tuple[str, ...] = (), seconds: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script of this folder on ``count`` processes; 0 runs it without mpiexec."""
    command = [sys.executable, *options, str(HERE / script), *map(str, arguments)]
    if count:
        command = [str(MPIEXEC), "-n", str(count), *command]
    settings = {"OPENBLAS_NUM_THREADS": "1", "DEEPBP_KERNELS": "numpy", "PYTHONPATH": os.pathsep.join(map(str, PATHS))}
    variables = {**os.environ, **settings, **environment}
    return subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL
    )
