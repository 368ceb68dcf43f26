"""A layer under examination: fresh copies of it, the arrays it is given, and one pass through it."""

from collections.abc import Callable
from copy import deepcopy
from math import prod
from typing import Any, TypeAlias

import attrs
import numpy as np
from attrs import define, field, frozen

from deepbp.layers import Builder, Layer
from deepbp.testing.check import CheckFailure
from deepbp.typing import Array, Shape

Inputs: TypeAlias = Callable[[np.random.Generator, Shape], Array]
"""Draws inputs of a shape that includes the batch axis."""


def standard_normal(rng: np.random.Generator, shape: Shape) -> Array:
    """What a layer is given unless it asks for something else."""
    return rng.standard_normal(shape)


@frozen
class Pass:
    """What one forward and one backward pass gave."""

    output: Array
    moved: Array
    gradients: dict[str, Array]


@define(eq=False)
class Specimen:
    """A built copy of the layer, which can be taken back to the moment after it was built.

    What passes may change, and what is taken back, are its buffers and the states of its random generators.
    """

    layer: Layer[Any]
    generator: np.random.Generator
    _buffers: list[Array] = field(init=False)
    _states: list[Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._buffers = [buffer.value.copy() for buffer in self.layer.named_buffers().values()]
        self._states = [deepcopy(generator.bit_generator.state) for generator in self._generators()]

    @property
    def output_shape(self) -> Shape:
        assert self.layer.built is not None
        return self.layer.built.output_shape

    def start_again(self) -> None:
        """Take the buffers and the random generators back to where they were, and clear the gradients."""
        for buffer, value in zip(self.layer.named_buffers().values(), self._buffers, strict=True):
            buffer.value = value
        for generator, state in zip(self._generators(), self._states, strict=True):
            generator.bit_generator.state = state
        for parameter in self.layer.parameters():
            parameter.clear_grad()

    def forward(self, x: Array) -> Array:
        """The output from a fresh start: the same for the same x, for random layers too.

        This and the methods below hand out copies, so that a layer that writes into them fails one check, not all.
        """
        self.start_again()
        return self.layer.forward(x.copy())[0]

    def outcome(self, x: Array) -> tuple[Array, float]:
        """The output from a fresh start, and what the layer adds to the loss by itself."""
        self.start_again()
        output, saved = self.layer.forward(x.copy())
        output, penalty = output.copy(), self.layer.penalty(saved)
        if not isinstance(penalty, float):
            raise CheckFailure(f"penalty: expected a float, what is added to the loss, returned {penalty!r}")
        return output, penalty

    def predict(self, x: Array) -> Array:
        """The inference pass as a network runs it: ``infer``, which is ``predict`` but for a network's own door."""
        return self.layer.infer(x.copy())

    def run(self, x: Array, delta: Array) -> Pass:
        """Forward and backward from a fresh start."""
        self.start_again()
        output, saved = self.layer.forward(x.copy())
        output = output.copy()
        moved = self.layer.backward(saved, delta.copy())
        return Pass(output, moved, self.gradients())

    def gradients(self) -> dict[str, Array]:
        """What was accumulated, copied."""
        return {name: parameter.grad.copy() for name, parameter in self.layer.named_parameters().items()}

    def delta(self, x: Array, rng: np.random.Generator) -> Array:
        """A random error signal: ones would hide mistakes, for the gradient of a sum of softmax outputs is zero."""
        return rng.standard_normal((len(x), *self.output_shape)).astype(self.dtype)

    @property
    def dtype(self) -> np.dtype[Any]:
        assert self.layer.built is not None
        return self.layer.built.dtype

    def is_random(self, x: Array) -> bool:
        """Whether two training passes over the same input differ."""
        self.start_again()
        first, second = self.layer.forward(x.copy())[0].copy(), self.layer.forward(x.copy())[0]
        return not np.array_equal(first, second, equal_nan=True)

    def is_plain(self, x: Array) -> bool:
        """Whether the training pass is a function of the parameters and of each sample alone, as far as can be seen:
        a layer with buffers may look at the whole batch, a random one differs each time.
        """
        return not self.layer.named_buffers() and not self.is_random(x)

    def _generators(self) -> list[np.random.Generator]:
        found = [self.generator]
        for layer in (self.layer, *self.layer.named_layers().values()):
            values = (getattr(layer, a.name, None) for a in attrs.fields(type(layer)))
            found += [value for value in values if isinstance(value, np.random.Generator)]
        return list({id(generator): generator for generator in found}.values())


@frozen
class LayerCase:
    """A layer's configuration and sample shape, from which every check makes what it needs, always the same."""

    prototype: Layer[Any]
    input_shape: Shape
    seed: int
    inputs: Inputs = standard_normal

    @property
    def rows(self) -> int:
        """A batch size that is not one of the other sizes, so that messages can tell which size is meant."""
        sizes = {*self.input_shape, prod(self.input_shape)}
        return next(size for size in (5, 7, 11, 13) if size not in sizes or size == 13)

    def rng(self, stream: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream])

    def unbuilt(self) -> Layer[Any]:
        """A copy, to be built."""
        layer = deepcopy(self.prototype)
        for inner in (layer, *layer.named_layers().values()):
            inner.built = None  # a network may have been built when it was made
        return layer

    def build(self, dtype: str = "float64", *, seed: int = 0, move: bool = True) -> Specimen:
        """A fresh copy, built; parameters that all start alike are moved, so that no symmetry hides a mistake."""
        layer = self.unbuilt()
        generator = np.random.default_rng([self.seed, 1000 + seed])
        Builder(generator, dtype).build(layer, self.input_shape)
        if move:
            rng = self.rng(2000)
            for parameter in layer.parameters():
                value = parameter.value
                if value.size and (value == value.flat[0]).all():
                    parameter.value = value + 0.1 * rng.standard_normal(value.shape)
        return Specimen(layer, generator)

    def x(self, rows: int | None = None, stream: int = 0, dtype: str = "float64") -> Array:
        """Inputs: ``rows`` samples, others for each stream."""
        count = self.rows if rows is None else rows
        values = np.asarray(self.inputs(self.rng(stream), (count, *self.input_shape)))
        return values.astype(dtype) if values.dtype.kind == "f" else values

    def takes_real_numbers(self) -> bool:
        """False for layers that take indices: there is no gradient with respect to those."""
        return self.x(1).dtype.kind == "f"
