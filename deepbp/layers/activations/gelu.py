"""Weigh each number by how probable it is that a normal one is smaller."""

from math import pi, sqrt
from typing import Any, Literal

import numpy as np
from attrs import Attribute, define, field

from deepbp import kernels
from deepbp.errors import ConfigurationError
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array

_BY_TANH = Formula(
    "x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2",
    derivative="(1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2 + x / 2 * sqrt(2 / pi) * (1 + 0.134145 * x**2)"
    " * (1 - tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))**2)",
    input="z",
    function="GELU",
)
_SATURATED = 40  # beyond it the tanh is ±1 to the last digit, and no cube of what was cut off there overflows


def _none_or_tanh(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
    if value is not None and not (isinstance(value, str) and value == "tanh"):
        raise ConfigurationError(f"GELU: approximate: expected None, for the exact function, or 'tanh', got {value!r}")


@define(eq=False)
class GELU(Layer[Array]):
    """y = z Φ(z), where Φ(z) = ½ (1 + erf(z/√2)) is the normal distribution, for samples of any shape.

    Backward: δ · (Φ(z) + z e^(−z²/2) / √(2π)). The derivative falls out of the exponential that forward needs, so it is
    all that is remembered. Value and derivative are accurate relative to their true values for very negative z, too.

    Args:
        approximate: ``"tanh"`` for ½ z (1 + tanh(√(2/π) (z + 0.044715 z³))), which older models were trained with; it
            is off by up to 0.0005.

    Source: Hendrycks & Gimpel 2016.
    """

    formula = Formula(
        "x * (1 + erf(x / sqrt(2))) / 2",
        derivative="(1 + erf(x / sqrt(2))) / 2 + x * exp(-x**2 / 2) / sqrt(2 * pi)",
        input="z",
        function="GELU",
    )

    approximate: Literal["tanh"] | None = field(default=None, validator=_none_or_tanh)

    def stated_formula(self) -> Formula:
        return _BY_TANH if self.approximate else self.formula

    def forward(self, z: Array) -> tuple[Array, Array]:
        expect_floats(self, z)
        y, derivative = _by_tanh(z) if self.approximate else kernels.gelu(z)
        return y, derivative

    def backward(self, derivative: Array, delta: Array) -> Array:
        expect_alike(derivative, delta)
        return delta * derivative


def _by_tanh(z: Array) -> tuple[Array, Array]:
    """With ½ (1 + tanh u) = σ(2u), which does not cancel for negative u."""
    near = np.minimum(np.maximum(z, -_SATURATED), _SATURATED)
    square = near * near
    one, three = 2 * sqrt(2 / pi), 2 * sqrt(2 / pi) * 0.044715
    s = kernels.sigmoid(near * (one + three * square))
    y = z * s
    return y, s + y * (1 - s) * (one + 3 * three * square)
