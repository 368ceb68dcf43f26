"""SIGTERM, too little memory, a callback that fails: each leaves a usable model, a readable file, and words."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import SQUARES, values

from deepbp import Trainer
from deepbp.optimizers import Adam
from deepbp.training import Callback, ModelCheckpoint

X, Y, LOSS = SQUARES.x, SQUARES.y, SQUARES.loss
posix = pytest.mark.skipif(os.name != "posix", reason="this system has other signals and limits")

TERMINATED = """
import signal, sys, threading
from test_faults import Callback, ModelCheckpoint, trainer, X, Y

class Ask(Callback):
    def on_step_end(self, trainer, loss):
        if trainer.steps == 5:
            signal.raise_signal(signal.SIGTERM)

trained = trainer([Ask(), ModelCheckpoint(sys.argv[1], every_epochs=None)])
trained.fit(X, Y, epochs=100, batch_size=8)
print("the script went on")
"""


def trainer(callbacks: list[Callback]) -> Trainer:
    return Trainer(SQUARES.network(), LOSS, Adam(0.01), callbacks=callbacks)


def run(script: str, *arguments: Any) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)


class Ask(Callback):
    """As in the script, without the signal."""


@posix
def test_sigterm_stores_the_training_and_then_ends_the_process(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    done = run(TERMINATED, path)
    assert done.returncode == -signal.SIGTERM, done.stderr
    assert done.stdout == ""
    assert "SIGTERM: stopping after this step, then the process ends" in done.stderr
    resumed, whole = trainer([Ask(), ModelCheckpoint(path)]), trainer([])
    resumed.load(path)
    assert resumed.steps == 5
    resumed.fit(X, Y, epochs=4, batch_size=8)
    whole.fit(X, Y, epochs=4, batch_size=8)
    assert resumed.history == whole.history
    np.testing.assert_array_equal(resumed.parameters.values, whole.parameters.values)


@posix
def test_a_handler_of_the_program_is_respected() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:

        class Send(Callback):
            def on_step_end(self, trainer: Trainer, loss: float) -> None:
                signal.raise_signal(signal.SIGTERM)

        history = trainer([Send()]).fit(X, Y, epochs=2)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM] * 2
    assert not history.interrupted


OUT_OF_MEMORY = """
import resource, sys
import numpy as np
from deepbp import Sequential, Trainer
from deepbp.layers import Dense, Tanh
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import Adam
from deepbp.training import ModelCheckpoint

def trainer():
    net = Sequential([Dense(4000), Tanh(), Dense(1)], input_shape=4, rng=0)
    return Trainer(net, MeanSquaredError(), Adam(), callbacks=[ModelCheckpoint(sys.argv[1])])

x, y = np.ones((20_000, 4), "f4"), np.ones((20_000, 1), "f4")
trained = trainer()
trained.fit(x[:100], y[:100])
resource.setrlimit(resource.RLIMIT_DATA, (300 * 2**20,) * 2)
try:
    trained.fit(x, y, batch_size=None)
except MemoryError as error:
    print(error.__notes__)
assert np.isfinite(trained.model.predict(x[:10])).all()
trained.fit(x[:1000], y[:1000])
again = trainer()
again.load(sys.argv[1])
assert again.parameters.values.tobytes() == trained.parameters.values.tobytes()
print(trained.steps)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit counts other things elsewhere")
def test_too_little_memory_for_a_step(tmp_path: Path) -> None:
    done = run(OUT_OF_MEMORY, tmp_path / "run.npz")
    assert done.returncode == 0, done.stderr
    assert "in epoch 2, after update 4, whose weights the model holds" in done.stdout
    assert "the memory was not enough: try half the batch_size, with accumulate=2 for the same steps" in done.stdout
    assert done.stdout.splitlines()[-1] == str(4 + 32)


def test_an_update_that_was_cut_off_is_never_stored(tmp_path: Path) -> None:
    """A second Ctrl-C may fall into the middle of an update."""
    path = tmp_path / "run.npz"
    trained = trainer([ModelCheckpoint(path, every_steps=1)])
    trained.fit(X, Y, batch_size=8)
    before = path.read_bytes()

    class CutOff(Adam):
        def step(self, parameters: Any, state: Any) -> None:
            parameters.values[:5] += 1
            raise KeyboardInterrupt

    trained.optimizer = CutOff(0.01)
    assert trained.fit(X, Y).interrupted
    assert path.read_bytes() == before
    again = trainer([ModelCheckpoint(path, every_steps=1)])
    again.load(path)
    assert again.steps == 3


def test_what_fails_at_the_end_is_told_beside_what_failed_before() -> None:
    class Fails(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            raise RuntimeError("first")

        def on_fit_end(self, trainer: Trainer) -> None:
            raise ValueError("second")

    trained = trainer([Fails()])
    message = (
        "^first\nin epoch 1, after update 1, whose weights the model holds\nthen Fails.on_fit_end failed, too: second$"
    )
    with pytest.raises(RuntimeError, match=message):
        trained.fit(X, Y)
    trained.callbacks = ()
    trained.fit(X, Y)
    twin = trainer([])
    twin.fit(X, Y, epochs=2)
    assert trained.steps == 2  # both whole
    assert values(trained.model) == values(twin.model)  # type: ignore[arg-type]
