"""Trainable scale and shift of features."""

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
    """Trainable scale of each feature: y = γ · x.

    Shapes: x and y (B, …, F), γ (F,).

    Gradients: ∂L/∂γ = Σ δ x over all axes but the last; backpropagated gradient: γ · δ.

    Args:
        gain_init: the initializer of γ; ones by default, which make it the identity.

    Raises:
        ShapeError: by ``build``, for samples that are single numbers.

    >>> import numpy as np
    >>> from deepbp.initializers import Constant
    >>> from deepbp.layers import Builder, Scale
    >>> scale = Scale(gain_init=Constant(3))
    >>> _ = Builder().build(scale, (2,))
    >>> scale.predict(np.array([[1.0, 2.0]]))
    array([[3., 6.]])
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
        grad_input: Array = self.gain.value * delta
        return grad_input

    def backward_parameters(self, x: Array, delta: Array) -> None:
        accumulate_features(self.gain, delta * x)  # ∂L/∂γ = Σ δ x


@define(eq=False)
class Shift(Elementwise[Array]):
    """Trainable shift of each feature: y = x + β.

    Shapes: x and y (B, …, F), β (F,).

    Gradients: ∂L/∂β = Σ δ over all axes but the last; backpropagated gradient: δ.

    Args:
        shift_init: the initializer of β; zeros by default, which make it the identity.

    Raises:
        ShapeError: by ``build``, for samples that are single numbers.

    >>> import numpy as np
    >>> from deepbp.initializers import Constant
    >>> from deepbp.layers import Builder, Shift
    >>> shift = Shift(shift_init=Constant(3))
    >>> _ = Builder().build(shift, (2,))
    >>> shift.predict(np.array([[1.0, 2.0]]))
    array([[4., 5.]])
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
