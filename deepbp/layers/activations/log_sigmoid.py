"""The logarithm of a probability made by a sigmoid."""

import numpy as np
from attrs import define

from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array


@define(eq=False)
class LogSigmoid(Layer[Array]):
    """y = ln σ(z) = −ln(1 + e⁻ᶻ), for samples of any shape.

    Backward: δ · (1 − σ(z)) = δ · (1 − eʸ), so the output is all it remembers. Accurate relative to the true value on
    both sides, also where σ(z) itself is 0 or 1 to the last digit.
    """

    formula = Formula("-log(1 + exp(-x))", derivative="1 - exp(y)", input="z", function="LogSigmoid")

    def forward(self, z: Array) -> tuple[Array, Array]:
        expect_floats(self, z)
        y = np.minimum(z, 0) - np.log1p(np.exp(-np.abs(z)))  # e^−|z| never overflows
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        expect_alike(y, delta)
        return delta * -np.expm1(y)
