"""Pass what is positive, and a small share of the rest."""

import numpy as np
from attrs import define, field

from deepbp.errors.validators import fraction
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array


@define(eq=False)
class LeakyReLU(Layer[Array]):
    """y = max(z, slope · z), for samples of any shape: z where it is positive, slope · z elsewhere.

    Backward: δ where y > 0, else slope · δ, so the output is all it remembers. At the kink, z = 0, the derivative is
    taken as the slope.

    Args:
        slope: of the left side, at least 0 and below 1.

    Source: Maas, Hannun & Ng 2013.
    """

    formula = Formula("maximum(x, slope * x)", derivative="(y > 0) + slope * (y <= 0)", input="z", function="LeakyReLU")

    slope: float = field(default=0.01, validator=fraction)

    def forward(self, z: Array) -> tuple[Array, Array]:
        expect_floats(self, z)
        y = np.maximum(z, self.slope * z)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        expect_alike(y, delta)
        return np.where(y > 0, delta, self.slope * delta)
