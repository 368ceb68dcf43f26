"""Which layers, losses and optimizers have instructions, and that these give the bits of the ordinary passes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from trainings import both, problem
from trainings import compiled_kernels as compiled_kernels

from deepbp import Sequential, Trainer
from deepbp.layers import (
    CELU,
    ELU,
    GELU,
    SELU,
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    GroupNorm,
    HardSigmoid,
    HardSwish,
    Layer,
    LayerNorm,
    LeakyReLU,
    LogSigmoid,
    Parallel,
    ReLU,
    ReLU6,
    Reshape,
    Residual,
    RMSNorm,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD
from deepbp.program.layout import blas_addresses
from deepbp.training import programmed

pytestmark = pytest.mark.skipif(
    blas_addresses(np.dtype(np.float64)) is None, reason="the BLAS of this NumPy has no interface that is known"
)

Layers = Callable[[], list[Layer[Any]]]
STACKS: dict[str, Layers] = {
    "activations": lambda: [Dense(7), Tanh(), ReLU6(), Dense(6), LeakyReLU(0.1), Softmax()],
    "exponentials": lambda: [Dense(7), ELU(0.7), Dense(5), CELU(0.5), Dense(4), SELU(), Softplus(2.0), LogSigmoid()],
    "hard": lambda: [Dense(7), HardSigmoid(), Dense(5), HardSwish(), Dense(17), Softsign(), ReLU(), Sigmoid()],
    "gates": lambda: [Dense(7), SiLU(), Dense(5), GELU(), Dense(17), GELU("tanh"), HardSwish(), SiLU()],
    "first": lambda: [Tanh(), LayerNorm(), Dense(3), Softsign(), GELU(), HardSwish()],
    "batch": lambda: [BatchNorm(), Dense(18), BatchNorm(momentum=0.5), ReLU()],
    "layer": lambda: [LayerNorm(), Dense(18), LayerNorm(), RMSNorm(), GELU()],
    "places": lambda: [
        Reshape((3, 1)),
        BatchNorm(),
        Flatten(),
        Dense(24),
        Reshape((2, 3, 4)),
        GroupNorm(2),
        LayerNorm(),
    ],
    "planes": lambda: [Dense(36), Reshape((2, 18)), BatchNorm(), RMSNorm(), GroupNorm(3), Softmax(), Flatten()],
    "dropout": lambda: [Dropout(0.2), Dense(7), Dropout(0.5), ReLU(), Dropout(0.1)],
    "residual": lambda: [Dense(5), Residual([Dense(5), Tanh()]), Residual([Dropout(0.2), Dense(4)], Dense(4)), ReLU()],
    "parallel": lambda: [Dense(4), Parallel([Tanh(), None, BatchNorm()], merge="add"), Parallel([Dense(2)] * 1)],
}


def train(layers: Layers, dtype: str, **options: Any) -> Callable[[], Trainer]:
    def make() -> Trainer:
        net = Sequential([*layers(), Flatten(), Dense(2)], input_shape=3, rng=0, dtype=dtype)
        return Trainer(net, MeanSquaredError(), SGD(0.01, momentum=0.9), **options)

    return make


@pytest.mark.parametrize(("name", "dtype"), [(name, ("float32", "float64")[len(name) % 2]) for name in STACKS])
def test_built_in_layers_run_in_machine_code(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All their steps, with the bits of the ordinary passes, also for the single row of the last batch."""
    x, y = problem(MeanSquaredError(), 13, 2, dtype)
    in_python: list[str] = []
    steps: list[int] = []
    original = programmed.Lowered._run

    def run(self: programmed.Lowered, *arguments: Any) -> int:
        in_python.extend(self.program.names)
        steps.append(original(self, *arguments))
        return steps[-1]

    monkeypatch.setattr(programmed.Lowered, "_run", run)
    both(monkeypatch, train(STACKS[name], dtype), lambda trainer: trainer.fit(x, y, batch_size=4, epochs=3))
    assert set(in_python) == ({"Parallel"} if name == "parallel" else set())  # a single branch has no instruction
    assert sum(steps) == 12


@pytest.mark.parametrize("bad", [0, 5, 12])
def test_an_overflow_takes_back_random_numbers_and_averages(bad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ordinary step, which takes over and skips the batch, draws the same numbers, and averages as ever."""
    x, y = problem(MeanSquaredError(), 13, 2, "float32")
    y[bad] = 1e30

    def layers() -> list[Layer[Any]]:
        return [Dense(4), Dropout(0.3), BatchNorm(), Dropout(0.2)]

    make = train(layers, "float32", non_finite="skip")
    both(monkeypatch, make, lambda trainer: trainer.fit(x, y, batch_size=2, epochs=3, shuffle=False))


def test_an_overflow_of_a_variance_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = problem(MeanSquaredError(), 12, 2, "float32")
    x[5] = 1e30
    make = train(lambda: [BatchNorm(), Dense(3)], "float32", non_finite="skip")

    def fit(trainer: Trainer) -> None:
        trainer.fit(x, y, batch_size=3, epochs=2, shuffle=False)
        assert trainer.skipped == 2

    both(monkeypatch, make, fit)
