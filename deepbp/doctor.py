"""Performance diagnosis: the versions, processor and BLAS in use, and measurements of alternative settings."""

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, field, frozen

from deepbp import kernels
from deepbp._version import __version__
from deepbp.kernels import machine_code, memory
from deepbp.program.layout import NotLoweredError
from deepbp.program.program import Program
from deepbp.program.store import kernel_address

CORE_TYPES = {"AVX512F": ("SkylakeX",), "AVX2": ("Haswell", "Zen")}
"""Kernel families of OpenBLAS for x86, by the processor feature that they require, the widest vectors first."""

SIGNIFICANT_GAIN = 1.15  # smaller gains are within the noise of a shared machine

_PRODUCTS = """
import time, numpy as np
rng = np.random.default_rng(0)
pairs = [(rng.random(a, dtype=np.float32), rng.random(b, dtype=np.float32))
         for a, b in (((64, 784), (784, 128)), ((128, 784), (784, 512)), ((512, 1024), (1024, 1024)))]
best = [float("inf")] * len(pairs)
for a, b in pairs * 3:
    a @ b
for _ in range(12):
    for i, (a, b) in enumerate(pairs):
        start = time.perf_counter()
        a @ b
        best[i] = min(best[i], time.perf_counter() - start)
print(sum(best))
"""


_SUMS = """
import statistics, time
import numpy as np
from mpi4py import MPI
def seconds(numbers):
    array, times = np.zeros(numbers, np.float32), []
    for _ in range(200):
        MPI.COMM_WORLD.Barrier()
        start = time.perf_counter()
        MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, array)
        times.append(time.perf_counter() - start)
    return statistics.median(times)
found = seconds(8), seconds(250_000)
if MPI.COMM_WORLD.Get_rank() == 0:
    print(*found, MPI.Get_library_version().split()[0])
"""


def why_off() -> str:
    """Why no pass runs as a program in this process; "" where they do."""
    if kernels.current() != "numba":
        return "the NumPy kernels are in use"
    if os.environ.get("DEEPBP_PROGRAM") == "0":
        return "DEEPBP_PROGRAM=0"
    try:
        for dtype in map(np.dtype, ("float32", "float64")):
            Program(dtype, 1)
            kernel_address("machine", dtype)
    except NotLoweredError as error:
        return str(error)
    return ""


@frozen
class Report:
    """Result of ``examine``.

    Attributes:
        faster: measured speed-ups by setting, as lines for a shell.
        cache: the folders for compiled kernels, in the order in which they are tried, and whether each can be written.
        not_stored: kernels that this process compiled for itself alone.
        memory: what happens to the memory of large arrays when they are gone.
        mpi: whether several processes can train together, and the measured time of a sum over two.
        programs: why training steps do not run as programs in machine code; "" where they do.
    """

    versions: dict[str, str]
    processor: str
    features: list[str]
    kernels: str
    kernels_cached: int
    blas: str
    blas_core_type: str
    threads: int
    seconds: dict[str, float]
    faster: dict[str, float]
    advice: list[str]
    cache: dict[str, bool] = field(factory=dict)
    not_stored: list[str] = field(factory=list)
    memory: str = memory.STATE
    programs: str = ""
    mpi: str = ""

    def to_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(asdict(self), indent=2)

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        form = "numpy"
        if self.kernels == "numba":
            form = f"numba, {self.kernels_cached} compiled on disk (DEEPBP_KERNELS=numpy does without)"
        limit = ", one for small products (DEEPBP_LIMIT_THREADS=0 leaves them)" if self.threads > 1 else ""
        lines = [
            f"versions    {versions}",
            f"processor   {self.processor} ({', '.join(self.features) or 'features unknown'})",
            f"kernels     {form}",
            f"programs    {f'off: {self.programs}' if self.programs else 'on (DEEPBP_PROGRAM=0 turns them off)'}",
            *(
                f"cache       {folder} ({'' if good else 'not '}writable; NUMBA_CACHE_DIR names another)"
                for folder, good in self.cache.items()
            ),
            *(f"not stored  {name}" for name in self.not_stored),
            f"BLAS        {self.blas}, {self.threads} threads{limit}, kernels for {self.blas_core_type}",
            f"memory      is freed {self.memory}"
            if not self.memory.startswith("kept")
            else f"memory      {self.memory}",
            *([f"MPI         {self.mpi}"] if self.mpi else []),
            "products    " + ", ".join(f"{name} {1e3 * s:.2f} ms" for name, s in self.seconds.items()),
            *(f"gain        {line}   # matrix products {gain:.2f} times as fast" for line, gain in self.faster.items()),
            *(f"advice      {line}" for line in self.advice),
        ]
        lines.append("verdict     " + ("another setting is faster" if self.faster else "no other setting is faster"))
        return "\n".join(lines)


