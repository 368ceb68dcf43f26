"""Trainings that must give the same numbers by any number of processes, or of threads.

For processes: mpiexec -n 2 python together_cases.py FOLDER.

Without mpiexec, the same trainings by one process, which knows of no others. Each writes weights, buffers and history.
"""

import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from every_builtin import BUILTIN_OPTIMIZERS

from deepbp import Sequential, Trainer
from deepbp.callbacks import EarlyStopping, ReduceOnPlateau, WeightAverage
from deepbp.layers import (
    L1,
    L2,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Layer,
    LayerNorm,
    Penalized,
    ReLU,
    Standardize,
    Tanh,
)
from deepbp.losses import IgnoreMissing, MeanSquaredError, SoftmaxCrossEntropy, SumSquaredError
from deepbp.metrics import R2, Accuracy, MeanAbsoluteError
from deepbp.optimizers import SGD, Adam
from deepbp.processes import Processes
from deepbp.training import fit_lbfgs
from deepbp.typing import Array

rng = np.random.default_rng(0)
X = rng.normal(size=(197, 12))  # a prime number: the last batch is smaller
LABELS = (X[:, :3].sum(axis=1) > 0).astype(int) + (X[:, 3] > 1)
TARGETS = np.eye(3)[LABELS] + 0.1 * rng.normal(size=(197, 3))
WEIGHTS = rng.uniform(0.1, 3, 197)
GAPS = np.where(rng.random(TARGETS.shape) < 0.3, np.nan, TARGETS)
VALIDATION = rng.normal(size=(41, 12))
VALIDATION_LABELS = (VALIDATION[:, 0] > 0).astype(int)

Shared = Processes | int | None
"""Those that train together: processes, so many threads, or nobody."""

Case = Callable[[Shared], dict[str, Array]]


def sharing(shared: Shared) -> dict[str, Any]:
    """The argument of a trainer."""
    return {"threads": shared} if isinstance(shared, int) else {"processes": shared}


def dense(rng: Any = 0, dtype: str = "float64", first: Any = None, inner: Any = ()) -> Sequential:
    layers = [first or Dense(16), *inner, Tanh(), Dense(9), ReLU(), Dense(3)]
    return Sequential(layers, input_shape=12, rng=rng, dtype=dtype)


