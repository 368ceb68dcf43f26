"""Blur each number a little."""

import numpy as np
from attrs import define, field

from deepbp.errors.validators import non_negative
from deepbp.layers.builder import Builder
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats, refusal
from deepbp.parameter import UNBUILT
from deepbp.typing import Array, Shape


@define(eq=False)
class GaussianNoise(Layer[Array]):
    """y = x + σ ε with normal ε in training; y = x in inference. For samples of any shape.

    Backward: δ as it is, for the noise is a constant.

    Args:
        std: σ, at least 0: the standard deviation of the noise, in the units of x.

    Source: Sietsma & Dow 1991; Bishop 1995 on what it is a penalty for.
    """

    std: float = field(validator=non_negative)
    rng: np.random.Generator = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.rng = builder.rng
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        expect_floats(self, x, "x")
        try:
            noise = self.rng.standard_normal(x.shape, np.float32)  # the same draws in every network
        except Exception as error:
            raise refusal(self, error, "x", x) from None
        y = x + noise.astype(x.dtype, copy=False) * float(self.std)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        expect_alike(y, delta)
        return delta.copy()

    def predict(self, x: Array) -> Array:
        expect_floats(self, x, "x")
        return x.copy()
