"""Give each sample another shape."""

from math import prod

from attrs import define, field

from deepbp.arrays import as_shape
from deepbp.errors import ConfigurationError, ShapeError
from deepbp.layers.builder import Builder
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import refusal
from deepbp.typing import Array, Shape, ShapeLike


def _as_target(shape: ShapeLike) -> Shape:
    sizes = tuple(shape) if isinstance(shape, list | tuple) else (shape,)
    as_shape([1 if isinstance(size, int) and size == -1 else size for size in sizes], "Reshape")
    if sizes.count(-1) > 1:
        raise ConfigurationError(f"Reshape: expected at most one -1, got {shape!r}")
    return sizes


@define(eq=False)
class Reshape(Layer[tuple[int, ...]]):
    """The numbers of each sample, in order, in another shape; backward gives the error signal its old shape.

    Args:
        shape: of the new samples; one size may be −1, for what is left over.

    Raises:
        ShapeError: when built for samples that hold another number of numbers.
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
        try:
            return x.reshape(len(x), *shape), x.shape  # every size by number: −1 cannot be guessed for no samples
        except Exception as error:
            raise refusal(self, error, "x", x) from None

    def backward(self, shape: tuple[int, ...], delta: Array) -> Array:
        try:
            return delta.reshape(shape)
        except Exception as error:
            raise refusal(self, error, "delta", delta) from None
