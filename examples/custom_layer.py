"""A custom layer with a parameter, in about ten lines: gradient-checked, then trained in a network.

The layer is Swish (Ramachandran et al. 2017), y = z · σ(slope · z), with a trainable slope for each input.
"""

import numpy as np
from attrs import define, field

from deepbp import Parameter, Sequential
from deepbp.initializers import Ones
from deepbp.kernels import sigmoid
from deepbp.layers import Builder, Dense, Formula, Layer
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import Adam
from deepbp.testing import check_layer
from deepbp.typing import Array, Shape

SEED = 0
EPOCHS = 300
LARGEST_LOSS = 0.01  # the variance of sin 6x is 0.5


@define(eq=False)
class Swish(Layer[tuple[Array, Array]]):
    """y = z · σ(slope · z). Backward: ∂y/∂slope = z² σ(1 − σ), ∂y/∂z = σ + slope · z · σ(1 − σ)."""

    formula = Formula("x * sigmoid(slope * x)", input="z")

    slope: Parameter = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.slope = builder.parameter(input_shape, Ones())
        return input_shape

    def forward(self, z: Array) -> tuple[Array, tuple[Array, Array]]:
        s = sigmoid(self.slope.value * z)
        return z * s, (z, s)

    def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
        z, s = saved
        self.slope.accumulate((delta * z * z * s * (1 - s)).sum(axis=0))
        grad_input: Array = delta * (s + self.slope.value * z * s * (1 - s))
        return grad_input


def main() -> int:
    """Check, train, print; returns 1 if the network does not fit the curve."""
    check_layer(Swish(), input_shape=4, rng=SEED)  # raises CheckFailure, with a report, if the layer is wrong
    print("the layer passes all checks: its gradients agree with central differences")

    x = np.linspace(-1, 1, 256).reshape(-1, 1)
    swish = Swish()
    net = Sequential([Dense(16), swish, Dense(16), Swish(), Dense(1)], input_shape=1, rng=SEED)
    print(net.summary())
    net.fit(x, np.sin(6 * x), loss=MeanSquaredError(), optimizer=Adam(0.01), epochs=EPOCHS)
    loss = net.evaluate(x, np.sin(6 * x), loss=MeanSquaredError())["loss"]
    slopes = ", ".join(f"{slope:.2f}" for slope in swish.slope.value[:6])
    print(f"slopes after training (all 1 before): {slopes}, ...")
    print(f"mean squared error of sin 6x: {loss:.6f}")
    if loss > LARGEST_LOSS:
        print(f"missed: expected at most {LARGEST_LOSS}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
