"""Fully connected layers: Dense, and TiedDense with weight tying."""

from attrs import define, evolve, field

from deepbp import kernels
from deepbp._validation import ones
from deepbp.errors import ContractError, NotBuiltError, ShapeError
from deepbp.errors.validators import boolean, instance_of, positive_int
from deepbp.formulas.language import Formula
from deepbp.initializers import GlorotUniform, Initializer, Zeros
from deepbp.layers.layer import Builder, Layer
from deepbp.parameters import UNBUILT, Parameter
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
        z: Array = x.dot(self.weight.value)  # the same as x @ W, at a third of the cost a call
        if self.bias is not None:
            kernels.add_bias(z, self.bias.value)
        return z, x

    def stated_formula(self) -> Formula:
        if self.use_bias:
            return self.formula
        return evolve(self.formula, forward="x @ weight", gradients={"weight": "x.T @ delta"})

    def backward(self, x: Array, delta: Array) -> Array:
        self._run_backward_parameters(x, delta)
        moved: Array = delta.dot(self.weight.value.T)  # moved by one layer
        return moved

    def backward_parameters(self, x: Array, delta: Array) -> None:
        self.weight.accumulate_product(x.T, delta)  # ∂L/∂W = xᵀ δ
        if self.bias is not None:
            self.bias.accumulate_product(ones(len(delta), delta.dtype), delta)  # ∂L/∂b = Σ δ


@define(eq=False)
class TiedDense(Layer[Array]):
    """z = x Wᵀ + b with the weights W of another layer: what that one takes in, this one puts out.

    Both hold the same parameter. It counts once, its gradient is the sum of what both uses add, and copies of a network
    keep the tie. An autoencoder that has its weights once::

        encoder = Dense(32)
        net = Sequential([encoder, Sigmoid(), TiedDense(encoder)], input_shape=64)

    Shapes: x (B, O), W (I, O), b (I,), z (B, I).

    Backward: ∂L/∂W += δᵀ x, ∂L/∂b = Σ δ over the batch, and the error signal moved by one layer, δ W. While the other
    layer is frozen, W gets nothing from either.

    Args:
        other: the ``Dense`` whose weights these are, not its bias. It must be built before this one: stand before it
            in the network, or have been built in another one.
        use_bias: whether there is a b.
        bias_init: how its first values are drawn.

    Raises:
        NotBuiltError: when built before the other.
        ShapeError: when built for samples of another size than the other puts out.

    Source: Vincent et al. 2010.
    """

    formula = Formula(
        "x @ weight.T + bias",
        backward="delta @ weight",
        gradients={"weight": "delta.T @ x", "bias": "batch_sum(delta)"},
        output="z",
        symbols={"weight": "W", "bias": "b"},
    )

    other: Dense = field(validator=instance_of(Dense), metadata={"beside": True})
    use_bias: bool = field(default=True, kw_only=True, validator=boolean)
    bias_init: Initializer = field(factory=Zeros, kw_only=True, validator=instance_of(Initializer))
    weight: Parameter = field(init=False, default=UNBUILT)
    bias: Parameter | None = field(init=False, default=None)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        built = self.other.built
        if built is None:
            raise NotBuiltError(
                f"{self}: {self.other} is not built yet, so there are no weights to share: it must stand before this "
                "layer in the network, or be built before it"
            )
        if built.dtype != builder.dtype:
            raise ContractError(f"{self}: {self.other} was built with {built.dtype}, the network has {builder.dtype}")
        if input_shape != built.output_shape:
            raise ShapeError(
                f"expects samples of shape {built.output_shape}, which {self.other} puts out, got {input_shape}"
            )
        self.weight = self.other.weight
        if self.use_bias:
            self.bias = builder.parameter(built.input_shape, self.bias_init)
        return built.input_shape

    def stated_formula(self) -> Formula:
        if self.use_bias:
            return self.formula
        return evolve(self.formula, forward="x @ weight.T", gradients={"weight": "delta.T @ x"})

    def forward(self, x: Array) -> tuple[Array, Array]:
        z: Array = x.dot(self.weight.value.T)
        if self.bias is not None:
            z += self.bias.value
        return z, x

    def backward(self, x: Array, delta: Array) -> Array:
        self._run_backward_parameters(x, delta)
        moved: Array = delta.dot(self.weight.value)  # moved by one layer
        return moved

    def backward_parameters(self, x: Array, delta: Array) -> None:
        self.weight.accumulate_product(delta.T, x)  # ∂L/∂W += δᵀ x
        if self.bias is not None:
            self.bias.accumulate_product(ones(len(delta), delta.dtype), delta)  # ∂L/∂b = Σ δ
