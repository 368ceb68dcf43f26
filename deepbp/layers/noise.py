"""Regularization by noise: Dropout and GaussianNoise."""

import numpy as np
from attrs import define, field

from deepbp.errors.validators import fraction, non_negative
from deepbp.layers.layer import Builder, Elementwise
from deepbp.parameters import UNBUILT
from deepbp.typing import Array, Shape


@define(eq=False)
class Dropout(Elementwise[Array]):
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
        drawn = self.rng.random(x.shape, np.float32)  # the same draws in every network, at half the cost of float64
        mask = (drawn >= self.rate).astype(x.dtype)
        mask /= 1 - float(self.rate)
        return mask * x, mask

    def backward(self, mask: Array, delta: Array) -> Array:
        return mask * delta

    def predict(self, x: Array) -> Array:
        return x.copy()


@define(eq=False)
class GaussianNoise(Elementwise[Array]):
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
        noise = self.rng.standard_normal(x.shape, np.float32)  # the same draws in every network
        y = x + noise.astype(x.dtype, copy=False) * float(self.std)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return delta.copy()

    def predict(self, x: Array) -> Array:
        return x.copy()
