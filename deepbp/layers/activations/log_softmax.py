"""The logarithms of the probabilities that Softmax makes of scores."""

import numpy as np
from attrs import define

from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats
from deepbp.typing import Array


@define(eq=False)
class LogSoftmax(Layer[Array]):
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
        expect_floats(self, z)
        top = z.argmax(axis=-1, keepdims=True)
        below = z - np.take_along_axis(z, top, axis=-1)  # so that nothing overflows
        e = np.exp(below)
        np.put_along_axis(e, top, 0, axis=-1)  # Σ without the largest, which is exactly 1, so that log1p can be used
        y = below - np.log1p(e.sum(axis=-1, keepdims=True))
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        expect_alike(y, delta)
        moved: Array = delta - np.exp(y) * delta.sum(axis=-1, keepdims=True)
        return moved
