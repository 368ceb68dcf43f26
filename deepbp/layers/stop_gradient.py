"""The end of the road for the error signal."""

from typing import ClassVar

import numpy as np
from attrs import define

from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array


@define(eq=False)
class StopGradient(Layer[Array]):
    """y = x, for samples of any shape, as if x were a constant.

    Backward: 0, which is not the derivative: it is what this layer is for. In a chain everything below it then trains
    nothing, and ``freeze`` says that better, for then nothing is computed, either. Its place is in one branch of a
    ``Parallel``, whose input still gets the error signal of the others.

    Source: the bars over constants in papers; Bengio, Léonard & Courville 2013, where gradients are replaced.
    """

    formula = Formula("x", backward="0 * delta")
    surrogate_gradient: ClassVar[bool] = True

    def forward(self, x: Array) -> tuple[Array, Array]:
        expect_floats(self, x, "x")
        y = x.copy()
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        expect_alike(y, delta)
        return np.zeros_like(y)
