"""What the tests of full-batch training share: layers that are not like others, and a loss that gets into trouble."""

import signal
from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import define, field, frozen

from deepbp import Parameter
from deepbp.initializers import Normal
from deepbp.layers import Layer
from deepbp.losses import MeanSquaredError
from deepbp.parameters import Buffer
from deepbp.typing import Array


@define(eq=False)
class Ridge(Layer[Array]):
    """y = w x, and ½ Σ w² is added to the loss."""

    w: Parameter = field(init=False)

    def build(self, input_shape: Any, builder: Any) -> Any:
        self.w = builder.parameter(input_shape, Normal(std=1.0))
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        return x * self.w.value, x

    def backward(self, x: Array, delta: Array) -> Array:
        self.w.accumulate((delta * x).sum(axis=0) + self.w.value)
        return np.asarray(delta * self.w.value)

    def penalty(self, saved: Array) -> float:
        return 0.5 * float(self.w.value @ self.w.value)


@define(eq=False)
class Centred(Layer[None]):
    """y = x − the batch's mean; the running mean is half of the old one and half of the batch's."""

    mean: Buffer = field(init=False)

    def build(self, input_shape: Any, builder: Any) -> Any:
        self.mean = builder.buffer(input_shape)
        return input_shape

    def forward(self, x: Array) -> tuple[Array, None]:
        self.mean.value = 0.5 * self.mean.value + 0.5 * x.mean(axis=0)
        return x - x.mean(axis=0), None

    def backward(self, saved: None, delta: Array) -> Array:
        return np.asarray(delta - delta.mean(axis=0))

    def predict(self, x: Array) -> Array:
        return x - self.mean.value


@define(eq=False)
class Noise(Layer[None]):
    """y = x and a random number."""

    def forward(self, x: Array) -> tuple[Array, None]:
        return x + np.random.default_rng().normal(), None

    def backward(self, saved: None, delta: Array) -> Array:
        return delta


@frozen(eq=False)
class TroubledError(MeanSquaredError):
    """The mean squared error, until it is asked for the twelfth time."""

    trouble: Callable[[], object] = field()
    asked: list[None] = field(factory=list)

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        value, saved = super().forward(prediction, target, sample_weight)
        self.asked.append(None)
        given = self.trouble() if len(self.asked) == 12 else None
        return value if given is None else float(given), saved  # type: ignore[arg-type]


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def interrupt() -> None:
    raise KeyboardInterrupt
