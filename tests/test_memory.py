"""Training takes little more memory than its data, and little in all where the data are not in memory."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.memory import CASES, traced

TRAIN = """
import sys
import numpy as np
from deepbp import Sequential
from deepbp.layers import Dense, ReLU
from deepbp.losses import {loss}
from deepbp.optimizers import Adam

def status(name):  # of this process alone: what getrusage reports starts with the peak of the parent
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines[name].split()[0]) * 1024

rng = np.random.default_rng(0)
x = rng.standard_normal((1_000_000, 20), dtype=np.float32)
y = {target}
data, before = x.nbytes + y.nbytes, status("VmRSS")
assert before > data
net = Sequential([Dense(8), ReLU(), Dense({outputs})], input_shape=20, rng=0)
history = net.fit(x, y, loss={loss}(), optimizer=Adam(), batch_size=8192, {arguments})
assert len(history["loss"]) == 1 and np.isfinite(history["loss"][0])
print(data, before, status("VmHWM"))
"""


REGRESSION = {"loss": "MeanSquaredError", "target": "x[:, :1] * x[:, 1:2]", "outputs": 1, "arguments": ""}
CLASSES = {
    "loss": "SoftmaxCrossEntropy",
    "target": "(x[:, 0] > 0).astype(np.int64)",
    "outputs": 2,
    "arguments": "validation_split=0.1",
}


def train(problem: dict[str, Any], kernel_form: str) -> tuple[float, float, float]:
    """MB that the data take, that the process took with them before training, and at its peak."""
    environment = {**os.environ, "DEEPBP_KERNELS": kernel_form}
    code = TRAIN.format(**problem)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    data, before, peak = (int(number) / 1e6 for number in done.stdout.split())
    return data, before, peak


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")


@needs_proc
@pytest.mark.parametrize("problem", [REGRESSION, CLASSES], ids=["regression", "held-out classes"])
def test_a_million_samples(problem: dict[str, Any]) -> None:
    data, before, peak = train(problem, "numpy")
    assert peak < data + 200  # the interpreter and NumPy included
    assert peak - before < 50  # training itself: no second copy of the data, not even for the rows held out


@needs_proc
@pytest.mark.skipif(find_spec("numba") is None, reason="the fused kernels need Numba")
def test_a_million_samples_with_compiled_kernels() -> None:
    train(CLASSES, "numba")  # the first process may have to compile, in 200 MB
    _, before, peak = train(CLASSES, "numba")
    assert peak - before < 200  # 40 to 100 of which are the library that loads code, as the system maps its file


def peak(case: str, batches: int, folder: Path) -> float:
    """MiB that a case allocates, after a small run, which imports and prepares what every run needs."""
    for name, count in (("first", 2), ("measured", batches)):
        (folder / name).mkdir(parents=True)
        run = CASES[case](folder / name, count)
        if count == batches:
            return traced(run)
        run()
    raise AssertionError


@pytest.mark.parametrize(("plain", "measured"), [("fit, stream", "3 metrics"), ("fit, stream of labels", "2 metrics")])
def test_metrics_of_a_stream_take_little_memory(plain: str, measured: str, tmp_path: Path) -> None:
    without, short, long = (
        peak(case, batches, tmp_path / str(number))
        for number, (case, batches) in enumerate([(plain, 8), (f"{plain}, {measured}", 3), (f"{plain}, {measured}", 8)])
    )
    assert long < 1.5 * without
    assert long < short + 1


@pytest.mark.parametrize("data", ["memmap", "HDF5"])
@pytest.mark.parametrize("use", ["predict", "evaluate", "fit"])
def test_data_on_disk_are_read_in_parts(use: str, data: str, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    assert peak(f"{use}, {data}", 64, tmp_path) < 16  # of 16 MiB on disk, which are 64 MiB in float32
