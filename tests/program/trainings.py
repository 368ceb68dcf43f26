"""What the tests of programs share: networks of all kinds of layers, and trainings with programs and without."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from attrs import define

from deepbp import Sequential, Trainer, kernels
from deepbp.layers import (
    ELU,
    GELU,
    L1,
    L2,
    BatchNorm,
    Builder,
    Dense,
    Dropout,
    Flatten,
    Gaussian,
    GaussianNoise,
    HardSwish,
    Layer,
    LayerNorm,
    LogSoftmax,
    Mish,
    Penalized,
    PReLU,
    ReLU,
    Reshape,
    Residual,
    RMSNorm,
    Scale,
    Shift,
    Sigmoid,
    SiLU,
    Sine,
    Softmax,
    Softsign,
    Standardize,
    Tanh,
)  # fmt: skip
from deepbp.losses import Loss, MeanSquaredError, SigmoidFocal, SoftmaxCrossEntropy, SquaredHinge
from deepbp.optimizers import SGD, Adam, AdamW, Lion, NAdam, Optimizer, RMSprop
from deepbp.typing import Array, Shape


@pytest.fixture(autouse=True)
def compiled_kernels() -> Iterator[None]:
    before = kernels.current()
    kernels.use("numba")
    yield
    kernels.use(before)  # type: ignore[arg-type]


@define(eq=False)
class Doubled(Layer[None]):
    """A user's own layer: y = 2 x."""

    def forward(self, x: Array) -> tuple[Array, None]:
        return 2 * x, None

    def backward(self, saved: None, delta: Array) -> Array:
        return 2 * delta


@define(eq=False)
class Adapted(Standardize):
    """Standardization with numbers that it has already learned."""

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        shape = super().build(input_shape, builder)
        self.mean.value, self.deviation.value = self.mean.value + 0.3, self.deviation.value * 1.7
        self.mean.frozen = self.deviation.frozen = True
        return shape


LAYERS: dict[str, Callable[[], Layer[Any]]] = {
    "dense": lambda: Dense(5),
    "one": lambda: Dense(1),
    "no bias": lambda: Dense(4, use_bias=False),
    "relu": ReLU,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "dropout": lambda: Dropout(0.3),
    "noise": lambda: GaussianNoise(0.1),
    "gelu": GELU,
    "silu": SiLU,
    "elu": ELU,
    "softmax": Softmax,
    "softsign": Softsign,
    "hard swish": HardSwish,
    "mish": Mish,
    "sine": lambda: Sine(3.0),
    "gaussian": Gaussian,
    "log softmax": LogSoftmax,
    "prelu": PReLU,
    "shared prelu": lambda: PReLU(shared=True),
    "scale": Scale,
    "shift": Shift,
    "standardize": Adapted,
    "layer norm": lambda: Sequential([Dense(3), LayerNorm()]),
    "rms norm": RMSNorm,
    "shape": lambda: Sequential([Reshape((-1, 1)), Flatten()]),
    "batch": BatchNorm,
    "residual": lambda: Residual([Dense(5), ReLU()], Dense(5)),
    "penalized": lambda: Penalized(Dense(4), weights=L2(0.01), outputs=L1(0.1)),
    "penalties inside": lambda: Sequential(
        [Penalized(Dense(3), weights=L1(0.1)), Penalized(Dense(4), weights=L2(0.1))]
    ),
    "nested": lambda: Sequential([Dense(3), Sigmoid()]),
    "own": Doubled,
}
OPTIMIZERS: list[Optimizer] = [
    SGD(0.01),
    SGD(0.01, momentum=0.9),
    SGD(0.01, momentum=0.9, nesterov=True),
    SGD(lambda step: 0.01 / (1 + step)),
    SGD(0.01, weight_decay=0.1),
    Adam(),
    AdamW(weight_decay=0.1),
    Lion(weight_decay=0.1),
    RMSprop(centered=True, momentum=0.5, weight_decay=0.1),
    NAdam(),
]


def problem(loss: Loss[Any], rows: int, outputs: int, dtype: str) -> tuple[Array, Array]:
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(rows, 3)).astype(dtype)
    if isinstance(loss, SoftmaxCrossEntropy):
        return x, rng.integers(0, outputs, rows)
    y = rng.random((rows, outputs)).astype(dtype)
    return x, np.round(y) if isinstance(loss, SquaredHinge | SigmoidFocal) else y


def everything(trainer: Trainer) -> dict[str, Any]:
    """All that a training changes, as bytes."""
    net = trainer.model
    return {
        "weights": [parameter.value.tobytes() for parameter in net.parameters()],
        "buffers": [buffer.value.tobytes() for buffer in net.named_buffers().values()],
        "state": {name: getattr(value, "tobytes", lambda v=value: v)() for name, value in trainer.state.items()},
        "history": {name: [float(x).hex() for x in trainer.history[name]] for name in trainer.history},
        "generators": [
            str(layer.rng.bit_generator.state) for layer in net.named_layers().values() if isinstance(layer, Dropout)
        ],
        "rows": str(trainer.generator.bit_generator.state),
    }


def both(monkeypatch: pytest.MonkeyPatch, make: Callable[[], Trainer], train: Callable[[Trainer], Any]) -> None:
    """Train with programs and without, and compare everything, bit by bit."""
    trainers = []
    for setting in "0", "1":
        monkeypatch.setenv("DEEPBP_PROGRAM", setting)
        trainers.append(make())
        train(trainers[-1])
    assert everything(trainers[0]) == everything(trainers[1])


def make_small(**options: Any) -> Trainer:
    net = Sequential([Dense(4), Sigmoid(), Dense(1)], input_shape=3, rng=0, dtype="float64")
    return Trainer(net, MeanSquaredError(), options.pop("optimizer", SGD(0.1)), **options)