def examine(repeats: int = 5) -> Report:
    """Collect the configuration, and time matrix products in separate processes, with each kernel family in turn."""
    features = _features()
    blas, core_type, threads = _blas()
    chosen = os.environ.get("OPENBLAS_CORETYPE")  # which is not advised again
    others = [core for feature in features for core in CORE_TYPES.get(feature, ()) if core != chosen]
    seconds = _measure(others, repeats)
    current = seconds["current"]
    gains = {f"export OPENBLAS_CORETYPE={n}": current / s for n, s in seconds.items() if current / s > SIGNIFICANT_GAIN}
    best = dict(sorted(gains.items(), key=lambda item: -item[1])[:1])
    names = ("numpy", "numba", "attrs")
    installed = {name: importlib.metadata.version(name) for name in names if importlib.util.find_spec(name)}
    advice = [] if "numba" in installed else ["pip install 'deepbp[fast]' for fused kernels, compiled by Numba"]
    if core_type == "unknown":
        advice.append("pip install 'deepbp[fast]' to see BLAS's threads and kernels, through threadpoolctl")
    folders = machine_code.folders() if kernels.current() == "numba" else []
    cache = {str(folder): machine_code.is_writable(folder) for folder in folders}
    if cache and not any(cache.values()):
        advice.append(f"every process compiles its kernels again: {machine_code.FIX}")
    return Report(
        {"python": platform.python_version(), "deepbp": __version__, **installed},
        _processor(),
        features,
        kernels.current(),
        machine_code.stored() if cache else 0,
        blas,
        core_type,
        threads,
        seconds,
        best,
        advice,
        cache,
        list(machine_code.NOT_STORED),
        memory.STATE,
        why_off(),
        _mpi(),
    )


def _mpi() -> str:
    """Whether MPI works, and the median times of sums of 8 numbers and of a megabyte over two processes."""
    if not importlib.util.find_spec("mpi4py"):
        return "not installed (pip install 'deepbp[mpi]' to train on several processes)"
    mpiexec = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if mpiexec is None:
        return "mpi4py without mpiexec (pip install 'deepbp[mpi]' brings one)"
    command = [mpiexec, "-n", "2", sys.executable, "-c", _SUMS]
    try:
        result = subprocess.run(command, env={**os.environ}, capture_output=True, text=True, timeout=60)
        short, long, name = result.stdout.split()
        times = f"sum over 2 processes {1e6 * float(short):.0f} µs for 8 numbers, {1e3 * float(long):.2f} ms for 1 MB"
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return f"{mpiexec} does not run two processes of this Python"
    return f"{name}, {times}; programs there compute gradients alone, and none where BatchNorm is shared"


def _measure(core_types: list[str], repeats: int) -> dict[str, float]:
    """Return the median seconds for the products; kernel families that do not run on this processor are omitted."""
    # The repeats alternate between the settings, so that a slow phase of the machine affects all of them.
    seconds: dict[str, list[float]] = {"current": [], **{name: [] for name in core_types}}
    for _ in range(repeats):
        for name, times in seconds.items():
            setting = {} if name == "current" else {"OPENBLAS_CORETYPE": name}
            command = [sys.executable, "-c", _PRODUCTS]
            result = subprocess.run(command, env={**os.environ, **setting}, capture_output=True, text=True)
            if result.returncode == 0:
                times.append(float(result.stdout))
    return {name: statistics.median(times) for name, times in seconds.items() if times}


def _blas() -> tuple[str, str, int]:
    """Return the name with version, the kernel family, and the number of threads of BLAS."""
    if importlib.util.find_spec("threadpoolctl"):
        from threadpoolctl import threadpool_info

        np.dot(np.eye(2), np.eye(2))
        for library in threadpool_info():
            if library["user_api"] == "blas":
                name = f"{library['internal_api']} {library.get('version')}"
                return name, library.get("architecture", "unknown"), int(library["num_threads"])
    configuration: Any = np.show_config(mode="dicts")
    found = configuration["Build Dependencies"]["blas"]
    return f"{found['name']} {found.get('version', '')}", "unknown", os.cpu_count() or 1


def _features() -> list[str]:
    """Return the vector instruction sets of the processor that OpenBLAS distinguishes, the widest first."""
    found = importlib.import_module("numpy._core._multiarray_umath").__cpu_features__  # numpy.show_runtime() prints it
    return [name for name in ("AVX512F", "AVX2", "ASIMD") if found.get(name)]


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    names = [line for line in listing.read_text().splitlines() if "model name" in line] if listing.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
