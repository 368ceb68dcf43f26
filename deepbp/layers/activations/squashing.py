"""Squashing functions: sigmoid, tanh and other bounded or smooth activation functions."""

import numpy as np
from attrs import define, field

from deepbp import kernels
from deepbp.errors.validators import positive
from deepbp.formulas.language import Formula
from deepbp.layers.layer import Elementwise, Layer
from deepbp.typing import Array


@define(eq=False)
class Sigmoid(Layer[Array]):
    """y = 1 / (1 + e⁻ᶻ), for samples of any shape.

    Backward: δ · y(1 − y), the derivative written with the output, so the output is all it remembers. Accurate
    relative to the true value for very negative z, too.

    Source: the notes' step 3.
    """

    formula = Formula("1 / (1 + exp(-x))", derivative="y * (1 - y)", input="z", function="σ")

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = kernels.sigmoid(z)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return kernels.sigmoid_backward(y, delta)


@define(eq=False)
class LogSigmoid(Elementwise[Array]):
    """y = ln σ(z) = −ln(1 + e⁻ᶻ), for samples of any shape.

    Backward: δ · (1 − σ(z)) = δ · (1 − eʸ), so the output is all it remembers. Accurate relative to the true value on
    both sides, also where σ(z) itself is 0 or 1 to the last digit.
    """

    formula = Formula("-log(1 + exp(-x))", derivative="1 - exp(y)", input="z", function="LogSigmoid")

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = np.minimum(z, 0) - np.log1p(np.exp(-np.abs(z)))  # e^−|z| never overflows
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return delta * -np.expm1(y)


@define(eq=False)
class HardSigmoid(Elementwise[Array]):
    """y = z/6 + ½, cut off at 0 and 1, for samples of any shape.

    Backward: δ/6 where 0 < y < 1, else 0, so the output is all it remembers. At the kinks, z = ±3, the derivative is
    taken as 0.

    Source: Howard et al. 2019; with the slope ½, Courbariaux, Bengio & David 2015.
    """

    formula = Formula(
        "minimum(maximum(x / 6 + 0.5, 0), 1)", derivative="(y > 0) * (y < 1) / 6", input="z", function="HardSigmoid"
    )

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = np.minimum(np.maximum(z / 6 + 0.5, 0), 1)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return delta * ((y > 0) & (y < 1)) / 6


@define(eq=False)
class Tanh(Layer[Array]):
    """y = tanh z, for samples of any shape.

    Backward: δ · (1 − y²), so the output is all it remembers.

    Source: LeCun et al., Efficient BackProp, 1998.
    """

    formula = Formula("tanh(x)", derivative="1 - y**2", input="z", function="tanh")

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = kernels.tanh(z)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return kernels.tanh_backward(y, delta)


@define(eq=False)
class Softsign(Elementwise[Array]):
    """y = z / (1 + |z|), for samples of any shape.

    Backward: δ / (1 + |z|)², so 1 / (1 + |z|) is all it remembers.

    Source: Turian, Bergstra & Bengio 2009; Glorot & Bengio 2010.
    """

    formula = Formula("x / (1 + abs(x))", derivative="1 / (1 + abs(x))**2", input="z", function="softsign")

    def forward(self, z: Array) -> tuple[Array, Array]:
        share = 1 / (1 + np.abs(z))
        return z * share, share

    def backward(self, share: Array, delta: Array) -> Array:
        return delta * share * share


@define(eq=False)
class Softplus(Elementwise[Array]):
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
        u = self.beta * z
        y = (np.maximum(u, 0) + np.log1p(np.exp(-np.abs(u)))) / self.beta  # e^−|u| never overflows
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return delta * -np.expm1(-self.beta * y)


@define(eq=False)
class Gaussian(Elementwise[tuple[Array, Array]]):
    """y = e^(−z²), for samples of any shape.

    Backward: δ · (−2 z y). Accurate relative to the true value far from zero, too.

    Source: Broomhead & Lowe 1988, whose radial basis functions it is.
    """

    formula = Formula("exp(-x**2)", derivative="-(2 * x * y)", input="z", function="Gaussian")

    def forward(self, z: Array) -> tuple[Array, tuple[Array, Array]]:
        y = kernels.gaussian(z)
        return y, (z, y)

    def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
        z, y = saved
        moved: Array = delta * (z * y * -2)
        return moved


@define(eq=False)
class Sine(Elementwise[Array]):
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
        return np.sin(self.w0 * z), z

    def backward(self, z: Array, delta: Array) -> Array:
        return delta * (self.w0 * np.cos(self.w0 * z))
