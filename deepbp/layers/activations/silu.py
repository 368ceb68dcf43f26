"""Weigh each number by its own sigmoid."""

from attrs import define

from deepbp import kernels
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array


@define(eq=False)
class SiLU(Layer[tuple[Array, Array]]):
    """y = z σ(z), for samples of any shape. It goes by the name of Swish, too.

    Backward: δ · (σ(z) + y (1 − σ(z))), by the product rule, so output and σ(z) are all it remembers.

    Source: Elfwing, Uchibe & Doya 2018; as Swish, Ramachandran, Zoph & Le 2017.
    """

    formula = Formula("x * sigmoid(x)", derivative="sigmoid(x) + y * (1 - sigmoid(x))", input="z", function="SiLU")

    def forward(self, z: Array) -> tuple[Array, tuple[Array, Array]]:
        expect_floats(self, z)
        s = kernels.sigmoid(z)
        y = z * s
        return y, (y, s)

    def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
        y, s = saved
        expect_alike(y, delta)
        moved: Array = delta * (s + y * (1 - s))
        return moved


Swish = SiLU
