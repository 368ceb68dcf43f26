"""Squash each number into (−1, 1)."""

from attrs import define

from deepbp import kernels
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import refusal
from deepbp.typing import Array


@define(eq=False)
class Tanh(Layer[Array]):
    """y = tanh z, for samples of any shape.

    Backward: δ · (1 − y²), so the output is all it remembers.

    Source: LeCun et al., Efficient BackProp, 1998.
    """

    formula = Formula("tanh(x)", derivative="1 - y**2", input="z", function="tanh")

    def forward(self, z: Array) -> tuple[Array, Array]:
        try:
            y = kernels.tanh(z)
        except Exception as error:
            raise refusal(self, error, "z", z) from None
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return kernels.tanh_backward(y, delta)
