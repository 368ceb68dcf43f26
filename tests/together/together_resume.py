"""A training that stores itself every few updates, and goes on from its file, on any number of processes.

``python together_resume.py FOLDER [STEP] [dropout]``: at this update, the last process is killed.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from deepbp import Sequential, Trainer
from deepbp.callbacks import Callback, EarlyStopping, ModelCheckpoint
from deepbp.layers import BatchNorm, Dense, Dropout, Tanh
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.metrics import Accuracy
from deepbp.optimizers import AdamW
from deepbp.processes import Processes

comm = MPI.COMM_WORLD
folder, step, drops = Path(sys.argv[1]), int(sys.argv[2]), "dropout" in sys.argv[3:]
seconds = float(os.environ.get("SECONDS_A_STEP", "0"))  # so that a kill from outside meets any place
(folder / f"{os.getpid()}.pid").touch()


class Ends(Callback):
    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        time.sleep(seconds)
        if trainer.steps == step and comm.rank == comm.size - 1:
            os.kill(os.getpid(), signal.SIGKILL)


rng = np.random.default_rng(0)
x = rng.normal(size=(150, 6))
y = (x[:, 0] + 0.3 * rng.normal(size=150) > 0).astype(int)
inner: list[Any] = [Dropout(0.2)] if drops else [BatchNorm()]
layers = [Dense(12, use_bias=False), *inner, Tanh(), Dense(2)]
net = Sequential(layers, input_shape=6, rng=0, dtype="float64")
median = lambda p, t: float(np.median(p[:, 0]))  # noqa: E731  # of all predictions
median.__name__ = "median"
callbacks: list[Callback] = [EarlyStopping("val_loss", patience=50), Ends()]
callbacks.append(ModelCheckpoint(folder / "run.npz", every_steps=3))
trainer = Trainer(
    net, SoftmaxCrossEntropy(), AdamW(0.01), metrics=[Accuracy(), median], callbacks=callbacks,
    processes=Processes(comm) if comm.size > 1 else None,
)  # fmt: skip
if (folder / "run.npz").exists():
    trainer.load(folder / "run.npz")
history = trainer.fit(x[:120], y[:120], epochs=4, batch_size=16, validation_data=(x[120:], y[120:]))
if comm.rank == 0:
    columns: dict[str, Any] = {name: np.array(column) for name, column in history.items()}
    np.savez(folder / "done.npz", values=trainer.parameters.values, **columns)
