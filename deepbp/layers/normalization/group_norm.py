"""Each group of a sample's features gets mean 0 and variance 1."""

from math import prod
from typing import TypeAlias

import numpy as np
from attrs import define, field

from deepbp.errors import ShapeError
from deepbp.errors.validators import positive, positive_int
from deepbp.initializers import Ones, Zeros
from deepbp.layers.builder import Builder
from deepbp.layers.features import accumulate_features, expect_features, features_of
from deepbp.layers.layer import Layer
from deepbp.layers.normalization.standardize import standardized, standardized_backward
from deepbp.layers.refusal import expect_alike
from deepbp.parameter import UNBUILT, Parameter
from deepbp.typing import Array, Shape

Saved: TypeAlias = tuple[Array, Array]
"""x̂, and 1 / √(σ² + ε) of each sample's groups."""


def _group_mean(grouped: Array) -> Array:
    """(B, P, G, F/G) to (B, 1, G, 1): over the places and over the features of a group."""
    return np.asarray(grouped.mean(axis=(1, 3), keepdims=True))


@define(eq=False)
class GroupNorm(Layer[Saved]):
    """y = γ · x̂ + β with x̂ = (x − μ) / √(σ² + ε): each sample with the mean and variance of each group of its features.

    Shapes: x and y (B, …, F), γ and β (F,). The last axis, the features, is cut into G groups of F/G neighbours; a mean
    is taken over a group and over all axes between the samples and the features, for each sample by itself. So samples
    of shape (F,) have F/G numbers in a mean, and images (H, W, F) have H·W·F/G. One group normalises a whole sample;
    as many groups as features are instance normalisation. σ² is the mean of the squares. Training and inference are
    the same.

    Backward: with δ̂ = γ δ, (δ̂ − mean δ̂ − x̂ · mean(δ̂ x̂)) / √(σ² + ε); ∂L/∂γ = Σ δ x̂, ∂L/∂β = Σ δ.

    Args:
        groups: G, a divisor of F.
        epsilon: ε, inside the root.

    Raises:
        ShapeError: when built for a number of features that G does not divide, or where a mean would be of one number.

    Source: Wu & He 2018; instance normalisation: Ulyanov, Vedaldi & Lempitsky 2016.
    """

    groups: int = field(validator=positive_int)
    epsilon: float = field(default=1e-5, kw_only=True, validator=positive)
    gain: Parameter = field(init=False, default=UNBUILT)
    shift: Parameter = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        features = features_of(input_shape)
        if features[0] % self.groups:
            raise ShapeError(f"cannot cut {features[0]} features into {self.groups} equal groups, got {input_shape}")
        if prod(input_shape) == self.groups:
            raise ShapeError(
                f"expects groups of at least 2 numbers, got {input_shape}: a number minus its own mean is always 0"
            )
        self.gain, self.shift = builder.parameter(features, Ones()), builder.parameter(features, Zeros())
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Saved]:
        expect_features(self, x, self.gain)
        grouped, inverse, _, _ = standardized(self._grouped(x), _group_mean, self.epsilon)
        normal = grouped.reshape(x.shape)
        y = normal * self.gain.value
        y += self.shift.value
        return y, (normal, inverse)

    def backward(self, saved: Saved, delta: Array) -> Array:
        self.backward_parameters(saved, delta)
        normal, inverse = saved
        grouped = self._grouped(delta * self.gain.value)
        return standardized_backward(self._grouped(normal), inverse, grouped, _group_mean).reshape(delta.shape)

    def backward_parameters(self, saved: Saved, delta: Array) -> None:
        normal, _ = saved
        expect_alike(normal, delta)
        accumulate_features(self.gain, delta * normal)  # ∂L/∂γ = Σ δ x̂
        accumulate_features(self.shift, delta)  # ∂L/∂β = Σ δ

    def _grouped(self, x: Array) -> Array:
        """(B, …, F) to (B, P, G, F/G), with P places."""
        return x.reshape(len(x), prod(x.shape[1:-1]), self.groups, x.shape[-1] // self.groups)
