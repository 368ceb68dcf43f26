"""Softmax and its logarithm."""

from attrs import define

from deepbp.formulas.language import Formula
from deepbp.kernels import unchecked as kernels
from deepbp.layers.layer import Elementwise, Layer
from deepbp.program.program import Program, Slot
from deepbp.typing import Array


@define(eq=False)
class Softmax(Layer[Array]):
    """Softmax activation along the last axis: y = eᶻ / Σ eᶻ, so that each row sums to 1.

    Backpropagated gradient: the full Jacobian ∂yᵢ/∂zⱼ = yᵢ(𝟙ᵢⱼ − yⱼ) applied to δ, y · (δ − Σ δ y). To train a
    classifier, ``SoftmaxCrossEntropy`` on the logits is more accurate and faster.

    >>> import numpy as np
    >>> from deepbp.layers import Softmax
    >>> Softmax().predict(np.log([[1.0, 2.0, 5.0]])).round(4)
    array([[0.125, 0.25 , 0.625]])

    Source: Bridle 1990.
    """

    stepwise = any_length = True
    _loss_on_outputs = "CrossEntropy"

    formula = Formula(
        "exp(x) / row_sum(exp(x))", backward="y * (delta - row_sum(delta * y))", input="z", function="softmax"
    )

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = kernels.softmax(z)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return kernels.softmax_backward(y, delta)

    def lower(self, program: Program, x: Slot) -> Slot:
        if x.value.ndim == 1:
            return program.layer(self, x)
        classes = x.value.shape[-1]
        return program.activation(
            ("softmax", classes), ("softmax_backward", classes, program.array(x.value.shape[1:])), x
        )


@define(eq=False)
class LogSoftmax(Elementwise[Array]):
    """Log-softmax activation along the last axis: y = z − ln Σ eᶻ, so that eʸ sums to 1 in each row.

    Backpropagated gradient: the full Jacobian ∂yᵢ/∂zⱼ = 𝟙ᵢⱼ − eʸʲ applied to δ, δ − eʸ · Σ δ, so only the output is
    saved. Accurate relative to the true value also where a probability is 0 or 1 to the last digit. To train a
    classifier, ``SoftmaxCrossEntropy`` on the logits is faster.

    >>> import numpy as np
    >>> from deepbp.layers import LogSoftmax
    >>> np.exp(LogSoftmax().predict(np.log([[1.0, 2.0, 5.0]]))).round(4)
    array([[0.125, 0.25 , 0.625]])

    Source: Bridle 1990.
    """

    formula = Formula(
        "x - log(row_sum(exp(x)))", backward="delta - exp(y) * row_sum(delta)", input="z", function="LogSoftmax"
    )

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = kernels.log_softmax(z)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return kernels.log_softmax_backward(y, delta)

    def lower(self, program: Program, x: Slot) -> Slot:
        if x.value.ndim == 1:
            return program.layer(self, x)
        classes = x.value.shape[-1]
        return program.activation(("log_softmax", classes), ("log_softmax_backward", classes), x)
