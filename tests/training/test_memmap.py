"""Data on the disk, four times larger than the memory that the process may have."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.layers import Dense, Tanh
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import Adam
from deepbp.typing import Array

LIMIT = 128 * 2**20  # bytes of memory, less the file's own pages
FEATURES, ROWS, BATCH = 2048, 1024, 256

CHILD = f"""
import resource, sys
import numpy as np
from test_memmap import trained
x = np.memmap(sys.argv[1], dtype=sys.argv[2], mode="r").reshape(-1, {FEATURES})
labels, repeats = np.load(sys.argv[4]), len(x) // {ROWS}
assert x.nbytes >= 4 * {LIMIT}
if sys.argv[3] == "a part, again and again":
    np.save(sys.argv[5], trained(np.array(x[:{ROWS}]), labels, epochs=repeats))
else:
    resource.setrlimit(resource.RLIMIT_DATA, ({LIMIT}, {LIMIT}))
    x = np.array(x) if sys.argv[3] == "in memory" else x
    np.save(sys.argv[5], trained(x, np.tile(labels, repeats), epochs=1))
"""


def trained(x: Array, y: Array, epochs: int) -> Array:
    net = Sequential([Dense(8), Tanh(), Dense(4)], input_shape=FEATURES, rng=0)
    net.fit(
        x, y, loss=SoftmaxCrossEntropy(), optimizer=Adam(), epochs=epochs, batch_size=BATCH, shuffle=False, prefetch=1
    )
    return np.concatenate([parameter.value.ravel() for parameter in net.parameters()])


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", CHILD, *map(str, arguments)]
    # threads of a BLAS, and a compiler, take memory that has nothing to do with the data
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "DEEPBP_KERNELS": "numpy"}
    return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, env=environment)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit counts a file's pages elsewhere")
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_a_file_four_times_larger_than_the_memory(dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    small = (
        rng.normal(size=(ROWS, FEATURES)) if dtype == "float32" else rng.integers(0, 255, (ROWS, FEATURES))
    ).astype(dtype)
    labels = rng.integers(0, 4, ROWS)
    repeats = -(-4 * LIMIT // small.nbytes)
    with open(tmp_path / "x", "wb") as file:
        for _ in range(repeats):
            small.tofile(file)
    np.save(tmp_path / "labels.npy", labels)
    results = []
    for how in ("on the disk", "a part, again and again"):
        done = run(tmp_path / "x", dtype, how, tmp_path / "labels.npy", tmp_path / "trained.npy")
        assert done.returncode == 0, done.stderr
        results.append(np.load(tmp_path / "trained.npy"))
    np.testing.assert_array_equal(*results)
    failed = run(tmp_path / "x", dtype, "in memory", tmp_path / "labels.npy", tmp_path / "trained.npy")
    assert "MemoryError" in failed.stderr  # so the limit was one


def test_rows_of_a_file_are_shuffled_like_those_of_an_array(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    array = rng.integers(0, 255, (100, FEATURES)).astype("uint8")
    array.tofile(tmp_path / "x")
    on_disk = np.memmap(tmp_path / "x", dtype="uint8", mode="r").reshape(-1, FEATURES)
    labels = rng.integers(0, 4, 100)
    results = []
    for x in (array, on_disk):
        net = Sequential([Dense(4)], input_shape=FEATURES, rng=0)
        history = net.fit(x, labels, loss=SoftmaxCrossEntropy(), optimizer=Adam(), epochs=3, validation_split=0.2)
        results.append((history, [parameter.value.tobytes() for parameter in net.parameters()]))
    assert results[0] == results[1]
