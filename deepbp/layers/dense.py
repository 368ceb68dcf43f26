"""Every output is a weighted sum of every input."""

from attrs import define, evolve, field

from deepbp import kernels
from deepbp.arrays import ones
from deepbp.errors import ShapeError
from deepbp.errors.validators import boolean, instance_of, positive_int
from deepbp.initializers import GlorotUniform, Initializer, Zeros
from deepbp.layers.builder import Builder
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import refusal
from deepbp.parameter import UNBUILT, Parameter
from deepbp.typing import Array, Shape


@define(eq=False)
class Dense(Layer[Array]):
    """z = x W + b: every output is a weighted sum of every input, plus a bias.

    Shapes: x (B, I), W (I, O), b (O,), z (B, O).

    Backward: ∂L/∂W = xᵀ δ, ∂L/∂b = Σ δ over the batch, and the error signal moved by one layer, δ Wᵀ.

    Args:
        units: O, the number of outputs.
        use_bias: whether there is a b.
        weight_init, bias_init: how the first values are drawn.

    Raises:
        ShapeError: when built for samples that are not flat.

    Source: the notes' steps 4 and 5; Rumelhart, Hinton & Williams 1986.
    """

    formula = Formula(
        "x @ weight + bias",
        backward="delta @ weight.T",
        gradients={"weight": "x.T @ delta", "bias": "batch_sum(delta)"},
        output="z",
        symbols={"weight": "W", "bias": "b"},
    )

    units: int = field(validator=positive_int)
    use_bias: bool = field(default=True, kw_only=True, validator=boolean)
    weight_init: Initializer = field(factory=GlorotUniform, kw_only=True, validator=instance_of(Initializer))
    bias_init: Initializer = field(factory=Zeros, kw_only=True, validator=instance_of(Initializer))
    weight: Parameter = field(init=False, default=UNBUILT)
    bias: Parameter | None = field(init=False, default=None)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        if len(input_shape) != 1:
            raise ShapeError(f"expects flat samples such as (64,), got {input_shape}: put Flatten() before it")
        self.weight = builder.parameter((*input_shape, self.units), self.weight_init)
        if self.use_bias:
            self.bias = builder.parameter((self.units,), self.bias_init)
        return (self.units,)

    def forward(self, x: Array) -> tuple[Array, Array]:
        try:
            z: Array = x.dot(self.weight.value)  # the same as x @ W, at a third of the cost a call
            if self.bias is not None:
                kernels.add_bias(z, self.bias.value)
        except Exception as error:
            raise refusal(self, error, "x", x) from None
        return z, x

    def stated_formula(self) -> Formula:
        if self.use_bias:
            return self.formula
        return evolve(self.formula, forward="x @ weight", gradients={"weight": "x.T @ delta"})

    def backward(self, x: Array, delta: Array) -> Array:
        self.backward_parameters(x, delta)
        moved: Array = delta.dot(self.weight.value.T)  # moved by one layer
        return moved

    def backward_parameters(self, x: Array, delta: Array) -> None:
        try:
            self.weight.accumulate_product(x.T, delta)  # ∂L/∂W = xᵀ δ
            if self.bias is not None:
                self.bias.accumulate_product(ones(len(delta), delta.dtype), delta)  # ∂L/∂b = Σ δ
        except Exception as error:
            raise refusal(self, error, "delta", delta) from None
