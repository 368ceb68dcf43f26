"""Each sample's features get the root mean square 1."""

from typing import TypeAlias

import numpy as np
from attrs import define, field

from deepbp.errors.validators import positive
from deepbp.initializers import Ones
from deepbp.layers.builder import Builder
from deepbp.layers.features import accumulate_features, expect_features, features_of
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.normalization.standardize import row_mean
from deepbp.layers.refusal import expect_alike
from deepbp.parameter import UNBUILT, Parameter
from deepbp.typing import Array, Shape

Saved: TypeAlias = tuple[Array, Array]
"""x̂ and 1 / √(mean x² + ε)."""

SQUARE = "(row_mean(x**2) + epsilon)"


@define(eq=False)
class RMSNorm(Layer[Saved]):
    """y = γ · x̂ with x̂ = x / √(mean x² + ε): each row divided by the root mean square of its own features.

    A layer normalisation that leaves the mean where it is, and has no offset.

    Shapes: x and y (B, …, F), γ (F,). Features lie along the last axis, and the mean is taken along it alone.

    Backward: with δ̂ = γ δ, (δ̂ − x̂ · mean(δ̂ x̂)) / √(mean x² + ε); ∂L/∂γ = Σ δ x̂.

    Args:
        epsilon: ε, inside the root.

    Raises:
        ShapeError: when built for samples that are single numbers.

    Source: Zhang & Sennrich 2019.
    """

    formula = Formula(
        f"gain * x / sqrt{SQUARE}",
        backward=f"(gain * delta - x * row_mean(gain * delta * x) / {SQUARE}) / sqrt{SQUARE}",
        gradients={"gain": f"feature_sum(delta * x / sqrt{SQUARE})"},
        symbols={"gain": "γ", "epsilon": "ε"},
    )

    epsilon: float = field(default=1e-6, kw_only=True, validator=positive)
    gain: Parameter = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = builder.parameter(features_of(input_shape), Ones())
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Saved]:
        expect_features(self, x, self.gain)
        inverse = 1 / np.sqrt(row_mean(x * x) + float(self.epsilon))
        normal = x * inverse
        return normal * self.gain.value, (normal, inverse)

    def backward(self, saved: Saved, delta: Array) -> Array:
        self.backward_parameters(saved, delta)
        normal, inverse = saved
        moved = delta * self.gain.value
        moved -= normal * row_mean(moved * normal)  # x acts on x̂ by itself, and through the mean of the squares
        moved *= inverse
        return moved

    def backward_parameters(self, saved: Saved, delta: Array) -> None:
        normal, _ = saved
        expect_alike(normal, delta)
        accumulate_features(self.gain, delta * normal)  # ∂L/∂γ = Σ δ x̂
