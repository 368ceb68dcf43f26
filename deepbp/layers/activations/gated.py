"""Gated activation functions: z times a gate of z."""

from math import pi, sqrt
from typing import Any, Literal

import numpy as np
from attrs import Attribute, define, field

from deepbp.errors import ConfigurationError, shown
from deepbp.formulas.language import Formula
from deepbp.kernels import unchecked as kernels
from deepbp.layers.layer import Elementwise
from deepbp.program.program import Program, Slot
from deepbp.typing import Array

_TANH_FORMULA = Formula(
    "x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2",
    derivative="(1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2 + x / 2 * sqrt(2 / pi) * (1 + 0.134145 * x**2)"
    " * (1 - tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))**2)",
    input="z",
    function="GELU",
)
_SATURATED = 40  # beyond it the tanh is ±1 to the last digit; the cube of a number this size does not overflow


def _none_or_tanh(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
    if value is not None and not (isinstance(value, str) and value == "tanh"):
        raise ConfigurationError(
            f"GELU: approximate: expected None, for the exact function, or 'tanh', got {shown(value)}"
        )


@define(eq=False)
class GELU(Elementwise[Array]):
    """Gaussian error linear unit (GELU) activation: y = z Φ(z), for samples of any shape.

    Φ(z) = ½ (1 + erf(z/√2)) is the normal distribution function.

    Backpropagated gradient: δ · (Φ(z) + z e^(−z²/2) / √(2π)). Forward computes the derivative from the same exponential
    and saves only that. Both are accurate relative to the true value for very negative z, too.

    Args:
        approximate: ``"tanh"`` for ½ z (1 + tanh(√(2/π) (z + 0.044715 z³))), the approximation of older models, which
            is off by up to 0.0005.

    >>> import numpy as np
    >>> from deepbp.layers import GELU
    >>> GELU().predict(np.array([[-1.0, 0.0, 1.0]])).round(4)
    array([[-0.1587,  0.    ,  0.8413]])

    Source: Hendrycks & Gimpel 2016.
    """

    formula = Formula(
        "x * (1 + erf(x / sqrt(2))) / 2",
        derivative="(1 + erf(x / sqrt(2))) / 2 + x * exp(-x**2 / 2) / sqrt(2 * pi)",
        input="z",
        function="GELU",
    )

    approximate: Literal["tanh"] | None = field(default=None, validator=_none_or_tanh)

    def stated_formula(self) -> Formula | None:
        return _TANH_FORMULA if self.approximate else self.formula

    def forward(self, z: Array) -> tuple[Array, Array]:
        y, derivative = _gelu_by_tanh(z) if self.approximate else kernels.gelu(z)
        return y, derivative

    def backward(self, derivative: Array, delta: Array) -> Array:
        return delta * derivative

    def lower(self, program: Program, x: Slot) -> Slot:
        y, slope = program.with_slope(x)
        if self.approximate:
            program.then("tanh_argument", x.value, slope, x.width)
            program.then("sigmoid", slope, slope, x.width)
        program.then("gelu_by_tanh_gate" if self.approximate else "gelu", x.value, slope, y.value, x.width)
        return y


def _gelu_by_tanh(z: Array) -> tuple[Array, Array]:
    """With ½ (1 + tanh u) = σ(2u), which does not cancel for negative u."""
    near = np.minimum(np.maximum(z, -_SATURATED), _SATURATED)
    square = near * near
    one, three = 2 * sqrt(2 / pi), 2 * sqrt(2 / pi) * 0.044715
    s = kernels.sigmoid(near * (one + three * square))
    y = z * s
    return y, s + y * (1 - s) * (one + 3 * three * square)


@define(eq=False)
class SiLU(Elementwise[tuple[Array, Array]]):
    """Sigmoid linear unit (SiLU, also called Swish) activation: y = z σ(z), for samples of any shape.

    Backpropagated gradient: δ · (σ(z) + y (1 − σ(z))) by the product rule, so the output and σ(z) are saved.

    >>> import numpy as np
    >>> from deepbp.layers import SiLU
    >>> SiLU().predict(np.array([[-1.0, 0.0, 1.0]])).round(4)
    array([[-0.2689,  0.    ,  0.7311]])

    Source: Elfwing, Uchibe & Doya 2018; as Swish, Ramachandran, Zoph & Le 2017.
    """

    formula = Formula("x * sigmoid(x)", derivative="sigmoid(x) + y * (1 - sigmoid(x))", input="z", function="SiLU")

    def forward(self, z: Array) -> tuple[Array, tuple[Array, Array]]:
        s = kernels.sigmoid(z)
        y = z * s
        return y, (y, s)

    def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
        y, s = saved
        grad_input: Array = delta * (s + y * (1 - s))
        return grad_input

    def lower(self, program: Program, x: Slot) -> Slot:
        y, slope = program.with_slope(x)
        program.then("sigmoid", x.value, slope, x.width)
        program.then("silu_gate", x.value, slope, y.value, x.width)
        return y


Swish = SiLU


@define(eq=False)
class HardSwish(Elementwise[Array]):
    """Hard Swish activation: y = z · h(z) with h(z) = min(max(z/6 + ½, 0), 1), for samples of any shape.

    Backpropagated gradient: δ · (z/3 + ½) where −3 < z < 3, 0 below, δ above. At the kinks, z = ±3, the derivative is
    the outer one, 0 and 1.

    >>> import numpy as np
    >>> from deepbp.layers import HardSwish
    >>> HardSwish().predict(np.array([[-3.0, -1.5, 0.0, 3.0]]))
    array([[-0.   , -0.375,  0.   ,  3.   ]])

    Source: Howard et al. 2019.
    """

    formula = Formula(
        "x * minimum(maximum(x / 6 + 0.5, 0), 1)",
        derivative="(x > -3) * (x < 3) * (x / 3 + 0.5) + (x >= 3)",
        input="z",
        function="HardSwish",
    )

    def forward(self, z: Array) -> tuple[Array, Array]:
        return z * np.minimum(np.maximum(z / 6 + 0.5, 0), 1), z

    def backward(self, z: Array, delta: Array) -> Array:
        return delta * np.where((z > -3) & (z < 3), z / 3 + 0.5, z >= 3)

    def lower(self, program: Program, x: Slot) -> Slot:
        return program.activation(("hard_swish",), ("hard_swish_backward",), x, of_input=True)


@define(eq=False)
class Mish(Elementwise[Array]):
    """Mish activation: y = z t with t = tanh(ln(1 + eᶻ)), for samples of any shape.

    Backpropagated gradient: δ · (t + z (1 − t²) σ(z)) by the product rule, because σ is the derivative of ln(1 + eᶻ).
    Forward computes the derivative from the same exponential and saves only that. Accurate relative to the true value
    for very negative z, too.

    >>> import numpy as np
    >>> from deepbp.layers import Mish
    >>> Mish().predict(np.array([[-1.0, 0.0, 1.0]])).round(4)
    array([[-0.3034,  0.    ,  0.8651]])

    Source: Misra 2019.
    """

    formula = Formula(
        "x * tanh(log(1 + exp(x)))",
        derivative="tanh(log(1 + exp(x))) + x * (1 - tanh(log(1 + exp(x)))**2) * sigmoid(x)",
        input="z",
        function="Mish",
    )

    def forward(self, z: Array) -> tuple[Array, Array]:
        return kernels.mish(z)

    def backward(self, derivative: Array, delta: Array) -> Array:
        return delta * derivative

    def lower(self, program: Program, x: Slot) -> Slot:
        y, slope = program.with_slope(x)
        program.then("mish", x.value, slope, y.value, x.width)
        return y
