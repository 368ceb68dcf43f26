"""A bell: large near zero, nothing far from it."""

from attrs import define

from deepbp import kernels
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array


@define(eq=False)
class Gaussian(Layer[tuple[Array, Array]]):
    """y = e^(−z²), for samples of any shape.

    Backward: δ · (−2 z y). Accurate relative to the true value far from zero, too.

    Source: Broomhead & Lowe 1988, whose radial basis functions it is.
    """

    formula = Formula("exp(-x**2)", derivative="-(2 * x * y)", input="z", function="Gaussian")

    def forward(self, z: Array) -> tuple[Array, tuple[Array, Array]]:
        expect_floats(self, z)
        y = kernels.gaussian(z)
        return y, (z, y)

    def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
        z, y = saved
        expect_alike(y, delta)
        moved: Array = delta * (z * y * -2)
        return moved
