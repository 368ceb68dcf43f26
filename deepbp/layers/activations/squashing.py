"""Squashing functions: sigmoid, tanh and other bounded or smooth activation functions."""

import numpy as np
from attrs import define, field

from deepbp.errors.validators import positive
from deepbp.formulas.language import Formula
from deepbp.kernels import unchecked as kernels
from deepbp.layers.layer import Elementwise, Layer
from deepbp.program.program import Program, Slot
from deepbp.typing import Array


@define(eq=False)
class Sigmoid(Layer[Array]):
    """Logistic sigmoid activation: y = σ(z) = 1 / (1 + e⁻ᶻ), for samples of any shape.

    Backpropagated gradient: δ · y(1 − y), in terms of the output, so only the output is saved. Accurate relative to the
    true value for very negative z, too.

    >>> import numpy as np
    >>> from deepbp.layers import Sigmoid
    >>> y, saved = Sigmoid().forward(np.array([[-1.0, 0.0, 1.0]]))
    >>> y.round(4), Sigmoid().backward(saved, np.ones((1, 3))).round(4)
    (array([[0.2689, 0.5   , 0.7311]]), array([[0.1966, 0.25  , 0.1966]]))

    Source: the notes' step 3.
    """

    stepwise = any_length = True
    _loss_on_outputs = "BinaryCrossEntropy"

    formula = Formula("1 / (1 + exp(-x))", derivative="y * (1 - y)", input="z", function="σ")

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = kernels.sigmoid(z)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return kernels.sigmoid_backward(y, delta)

    def lower(self, program: Program, x: Slot) -> Slot:
        return program.activation(("sigmoid",), ("sigmoid_backward",), x)


@define(eq=False)
class LogSigmoid(Elementwise[Array]):
    """Log-sigmoid activation: y = ln σ(z) = −ln(1 + e⁻ᶻ), for samples of any shape.

    Backpropagated gradient: δ · (1 − σ(z)) = δ · (1 − eʸ), so only the output is saved. Accurate relative to the true
    value on both sides, also where σ(z) is 0 or 1 to the last digit.

    >>> import numpy as np
    >>> from deepbp.layers import LogSigmoid
    >>> LogSigmoid().predict(np.array([[-800.0, 0.0]])).round(4)
    array([[-8.000e+02, -6.931e-01]])
    """

    formula = Formula("-log(1 + exp(-x))", derivative="1 - exp(y)", input="z", function="LogSigmoid")

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = -kernels.softplus(-z, 1.0)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return kernels.softplus_backward(y, delta, 1.0)

    def lower(self, program: Program, x: Slot) -> Slot:
        return program.activation(("log_sigmoid",), ("softplus_backward", 1.0), x)


@define(eq=False)
class HardSigmoid(Elementwise[Array]):
    """Hard sigmoid activation: y = min(max(z/6 + ½, 0), 1), for samples of any shape.

    Backpropagated gradient: δ/6 where 0 < y < 1, else 0, so only the output is saved. At the kinks, z = ±3, the
    derivative is 0.

    >>> import numpy as np
    >>> from deepbp.layers import HardSigmoid
    >>> HardSigmoid().predict(np.array([[-4.0, 0.0, 1.5]]))
    array([[0.  , 0.5 , 0.75]])

    Source: Howard et al. 2019; with slope ½, Courbariaux, Bengio & David 2015.
    """

    formula = Formula(
        "minimum(maximum(x / 6 + 0.5, 0), 1)", derivative="(y > 0) * (y < 1) / 6", input="z", function="HardSigmoid"
    )

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = np.minimum(np.maximum(z / 6 + 0.5, 0), 1)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return delta * ((y > 0) & (y < 1)) / 6

    def lower(self, program: Program, x: Slot) -> Slot:
        return program.activation(("hard_sigmoid",), ("hard_sigmoid_backward",), x)


@define(eq=False)
class Tanh(Layer[Array]):
    """Hyperbolic tangent activation: y = tanh z, for samples of any shape.

    Backpropagated gradient: δ · (1 − y²), so only the output is saved.

    >>> import numpy as np
    >>> from deepbp.layers import Tanh
    >>> Tanh().predict(np.array([[-1.0, 0.0, 1.0]])).round(4)
    array([[-0.7616,  0.    ,  0.7616]])

    Source: LeCun et al., Efficient BackProp, 1998.
    """

    stepwise = any_length = True

    formula = Formula("tanh(x)", derivative="1 - y**2", input="z", function="tanh")

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = kernels.tanh(z)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return kernels.tanh_backward(y, delta)

    def lower(self, program: Program, x: Slot) -> Slot:
        return program.activation(("tanh",), ("tanh_backward",), x)


