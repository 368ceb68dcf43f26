"""Lay all numbers of a sample in one row."""

from math import prod

from attrs import define

from deepbp.layers.builder import Builder
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import refusal
from deepbp.typing import Array, Shape


@define(eq=False)
class Flatten(Layer[tuple[int, ...]]):
    """(B, H, W, …) becomes (B, H·W·…); backward gives the error signal its old shape."""

    formula = Formula("reshape(x, output_shape)", backward="reshape(delta, input_shape)")

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        return (prod(input_shape),)

    def forward(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        try:
            return x.reshape(len(x), prod(x.shape[1:])), x.shape
        except Exception as error:
            raise refusal(self, error, "x", x) from None

    def backward(self, shape: tuple[int, ...], delta: Array) -> Array:
        try:
            return delta.reshape(shape)
        except Exception as error:
            raise refusal(self, error, "delta", delta) from None
