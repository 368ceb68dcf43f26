"""A wave, for networks that represent signals with fine detail."""

import numpy as np
from attrs import define, field

from deepbp.errors.validators import positive
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array


@define(eq=False)
class Sine(Layer[Array]):
    """y = sin(ω₀ z), for samples of any shape.

    Backward: δ · ω₀ cos(ω₀ z).

    Args:
        w0: ω₀, the frequency. 30 is the paper's choice for coordinates between −1 and 1; it goes with first weights
            drawn evenly between ±1/I in the first layer and ±√(6/I)/ω₀ in the others, where I counts a layer's inputs:
            ``Dense(units, weight_init=Uniform(-limit, limit))``.

    Source: Sitzmann et al. 2020 (SIREN).
    """

    formula = Formula("sin(w0 * x)", derivative="w0 * cos(w0 * x)", input="z", function="sine", symbols={"w0": "ω₀"})

    w0: float = field(default=30.0, validator=positive)

    def forward(self, z: Array) -> tuple[Array, Array]:
        expect_floats(self, z)
        return np.sin(self.w0 * z), z

    def backward(self, z: Array, delta: Array) -> Array:
        expect_alike(z, delta)
        return delta * (self.w0 * np.cos(self.w0 * z))
