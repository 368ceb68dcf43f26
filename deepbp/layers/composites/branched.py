"""Branches side by side: what residual blocks, parallel and split layers are."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import define, field

from deepbp.layers.builder import Builder
from deepbp.layers.composites.inner import Inner, check_array
from deepbp.layers.composites.merging import Merge, added, merged, merged_shape, parted
from deepbp.layers.layer import Layer
from deepbp.typing import Array, Shape


@define(eq=False)
class Branched(Layer[tuple[list[Any], list[Array]]]):
    """y = merge(f₁(x₁), f₂(x₂), …), where each branch gets a copy of the input, or columns of its own.

    Backward: merge's rule takes the error signal apart, each branch moves its part back, and at the input they meet:
    where x was copied, x acts on the loss through every branch, so the error signals *add*; where it was cut into
    columns, they stand side by side again.

    It remembers what the branches remember, and their outputs where a product needs them.
    """

    inner: tuple[Inner, ...] = field(default=(), init=False)
    columns: tuple[slice, ...] = field(default=(), init=False)  # of the input, one for each branch; none where copied
    _shapes: tuple[Shape, ...] = field(default=(), init=False)

    @abstractmethod
    def named_branches(self) -> "dict[str, Layer[Any] | None]":
        """By the paths that lead there; None for a branch that passes on what it gets."""

    @abstractmethod
    def merging(self) -> Merge:
        """How the branches' outputs become one."""

    def cut(self, input_shape: Shape) -> tuple[slice, ...]:
        """The columns for each branch; none where every branch gets them all."""
        return ()

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        branches = self.named_branches()
        columns = self.cut(input_shape)
        shapes = [(*input_shape[:-1], one.stop - one.start) for one in columns] or [input_shape] * len(branches)
        inner = [Inner.built(*named, shape, builder) for named, shape in zip(branches.items(), shapes, strict=True)]
        output_shape = self.output_shape([one.output_shape for one in inner])
        self.inner, self.columns, self._shapes = tuple(inner), columns, (input_shape, output_shape)
        return output_shape

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Of the merged samples. Raises ShapeError where these do not fit together."""
        return merged_shape(self.merging(), shapes)

    def forward(self, x: Array) -> tuple[Array, tuple[list[Any], list[Array]]]:
        check_array(self, "x", x, self._shapes)
        outputs, memories = [], []
        for one, part in zip(self.inner, self._parts(x), strict=True):
            output, memory = one.forward(part)
            outputs.append(output)
            memories.append(memory)
        return merged(self.merging(), outputs), (memories, outputs if self.merging() == "multiply" else [])

    def backward(self, saved: tuple[list[Any], list[Array]], delta: Array) -> Array:
        deltas = self._apart(saved, delta)
        moved = [one.backward(*pair) for one, *pair in zip(self.inner, saved[0], deltas, strict=True)]
        return np.concatenate(moved, axis=-1) if self.columns else added(moved)

    def backward_parameters(self, saved: tuple[list[Any], list[Array]], delta: Array) -> None:
        deltas = self._apart(saved, delta)
        for one, memory, part in zip(self.inner, saved[0], deltas, strict=True):
            if one.is_trained:
                one.backward_parameters(memory, part)

    def penalty(self, saved: tuple[list[Any], list[Array]]) -> float:
        return sum((one.penalty(memory) for one, memory in zip(self.inner, saved[0], strict=True)), 0.0)

    def has_penalty(self) -> bool:
        return any(layer is not None and layer.has_penalty() for layer in self.named_branches().values())

    def predict(self, x: Array) -> Array:
        check_array(self, "x", x, self._shapes)
        return merged(self.merging(), [one.infer(part) for one, part in zip(self.inner, self._parts(x), strict=True)])

    def _parts(self, x: Array) -> list[Array]:
        return [x[..., one] for one in self.columns] or [x] * len(self.inner)

    def _apart(self, saved: tuple[list[Any], list[Array]], delta: Array) -> list[Array]:
        check_array(self, "delta", delta, self._shapes)
        widths = [one.output_shape[-1] if one.output_shape else 1 for one in self.inner]
        return parted(self.merging(), widths, saved[1], delta)
