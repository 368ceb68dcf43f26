"""Run all benchmarks and write ``docs/benchmarks.md``, with its results as JSON and its chart: ``make bench``."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.fit_digits import write_data
from benchmarks.footprint import footprint
from benchmarks.measure import CORES, THREAD_VARIABLES, measure, version
from benchmarks.report import chart, page
from deepbp.doctor import examine

DOCS = Path(__file__).parent.parent / "docs"

CONTENDERS: dict[str, tuple[str, dict[str, str]]] = {
    "deepbp": ("deepbp_net", {"DEEPBP_KERNELS": "numba"}),
    "deepbp, Trainer.step": ("deepbp_step", {"DEEPBP_KERNELS": "numba"}),
    "deepbp, NumPy kernels": ("deepbp_net", {"DEEPBP_KERNELS": "numpy"}),
    "floor": ("floor", {}),
    "handwritten NumPy": ("handwritten", {}),
    "PyTorch eager": ("pytorch", {}),
    "PyTorch compiled": ("pytorch_compiled", {}),
    "JAX jit": ("jax_step", {}),
    "JAX scan": ("jax_scan", {}),
    "scikit-learn MLP": ("scikit_learn", {}),
    "Keras on JAX": ("keras_jax", {}),
    "thinc": ("thinc_peer", {}),
}
AGED = ("deepbp", "deepbp, NumPy kernels", "PyTorch eager", "JAX jit", "JAX scan")
VERSIONS = ("deepbp", "numpy", "numba", "torch", "jax", "scikit-learn", "keras", "thinc")


def contenders(best_blas: dict[str, str]) -> dict[str, tuple[str, dict[str, str]]]:
    """Use faster BLAS kernels, if there are any, for deepbp and the floor, but not for deepbp with NumPy kernels."""
    table = dict(CONTENDERS)
    if best_blas:
        for name in ("deepbp", "deepbp, Trainer.step", "floor", "handwritten NumPy"):
            module, environment = table[name]
            table[name] = (module, {**environment, **best_blas})
    return table


def fits(repeats: int) -> dict[str, Any]:
    """Measure complete trainings on the digits: seconds of each process, of the training alone, and epochs."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "digits.npz"
        write_data(data)
        for _ in range(repeats):
            for name in ("with_deepbp", "with_pytorch", "with_scikit_learn", "with_keras"):
                command = [sys.executable, "-m", "benchmarks.fit_digits", name, str(data)]
                start = time.perf_counter()
                done = subprocess.run(command, capture_output=True, text=True)
                whole = time.perf_counter() - start
                if done.returncode == 0:
                    told = json.loads(done.stdout.splitlines()[-1])
                    entry = results.setdefault(
                        name.removeprefix("with_"), {"whole": [], "seconds": [], "epochs": told["epochs"]}
                    )
                    entry["seconds"].append(told["seconds"])
                    entry["whole"].append(whole)
    return results


def profiles() -> dict[str, Any]:
    """Where the time of each step goes: microseconds by workload and instruction, on one thread."""
    variables = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1"), "DEEPBP_KERNELS": "numba"}
    command = [sys.executable, "-m", "benchmarks.instructions"]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True, env=variables).stdout)
    return found


def stored_runs() -> list[dict[str, Any]]:
    """The runs of the page, the newest first, one for each processor."""
    path = DOCS / "benchmarks.json"
    runs: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return runs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how often each contender runs each workload")
    parser.add_argument("--block", type=float, default=0.2, help="about how many seconds it runs each time")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the workloads; writes no page")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, CORES], help="numbers of BLAS threads")
    parser.add_argument("--contenders", nargs="*", help="names of the libraries to compare with deepbp")
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # pip compiles what it installs, and an editable package is not
    doctor = examine()
    best = dict(line.removeprefix("export ").split("=") for line in doctor.faster)
    table = contenders(best)
    if arguments.contenders:
        table = {name: how for name, how in table.items() if name in ("deepbp", *arguments.contenders)}
    measured = {
        str(threads): measure(
            table, arguments.only, arguments.rounds, arguments.block, threads, AGED if threads == 1 else ()
        )
        for threads in dict.fromkeys(arguments.threads)
    }
    if arguments.only or arguments.contenders:
        return 0
    run = {
        "date": date.today().isoformat(),
        "machine": {
            "processor": doctor.processor,
            "cores": str(CORES),
            "system": platform.system(),
            "blas": f"{doctor.blas}, kernels for {best.get('OPENBLAS_CORETYPE', doctor.blas_core_type)}",
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in VERSIONS}},
        "rounds": arguments.rounds,
        "block_seconds": arguments.block,
        "workloads": measured,
        "fit_digits": fits(3),
        "footprint": footprint(7),
        "profiles": profiles(),
    }
    others = [one for one in stored_runs() if one["machine"]["processor"] != doctor.processor]
    runs = [run, *others]
    DOCS.mkdir(exist_ok=True)
    (DOCS / "benchmarks.json").write_text(json.dumps(runs, indent=1) + "\n")
    (DOCS / "benchmarks.md").write_text(page(runs))
    chart(run, DOCS / "benchmarks.svg")
    print(f"written: {DOCS / 'benchmarks.md'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
