"""Softmax and its logarithm."""

import numpy as np
from attrs import define

from deepbp import kernels
from deepbp.formulas.language import Formula
from deepbp.layers.layer import Elementwise, Layer
from deepbp.typing import Array


@define(eq=False)
class Softmax(Layer[Array]):
    """y = eᶻ / Σ eᶻ: each row sums to 1.

    Along the last axis. Backward applies the whole Jacobian ∂yᵢ/∂zⱼ = yᵢ(𝟙ᵢⱼ − yⱼ): y · (δ − Σ δ y). For training a
    classifier, ``SoftmaxCrossEntropy`` on the scores themselves is more accurate and faster.

    Source: Bridle 1990.
    """

    formula = Formula(
        "exp(x) / row_sum(exp(x))", backward="y * (delta - row_sum(delta * y))", input="z", function="softmax"
    )

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = kernels.softmax(z)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return kernels.softmax_backward(y, delta)


@define(eq=False)
class LogSoftmax(Elementwise[Array]):
    """y = z − ln Σ eᶻ, along the last axis: eʸ sums to 1 in each row.

    Backward applies the whole Jacobian ∂yᵢ/∂zⱼ = 𝟙ᵢⱼ − eʸʲ: δ − eʸ · Σ δ, so the output is all it remembers. Accurate
    relative to the true value also where a probability is 0 or 1 to the last digit. For training a classifier,
    ``SoftmaxCrossEntropy`` on the scores themselves is faster.

    Source: Bridle 1990.
    """

    formula = Formula(
        "x - log(row_sum(exp(x)))", backward="delta - exp(y) * row_sum(delta)", input="z", function="LogSoftmax"
    )

    def forward(self, z: Array) -> tuple[Array, Array]:
        top = z.argmax(axis=-1, keepdims=True)
        below = z - np.take_along_axis(z, top, axis=-1)  # so that nothing overflows
        e = np.exp(below)
        np.put_along_axis(e, top, 0, axis=-1)  # Σ without the largest, which is exactly 1, so that log1p can be used
        y = below - np.log1p(e.sum(axis=-1, keepdims=True))
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        moved: Array = delta - np.exp(y) * delta.sum(axis=-1, keepdims=True)
        return moved
