"""Turn scores into probabilities."""

from attrs import define

from deepbp import kernels
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import refusal
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
        try:
            y = kernels.softmax(z)
        except Exception as error:
            raise refusal(self, error, "z", z) from None
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return kernels.softmax_backward(y, delta)
