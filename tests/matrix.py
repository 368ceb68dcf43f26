"""Run the numerical tests under other kernels, thread counts, package versions and Pythons: ``make matrix``.

A setting is tested only if it took effect: a probe in the same environment first reports which kernels, threads,
processor features and versions are really in use. Arguments select the settings whose names contain one of them.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from attrs import define, field

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "output" / "matrix"
TESTS = [
    *("tests/kernels", "tests/layers", "tests/losses", "tests/optimizers"),
    *("tests/test_notes.py", "tests/test_worked_examples.py", "tests/files/test_resume.py"),
]
DEFAULTS = {"OPENBLAS_NUM_THREADS": "1", "DEEPBP_KERNELS": "numpy"}  # as in `make test`
STEPS = ["tests/program", "tests/training", "tests/test_reproducible.py", "tests/test_threads.py"]
VARIED = {*DEFAULTS, "DEEPBP_PROGRAM", "OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES"}
TOOLS = ["hypothesis", "pytest", "pytest-xdist", "safetensors", "sympy"]

PROBE = """
import json, sys
from importlib.metadata import version
import numpy
from threadpoolctl import threadpool_info
from deepbp import kernels
from deepbp.doctor import why_off
processor = numpy._core._multiarray_umath
openblas = [blas for blas in threadpool_info() if blas["internal_api"] == "openblas"]
print(json.dumps({
    "Python": "%d.%d" % sys.version_info[:2],
    "kernels": kernels.current(),
    "programs": not why_off(),
    "OpenBLAS for": sorted({blas["architecture"] for blas in openblas}),
    "threads": sorted({blas["num_threads"] for blas in openblas}),
    "features of the processor": [name for name in processor.__cpu_dispatch__ if processor.__cpu_features__[name]],
    "AVX-512": processor.__cpu_features__.get("AVX512F", False),
    "versions": {name: version(name) for name in sys.argv[1:]},
}))
"""


class SettingError(Exception):
    """A setting that cannot be tested: its environment cannot be installed, or the setting has no effect."""


def this_python() -> Path:
    return Path(sys.executable)


@define
class Setting:
    """Where and how the tests run, and what the probe must find there."""

    name: str
    expected: dict[str, Any]
    variables: dict[str, str] = field(factory=dict)
    python: Callable[[], Path] = this_python  # installs the environment first if need be
    tests: list[str] = TESTS
    baseline_features: bool = False  # without what NumPy can use beyond the features that every processor has


@define
class Row:
    """A line of the table at the end."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    remark: str = ""

    @property
    def right(self) -> bool:
        return self.passed > 0 and self.failed == 0 and not self.remark


