"""Template of a custom layer. Copy this file, replace the formula and its derivative, and check the layer:

    cp examples/layer_template.py my_layer.py
    python -m deepbp check my_layer.py:MyLayer --input-shape 5

The template passes all checks: it is y = gain · x, with a trainable gain for each input.
"""

from attrs import define, field

from deepbp import Parameter
from deepbp.initializers import Ones
from deepbp.layers import Builder, Formula, Layer
from deepbp.typing import Array, Shape


@define(eq=False)
class MyLayer(Layer[Array]):  # in brackets: the type of the saved values
    """y = gain · x. Backward: ∂L/∂gain = Σ δ x over the batch, ∂L/∂x = δ · gain."""

    formula = Formula("gain * x", derivative="gain", gradients={"gain": "batch_sum(delta * x)"})  # optional

    gain: Parameter = field(init=False)  # created by build; constructor arguments are fields without init=False

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = builder.parameter(input_shape, Ones())
        return input_shape  # the output shape of one sample; a layer without parameters that keeps it needs no build

    def forward(self, x: Array) -> tuple[Array, Array]:
        y: Array = self.gain.value * x
        return y, x  # the output, and the values that backward needs: never store them on the layer

    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate((delta * x).sum(axis=0))  # sum over the samples, which lie along axis 0
        grad_input: Array = delta * self.gain.value
        return grad_input
