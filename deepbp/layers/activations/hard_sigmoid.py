"""A sigmoid made of three straight lines."""

import numpy as np
from attrs import define

from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array


@define(eq=False)
class HardSigmoid(Layer[Array]):
    """y = z/6 + ½, cut off at 0 and 1, for samples of any shape.

    Backward: δ/6 where 0 < y < 1, else 0, so the output is all it remembers. At the kinks, z = ±3, the derivative is
    taken as 0.

    Source: Howard et al. 2019; with the slope ½, Courbariaux, Bengio & David 2015.
    """

    formula = Formula(
        "minimum(maximum(x / 6 + 0.5, 0), 1)", derivative="(y > 0) * (y < 1) / 6", input="z", function="HardSigmoid"
    )

    def forward(self, z: Array) -> tuple[Array, Array]:
        expect_floats(self, z)
        y = np.minimum(np.maximum(z / 6 + 0.5, 0), 1)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        expect_alike(y, delta)
        return delta * ((y > 0) & (y < 1)) / 6
