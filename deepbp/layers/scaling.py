"""Learned elementwise scale and shift."""

from attrs import define, field

from deepbp.errors.validators import instance_of
from deepbp.formulas.language import Formula
from deepbp.initializers import Initializer, Ones, Zeros
from deepbp.layers.layer import Builder, Elementwise
from deepbp.layers.normalization import accumulate_features, features_of
from deepbp.parameters import UNBUILT, Parameter
from deepbp.typing import Array, Shape


@define(eq=False)
class Scale(Elementwise[Array]):
    """y = γ · x: each feature times a gain of its own.

    Shapes: x and y (B, …, F), γ (F,).

    Backward: γ · δ, and ∂L/∂γ = Σ δ x over all axes but the last.

    Args:
        gain_init: how the first gains are drawn; ones, so that it starts as the identity.

    Raises:
        ShapeError: when built for samples that are single numbers.
    """

    formula = Formula(
        "gain * x", backward="gain * delta", gradients={"gain": "feature_sum(delta * x)"}, symbols={"gain": "γ"}
    )

    gain_init: Initializer = field(factory=Ones, kw_only=True, validator=instance_of(Initializer))
    gain: Parameter = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = builder.parameter(features_of(input_shape), self.gain_init)
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        return self.gain.value * x, x

    def backward(self, x: Array, delta: Array) -> Array:
        self._run_backward_parameters(x, delta)
        moved: Array = self.gain.value * delta
        return moved

    def backward_parameters(self, x: Array, delta: Array) -> None:
        accumulate_features(self.gain, delta * x)  # ∂L/∂γ = Σ δ x


@define(eq=False)
class Shift(Elementwise[Array]):
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
        y = x + self.shift.value
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        self._run_backward_parameters(y, delta)
        return delta.copy()

    def backward_parameters(self, y: Array, delta: Array) -> None:
        accumulate_features(self.shift, delta)  # ∂L/∂β = Σ δ
