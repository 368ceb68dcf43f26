"""A ReLU with an exponential on the left, which lets averages be near zero."""

import numpy as np
from attrs import define, field

from deepbp.errors.validators import positive
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array


@define(eq=False)
class ELU(Layer[Array]):
    """y = z where z > 0, else α (eᶻ − 1), for samples of any shape.

    Backward: δ where y > 0, else δ · α eᶻ = δ · (y + α), so the output is all it remembers; where that is −α to the
    last digit, 0 passes back. At z = 0 the derivative is taken as α, which for α = 1 is no choice: there is no kink.

    Args:
        alpha: −α is what y comes to for very negative z; above 0.

    Source: Clevert, Unterthiner & Hochreiter 2016.
    """

    formula = Formula(
        "maximum(x, 0) + alpha * (exp(minimum(x, 0)) - 1)",
        derivative="(y > 0) + (y <= 0) * (y + alpha)",
        input="z",
        function="ELU",
        symbols={"alpha": "α"},
    )

    alpha: float = field(default=1.0, validator=positive)

    def forward(self, z: Array) -> tuple[Array, Array]:
        expect_floats(self, z)
        y = np.maximum(z, 0) + self.alpha * np.expm1(np.minimum(z, 0))  # eᶻ − 1 keeps its digits near zero
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        expect_alike(y, delta)
        return np.where(y > 0, delta, delta * (y + self.alpha))
