"""Squash each number into (0, 1)."""

from attrs import define

from deepbp import kernels
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import refusal
from deepbp.typing import Array


@define(eq=False)
class Sigmoid(Layer[Array]):
    """y = 1 / (1 + e⁻ᶻ), for samples of any shape.

    Backward: δ · y(1 − y), the derivative written with the output, so the output is all it remembers. Accurate
    relative to the true value for very negative z, too.

    Source: the notes' step 3.
    """

    formula = Formula("1 / (1 + exp(-x))", derivative="y * (1 - y)", input="z", function="σ")

    def forward(self, z: Array) -> tuple[Array, Array]:
        try:
            y = kernels.sigmoid(z)
        except Exception as error:
            raise refusal(self, error, "z", z) from None
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return kernels.sigmoid_backward(y, delta)
