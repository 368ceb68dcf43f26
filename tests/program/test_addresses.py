"""Programs hold addresses: none is out of date, whatever is replaced, loaded, interrupted or collected as garbage."""

import gc
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import define, field

pytest.importorskip("numba")

from trainings import both, everything, make_small, problem
from trainings import compiled_kernels as compiled_kernels

from deepbp import Parameter, Sequential, Trainer
from deepbp.layers import Dense, Dropout, Layer, Sigmoid
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import Adam
from deepbp.program import instructions, store
from deepbp.program.layout import NotLoweredError, blas_addresses
from deepbp.training import Callback, programmed
from deepbp.typing import Array

pytestmark = pytest.mark.skipif(
    blas_addresses(np.dtype(np.float64)) is None, reason="the BLAS of this NumPy has no interface that is known"
)
X, Y = problem(MeanSquaredError(), 24, 1, "float64")


@pytest.mark.parametrize("how", ["value", "adopt", "parameter", "layer"])
def test_a_callback_replaces_weights(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Replaces(Callback):
        def on_epoch_end(self, trainer: Trainer, row: Any) -> None:
            layer = trainer.model.layers[0]  # type: ignore[attr-defined]
            other = np.full_like(layer.weight.value, 0.25)
            if how == "value":
                layer.weight.value = other
            elif how == "adopt":
                layer.weight.adopt(other)
            elif how == "parameter":
                layer.weight = Parameter(other)
            else:
                layers = trainer.model.layers  # type: ignore[attr-defined]
                trainer.model.layers = (layers[0], Dropout(0.0), *layers[1:])  # type: ignore[attr-defined]
                trainer.model.layers[1].rng = np.random.default_rng(0)  # type: ignore[attr-defined]
                trainer.model.layers[1].built = layers[1].built  # type: ignore[attr-defined]

    def train(trainer: Trainer) -> None:
        trainer.callbacks = [Replaces()]
        trainer.fit(X, Y, batch_size=5, epochs=3)

    both(monkeypatch, lambda: make_small(optimizer=Adam(0.05)), train)


def test_a_checkpoint_is_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def train(trainer: Trainer) -> None:
        trainer.step(X[:5], Y[:5])
        trainer.fit(X, Y, batch_size=5)
        trainer.save(tmp_path / "t.npz")
        for _ in range(2):
            trainer.fit(X, Y, batch_size=5)
            trainer.step(X[:5], Y[:5])
            trainer.load(tmp_path / "t.npz")
            trainer.step(X[:5], Y[:5])

    both(monkeypatch, lambda: make_small(optimizer=Adam(0.05)), train)


def test_steps_follow_what_happens_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(trainer: Trainer) -> None:
        def steps() -> None:
            for _ in range(2):
                trainer.step(X[:5], Y[:5])

        steps()
        trainer.model.layers[0].freeze()  # type: ignore[attr-defined]
        steps()
        trainer.model.layers[0].unfreeze()  # type: ignore[attr-defined]
        steps()
        Trainer(trainer.model, MeanSquaredError(), Adam()).step(X[:5], Y[:5])
        steps()
        trainer.clip_norm = 0.01
        steps()
        trainer.state["mean"] = trainer.state["mean"].copy()
        steps()
        trainer.loss = MeanSquaredError()
        trainer.optimizer = Adam(0.5)
        steps()

    both(monkeypatch, lambda: make_small(optimizer=Adam(0.05)), train)


def test_networks_are_collected_as_garbage() -> None:
    trainer = make_small()
    trainer.fit(X, Y, batch_size=5)
    for _ in range(3):
        trainer.step(X, Y)
        trainer.evaluate(X, Y)
        trainer.model.predict(X)
    gone: list[Any] = [weakref.ref(trainer.model), weakref.ref(trainer)]
    del trainer
    gc.collect()
    assert [one() for one in gone] == [None, None]


@define(eq=False)
class Presses(Layer[None]):
    """y = x; presses Ctrl-C in one of the forward passes."""

    at: int = 0
    twice: bool = False
    calls: int = field(default=0, init=False)

    def forward(self, x: Array) -> tuple[Array, None]:
        self.calls += 1
        for _ in range((1 + self.twice) * (self.calls == self.at)):
            signal.raise_signal(signal.SIGINT)
        return x, None

    def backward(self, saved: None, delta: Array) -> Array:
        return delta


@pytest.fixture
def default_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.usefixtures("default_handler")
def test_interrupted_in_any_step(
    twice: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What goes on from there, in chunks of another length, ends with the bytes of a training that never stopped."""

    def trainer(at: int) -> Trainer:
        layers = [Dense(4), Presses(at, twice), Dropout(0.1), Sigmoid(), Dense(1)]
        return Trainer(Sequential(layers, input_shape=3, rng=0, dtype="float64"), MeanSquaredError(), Adam(0.05))

    whole = trainer(0)
    whole.fit(X, Y, batch_size=2, epochs=2)
    for at in range(1, 24, 2):
        first = trainer(at)
        monkeypatch.setattr(programmed, "SHORT", 10.0)  # chunks that grow as fast as they can
        assert first.fit(X, Y, batch_size=2, epochs=2).interrupted
        assert first.steps >= at - twice
        first.save(tmp_path / "t.npz")
        monkeypatch.setattr(programmed, "SHORT", 0.0)  # a step a call
        for resumed in first, trainer(0):
            resumed.load(tmp_path / "t.npz")
            resumed.fit(X, Y, batch_size=2, epochs=2)
            assert everything(resumed) == everything(whole)


def test_a_refused_compile_is_not_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    tried: list[str] = []

    def refuse(name: str, dtype: Any) -> Any:
        tried.append(name)
        raise NotLoweredError("it calls something unknown")

    monkeypatch.setattr(instructions, "compile_instruction", refuse)
    for _ in range(2):  # as in two processes
        monkeypatch.setattr(store, "_addresses", {})
        monkeypatch.setattr(store, "_refused", {})
        for _ in range(2):
            with pytest.raises(NotLoweredError, match=r"^it calls something unknown$"):
                store.kernel_address("sgd", np.dtype("float32"))
    assert tried == ["sgd"]
    monkeypatch.setattr(store, "_refused", {})
    trainer = make_small()
    trainer.fit(X, Y, batch_size=5)  # without a program
    assert trainer.steps == 5


UNDER_WATCH = """
import gc
import numpy as np
from deepbp import Sequential, Trainer
from deepbp.layers import Dense, Dropout, ReLU
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import Adam
rng = np.random.default_rng(0)
for dtype in ["float64"]:
    x, y = rng.normal(size=(50, 3)).astype(dtype), rng.integers(0, 3, 50)
    for width in 1, 5:
        net = Sequential([Dense(width), ReLU(), Dropout(0.1), Dense(3)], input_shape=3, rng=0, dtype=dtype)
        trainer = Trainer(net, SoftmaxCrossEntropy(), Adam())
        for size in 1, 7:
            trainer.fit(x, y, batch_size=size, epochs=2, validation_split=0.2)
            trainer.step(x[:size], y[:size])
            trainer.step(x[:size], y[:size])
            other = Trainer(net, SoftmaxCrossEntropy(), Adam())
            other.step(x[:size], y[:size])
            trainer.step(x[:size], y[:size])
            net.layers[0].freeze()
            for _ in range(3):
                trainer.step(x[:size], y[:size])
                net.predict(x[:size])
            net.layers[0].unfreeze()
        gc.collect()
print("done")
"""


def test_memory_under_watch() -> None:
    """Python's debugging allocator marks what is freed, and sees what is written beside an array."""
    own = {"PYTHONMALLOC": "debug", "DEEPBP_KERNELS": "numba", "PYTHONFAULTHANDLER": "1"}
    command = [sys.executable, "-c", UNDER_WATCH]
    done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
