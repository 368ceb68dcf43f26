"""A layer to start from. Copy this file, write your own formula into it, and let it be proven right:

    cp examples/layer_template.py my_layer.py
    python -m deepbp check my_layer.py:MyLayer --input-shape 5

As it stands the layer is right: y = gain · x, with a gain for each input that is learned.
"""

from attrs import define, field

from deepbp import Parameter
from deepbp.initializers import Ones
from deepbp.layers import Builder, Formula, Layer
from deepbp.typing import Array, Shape


@define(eq=False)
class MyLayer(Layer[Array]):  # in brackets: the type of what backward must remember
    """y = gain · x. Backward: ∂L/∂gain = Σ δ x over the batch; the error signal passed back is δ · gain."""

    formula = Formula("gain * x", derivative="gain", gradients={"gain": "batch_sum(delta * x)"})  # may be left out

    gain: Parameter = field(init=False)  # made by build; an argument of the constructor is a field without init=False

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = builder.parameter(input_shape, Ones())
        return input_shape  # the shape of one sample of the output; leave build out if there is nothing to make

    def forward(self, x: Array) -> tuple[Array, Array]:
        y: Array = self.gain.value * x
        return y, x  # the output, and what backward must remember: never keep it on the layer

    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate((delta * x).sum(axis=0))  # a sum over the samples, which lie along axis 0
        moved: Array = delta * self.gain.value
        return moved
