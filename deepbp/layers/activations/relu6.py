"""A ReLU that goes no further than 6."""

import numpy as np
from attrs import define

from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array


@define(eq=False)
class ReLU6(Layer[Array]):
    """y = z, cut off at 0 and 6, for samples of any shape.

    Backward: δ where 0 < y < 6, else 0, so the output is all it remembers. At the kinks, z = 0 and 6, the derivative is
    taken as 0.

    Source: Krizhevsky 2010.
    """

    formula = Formula("minimum(maximum(x, 0), 6)", derivative="(y > 0) * (y < 6)", input="z", function="ReLU6")

    def forward(self, z: Array) -> tuple[Array, Array]:
        expect_floats(self, z)
        y = np.minimum(np.maximum(z, 0), 6)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        expect_alike(y, delta)
        return delta * ((y > 0) & (y < 6))
