"""Regularization by noise: Dropout and GaussianNoise."""

import ctypes

import numpy as np
from attrs import define, field

from deepbp.errors.validators import fraction, non_negative
from deepbp.formulas.language import Formula
from deepbp.layers.layer import Builder, Elementwise
from deepbp.parameters import UNBUILT
from deepbp.program.program import Program, Slot
from deepbp.typing import Array, Shape


@define(eq=False)
class Dropout(Elementwise[Array]):
    """Dropout regularization: y = m · x with random zeros in m in training, y = x in inference.

    For samples of any shape. Each mᵢ is 0 with probability p, else 1 / (1 − p). That factor keeps the mean of y at x
    ("inverted" dropout), so inference needs no scaling.

    Backpropagated gradient: m · δ with the same m, which is saved.

    Args:
        rate: p, the fraction of values to drop; at least 0 and below 1.

    >>> import numpy as np
    >>> from deepbp.layers import Builder, Dropout
    >>> dropout = Dropout(0.5)
    >>> _ = Builder(rng=0).build(dropout, (6,))
    >>> x = np.ones((1, 6), np.float32)
    >>> dropout.forward(x)[0], dropout.predict(x)
    (array([[2., 2., 2., 0., 0., 0.]], dtype=float32), array([[1., 1., 1., 1., 1., 1.]], dtype=float32))

    Source: Srivastava et al. 2014.
    """

    formula = Formula("mask * x", backward="mask * delta", symbols={"mask": "m"}, saved=("mask",), inference="x")

    rate: float = field(default=0.5, validator=fraction)
    rng: np.random.Generator = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.rng = builder.rng
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        drawn = self.rng.random(x.shape, np.float32)  # the same draws in every network, at half the cost of float64
        mask = (drawn >= self.rate).astype(x.dtype)
        mask /= 1 - float(self.rate)
        return mask * x, mask

    def backward(self, mask: Array, delta: Array) -> Array:
        return mask * delta

    def predict(self, x: Array) -> Array:
        return x.copy()

    def lower(self, program: Program, x: Slot) -> Slot:
        y, mask = program.with_slope(x)
        program.draws(self.rng, mask.size)
        interface = self.rng.bit_generator.ctypes
        draw = ctypes.cast(interface.next_uint32, ctypes.c_void_p).value
        program.then("dropout", x.value, mask, y.value, x.width, draw, interface.state_address, float(self.rate))
        return y

    def lower_predict(self, program: Program, x: Slot) -> Slot:
        return x


@define(eq=False)
class GaussianNoise(Elementwise[Array]):
    """Regularization by Gaussian noise: y = x + σ ε with ε ~ N(0, 1) in training, y = x in inference.

    For samples of any shape.

    Backpropagated gradient: δ, since the noise is a constant.

    Args:
        std: σ, the standard deviation of the noise, in the units of x; at least 0.

    >>> import numpy as np
    >>> from deepbp.layers import Builder, GaussianNoise
    >>> noise = GaussianNoise(0.1)
    >>> _ = Builder(rng=0).build(noise, (1,))
    >>> y, saved = noise.forward(np.zeros((10_000, 1)))
    >>> print(f"{y.std():.2f}", noise.predict(np.ones((1, 1))))
    0.10 [[1.]]

    Source: Sietsma & Dow 1991; Bishop 1995 on the equivalent penalty.
    """

    formula = Formula(
        "x + std * noise", backward="delta", symbols={"std": "σ", "noise": "ε"}, saved=("noise",), inference="x"
    )

    std: float = field(validator=non_negative)
    rng: np.random.Generator = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.rng = builder.rng
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        drawn = self.rng.standard_normal(x.shape, np.float32)  # the same draws in every network
        noise = drawn.astype(x.dtype, copy=False)
        return x + noise * float(self.std), noise

    def backward(self, noise: Array, delta: Array) -> Array:
        return delta.copy()

    def predict(self, x: Array) -> Array:
        return x.copy()

    def lower_predict(self, program: Program, x: Slot) -> Slot:
        return x
