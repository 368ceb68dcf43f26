"""Bilinear layer: products of pairs of features."""

import numpy as np
from attrs import define, evolve, field

from deepbp._validation import as_shape
from deepbp.errors import ConfigurationError, ShapeError, shown
from deepbp.errors.validators import boolean, instance_of, positive_int
from deepbp.formulas.language import Formula
from deepbp.initializers import GlorotUniform, Initializer, Zeros
from deepbp.kernels import unchecked as kernels
from deepbp.layers.boundary import check_samples
from deepbp.layers.layer import Builder, Layer
from deepbp.parameters import UNBUILT, Parameter
from deepbp.typing import Array, Shape, ShapeLike


def _as_sizes(sizes: ShapeLike | None) -> Shape | None:
    if sizes is None:
        return None
    shape = as_shape(sizes, "Bilinear: sizes")
    if len(shape) != 2:
        raise ConfigurationError(f"Bilinear: sizes: expected two, of the left and of the right, got {shown(sizes)}")
    return shape


@define(eq=False)
class Bilinear(Layer[Array]):
    """Bilinear layer: zₖ = uᵀ Wₖ v + bₖ = Σᵢⱼ uᵢ vⱼ wᵢⱼₖ + bₖ, where x = [u, v].

    Equals a ``Dense`` on all products uᵢ vⱼ; multiplies the outputs of two parts of a network.

    Shapes: x (B, I + J), u (B, I), v (B, J), W (I, J, O), b (O,), z (B, O).

    Gradients: ∂L/∂W = Σ uᵢ vⱼ δₖ and ∂L/∂b = Σ δ over the batch; ∂L/∂u = Σ vⱼ wᵢⱼₖ δₖ, ∂L/∂v = Σ uᵢ wᵢⱼₖ δₖ. Only x is
    saved; each pass takes memory for I·J numbers a sample.

    Args:
        units: O, the number of outputs.
        sizes: (I, J); None splits the columns in two halves.
        use_bias: whether there is a bias b.
        weight_init, bias_init: the initializers of W and b.

    Raises:
        ShapeError: by ``build``, for samples that are not flat or whose number of columns is not I + J.

    >>> import numpy as np
    >>> from deepbp.initializers import Ones
    >>> from deepbp.layers import Bilinear, Builder
    >>> layer = Bilinear(1, weight_init=Ones())
    >>> _ = Builder(dtype="float64").build(layer, (4,))
    >>> layer.predict(np.array([[1.0, 2.0, 3.0, 4.0]]))  # (1 + 2) · (3 + 4)
    array([[21.]])

    Source: Tenenbaum & Freeman 2000.
    """

    formula = Formula(
        "pairs(x, weight) @ rows(weight) + bias",
        backward="from_pairs(delta @ rows(weight).T, x, weight)",
        gradients={"weight": "shaped_like(pairs(x, weight).T @ delta, weight)", "bias": "batch_sum(delta)"},
        output="z",
        symbols={"weight": "W", "bias": "b"},
    )

    units: int = field(validator=positive_int)
    sizes: Shape | None = field(default=None, kw_only=True, converter=_as_sizes)
    use_bias: bool = field(default=True, kw_only=True, validator=boolean)
    weight_init: Initializer = field(factory=GlorotUniform, kw_only=True, validator=instance_of(Initializer))
    bias_init: Initializer = field(factory=Zeros, kw_only=True, validator=instance_of(Initializer))
    weight: Parameter = field(init=False, default=UNBUILT)
    bias: Parameter | None = field(init=False, default=None)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        if len(input_shape) != 1:
            raise ShapeError(f"expects flat samples such as (64,), got {input_shape}: put Flatten() before it")
        width = input_shape[0]
        if self.sizes is None and width % 2:
            raise ShapeError(f"cannot cut {width} columns in two halves, got {input_shape}: give sizes=...")
        left, right = self.sizes or (width // 2, width // 2)
        if left + right != width:
            raise ShapeError(f"expects {left} + {right} = {left + right} columns, got {input_shape}")
        self.weight = builder.parameter((left, right, self.units), self.weight_init)
        if self.use_bias:
            self.bias = builder.parameter((self.units,), self.bias_init)
        return (self.units,)

    def stated_formula(self) -> Formula | None:
        if self.use_bias or self.formula is None:
            return self.formula
        gradients = {"weight": self.formula.gradients["weight"]}
        return evolve(self.formula, forward="pairs(x, weight) @ rows(weight)", gradients=gradients)

    def forward(self, x: Array) -> tuple[Array, Array]:
        left, right = self._parts(x)
        z = kernels.matrix_product(self._products(left, right), self._matrix())
        if self.bias is not None:
            z += self.bias.value
        return z, x

    def backward(self, x: Array, delta: Array) -> Array:
        self._run_backward_parameters(x, delta)
        left, right = self._parts(x)
        moved = kernels.matrix_product(delta, self._matrix().T)
        products = moved.reshape(len(x), left.shape[1], right.shape[1])  # ∂L/∂(uᵢ vⱼ)
        grad_input = np.empty(x.shape, np.result_type(x, products))
        np.einsum("bij,bj->bi", products, right, out=grad_input[:, : left.shape[1]])
        np.einsum("bij,bi->bj", products, left, out=grad_input[:, left.shape[1] :])
        return grad_input

    def backward_parameters(self, x: Array, delta: Array) -> None:
        check_samples(x, delta)
        products = self._products(*self._parts(x))
        grad = kernels.matrix_product(products.T, delta)  # ∂L/∂W = Σ uᵢ vⱼ δₖ
        self.weight.accumulate(grad.reshape(self.weight.value.shape))
        if self.bias is not None:
            self.bias.accumulate_sum(delta)  # ∂L/∂b = Σ δ

    def _matrix(self) -> Array:
        """W with a row for each product: (I·J, O)."""
        return self.weight.value.reshape(-1, self.units)

    def _parts(self, x: Array) -> tuple[Array, Array]:
        left = self.weight.value.shape[0]
        return x[:, :left], x[:, left:]

    @staticmethod
    def _products(left: Array, right: Array) -> Array:
        """All uᵢ vⱼ of each sample, (B, I·J)."""
        return (left[:, :, None] * right[:, None, :]).reshape(len(left), left.shape[1] * right.shape[1])
