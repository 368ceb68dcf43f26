"""SIGKILL at random moments of a training: its file is always whole, and going on gives the bytes of no kill at all."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILLS = int(os.environ.get("DEEPBP_KILLS", "8"))

SCRIPT = """
import os, sys
from pathlib import Path
import numpy as np
from deepbp import Sequential, Trainer
from deepbp.layers import Dense, Dropout, ReLU
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import Adam
from deepbp.training import ModelCheckpoint

rng = np.random.default_rng(0)
x, y = rng.normal(size=(4000, 20)).astype("f4"), rng.integers(0, 5, 4000)
net = Sequential([Dense(64), ReLU(), Dropout(0.2), Dense(5)], input_shape=20, rng=1)
path = Path(sys.argv[1])
trainer = Trainer(net, SoftmaxCrossEntropy(), Adam(), callbacks=[ModelCheckpoint(path, every_steps=3, keep=2)])
if path.exists():
    trainer.load(path)
print(trainer.steps, flush=True)
trainer.fit(x, y, epochs=int(sys.argv[2]), batch_size=20)
Path(sys.argv[1] + ".bytes").write_bytes(trainer.parameters.values.tobytes() + trainer.state["mean"].tobytes())
"""


def start(path: Path, epochs: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SCRIPT, str(path), str(epochs)]
    environment = {**os.environ, "DEEPBP_KERNELS": "numpy"}  # nobody lives long enough to compile others
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def finished(path: Path, epochs: int) -> bytes:
    process = start(path, epochs)
    process.communicate()
    assert process.returncode == 0
    return Path(f"{path}.bytes").read_bytes()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system kills otherwise")
def test_killed_again_and_again(tmp_path: Path) -> None:
    """Each new process reads the file the killed one left behind, which fails the test where it is not whole."""
    epochs = max(2, KILLS // 4)
    whole, path = finished(tmp_path / "whole.npz", epochs), tmp_path / "run.npz"
    rng, seen = random.Random(0), [0]
    for _ in range(KILLS):
        begin, process = time.perf_counter(), start(path, epochs)
        assert process.stdout is not None
        seen.append(int(process.stdout.readline()))
        time.sleep(rng.uniform(0, 0.4) * (time.perf_counter() - begin))  # longer on a slower machine
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        files = {entry.name for entry in tmp_path.iterdir() if not entry.name.startswith(("whole", ".run.npz."))}
        assert files <= {"run.npz", "run.npz.bytes"} | {f"run-step{step}.npz" for step in range(0, 200 * epochs, 1)}
    assert seen == sorted(seen)
    assert seen[-1] > seen[1]  # it came on between the kills
    assert finished(path, epochs) == whole
    assert not [entry for entry in tmp_path.iterdir() if entry.name.endswith(".tmp")]  # nothing half-written is left
