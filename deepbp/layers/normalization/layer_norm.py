"""Each sample's features get mean 0 and variance 1."""

from typing import TypeAlias

from attrs import define, field

from deepbp.errors import ShapeError
from deepbp.errors.validators import positive
from deepbp.initializers import Ones, Zeros
from deepbp.layers.builder import Builder
from deepbp.layers.features import accumulate_features, expect_features, features_of
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.normalization.standardize import row_mean, standardized, standardized_backward
from deepbp.layers.refusal import expect_alike
from deepbp.parameter import UNBUILT, Parameter
from deepbp.typing import Array, Shape

Saved: TypeAlias = tuple[Array, Array]
"""x̂ and 1 / √(σ² + ε)."""

NORMAL = "(x - row_mean(x))"
ROOT = "sqrt(row_variance(x) + epsilon)"
PROJECTED = f"row_mean(gain * delta * {NORMAL})"


@define(eq=False)
class LayerNorm(Layer[Saved]):
    """y = γ · x̂ + β with x̂ = (x − μ) / √(σ² + ε): each row with the mean and variance of its own features.

    Shapes: x and y (B, …, F), γ and β (F,). Features lie along the last axis, and the means are taken along it alone,
    one for each sample and place. σ² is the mean of the squares, divided by F. Training and inference are the same.

    Backward: with δ̂ = γ δ, (δ̂ − mean δ̂ − x̂ · mean(δ̂ x̂)) / √(σ² + ε); ∂L/∂γ = Σ δ x̂, ∂L/∂β = Σ δ.

    Args:
        epsilon: ε, inside the root.

    Raises:
        ShapeError: when built for a single feature, which minus its mean is always 0, or for single numbers.

    Source: Ba, Kiros & Hinton 2016.
    """

    formula = Formula(
        f"gain * {NORMAL} / {ROOT} + shift",
        backward=f"(gain * delta - row_mean(gain * delta) - {NORMAL} * {PROJECTED} / (row_variance(x) + epsilon)) "
        f"/ {ROOT}",
        gradients={"gain": f"feature_sum(delta * {NORMAL} / {ROOT})", "shift": "feature_sum(delta)"},
        symbols={"gain": "γ", "shift": "β", "epsilon": "ε"},
    )

    epsilon: float = field(default=1e-5, kw_only=True, validator=positive)
    gain: Parameter = field(init=False, default=UNBUILT)
    shift: Parameter = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        features = features_of(input_shape)
        if features == (1,):
            raise ShapeError(f"expects at least 2 features, got {input_shape}: a number minus its own mean is always 0")
        self.gain, self.shift = builder.parameter(features, Ones()), builder.parameter(features, Zeros())
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Saved]:
        expect_features(self, x, self.gain)
        normal, inverse, _, _ = standardized(x, row_mean, self.epsilon)
        y = normal * self.gain.value
        y += self.shift.value
        return y, (normal, inverse)

    def backward(self, saved: Saved, delta: Array) -> Array:
        self.backward_parameters(saved, delta)
        return standardized_backward(*saved, delta * self.gain.value, row_mean)

    def backward_parameters(self, saved: Saved, delta: Array) -> None:
        normal, _ = saved
        expect_alike(normal, delta)
        accumulate_features(self.gain, delta * normal)  # ∂L/∂γ = Σ δ x̂
        accumulate_features(self.shift, delta)  # ∂L/∂β = Σ δ