def train(
    net: Sequential, processes: Shared, loss: Any = None, optimizer: Any = None, **given: Any
) -> dict[str, Array]:
    """Some epochs of training; the numbers that must be the same."""
    options: dict[str, Any] = {"epochs": 2, "batch_size": 50, "sample_weight": None, "y": LABELS, "x": X}
    options |= {name: given.pop(name) for name in [*given] if name not in TRAINER}
    kind: dict[str, Any] = {"loss": loss or SoftmaxCrossEntropy(), "optimizer": optimizer or Adam(0.01)}
    trainer = Trainer(net, **kind, **given, **sharing(processes))
    history = trainer.fit(options.pop("x"), options.pop("y"), **options)
    rows = trainer.generator.bit_generator.state["state"]["state"]  # all must have drawn the same
    return {**results(net, history), "rows": np.array([rows % 2**50, rows // 2**50 % 2**50], float)}


TRAINER = ("metrics", "callbacks", "clip_norm", "clip_value", "accumulate", "non_finite")


def results(net: Sequential, history: Any) -> dict[str, Array]:
    held: dict[str, Any] = {**net.named_parameters(), **net.named_buffers()}
    numbers = {name: one.value for name, one in held.items()}
    return {**numbers, **{f"history {name}": np.array(column) for name, column in history.items()}}


def by_step(processes: Shared) -> dict[str, Array]:
    net = dense()
    trainer = Trainer(net, SoftmaxCrossEntropy(), Adam(0.01), **sharing(processes))
    losses = [trainer.step(X[:n], LABELS[:n]) for n in (50, 2, 1)]
    trainer.save(BytesIO())  # after complete updates
    return {**results(net, {}), "losses": np.array(losses)}


def different_seeds(processes: Shared) -> dict[str, Array]:
    return train(dense(processes.rank if isinstance(processes, Processes) else 0), processes)


class Samples:
    """A data set, which counts what is read."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, row: int) -> tuple[Array, int]:
        return X[row], LABELS[row]


def of_stream(processes: Shared) -> dict[str, Array]:
    """A stream for each process, of batches of different sizes; after three batches only the first one has more."""
    rank, size = (processes.rank, processes.size) if isinstance(processes, Processes) else (0, 1)

    def batches() -> Any:
        for number in range(6 if rank == 0 else 3):
            rows = np.arange(number, len(X), 6)
            if number < 3 and size > 1:
                rows = rows[:5] if rank == 0 else rows[5:][rank - 1 :: size - 1]
            yield X[rows], LABELS[rows]

    return train(dense(), processes, x=batches, y=None, metrics=[Accuracy()], validation_data=batches)


def lazily(rows_at_once: int, shuffle: bool) -> Case:
    def run(processes: Shared) -> dict[str, Array]:
        x, y = Lazy(X, rows_at_once), Lazy(LABELS, rows_at_once)
        return train(dense(), processes, x=x, y=y, shuffle=shuffle, metrics=[Accuracy()])

    return run


class Lazy:
    """An array as of an HDF5 file, which counts the rows of the chunks that are read."""

    def __init__(self, array: Array, rows: int) -> None:
        self._array, self.chunks, self.read = array, (rows, *array.shape[1:]), 0
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, place: Any) -> Array:
        found: Array = self._array[place]
        chunk = self.chunks[0]
        self.read += min(len(self._array), -(-place.stop // chunk) * chunk) - place.start // chunk * chunk
        return found


def image(processes: Shared) -> dict[str, Array]:
    layers = [Conv2D(3, 2), BatchNorm(), ReLU(), Flatten(), Dense(3)]
    net = Sequential(layers, input_shape=(3, 4, 1), rng=0, dtype="float64")
    return train(net, processes, optimizer=SGD(0.3), x=X.reshape(-1, 3, 4, 1))


def table(processes: Shared) -> dict[str, Array]:
    net = Sequential([Embedding(40, 4), Flatten(), Dense(3)], input_shape=5, rng=0, dtype="float64")
    return train(net, processes, x=(np.abs(X[:, :5]) * 10).astype(int) % 40)


def twice(processes: Shared) -> dict[str, Array]:
    net = dense()
    for _ in range(2):
        net.fit(X, LABELS, loss=SoftmaxCrossEntropy(), optimizer=Adam(0.01), epochs=2, **sharing(processes))
    return results(net, {})


def skipping(accumulate: int, inner: Sequence[Layer[Any]], *rows: int) -> Case:
    """Some samples overflow; the updates that they are part of are left out everywhere."""

    def run(processes: Shared) -> dict[str, Array]:
        net = Sequential([Dense(9), *deepcopy(inner), Dense(3)], input_shape=12, rng=0, dtype="float64")
        x = X.copy()
        x[[*rows]] = 1e200
        options: dict[str, Any] = {
            "non_finite": "skip",
            "accumulate": accumulate,
            "batch_size": 99 if accumulate == 1 else 7,
        }
        return train(net, processes, MeanSquaredError(), SGD(0.1), x=x, y=TARGETS, **options)

    return run


OPTIMIZERS = {type(one).__name__: one for one in reversed(BUILTIN_OPTIMIZERS)}  # the first of each class


def by_lbfgs(loss: Any, y: Array, first: Any = None) -> Case:
    def run(processes: Shared) -> dict[str, Array]:
        net = dense(first=first and Penalized(Dense(16), weights=L2(0.01), outputs=L1(0.001)))
        return results(net, fit_lbfgs(net, X, y, loss, max_iterations=12, **sharing(processes)))

    return run


def by_scipy(processes: Shared) -> dict[str, Array]:
    from scipy.optimize import minimize

    net = dense()
    objective = net.objective(X, LABELS, SoftmaxCrossEntropy(), WEIGHTS, **sharing(processes))
    found = minimize(objective.value_and_gradient, objective.start, jac=True, method="CG", options={"maxiter": 5})
    return {"x": found.x, "loss": np.array(objective(found.x))}


CASES: dict[str, Case] = {
    "plain": lambda p: train(dense(), p, metrics=[Accuracy()]),
    "float32": lambda p: train(dense(dtype="float32"), p),
    "full batch": lambda p: train(dense(), p, batch_size=None, epochs=5),
    "sample weights": lambda p: train(dense(), p, sample_weight=WEIGHTS, metrics=[Accuracy()]),
    "class weights": lambda p: train(dense(), p, class_weight="balanced"),
    "clipping": lambda p: train(dense(), p, clip_norm=0.2, clip_value=0.05),
    "accumulation": lambda p: train(dense(), p, accumulate=3, metrics=[Accuracy()]),
    "accumulation of sums": lambda p: train(dense(), p, SumSquaredError(), SGD(0.001), y=TARGETS, accumulate=3),
    "sum": lambda p: train(
        dense(),
        p,
        SumSquaredError(),
        SGD(0.001),
        y=TARGETS,
        metrics=[R2(), MeanAbsoluteError()],
        validation_data=(X[:31], TARGETS[:31]),
    ),
    "missing targets": lambda p: train(dense(), p, IgnoreMissing(MeanSquaredError()), y=GAPS, batch_size=20),
    "penalty": lambda p: train(dense(first=Penalized(Dense(16), weights=L2(0.01), outputs=L1(0.001))), p),
    "penalty of a sum": lambda p: train(
        dense(first=Penalized(Dense(16), weights=L2(0.1), outputs=L1(0.01))),
        p,
        SumSquaredError(),
        SGD(0.001),
        y=TARGETS,
    ),
    "early stopping": lambda p: train(
        dense(),
        p,
        epochs=12,
        validation_data=(VALIDATION, VALIDATION_LABELS),
        metrics=[Accuracy()],
        callbacks=[EarlyStopping("val_loss", patience=2), ReduceOnPlateau("loss", patience=1), WeightAverage(0.9)],
    ),
    "validation split": lambda p: train(dense(), p, validation_split=0.2, metrics=[Accuracy()]),
    "a metric of all predictions": lambda p: train(
        dense(), p, MeanSquaredError(), y=TARGETS, metrics=[lambda a, b: float(np.median(np.abs(a - b)))]
    ),
    "batch normalization": lambda p: train(dense(inner=[BatchNorm()]), p, optimizer=SGD(0.3), metrics=[Accuracy()]),
    "batch normalization, float32": lambda p: train(dense(dtype="float32", inner=[BatchNorm()]), p, optimizer=SGD(0.3)),
    "batch normalization, two rows": lambda p: train(
        dense(inner=[BatchNorm()]), p, optimizer=SGD(0.01), batch_size=2, epochs=1
    ),
    "batch normalization of a sum": lambda p: train(
        dense(inner=[BatchNorm()]), p, SumSquaredError(), SGD(0.001), y=TARGETS, accumulate=2
    ),
    "batch normalization, missing targets, penalty": lambda p: train(
        dense(first=Penalized(Dense(16), weights=L2(0.01)), inner=[BatchNorm()]),
        p,
        IgnoreMissing(MeanSquaredError()),
        SGD(0.3),
        y=GAPS,
        batch_size=15,
    ),
    "batches of one": lambda p: train(dense(), p, x=X[:21], y=LABELS[:21], batch_size=1, epochs=1),
    "fewer samples than processes": lambda p: train(dense(), p, x=X[:1], y=LABELS[:1], metrics=[Accuracy()]),
    "in order": lambda p: train(dense(), p, shuffle=False),
    "different seeds": different_seeds,
    "by step": by_step,
    "a data set": lambda p: train(dense(), p, x=Samples(), y=None, prefetch=2),
    "a stream": of_stream,
    "lazy": lazily(8, True),
    "lazy, in order": lazily(8, False),
    "images": image,
    "a table": table,
    "two calls": twice,
    "skipping": skipping(1, [BatchNorm(), Tanh()], 1),
    "skipping and accumulation": skipping(4, [], 1),
    "skipping several batches of an update": skipping(3, [BatchNorm()], 1, 5),
    "standardization": lambda p: train(dense(first=Standardize()), p, x=3 + 5 * X),
    **{
        name: lambda p, optimizer=optimizer: train(dense(), p, optimizer=optimizer, epochs=2)  # type: ignore[misc]
        for name, optimizer in OPTIMIZERS.items()
    },
}
WHOLE: dict[str, Case] = {}  # of optimizers for whole data sets, which processes share, and threads do not
if find_spec("scipy"):
    WHOLE = {
        "L-BFGS": by_lbfgs(SoftmaxCrossEntropy(), LABELS),
        "L-BFGS of a sum with penalties": by_lbfgs(SumSquaredError(), TARGETS, True),
        "L-BFGS with missing targets": by_lbfgs(IgnoreMissing(MeanSquaredError()), GAPS),
        "conjugate gradients": by_scipy,
    }


def own_statistics(shared: Shared) -> Shared:
    return Processes(shared.comm, batch_statistics="own") if isinstance(shared, Processes) else shared


DIFFERENT: dict[str, Case] = {  # with the number of processes, but not from run to run
    "dropout": lambda p: train(dense(inner=[Dropout(0.3)]), p),
    "own statistics": lambda p: train(dense(inner=[BatchNorm()]), own_statistics(p)),
}


def traffic(processes: Processes) -> dict[str, int]:
    """Messages and numbers of a training, and how many of its passes were programs."""
    net = dense(dtype="float32")
    trainer = Trainer(net, SoftmaxCrossEntropy(), Adam(0.01), processes=processes)
    messages, numbers = processes.messages, processes.numbers
    trainer.fit(X, LABELS, epochs=3, batch_size=32)
    found = {
        "messages": processes.messages - messages,
        "numbers": processes.numbers - numbers,
        "steps": trainer.steps,
        "parameters": trainer.parameters.values.size,
        "programs": programs_of(trainer),
    }
    by_hand = Trainer(dense(dtype="float32"), SoftmaxCrossEntropy(), Adam(0.01), processes=processes)
    messages = processes.messages
    for _ in range(3):
        by_hand.step(X.astype("float32"), LABELS)
    return found | {"messages by hand": processes.messages - messages, "programs by hand": programs_of(by_hand)}


def programs_of(trainer: Trainer) -> int:
    return sum(key[0] == "gradients" and one is not None for key, one in trainer._programs._made.items())


def resident(processes: Processes, path: Path) -> float:
    """The share of a file that this process has read to train on it."""
    rows = 131_072  # 32 MiB: the system reads up to 2 MiB beyond what is asked for
    if processes.rank == 0:
        np.save(path, np.ones((rows, 32)) * np.arange(32))
    processes.gather(None)
    x = np.load(path, mmap_mode="r")
    net = Sequential([LayerNorm(), Dense(3)], input_shape=32, rng=0, dtype="float64")
    options: dict[str, Any] = {"loss": SoftmaxCrossEntropy(), "optimizer": SGD(0.1), "processes": processes}
    net.fit(x, np.arange(rows) % 3, epochs=1, batch_size=None, validation_data=(x, np.arange(rows) % 3), **options)
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    next(line for line in lines if line.endswith(str(path)))
    kilobytes: float = int(next(line for line in lines if line.startswith("Rss:")).split()[1])
    return 1024 * kilobytes / int(x.nbytes)


def main(folder: Path, *names: str) -> None:
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    processes = Processes(comm) if comm.size > 1 else None
    for number, (name, case) in enumerate({**CASES, **WHOLE, **DIFFERENT}.items()):
        if names and name not in names:
            continue
        found = case(processes)
        again = case(processes) if name in DIFFERENT else found
        everywhere = comm.allgather({key: one.tobytes() for key, one in found.items() if "history" not in key})
        if comm.rank == 0:
            numbers: dict[str, Any] = found
            alike = all(one == everywhere[0] for one in everywhere)
            rerun = all(np.array_equal(found[key], again[key]) for key in found)
            np.savez(folder / f"{number}.npz", name=name, alike=alike, rerun=rerun, **numbers)
    if processes is not None:
        counts: dict[str, Any] = traffic(processes)
        if sys.platform == "linux" and not names:
            counts["resident"] = resident(processes, folder / "x.npy")
        np.savez(folder / f"traffic_{comm.rank}.npz", **counts)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
