"""The peak memory of training, evaluation and prediction on data that are not in memory.

``python -m benchmarks.memory`` runs each case in a process of its own, and prints a table.
"""

import json
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deepbp import Sequential
from deepbp.layers import Dense, ReLU
from deepbp.losses import MeanSquaredError, SoftmaxCrossEntropy
from deepbp.optimizers import Adam
from deepbp.training import F1, R2, Accuracy, MeanAbsoluteError, RootMeanSquaredError

MIB = 2**20
FEATURES, BATCH = 256, 1024  # a batch of float32 has 1 MiB
Run = Callable[[], Any]


def network(outputs: int) -> Sequential:
    return Sequential([Dense(32), ReLU(), Dense(outputs)], input_shape=FEATURES, rng=0)


def stream(batches: int, labels: bool) -> Callable[[], Iterator[tuple[Any, Any]]]:
    def made() -> Iterator[tuple[Any, Any]]:
        rng = np.random.default_rng(0)
        for _ in range(batches):
            x = rng.random((BATCH, FEATURES), np.float32)
            yield x, rng.integers(0, 10, BATCH) if labels else x

    return made


def fit_stream(folder: Path, batches: int, labels: bool = False, metrics: Any = (), validate: bool = False) -> Run:
    net, source = network(10 if labels else FEATURES), stream(batches, labels)
    loss: Any = SoftmaxCrossEntropy() if labels else MeanSquaredError()
    options: dict[str, Any] = {"validation_data": source} if validate else {}
    return lambda: net.fit(source, loss=loss, optimizer=Adam(), metrics=metrics, **options)


def memmap(folder: Path, batches: int) -> Any:
    data = np.memmap(folder / "x.dat", "uint8", "w+", shape=(batches * BATCH, FEATURES))
    data[:] = np.arange(FEATURES, dtype="uint8")
    data.flush()
    return np.memmap(folder / "x.dat", "uint8", "r", shape=data.shape)


def hdf5(folder: Path, batches: int) -> Any:
    import h5py

    file = h5py.File(folder / "x.h5", "w")
    data = file.create_dataset("x", (batches * BATCH, FEATURES), "uint8", chunks=(BATCH, FEATURES))
    block = np.tile(np.arange(FEATURES, dtype="uint8"), (BATCH, 1))
    for start in range(0, len(data), BATCH):
        data[start : start + BATCH] = block
    return data


def predict(folder: Path, batches: int, make: Callable[[Path, int], Any]) -> Run:
    net, data = network(1), make(folder, batches)
    return lambda: net.predict(data, batch_size=BATCH)


def evaluate(folder: Path, batches: int, make: Callable[[Path, int], Any]) -> Run:
    net, data = network(1), make(folder, batches)
    y = np.zeros((len(data), 1), np.float32)
    return lambda: net.evaluate(data, y, loss=MeanSquaredError(), metrics=METRICS)


def fit(folder: Path, batches: int, make: Callable[[Path, int], Any], **options: Any) -> Run:
    net, data = network(1), make(folder, batches)
    y = np.zeros((len(data), 1), np.float32)
    return lambda: net.fit(data, y, loss=MeanSquaredError(), optimizer=Adam(), metrics=METRICS, **options)


METRICS = (MeanAbsoluteError(), RootMeanSquaredError(), R2())
CASES: dict[str, Callable[[Path, int], Run]] = {
    "fit, stream": fit_stream,
    "fit, stream, 3 metrics": lambda folder, n: fit_stream(folder, n, metrics=METRICS),
    "fit, stream, 3 metrics, validation": lambda folder, n: fit_stream(folder, n, metrics=METRICS, validate=True),
    "fit, stream of labels": lambda folder, n: fit_stream(folder, n, labels=True),
    "fit, stream of labels, 2 metrics": lambda folder, n: fit_stream(folder, n, True, (Accuracy(), F1("macro"))),
    "predict, memmap": lambda folder, n: predict(folder, n, memmap),
    "evaluate, memmap": lambda folder, n: evaluate(folder, n, memmap),
    "fit, memmap": lambda folder, n: fit(folder, n, memmap),
    "predict, HDF5": lambda folder, n: predict(folder, n, hdf5),
    "evaluate, HDF5": lambda folder, n: evaluate(folder, n, hdf5),
    "fit, HDF5": lambda folder, n: fit(folder, n, hdf5),
    "fit, HDF5, random validation_split": lambda folder, n: fit(folder, n, hdf5, validation_split=0.2),
}


def traced(run: Run) -> float:
    """The peak of the memory that Python and NumPy allocate during the call, in MiB."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


def resident(name: str) -> float:
    """A line of /proc/self/status, in MiB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) / 1024


def measure(case: str, batches: int) -> dict[str, float]:
    """The traced peak of a case, and by how much the process grew, in MiB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "warm").mkdir()
        CASES[case](folder / "warm", 2)()  # imports, and buffers of the BLAS
        run = CASES[case](folder, batches)
        peak, before = traced(run), resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
        run()
        return {"traced": peak, "resident": resident("VmHWM") - before}


def main() -> None:
    if sys.argv[1:]:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
        return
    print(f"{'MiB':36} {'float32 data':>12} {'allocated':>10} {'process':>8}")
    for case in CASES:
        for batches in (16, 64):
            command = [sys.executable, "-m", "benchmarks.memory", case, str(batches)]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            print(f"{case:36} {batches:12} {found['traced']:10.1f} {found['resident']:8.1f}", flush=True)


if __name__ == "__main__":
    main()
