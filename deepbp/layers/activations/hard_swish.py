"""Weigh each number by its own hard sigmoid."""

import numpy as np
from attrs import define

from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array


@define(eq=False)
class HardSwish(Layer[Array]):
    """y = z · h(z), where h(z) is z/6 + ½, cut off at 0 and 1; for samples of any shape.

    Backward: δ · (z/3 + ½) where −3 < z < 3, 0 to the left of it, δ to the right. At the kinks, z = ±3, the derivative
    is taken as the outer one, 0 and 1.

    Source: Howard et al. 2019.
    """

    formula = Formula(
        "x * minimum(maximum(x / 6 + 0.5, 0), 1)",
        derivative="(x > -3) * (x < 3) * (x / 3 + 0.5) + (x >= 3)",
        input="z",
        function="HardSwish",
    )

    def forward(self, z: Array) -> tuple[Array, Array]:
        expect_floats(self, z)
        return z * np.minimum(np.maximum(z / 6 + 0.5, 0), 1), z

    def backward(self, z: Array, delta: Array) -> Array:
        expect_alike(z, delta)
        return delta * np.where((z > -3) & (z < 3), z / 3 + 0.5, z >= 3)
