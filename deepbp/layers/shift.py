"""A trained offset for each feature."""

from attrs import define, field

from deepbp.errors.validators import instance_of
from deepbp.initializers import Initializer, Zeros
from deepbp.layers.builder import Builder
from deepbp.layers.features import accumulate_features, expect_features, features_of
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike
from deepbp.parameter import UNBUILT, Parameter
from deepbp.typing import Array, Shape


@define(eq=False)
class Shift(Layer[Array]):
    """y = x + β: each feature plus an offset of its own.

    Shapes: x and y (B, …, F), β (F,).

    Backward: δ as it is, and ∂L/∂β = Σ δ over all axes but the last.

    Args:
        shift_init: how the first offsets are drawn; zeros, so that it starts as the identity.

    Raises:
        ShapeError: when built for samples that are single numbers.
    """

    formula = Formula("x + shift", backward="delta", gradients={"shift": "feature_sum(delta)"}, symbols={"shift": "β"})

    shift_init: Initializer = field(factory=Zeros, kw_only=True, validator=instance_of(Initializer))
    shift: Parameter = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.shift = builder.parameter(features_of(input_shape), self.shift_init)
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        expect_features(self, x, self.shift)
        y = x + self.shift.value
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        self.backward_parameters(y, delta)
        return delta.copy()

    def backward_parameters(self, y: Array, delta: Array) -> None:
        expect_alike(y, delta)
        accumulate_features(self.shift, delta)  # ∂L/∂β = Σ δ
