"""Maxout layer: the maximum of several dense layers."""

from typing import TypeAlias

import numpy as np
from attrs import define, field

from deepbp.errors import ShapeError
from deepbp.errors.validators import instance_of, positive_int, whole_number
from deepbp.formulas.language import Formula
from deepbp.initializers import Initializer, LeCunNormal, Zeros
from deepbp.kernels import unchecked as kernels
from deepbp.layers.boundary import check_samples
from deepbp.layers.layer import Builder, Layer
from deepbp.parameters import UNBUILT, Parameter
from deepbp.typing import Array, Shape

Saved: TypeAlias = tuple[Array, Array]
"""x, and the index of the largest piece."""

several = whole_number(2)

_SUMS = "x @ weight + bias"
_LARGEST = f"to_largest(delta, {_SUMS}, pieces)"


@define(eq=False)
class Maxout(Layer[Saved]):
    """Maxout layer: y = max over k of (x Wₖ + bₖ), a trainable piecewise linear activation.

    Shapes: x (B, I), W (I, K·O), whose columns k·O to (k+1)·O − 1 are Wₖ, b (K·O,), y (B, O).

    Gradients: δ belongs to the largest piece, to the first of equal ones; from there on as in a ``Dense``.

    Args:
        units: O, the number of outputs.
        pieces: K, the number of weighted sums for each output.
        weight_init, bias_init: the initializers of W and b. The variance 1/I of ``LeCunNormal`` keeps the mean square
            of the activations with two pieces: the larger of two numbers with the same distribution around 0 has the
            mean square of each.

    Raises:
        ShapeError: by ``build``, for samples that are not flat.

    >>> import numpy as np
    >>> from deepbp.layers import Builder, Maxout
    >>> layer = Maxout(1)
    >>> _ = Builder(dtype="float64").build(layer, (1,))
    >>> layer.weight.value = [[1.0, -1.0]]
    >>> layer.predict(np.array([[-3.0], [2.0]]))  # max(x, −x) = |x|
    array([[3.],
           [2.]])

    Source: Goodfellow et al. 2013.
    """

    formula = Formula(
        f"largest_piece({_SUMS}, pieces)",
        backward=f"{_LARGEST} @ weight.T",
        gradients={"weight": f"x.T @ {_LARGEST}", "bias": f"batch_sum({_LARGEST})"},
        symbols={"weight": "W", "bias": "b"},
    )

    units: int = field(validator=positive_int)
    pieces: int = field(default=2, validator=several)
    weight_init: Initializer = field(factory=LeCunNormal, kw_only=True, validator=instance_of(Initializer))
    bias_init: Initializer = field(factory=Zeros, kw_only=True, validator=instance_of(Initializer))
    weight: Parameter = field(init=False, default=UNBUILT)
    bias: Parameter = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        if len(input_shape) != 1:
            raise ShapeError(f"expects flat samples such as (64,), got {input_shape}: put Flatten() before it")
        self.weight = builder.parameter((*input_shape, self.pieces * self.units), self.weight_init)
        self.bias = builder.parameter((self.pieces * self.units,), self.bias_init)
        return (self.units,)

    def forward(self, x: Array) -> tuple[Array, Saved]:
        z = kernels.matrix_product(x, self.weight.value) + self.bias.value
        sums = z.reshape(len(x), self.pieces, self.units)
        winner = sums.argmax(axis=1)[:, None]  # (B, 1, O)
        return np.take_along_axis(sums, winner, axis=1)[:, 0], (x, winner)

    def backward(self, saved: Saved, delta: Array) -> Array:
        return kernels.matrix_product(self._accumulated(saved, delta), self.weight.value.T)

    def backward_parameters(self, saved: Saved, delta: Array) -> None:
        self._accumulated(saved, delta)

    def _accumulated(self, saved: Saved, delta: Array) -> Array:
        """Accumulate the parameter gradients, and return ∂L/∂z: δ at the largest piece, 0 at the others."""
        x, winner = saved
        check_samples(x, delta)
        sums = np.zeros((len(x), self.pieces, self.units), delta.dtype)
        np.put_along_axis(sums, winner, delta[:, None], axis=1)
        at_sums = sums.reshape(len(x), self.pieces * self.units)
        self.weight.accumulate_product(x.T, at_sums)  # ∂L/∂W = xᵀ ∂L/∂z
        self.bias.accumulate_sum(at_sums)  # ∂L/∂b = Σ ∂L/∂z
        return at_sums
