"""Squash each number into (−1, 1), more gently than tanh."""

import numpy as np
from attrs import define

from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array


@define(eq=False)
class Softsign(Layer[Array]):
    """y = z / (1 + |z|), for samples of any shape.

    Backward: δ / (1 + |z|)², so 1 / (1 + |z|) is all it remembers.

    Source: Turian, Bergstra & Bengio 2009; Glorot & Bengio 2010.
    """

    formula = Formula("x / (1 + abs(x))", derivative="1 / (1 + abs(x))**2", input="z", function="softsign")

    def forward(self, z: Array) -> tuple[Array, Array]:
        expect_floats(self, z)
        share = 1 / (1 + np.abs(z))
        return z * share, share

    def backward(self, share: Array, delta: Array) -> Array:
        expect_alike(share, delta)
        return delta * share * share
