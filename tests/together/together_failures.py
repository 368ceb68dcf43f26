"""Trainings that one process ends for all: mpiexec -n 2 python together_failures.py FOLDER HOW…"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
from attrs import define, field
from mpi4py import MPI

from deepbp import Sequential, Trainer
from deepbp.callbacks import Callback, ModelCheckpoint, TimeLimit
from deepbp.errors import DataError, NonFiniteError
from deepbp.layers import BatchNorm, Dense, Tanh
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD
from deepbp.processes import Processes

comm = MPI.COMM_WORLD
processes = Processes(comm)
for _ in range(30):
    Processes(comm)  # of which each would wait before it reports an exception
here = comm.rank == comm.size - 1  # where it happens


@define(eq=False)
class Happens(Callback):
    """In the last process alone, after some updates."""

    how: str
    buffers: list[Any] = field(factory=list)  # after the last update

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        how, self.buffers = self.how, [buffer.value.copy() for buffer in trainer.buffers]
        if not here or trainer.steps != 7:
            return
        if how == "raise":
            raise RuntimeError("boom")
        if how == "exit":
            sys.exit(3)
        if how in ("interrupt", "twice"):
            os.kill(os.getpid(), signal.SIGINT)
        if how == "twice":
            os.kill(os.getpid(), signal.SIGINT)
        if how in ("stop", "stop now"):
            trainer.stop(now=how == "stop now")


def run(folder: Path, how: str) -> None:
    x = np.random.default_rng(0).normal(size=(120, 5))
    y = x[:, :2].copy()
    if how == "missing in a file":  # which only the last process sees
        x[119] = np.nan
        np.save(folder / f"x{comm.rank}.npy", x)
        x = np.load(folder / f"x{comm.rank}.npy", mmap_mode="r")
    if "nan" in how:
        x[119] = 1e200  # a row of the last process's part, where rows are in order
    if how == "wrong everywhere":
        x[3] = np.nan
    if how == "before" and here:
        raise RuntimeError("boom")
    if how == "leave" and here:
        sys.exit()
    layers: list[Any] = [BatchNorm() if "statistics" in how else Dense(4), Dense(2)]
    net = Sequential(layers if "nan" in how else [*layers, Tanh()], input_shape=5, rng=0, dtype="float64")
    callbacks: list[Any] = [happens := Happens(how), ModelCheckpoint(folder / "run.npz")]
    if how == "time":
        callbacks.append(TimeLimit(1e-6 if here else 1000.0))
    given = Processes(comm, batch_statistics="own") if how == "nan in own statistics" else processes
    trainer = Trainer(net, MeanSquaredError(), SGD(0.01), callbacks=callbacks, processes=given)
    caught = ""
    try:
        trainer.fit(x, y, epochs=3, batch_size=12, shuffle=False)
    except DataError as error:  # which all raise
        caught = str(error)
        if how == "wrong everywhere":
            raise
    except NonFiniteError as error:  # which all raise
        if how == "nan":
            raise
        caught = str(error)
        for buffer, kept in zip(trainer.buffers, happens.buffers, strict=True):  # rolled back in all
            assert np.array_equal(buffer.value, kept)
    history = trainer.history
    comm.Barrier()
    stored = (folder / "run.npz").exists()
    lines = comm.gather(f"{trainer.steps} steps, {history.epochs} epochs, {history.interrupted}, {stored}, {caught}")
    for rank, line in enumerate(lines or ()):
        print(f"{how}, {rank}: {line}", flush=True)
    comm.Barrier()
    if comm.rank == 0:
        (folder / "run.npz").unlink(missing_ok=True)
    comm.Barrier()


for how in sys.argv[2:]:
    run(Path(sys.argv[1]), how)