def run(command: Sequence[str | Path], variables: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in VARIED}
    environment = inherited | DEFAULTS | (variables or {})
    return subprocess.run(list(command), cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def probe(python: Path, variables: dict[str, str], packages: list[str]) -> dict[str, Any]:
    """What is in use under these environment variables."""
    result = run([python, "-c", PROBE, *packages], variables)
    if result.returncode:
        raise SettingError(f"the probe failed: {last_line(result.stderr)}")
    found: dict[str, Any] = json.loads(result.stdout)
    found["versions"] = {name: without_zeros(version) for name, version in found["versions"].items()}
    return found


def last_line(text: str) -> str:
    return (text.strip() or "no output").splitlines()[-1]


def without_zeros(version: str) -> str:
    """2.0 and 2.0.0 are the same version."""
    return re.sub(r"(\.0)+$", "", version)


def lowest_versions() -> dict[str, str]:
    """Each package that pyproject.toml requires, and the lowest version that it allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest = {}
    for requirement in sum(project["optional-dependencies"].values(), project["dependencies"]):
        if not requirement.startswith("deepbp["):  # an extra that consists of others
            name, version = requirement.split(">=")
            lowest[name] = version
    return lowest


def environment(name: str, python: Path, pins: list[str]) -> Path:
    """The interpreter of .venv-NAME, which is installed anew when pyproject.toml has changed."""
    folder = ROOT / f".venv-{name}"
    installed, interpreter = folder / "installed", folder / "bin" / "python"
    if installed.exists() and installed.stat().st_mtime > (ROOT / "pyproject.toml").stat().st_mtime:
        return interpreter
    print(f"installing {folder.name}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    install: list[str | Path] = [interpreter, "-m", "pip", "install", "--quiet"]
    steps: list[Sequence[str | Path]] = [
        [python, "-m", "venv", folder],
        [*install, "--upgrade", "pip"],
        [*install, "--editable", ".[examples,fast]", *TOOLS, *pins],
    ]
    for command in steps:
        result = run(command)
        if result.returncode:
            raise SettingError(f"cannot be installed: {last_line(result.stderr)}")
    installed.touch()
    return interpreter


def other_pythons() -> Iterator[tuple[str, Path]]:
    """Version and interpreter of each other Python 3.11 or later, from PATH and from pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    on_path = [Path(path) for minor in range(11, 100) if (path := shutil.which(f"python3.{minor}"))]
    seen = {sys.version_info[:2]}
    for python in [*on_path, *sorted(pyenv.glob("3.*/bin/python"))]:
        result = run([python, "-c", "import sys, venv; print(*sys.version_info[:2])"])
        if result.returncode:  # a launcher of pyenv for a version that is not activated
            continue
        major, minor = map(int, result.stdout.split())
        if (major, minor) >= (3, 11) and (major, minor) not in seen:
            seen.add((major, minor))
            yield f"{major}.{minor}", python


def settings() -> Iterator[Setting]:
    here = probe(this_python(), {}, [])
    openblas = bool(here["OpenBLAS for"])
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    yield Setting("as in make test", {"kernels": "numpy", "threads": [1] if openblas else []})
    compiled = {"DEEPBP_KERNELS": "numba"}
    yield Setting("DEEPBP_KERNELS=numba", {"kernels": "numba"}, compiled)
    for setting in ("0", "1"):
        expected = {"kernels": "numba", "programs": setting == "1"}
        variables = {**compiled, "DEEPBP_PROGRAM": setting}
        yield Setting(f"DEEPBP_KERNELS=numba DEEPBP_PROGRAM={setting}", expected, variables, tests=STEPS)

    if not openblas:
        left_out("the settings of OpenBLAS", "NumPy uses another BLAS here")
    elif (os.cpu_count() or 1) == 1:
        left_out("OPENBLAS_NUM_THREADS=2", "this machine has one core")
    else:
        yield Setting("OPENBLAS_NUM_THREADS=2", {"threads": [2]}, {"OPENBLAS_NUM_THREADS": "2"})

    if not x86:
        left_out("the settings of x86 processors", f"this one is {platform.machine()}")
    elif openblas:
        for core in ("Nehalem", "Haswell", "SkylakeX"):
            if core == "SkylakeX" and not here["AVX-512"]:
                left_out("OPENBLAS_CORETYPE=SkylakeX", "this processor has no AVX-512")
            else:
                yield Setting(f"OPENBLAS_CORETYPE={core}", {"OpenBLAS for": [core]}, {"OPENBLAS_CORETYPE": core})
    no_features: dict[str, Any] = {"features of the processor": []}
    if x86:
        yield Setting("NumPy without AVX2, AVX-512", no_features, baseline_features=True)

    versions = lowest_versions()
    exact = {"versions": {name: without_zeros(version) for name, version in versions.items()}}

    def lowest() -> Path:
        return environment("lowest", this_python(), [f"{name}=={version}" for name, version in versions.items()])

    yield Setting("lowest versions", exact, python=lowest)
    if x86 and openblas:
        old = exact | no_features | {"OpenBLAS for": ["Nehalem"]}
        yield Setting("lowest versions, Nehalem", old, {"OPENBLAS_CORETYPE": "Nehalem"}, lowest, baseline_features=True)

    for version, python in other_pythons():

        def installed(version: str = version, python: Path = python) -> Path:
            return environment(f"matrix-{version}", python, [])

        yield Setting(f"Python {version}", {"Python": version}, python=installed)


def left_out(what: str, reason: str) -> None:
    print(f"left out: {what}, because {reason}", flush=True)


def measure(setting: Setting) -> Row:
    """Install what the setting needs, check that it has an effect, run the tests, count."""
    row, begin = Row(setting.name), time.perf_counter()
    try:
        run_tests(setting, row)
    except SettingError as error:
        row.remark = str(error)
    row.seconds = time.perf_counter() - begin
    return row


def run_tests(setting: Setting, row: Row) -> None:
    python, variables = setting.python(), dict(setting.variables)
    packages = list(setting.expected.get("versions", []))
    if setting.baseline_features:  # their names differ between versions of NumPy
        features = probe(python, variables, packages)["features of the processor"]
        variables["NPY_DISABLE_CPU_FEATURES"] = " ".join(features)
    found = probe(python, variables, packages)
    for what, expected in setting.expected.items():
        if found[what] != expected:
            raise SettingError(f"has no effect: {what}: expected {expected}, got {found[what]}")

    report = LOGS / re.sub(r"[^\w.]+", "-", f"{setting.name}.xml")
    report.unlink(missing_ok=True)
    options = ["-q", "--numprocesses", "2", "-p", "no:cacheprovider", f"--junitxml={report}"]
    result = run([python, "-m", "pytest", *options, *setting.tests], variables)
    report.with_suffix(".log").write_text(result.stdout + result.stderr, encoding="utf-8")
    if not report.exists():
        raise SettingError(f"pytest failed: {last_line(result.stderr or result.stdout)}")
    count = next(ElementTree.parse(report).iter("testsuite")).attrib
    row.failed, row.skipped = int(count["failures"]) + int(count["errors"]), int(count["skipped"])
    row.passed = int(count["tests"]) - row.failed - row.skipped
    for line in result.stdout.splitlines():
        if line.startswith(("FAILED", "ERROR")):
            print(line, flush=True)
    if result.returncode and not row.failed:
        raise SettingError(f"pytest ended with exit status {result.returncode}")


def main(words: list[str]) -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    rows = []
    for setting in settings():
        if not words or any(word in setting.name for word in words):
            print(f"{setting.name} ...", flush=True)
            rows.append(measure(setting))
    width = max([len(row.name) for row in rows], default=7)
    print(f"\n{'setting':{width}}  passed  failed  skipped  seconds")
    for row in rows:
        print(f"{row.name:{width}}  {row.passed:6}  {row.failed:6}  {row.skipped:7}  {row.seconds:7.0f}  {row.remark}")
    return 0 if rows and all(row.right for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
