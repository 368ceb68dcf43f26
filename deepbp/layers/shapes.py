"""Layers without parameters that reshape samples, or stop the gradient."""

from math import prod
from typing import Any, ClassVar

import numpy as np
from attrs import define, field

from deepbp._validation import as_shape
from deepbp.errors import ConfigurationError, ShapeError, shown
from deepbp.errors.validators import as_python_number
from deepbp.formulas.language import Formula
from deepbp.layers.layer import Builder, Elementwise, Layer
from deepbp.program.program import Program, Slot
from deepbp.typing import Array, Shape, ShapeLike


def _reshaped(layer: Layer[Any], program: Program, x: Slot) -> Slot:
    """The same memory under another shape."""
    if layer.built is None:
        return program.layer(layer, x)
    shape = (program.rows, *layer.built.output_shapes[x.value.shape[1:]])
    return Slot(x.value.reshape(shape), None if x.delta is None else x.delta.reshape(shape))


def features_of(input_shape: Shape) -> Shape:
    """The shape (F,) of one number for each feature of samples (…, F). Raises ShapeError for single numbers."""
    if not input_shape:
        raise ShapeError("expects samples with an axis of features, got (): single numbers have none")
    return input_shape[-1:]


@define(eq=False)
class Flatten(Layer[tuple[int, ...]]):
    """Flatten samples: (B, H, W, …) becomes (B, H·W·…); ``backward`` restores the shape.

    >>> import numpy as np
    >>> from deepbp.layers import Flatten
    >>> Flatten().predict(np.ones((5, 28, 28))).shape
    (5, 784)
    """

    formula = Formula("reshape(x, output_shape)", backward="reshape(delta, input_shape)")

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        return (prod(input_shape),)

    def forward(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        return x.reshape(len(x), prod(x.shape[1:])), x.shape

    def backward(self, shape: tuple[int, ...], delta: Array) -> Array:
        return delta.reshape(shape)

    def lower(self, program: Program, x: Slot) -> Slot:
        return _reshaped(self, program, x)


def _as_target(shape: ShapeLike) -> Shape:
    sizes = tuple(map(as_python_number, shape if isinstance(shape, list | tuple) else (shape,)))
    as_shape([1 if isinstance(size, int) and size == -1 else size for size in sizes], "Reshape")
    if sizes.count(-1) > 1:
        raise ConfigurationError(f"Reshape: expected at most one -1, got {shown(shape)}")
    return sizes


@define(eq=False)
class Reshape(Layer[tuple[int, ...]]):
    """Reshape samples, in the order of their numbers; ``backward`` restores the shape.

    Args:
        shape: the new shape of a sample; one size may be −1, which is inferred.

    Raises:
        ShapeError: by ``build``, for samples with another number of elements.

    >>> import numpy as np
    >>> from deepbp.layers import Reshape
    >>> Reshape((28, -1)).predict(np.ones((5, 784))).shape
    (5, 28, 28)
    """

    formula = Formula("reshape(x, output_shape)", backward="reshape(delta, input_shape)")

    shape: Shape = field(converter=_as_target)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        size, known = prod(input_shape), -prod(self.shape) if -1 in self.shape else prod(self.shape)
        if size % known or (-1 not in self.shape and size != known):
            raise ShapeError(f"cannot give {size} numbers the shape {self.shape}, got {input_shape}")
        return tuple(size // known if n == -1 else n for n in self.shape)

    def forward(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        known = -prod(self.shape) if -1 in self.shape else 1
        shape = (prod(x.shape[1:]) // known if n == -1 else n for n in self.shape)
        return x.reshape(len(x), *shape), x.shape  # every size by number: −1 cannot be guessed for no samples

    def backward(self, shape: tuple[int, ...], delta: Array) -> Array:
        return delta.reshape(shape)

    def lower(self, program: Program, x: Slot) -> Slot:
        return _reshaped(self, program, x)


@define(eq=False)
class StopGradient(Elementwise[Array]):
    """Identity with a gradient of zero: y = x, for samples of any shape, as if x were a constant.

    Backpropagated gradient: 0, a surrogate gradient, not the derivative. In a chain nothing below it trains, for which
    ``freeze`` is the better way, since frozen layers compute no gradients. Use it in one branch of a ``Parallel``,
    whose input still gets the gradients of the other branches.

    >>> import numpy as np
    >>> from deepbp.layers import StopGradient
    >>> y, saved = StopGradient().forward(np.array([[1.0, 2.0]]))
    >>> y, StopGradient().backward(saved, np.ones((1, 2)))
    (array([[1., 2.]]), array([[0., 0.]]))

    Source: the bars over constants in papers; Bengio, Léonard & Courville 2013 on replaced gradients.
    """

    formula = Formula("x", backward="0 * delta")
    surrogate_gradient: ClassVar[bool] = True

    def forward(self, x: Array) -> tuple[Array, Array]:
        y = x.copy()
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return np.zeros_like(y)
