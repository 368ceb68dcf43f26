"""Each feature gets mean 0 and variance 1 over the batch."""

from typing import TypeAlias

import numpy as np
from attrs import define, field

from deepbp.errors.validators import fraction, positive
from deepbp.initializers import Ones, Zeros
from deepbp.layers.builder import Builder
from deepbp.layers.features import accumulate_features, expect_features, features_of
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.normalization.standardize import batch_mean, standardized, standardized_backward
from deepbp.layers.refusal import expect_alike
from deepbp.parameter import UNBUILT, Buffer, Parameter
from deepbp.typing import Array, Shape

Saved: TypeAlias = tuple[Array, Array]
"""x̂ and 1 / √(σ² + ε)."""

NORMAL = "(x - feature_mean(x))"
ROOT = "sqrt(feature_variance(x) + epsilon)"
PROJECTED = f"feature_mean(delta * {NORMAL})"


@define(eq=False)
class BatchNorm(Layer[Saved]):
    """y = γ · x̂ + β with x̂ = (x − μ) / √(σ² + ε): each feature with its mean and variance over the batch.

    In inference μ and σ² are running averages, so that a sample's result does not depend on the others: after each
    training pass, running ← momentum · running + (1 − momentum) · batch. They start at 0 and 1.

    Shapes: x and y (B, …, F); γ, β and the averages (F,). Features lie along the last axis, and the means are taken
    over all the others. σ² is the mean of the squares, divided by n, the number of values of a feature in a batch; the
    running average takes in the unbiased σ² · n / (n − 1). A batch of one value says nothing about the variance: x̂ is
    0, no error signal passes, and the running variance stays as it is.

    Backward: with δ̂ = γ δ, (δ̂ − mean δ̂ − x̂ · mean(δ̂ x̂)) / √(σ² + ε); ∂L/∂γ = Σ δ x̂, ∂L/∂β = Σ δ.

    Args:
        momentum: the share of the running averages that stays in each step. PyTorch's ``momentum`` is 1 minus this.
        epsilon: ε, inside the root.

    Raises:
        ShapeError: when built for samples that are single numbers.

    Source: Ioffe & Szegedy 2015.
    """

    formula = Formula(
        f"gain * {NORMAL} / {ROOT} + shift",
        backward=f"gain * (delta - feature_mean(delta) - {NORMAL} * {PROJECTED} / (feature_variance(x) + epsilon)) "
        f"/ {ROOT}",
        gradients={"gain": f"feature_sum(delta * {NORMAL} / {ROOT})", "shift": "feature_sum(delta)"},
        symbols={"gain": "γ", "shift": "β", "epsilon": "ε"},
    )

    momentum: float = field(default=0.9, kw_only=True, validator=fraction)
    epsilon: float = field(default=1e-5, kw_only=True, validator=positive)
    gain: Parameter = field(init=False, default=UNBUILT)
    shift: Parameter = field(init=False, default=UNBUILT)
    running_mean: Buffer = field(init=False, default=UNBUILT)
    running_variance: Buffer = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        features = features_of(input_shape)
        self.gain, self.shift = builder.parameter(features, Ones()), builder.parameter(features, Zeros())
        self.running_mean, self.running_variance = builder.buffer(features), builder.buffer(features, Ones())
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Saved]:
        expect_features(self, x, self.gain)
        rows = x.reshape(-1, x.shape[-1])
        # differences from some sample are small where features are large: float32 then keeps the digits of the mean
        start = rows[0] if len(rows) else np.zeros_like(self.gain.value)
        normal, inverse, mean, variance = standardized(rows - start, batch_mean, self.epsilon)
        self._remember(len(rows), start + mean, variance)
        normal = normal.reshape(x.shape)
        y = normal * self.gain.value
        y += self.shift.value
        return y, (normal, inverse)

    def _remember(self, count: int, mean: Array, variance: Array) -> None:
        kept = float(self.momentum)
        if count > 0:
            self.running_mean.value = kept * self.running_mean.value + (1 - kept) * mean
        if count > 1:
            unbiased = variance * (count / (count - 1))
            self.running_variance.value = kept * self.running_variance.value + (1 - kept) * unbiased

    def backward(self, saved: Saved, delta: Array) -> Array:
        self.backward_parameters(saved, delta)
        normal, inverse = saved
        features = len(inverse)
        rows = (delta * self.gain.value).reshape(-1, features)
        moved = standardized_backward(normal.reshape(-1, features), inverse, rows, batch_mean)
        return moved.reshape(delta.shape)

    def backward_parameters(self, saved: Saved, delta: Array) -> None:
        normal, _ = saved
        expect_alike(normal, delta)
        accumulate_features(self.gain, delta * normal)  # ∂L/∂γ = Σ δ x̂
        accumulate_features(self.shift, delta)  # ∂L/∂β = Σ δ

    def predict(self, x: Array) -> Array:
        expect_features(self, x, self.gain)
        y = x - self.running_mean.value
        y *= self.gain.value / np.sqrt(self.running_variance.value + float(self.epsilon))
        y += self.shift.value
        return y
