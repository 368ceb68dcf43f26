"""Costs before the first step: import time, installed size, memory, and time of the first fit."""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_ROOMS = ("callbacks", "layers", "losses", "metrics", "optimizers", "training")
_NETWORK = """
from deepbp import Sequential
from deepbp.layers import Dense, ReLU
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import Adam
"""

_FIT = f"""
import time; start = time.perf_counter()
import numpy as np
{_NETWORK}
rng = np.random.default_rng(0)
x, y = rng.normal(size=(64, 64)), rng.integers(0, 10, 64)
net = Sequential([Dense(32), ReLU(), Dense(10)], rng=0)
imported = time.perf_counter()
net.fit(x, y, loss=SoftmaxCrossEntropy(), optimizer=Adam())
print(time.perf_counter() - imported, time.perf_counter() - start)
"""

_MEMORY = """
import resource, sys
sys.path.insert(0, ".")
import importlib
from benchmarks.workloads import WORKLOADS
workload = next(w for w in WORKLOADS if w.name.startswith("1024"))
from benchmarks.worker import prepared
run, steps = prepared(importlib.import_module(f"benchmarks.peers.{sys.argv[1]}"), workload)
run(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""

IMPORTS = {
    "numpy": "import numpy",
    "deepbp": "import deepbp",
    "deepbp, a small network": _NETWORK,
    "deepbp, everything": "\n".join(["import deepbp.sequential", *(f"from deepbp.{room} import *" for room in _ROOMS)]),
    "PyTorch": "import torch",
    "JAX": "import jax.numpy",
    "Keras on JAX": "import keras",
    "scikit-learn MLP": "import sklearn.neural_network",
}


def run(code: str, *arguments: str, **environment: str) -> str | None:
    """Return the output of a new process, or None if it fails."""
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env={**os.environ, **environment}
    )
    return result.stdout if result.returncode == 0 else None


def import_times(repeats: int) -> dict[str, float]:
    """Return median import times: seconds of a process that imports, minus those of an empty process."""
    timed: dict[str, list[float]] = {}
    template = "import time; start = time.perf_counter()\n{}\nprint(time.perf_counter() - start)"
    for _ in range(repeats):
        for name, line in IMPORTS.items():
            if printed := run(template.format(line), KERAS_BACKEND="jax"):
                timed.setdefault(name, []).append(float(printed))
    return {name: statistics.median(values) for name, values in timed.items()}


def installed_megabytes(requirement: str) -> float:
    """Return the size of the packages that an install adds to a fresh environment."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", folder, requirement]
        subprocess.run(command, check=True, capture_output=True)
        return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / 1e6


def first_fits(repeats: int) -> dict[str, dict[str, float]]:
    """Return the seconds of the first fit of a process, alone and with its imports.

    With compiled kernels that are stored, with those of an empty cache, and with NumPy kernels.
    """
    waits: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(repeats + 1):
            cold = str(Path(folder, str(number)))
            for name, settings in (
                ("with stored kernels", {"DEEPBP_KERNELS": "numba"}),
                ("with an empty cache", {"DEEPBP_KERNELS": "numba", "NUMBA_CACHE_DIR": cold}),
                ("with NumPy kernels", {"DEEPBP_KERNELS": "numpy"}),
            ):
                if printed := run(_FIT, **settings):
                    waits.setdefault(name, []).append(list(map(float, printed.split())))
    medians = {
        name: [statistics.median(times) for times in zip(*rows[1:], strict=True)] for name, rows in waits.items()
    }
    return {name: {"fit": fit, "whole": whole} for name, (fit, whole) in medians.items()}


def peak_megabytes() -> dict[str, float]:
    """Return the peak memory of a process that trains the largest network for three steps."""
    modules = {"deepbp": "deepbp_net", "PyTorch eager": "pytorch", "JAX jit": "jax_step", "floor": "floor"}
    printed = {name: run(_MEMORY, module, OMP_NUM_THREADS="2") for name, module in modules.items()}
    return {name: float(text) for name, text in printed.items() if text}


def footprint(repeats: int) -> dict[str, Any]:
    """Return all measurements."""
    return {
        "import_seconds": import_times(repeats),
        "installed_megabytes": {"deepbp": installed_megabytes("."), "numpy": installed_megabytes("numpy")},
        "first_fit_seconds": first_fits(repeats),
        "peak_megabytes": peak_megabytes(),
    }
