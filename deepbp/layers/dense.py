"""Fully connected layers: Dense, and TiedDense with weight tying."""

import re

from attrs import define, evolve, field

from deepbp.errors import ContractError, NotBuiltError, ShapeError
from deepbp.errors.validators import boolean, instance_of, positive_int
from deepbp.formulas.language import Formula
from deepbp.initializers import GlorotUniform, Initializer, Zeros
from deepbp.kernels import unchecked as kernels
from deepbp.layers.embedding import Embedding
from deepbp.layers.layer import Builder, Layer
from deepbp.parameters import UNBUILT, Parameter
from deepbp.program.program import Program, Slot
from deepbp.typing import Array, Shape


def rows(x: Array) -> Array:
    """The numbers along the last axis as the rows of a matrix, for samples (…, F) that are not flat."""
    return x.reshape(-1, x.shape[-1])


def _in_use(layer: "Dense | TiedDense", formula: Formula | None, forward: str, gradient: str) -> Formula | None:
    """The formula of a dense layer with or without a bias, for flat samples or those with several axes."""
    if formula is not None and layer.built is not None and len(layer.built.input_shape) > 1:
        gradient = re.sub(r"\b(x|delta)\b", r"rows(\1)", gradient)
        formula = evolve(formula, gradients={"weight": gradient, "bias": "feature_sum(delta)"})
    if formula is None or layer.use_bias:
        return formula
    return evolve(formula, forward=forward, gradients={"weight": gradient})


@define(eq=False)
class Dense(Layer[Array]):
    """Fully connected (dense) layer: z = x W + b, along the last axis.

    Shapes: x (B, …, I), W (I, O), b (O,), z (B, …, O). Samples with several axes, such as the steps of a sequence, are
    rows with the same weights; ``Flatten`` before the layer connects all numbers of a sample instead.

    Gradients: ∂L/∂W = xᵀ δ, ∂L/∂b = Σ δ over all rows; backpropagated gradient (the error signal, moved by one layer):
    δ Wᵀ.

    Args:
        units: O, the number of outputs.
        use_bias: whether there is a bias b.
        weight_init, bias_init: the initializers of W and b.

    Raises:
        ShapeError: by ``build``, for samples without an axis.

    >>> import numpy as np
    >>> from deepbp.initializers import Constant
    >>> from deepbp.layers import Builder, Dense
    >>> dense = Dense(1, weight_init=Constant(2), bias_init=Constant(0.5))
    >>> _ = Builder(dtype="float64").build(dense, (2,))
    >>> z, saved = dense.forward(np.array([[1.0, 3.0]]))
    >>> z, dense.backward(saved, np.ones((1, 1))), dense.weight.grad.tolist()
    (array([[8.5]]), array([[2., 2.]]), [[1.0], [3.0]])

    Source: the notes' steps 4 and 5; Rumelhart, Hinton & Williams 1986.
    """

    formula = Formula(
        "x @ weight + bias",
        backward="delta @ weight.T",
        gradients={"weight": "x.T @ delta", "bias": "batch_sum(delta)"},
        output="z",
        symbols={"weight": "W", "bias": "b"},
    )

    stepwise = any_length = True

    units: int = field(validator=positive_int)
    use_bias: bool = field(default=True, kw_only=True, validator=boolean)
    weight_init: Initializer = field(factory=GlorotUniform, kw_only=True, validator=instance_of(Initializer))
    bias_init: Initializer = field(factory=Zeros, kw_only=True, validator=instance_of(Initializer))
    weight: Parameter = field(init=False, default=UNBUILT)
    bias: Parameter | None = field(init=False, default=None)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        if not input_shape:
            raise ShapeError("expects samples such as (64,), got (): put Reshape(1) before it")
        self.weight = builder.parameter((input_shape[-1], self.units), self.weight_init)
        if self.use_bias:
            self.bias = builder.parameter((self.units,), self.bias_init)
        return (*input_shape[:-1], self.units)

    def forward(self, x: Array) -> tuple[Array, Array]:
        flat = x if x.ndim == 2 else rows(x)
        z = kernels.matrix_product(flat, self.weight.value)
        if self.bias is not None:
            kernels.add_bias(z, self.bias.value)
        return (z if x.ndim == 2 else z.reshape(*x.shape[:-1], self.units)), x

    def stated_formula(self) -> Formula | None:
        return _in_use(self, self.formula, "x @ weight", "x.T @ delta")

    def backward(self, x: Array, delta: Array) -> Array:
        self._run_backward_parameters(x, delta)
        flat = delta if x.ndim == 2 else rows(delta)
        grad_input = kernels.matrix_product(flat, self.weight.value.T)  # moved by one layer
        return grad_input if x.ndim == 2 else grad_input.reshape(x.shape)

    def backward_parameters(self, x: Array, delta: Array) -> None:
        if x.ndim > 2:
            x, delta = rows(x), rows(delta)
        self.weight.accumulate_product(x.T, delta)  # ∂L/∂W = xᵀ δ
        if self.bias is not None:
            self.bias.accumulate_sum(delta)  # ∂L/∂b = Σ δ

    def lower(self, program: Program, x: Slot) -> Slot:
        return program.dense(x, self.weight, self.bias) if x.value.ndim == 2 else program.layer(self, x)