@define(eq=False)
class Softsign(Elementwise[Array]):
    """Softsign activation: y = z / (1 + |z|), for samples of any shape.

    Backpropagated gradient: δ / (1 + |z|)², so only 1 / (1 + |z|) is saved.

    >>> import numpy as np
    >>> from deepbp.layers import Softsign
    >>> Softsign().predict(np.array([[-1.0, 0.0, 3.0]]))
    array([[-0.5 ,  0.  ,  0.75]])

    Source: Turian, Bergstra & Bengio 2009; Glorot & Bengio 2010.
    """

    formula = Formula("x / (1 + abs(x))", derivative="1 / (1 + abs(x))**2", input="z", function="softsign")

    def forward(self, z: Array) -> tuple[Array, Array]:
        share = 1 / (1 + np.abs(z))
        return z * share, share

    def backward(self, share: Array, delta: Array) -> Array:
        return delta * share * share

    def lower(self, program: Program, x: Slot) -> Slot:
        y, share = program.with_slope(x, "scaled_twice")
        program.then("share", x.value, share, x.width)
        program.then("softsign_gate", x.value, share, y.value, x.width)
        return y


@define(eq=False)
class Softplus(Elementwise[Array]):
    """Softplus activation, a smooth ReLU: y = ln(1 + e^(βz)) / β, for samples of any shape.

    Backpropagated gradient: δ · σ(βz) = δ · (1 − e^(−βy)), so only the output is saved. Accurate relative to the true
    value for very negative z, too.

    Args:
        beta: β > 0, the sharpness of the bend; the larger, the closer to ReLU.

    >>> import numpy as np
    >>> from deepbp.layers import Softplus
    >>> Softplus().predict(np.array([[-1.0, 0.0, 1.0]])).round(4)
    array([[0.3133, 0.6931, 1.3133]])

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
        y = kernels.softplus(z, float(self.beta))
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return kernels.softplus_backward(y, delta, -float(self.beta))

    def lower(self, program: Program, x: Slot) -> Slot:
        beta = float(self.beta)
        return program.activation(("softplus", beta), ("softplus_backward", -beta), x)


@define(eq=False)
class Gaussian(Elementwise[tuple[Array, Array]]):
    """Gaussian activation: y = e^(−z²), for samples of any shape.

    Backpropagated gradient: δ · (−2 z y). Accurate relative to the true value far from zero, too.

    >>> import numpy as np
    >>> from deepbp.layers import Gaussian
    >>> Gaussian().predict(np.array([[-1.0, 0.0, 2.0]])).round(4)
    array([[0.3679, 1.    , 0.0183]])

    Source: Broomhead & Lowe 1988, as a radial basis function.
    """

    formula = Formula("exp(-x**2)", derivative="-(2 * x * y)", input="z", function="Gaussian")

    def forward(self, z: Array) -> tuple[Array, tuple[Array, Array]]:
        y = kernels.gaussian(z)
        return y, (z, y)

    def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
        z, y = saved
        grad_input: Array = delta * (z * y * -2)
        return grad_input

    def lower(self, program: Program, x: Slot) -> Slot:
        y, slope = program.with_slope(x)
        program.then("gaussian", x.value, slope, y.value, x.width)
        return y


@define(eq=False)
class Sine(Elementwise[Array]):
    """Sine activation: y = sin(ω₀ z), for samples of any shape.

    Backpropagated gradient: δ · ω₀ cos(ω₀ z). Forward computes the derivative from the same angle and saves only that.

    Args:
        w0: the frequency ω₀. The paper uses 30, for coordinates between −1 and 1 and initial weights drawn uniformly
            from ±1/I in the first layer and ±√(6/I)/ω₀ in the others, where I is a layer's number of inputs:
            ``Dense(units, weight_init=Uniform(-limit, limit))``.

    >>> import numpy as np
    >>> from deepbp.layers import Sine
    >>> Sine(1.0).predict(np.array([[0.0, np.pi / 2]]))
    array([[0., 1.]])

    Source: Sitzmann et al. 2020 (SIREN).
    """

    formula = Formula("sin(w0 * x)", derivative="w0 * cos(w0 * x)", input="z", function="sine", symbols={"w0": "ω₀"})

    w0: float = field(default=30.0, validator=positive)

    def forward(self, z: Array) -> tuple[Array, Array]:
        return kernels.sine(z, float(self.w0))

    def backward(self, derivative: Array, delta: Array) -> Array:
        return delta * derivative

    def lower(self, program: Program, x: Slot) -> Slot:
        y, slope = program.with_slope(x)
        program.then("sine", x.value, slope, y.value, x.width, float(self.w0))
        return y
