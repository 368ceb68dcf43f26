"""Train the digits on one, two and three processes, connected by MPI, to the same weights.

``python examples/digits_processes.py`` starts itself with ``mpiexec -n 1``, ``-n 2`` and ``-n 3``, and compares. Needs
the extra ``mpi``. The network is so small that more processes take longer: docs/processes.md says when they pay.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from sklearn.datasets import load_digits

from deepbp import Sequential
from deepbp.layers import Dense, ReLU
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.metrics import Accuracy
from deepbp.optimizers import Adam

COUNTS = (1, 2, 3)
EPOCHS = 20
BATCH_SIZE = 96
HELD_OUT = 360  # digits
LEAST_ACCURACY = 0.92
LARGEST_DIFFERENCE = 1e-9  # of a weight; sums in another order differ by their rounding


def train(path: Path) -> None:
    """What each process runs: the same lines as a script for one process, but for the last argument of ``fit``."""
    from mpi4py import MPI

    from deepbp.processes import Processes

    processes = Processes(MPI.COMM_WORLD)
    x, y = map(np.asarray, load_digits(return_X_y=True))
    net = Sequential([Dense(64), ReLU(), Dense(10)], input_shape=64, rng=0, dtype="float64")
    start = perf_counter()
    history = net.fit(
        x[HELD_OUT:] / 16,
        y[HELD_OUT:],
        loss=SoftmaxCrossEntropy(),
        optimizer=Adam(0.01),
        metrics=[Accuracy()],
        validation_data=(x[:HELD_OUT] / 16, y[:HELD_OUT]),
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        processes=processes,
    )
    seconds, accuracy = perf_counter() - start, history["val_accuracy"][-1]
    if processes.rank == 0:
        weights = np.concatenate([one.value.reshape(-1) for one in net.parameters()])
        np.savez(path, weights=weights, accuracy=accuracy, seconds=seconds, exchanging=processes.seconds)


def main() -> int:
    """Train on each number of processes, and print what differs."""
    mpiexec, first = Path(sys.executable).with_name("mpiexec"), None
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trained.npz"
            subprocess.run([mpiexec, "-n", str(count), sys.executable, __file__, path], check=True)
            found = dict(np.load(path).items())
        first = found["weights"] if first is None else first
        accuracy, difference = float(found["accuracy"]), float(np.abs(found["weights"] - first).max())
        print(
            f"{count} processes: accuracy {accuracy:.4f}, {float(found['seconds']):.2f} s, of which "
            f"{float(found['exchanging']):.2f} s in sums; weights differ from those of one by {difference:.0e}"
        )
        if accuracy < LEAST_ACCURACY:
            print(f"missed: an accuracy of {accuracy:.4f}, expected at least {LEAST_ACCURACY}")
            return 1
        if difference > LARGEST_DIFFERENCE:
            print(f"missed: weights differ by {difference:.1e}, expected at most {LARGEST_DIFFERENCE:.0e}")
            return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        train(Path(sys.argv[1]))
    else:
        sys.exit(main())
