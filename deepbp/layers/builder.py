"""What builds a network: it makes parameters and buffers and holds the one seed and the one dtype."""

from typing import Any

import attrs
import numpy as np
from attrs import define, field

from deepbp.arrays import as_dtype, as_generator, as_shape
from deepbp.errors import ArgumentTypeError, ContractError, DeepBPError, ShapeError
from deepbp.initializers import Initializer, Zeros
from deepbp.layers.layer import Built, Layer
from deepbp.parameter import Buffer, Parameter
from deepbp.typing import Array, Shape


@define(eq=False)
class Builder:
    """Handed to each layer's ``build``."""

    rng: np.random.Generator = field(default=None, converter=as_generator)
    dtype: np.dtype[Any] = field(default="float32", converter=as_dtype)
    _made: list[Layer[Any]] = field(factory=list, init=False)

    def parameter(self, shape: Shape, initializer: Initializer) -> Parameter:
        """A new trained array, with its first values drawn by the initializer."""
        return Parameter(self._draw(shape, initializer))

    def buffer(self, shape: Shape, initializer: Initializer | None = None) -> Buffer:
        """A new array that is saved but not trained; zeros unless an initializer is given."""
        return Buffer(self._draw(shape, Zeros() if initializer is None else initializer))

    def _draw(self, shape: Shape, initializer: Initializer) -> Array:
        shape = as_shape(shape, "shape")
        if not callable(initializer) or isinstance(initializer, type):
            raise ArgumentTypeError(f"initializer: expected one such as Zeros(), got {initializer!r}")
        try:
            values = initializer(shape, self.rng, self.dtype)
        except Exception as error:
            error.add_note(f"in initializer {initializer!r}, shape {shape}")
            raise
        if not isinstance(values, np.ndarray) or values.shape != shape or values.dtype != self.dtype:
            got = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else repr(values)
            raise ContractError(f"initializer {initializer!r}: expected {self.dtype} of shape {shape}, got {got}")
        return values

    def build(self, layer: Layer[Any], input_shape: Shape) -> Shape:
        """Build a layer for samples of this shape, or check that it was built for them, and return its output shape.

        A composite layer calls this for the layers inside it. A layer that holds anything already, parameters or
        layers, because it is used twice or comes trained from elsewhere, keeps it and its sizes.
        """
        check_class(layer)
        input_shape = as_shape(input_shape)
        built = layer.built
        if built is not None and any(layer._walk()):
            if built.dtype != self.dtype:
                raise ContractError(f"the layer was built with {built.dtype}, the network has {self.dtype}")
            if built.input_shape != input_shape:
                raise ShapeError(
                    f"the layer was built for samples of shape {built.input_shape}, got {input_shape}: "
                    "make a new layer, or use it with the same shape"
                )
            return built.output_shape
        try:
            output_shape = layer.build(input_shape, self)
        except DeepBPError:
            raise
        except Exception as error:
            error.add_note(f"in build of {layer}, input shape {input_shape}")
            raise
        if not isinstance(output_shape, tuple) or not all(isinstance(n, int | np.integer) for n in output_shape):
            raise ContractError(f"build: expected the output shape, a tuple of sizes, returned {output_shape!r}")
        layer.built = Built(input_shape, output_shape, self.dtype)
        self._made.append(layer)
        return output_shape

    def with_rng(self, rng: np.random.Generator) -> "Builder":
        """The same builder with another generator, for a network inside that has a seed of its own."""
        other = Builder(rng, self.dtype)
        other._made = self._made
        return other

    def undo(self) -> None:
        """Forget what was built here, for a build that failed later on: another shape may be tried."""
        for layer in self._made:
            layer.built = None


def check_class(layer: Any) -> None:
    """A layer's class keeps the rules that make configuration, copies and threads safe."""
    if isinstance(layer, type) and issubclass(layer, Layer):
        raise ContractError(f"expected a layer, got the class {layer.__name__}: write {layer.__name__}()")
    if not isinstance(layer, Layer):
        raise ContractError(f"expected a layer, got {layer!r}")
    cls = type(layer)
    if "__attrs_attrs__" not in cls.__dict__:
        raise ContractError(
            f"class {cls.__name__}: put @define(eq=False), from attrs, above the class: its fields are its "
            "configuration, and a result kept on the layer would be an error at once"
        )
    if attrs.inspect(cls).added_eq:
        raise ContractError(f"class {cls.__name__}: write @define(eq=False): two layers are never the same layer")
