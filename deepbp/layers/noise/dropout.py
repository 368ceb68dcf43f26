"""Drop numbers at random, so that none can rely on another."""

import numpy as np
from attrs import define, field

from deepbp.errors.validators import fraction
from deepbp.layers.builder import Builder
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats, refusal
from deepbp.parameter import UNBUILT
from deepbp.typing import Array, Shape


@define(eq=False)
class Dropout(Layer[Array]):
    """y = m · x in training, where each m is 0 with probability p, else 1 / (1 − p); y = x in inference.

    For samples of any shape. The factor 1 / (1 − p) keeps the mean of y at x ("inverted" dropout), so that inference
    has nothing to make up for.

    Backward: m · δ with the same m, which is all it remembers.

    Args:
        rate: p, at least 0 and below 1: the share of the numbers that is dropped.

    Source: Srivastava et al. 2014.
    """

    rate: float = field(default=0.5, validator=fraction)
    rng: np.random.Generator = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.rng = builder.rng
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        expect_floats(self, x, "x")
        try:
            drawn = self.rng.random(x.shape, np.float32)  # the same draws in every network, at half the cost of float64
        except Exception as error:
            raise refusal(self, error, "x", x) from None
        mask = (drawn >= self.rate).astype(x.dtype)
        mask /= 1 - float(self.rate)
        return mask * x, mask

    def backward(self, mask: Array, delta: Array) -> Array:
        expect_alike(mask, delta)
        return mask * delta

    def predict(self, x: Array) -> Array:
        expect_floats(self, x, "x")
        return x.copy()
