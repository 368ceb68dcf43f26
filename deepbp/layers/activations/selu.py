"""The ELU that pulls averages to 0 and variances to 1 by itself."""

import numpy as np
from attrs import define

from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array

SCALE = 1.0507009873554804934  # λ and α for which mean 0 and variance 1 are a fixed point, equations (14) of the paper
ALPHA = 1.6732632423543772848


@define(eq=False)
class SELU(Layer[Array]):
    """y = λ z where z > 0, else λ α (eᶻ − 1), with λ = 1.0507… and α = 1.6733…, for samples of any shape.

    With weights drawn by ``LeCunNormal`` a deep network keeps its signals at mean 0 and variance 1.

    Backward: λ δ where y > 0, else δ · λ α eᶻ = δ · (y + λ α), so the output is all it remembers. At the kink, z = 0,
    the derivative is taken as λ α, its left one.

    Source: Klambauer et al. 2017.
    """

    formula = Formula(
        f"{SCALE} * (maximum(x, 0) + {ALPHA} * (exp(minimum(x, 0)) - 1))",
        derivative=f"{SCALE} * (y > 0) + (y <= 0) * (y + {SCALE * ALPHA})",
        input="z",
        function="SELU",
    )

    def forward(self, z: Array) -> tuple[Array, Array]:
        expect_floats(self, z)
        y = SCALE * np.maximum(z, 0) + SCALE * ALPHA * np.expm1(np.minimum(z, 0))
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        expect_alike(y, delta)
        return np.where(y > 0, SCALE * delta, delta * (y + SCALE * ALPHA))