@define(eq=False)
class TiedDense(Layer[Array]):
    """Dense layer with weight tying: z = x Wᵀ + b with the weights W of another ``Dense``, from its outputs back to its
    inputs, or with the table of an ``Embedding``: one logit for each category.

    Both layers hold the same parameter: it counts once, its gradient is the sum of both uses, and copies of a network
    keep the tie.

    Shapes: x (B, …, O), W (I, O), b (I,), z (B, …, I).

    Gradients: ∂L/∂W += δᵀ x, ∂L/∂b = Σ δ over all rows; backpropagated gradient: δ W. While the other layer is frozen,
    neither use adds to ∂L/∂W.

    Args:
        other: the ``Dense`` that owns W, whose bias is not shared; or the ``Embedding`` whose table (K, O) is W. Build
            it first: place it before this layer, or build it in another network.
        use_bias: whether there is a bias b of its own.
        bias_init: the initializer of b.

    Raises:
        NotBuiltError: by ``build``, if the other layer is not built.
        ShapeError: by ``build``, for samples whose last axis is not the other layer's ``units``.

    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense, Sigmoid, TiedDense
    >>> encoder = Dense(32)
    >>> autoencoder = Sequential([encoder, Sigmoid(), TiedDense(encoder)], input_shape=64)
    >>> {name: p.value.shape for name, p in autoencoder.named_parameters().items()}
    {'0.weight': (64, 32), '0.bias': (32,), '2.bias': (64,)}

    Source: Vincent et al. 2010; Press & Wolf 2017, "Using the output embedding to improve language models".
    """

    formula = Formula(
        "x @ weight.T + bias",
        backward="delta @ weight",
        gradients={"weight": "delta.T @ x", "bias": "batch_sum(delta)"},
        output="z",
        symbols={"weight": "W", "bias": "b"},
    )

    stepwise = any_length = True

    other: Dense | Embedding = field(validator=instance_of(Dense, Embedding), metadata={"beside": True})
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
        self.weight = self.other.weight if isinstance(self.other, Dense) else self.other.table
        inputs, outputs = self.weight.value.shape
        if input_shape[-1:] != (outputs,):
            what = "puts out" if isinstance(self.other, Dense) else "has for each category"
            raise ShapeError(f"expects samples of shape {(outputs,)}, which {self.other} {what}, got {input_shape}")
        if self.use_bias:
            self.bias = builder.parameter((inputs,), self.bias_init)
        return (*input_shape[:-1], inputs)

    def stated_formula(self) -> Formula | None:
        return _in_use(self, self.formula, "x @ weight.T", "delta.T @ x")

    def forward(self, x: Array) -> tuple[Array, Array]:
        z = kernels.matrix_product(x if x.ndim == 2 else rows(x), self.weight.value.T)
        if self.bias is not None:
            z += self.bias.value
        return (z if x.ndim == 2 else z.reshape(*x.shape[:-1], len(self.weight.value))), x

    def backward(self, x: Array, delta: Array) -> Array:
        self._run_backward_parameters(x, delta)
        flat = delta if x.ndim == 2 else rows(delta)
        grad_input = kernels.matrix_product(flat, self.weight.value)  # moved by one layer
        return grad_input if x.ndim == 2 else grad_input.reshape(x.shape)

    def backward_parameters(self, x: Array, delta: Array) -> None:
        if x.ndim > 2:
            x, delta = rows(x), rows(delta)
        self.weight.accumulate_product(delta.T, x)  # ∂L/∂W += δᵀ x
        if self.bias is not None:
            self.bias.accumulate_sum(delta)  # ∂L/∂b = Σ δ
