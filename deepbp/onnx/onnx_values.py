"""Tensors of an ONNX graph that is being written, with Python's operators, each of which writes a node."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import define
from onnx import NodeProto


@define(eq=False)
class Value:
    """A tensor of the graph that is being written; its operators write nodes.

    Attributes:
        graph: the ``OnnxGraph``.
        sizes: the shape, with None for what is known only when the graph runs.
        made_by: the node that makes it, of a tensor that is not given.
    """

    __array_ufunc__ = None  # so that NumPy leaves operators to this class

    graph: Any
    name: str
    sizes: tuple[Any, ...]
    dtype: "np.dtype[Any]"
    made_by: NodeProto | None = None

    def _two(self, kind: str, one: Any, other: Any, dtype: Any = None) -> "Value":
        made: Value = self.graph.two(kind, one, other, dtype)
        return made

    def __add__(self, other: Any) -> "Value":
        return self._two("Add", self, other)

    def __radd__(self, other: Any) -> "Value":
        return self._two("Add", other, self)

    def __sub__(self, other: Any) -> "Value":
        return self._two("Sub", self, other)

    def __rsub__(self, other: Any) -> "Value":
        return self._two("Sub", other, self)

    def __mul__(self, other: Any) -> "Value":
        return self._two("Mul", self, other)

    def __rmul__(self, other: Any) -> "Value":
        return self._two("Mul", other, self)

    def __truediv__(self, other: Any) -> "Value":
        return self._two("Div", self, other)

    def __rtruediv__(self, other: Any) -> "Value":
        return self._two("Div", other, self)

    def __floordiv__(self, other: int) -> "Value":
        return self._two("Div", self, other)  # of sizes, which are whole numbers

    def __neg__(self) -> "Value":
        made: Value = self.graph.one("Neg", self)
        return made

    def __pow__(self, exponent: Any) -> "Value":
        if exponent in (2, 3):  # exact, where Pow need not be
            square = self._two("Mul", self, self)
            return square if exponent == 2 else self._two("Mul", square, self)
        return self._two("Pow", self, exponent)

    def __rpow__(self, base: Any) -> "Value":
        return self._two("Pow", base, self)

    def __matmul__(self, other: "Value") -> "Value":
        made: Value = self.graph.op("MatMul", [self, other], (*self.sizes[:-1], other.sizes[-1]))
        return made

    def __gt__(self, other: Any) -> "Value":
        return self._two("Greater", self, other, np.bool_)

    def __ge__(self, other: Any) -> "Value":
        return self._two("GreaterOrEqual", self, other, np.bool_)

    def __lt__(self, other: Any) -> "Value":
        return self._two("Less", self, other, np.bool_)

    def __le__(self, other: Any) -> "Value":
        return self._two("LessOrEqual", self, other, np.bool_)

    def __eq__(self, other: object) -> Any:
        return self._two("Equal", self, other, np.bool_)

    def __ne__(self, other: object) -> Any:
        return self.graph.one("Not", self._two("Equal", self, other, np.bool_))

    __hash__ = object.__hash__

    @property
    def T(self) -> "Value":  # noqa: N802  # as of an array
        made: Value = self.graph.transposed(self, [*range(len(self.sizes))][::-1])
        return made


def broadcast(shapes: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    """The common shape; a size that is unknown stays so, unless another one is more than 1."""
    made: list[Any] = []
    for i in range(-max(map(len, shapes)), 0):
        every = [shape[i] for shape in shapes if len(shape) >= -i]
        large = [n for n in every if n is not None and n != 1]
        made.append(large[0] if large else None if None in every else 1)
    return tuple(made)
