"""A ReLU with its corner rounded off."""

import numpy as np
from attrs import define, field

from deepbp.errors.validators import positive
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array


@define(eq=False)
class Softplus(Layer[Array]):
    """y = ln(1 + e^(βz)) / β, for samples of any shape.

    Backward: δ · σ(βz) = δ · (1 − e^(−βy)), so the output is all it remembers. Accurate relative to the true value for
    very negative z, too.

    Args:
        beta: how sharp the corner is; the larger, the closer to ReLU; above 0.

    Source: Dugas et al. 2001.
    """

    formula = Formula(
        "log(1 + exp(beta * x)) / beta",
        derivative="1 - exp(-(beta * y))",
        input="z",
        function="softplus",
        symbols={"beta": "β"},
    )

    beta: float = field(default=1.0, validator=positive)

    def forward(self, z: Array) -> tuple[Array, Array]:
        expect_floats(self, z)
        u = self.beta * z
        y = (np.maximum(u, 0) + np.log1p(np.exp(-np.abs(u)))) / self.beta  # e^−|u| never overflows
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        expect_alike(y, delta)
        return delta * -np.expm1(-self.beta * y)
