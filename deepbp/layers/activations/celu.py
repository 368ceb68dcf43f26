"""An ELU without a kink, whatever its α."""

import numpy as np
from attrs import define, field

from deepbp.errors.validators import positive
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array


@define(eq=False)
class CELU(Layer[Array]):
    """y = z where z > 0, else α (e^(z/α) − 1), for samples of any shape.

    Backward: δ where y > 0, else δ · e^(z/α) = δ · (y/α + 1), so the output is all it remembers. The derivative is
    continuous, 1 at z = 0.

    Args:
        alpha: −α is what y comes to for very negative z; above 0.

    Source: Barron 2017.
    """

    formula = Formula(
        "maximum(x, 0) + alpha * (exp(minimum(x, 0) / alpha) - 1)",
        derivative="(y > 0) + (y <= 0) * (y / alpha + 1)",
        input="z",
        function="CELU",
        symbols={"alpha": "α"},
    )

    alpha: float = field(default=1.0, validator=positive)

    def forward(self, z: Array) -> tuple[Array, Array]:
        expect_floats(self, z)
        y = np.maximum(z, 0) + self.alpha * np.expm1(np.minimum(z, 0) / self.alpha)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        expect_alike(y, delta)
        return np.where(y > 0, delta, delta * (y / self.alpha + 1))
