"""Weigh each number by the tanh of its softplus."""

import numpy as np
from attrs import define

from deepbp import kernels
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array


@define(eq=False)
class Mish(Layer[tuple[Array, Array]]):
    """y = z t with t = tanh(ln(1 + eᶻ)), for samples of any shape.

    Backward: δ · (t + z (1 − t²) σ(z)), by the product rule and because σ is the derivative of ln(1 + eᶻ). Accurate
    relative to the true value for very negative z, too.

    Source: Misra 2019.
    """

    formula = Formula(
        "x * tanh(log(1 + exp(x)))",
        derivative="tanh(log(1 + exp(x))) + x * (1 - tanh(log(1 + exp(x)))**2) * sigmoid(x)",
        input="z",
        function="Mish",
    )

    def forward(self, z: Array) -> tuple[Array, tuple[Array, Array]]:
        expect_floats(self, z)
        t = _tanh_of_softplus(z)
        return z * t, (z, t)

    def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
        z, t = saved
        expect_alike(z, delta)
        moved: Array = delta * (t + z * (1 - t * t) * kernels.sigmoid(z))
        return moved


def _tanh_of_softplus(z: Array) -> Array:
    """tanh(ln u) = (u² − 1) / (u² + 1), and with u = 1 + eᶻ that is n / (n + 2), where n = eᶻ (eᶻ + 2).

    With e = e^−|z|, which never overflows, n is e² + 2e on the left; on the right both are multiplied by e².
    """
    e = np.exp(-np.abs(z))
    square, left = e * e, z < 0
    n = np.where(left, square, 1) + 2 * e
    return np.asarray(n / (n + 2 * np.where(left, 1, square)))
