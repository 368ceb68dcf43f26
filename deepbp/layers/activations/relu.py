"""Pass what is positive, block the rest."""

from attrs import define

from deepbp import kernels
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import refusal
from deepbp.typing import Array


@define(eq=False)
class ReLU(Layer[Array]):
    """y = max(z, 0), for samples of any shape.

    Backward: δ where y > 0, else 0. At the kink, z = 0, the derivative is taken as 0.

    Source: Nair & Hinton 2010.
    """

    formula = Formula("maximum(x, 0)", derivative="y > 0", input="z", function="ReLU")

    def forward(self, z: Array) -> tuple[Array, Array]:
        try:
            y = kernels.relu(z)
        except Exception as error:
            raise refusal(self, error, "z", z) from None
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return kernels.relu_backward(y, delta)
