"""Normalization layers: batch, layer, group and root-mean-square."""

from collections.abc import Callable
from math import isfinite, prod
from typing import TypeAlias

import numpy as np
from attrs import define, field

from deepbp._validation import ones
from deepbp.errors import ShapeError
from deepbp.errors.validators import fraction, positive, positive_int
from deepbp.formulas.language import Formula
from deepbp.initializers import Ones, Zeros
from deepbp.kernels.blocks import LONG_BATCH, long_product
from deepbp.layers.layer import Builder, Elementwise
from deepbp.parameters import UNBUILT, Buffer, Parameter
from deepbp.typing import Array, Shape


def features_of(input_shape: Shape) -> Shape:
    """The shape (F,) of one number for each feature of samples (…, F). Raises ShapeError for single numbers."""
    if not input_shape:
        raise ShapeError("expects samples with an axis of features, got (): single numbers have none")
    return input_shape[-1:]


def accumulate_features(parameter: Parameter, shares: Array) -> None:
    """Accumulate the gradient of a parameter (F,): terms (B, …, F), summed over all axes but the last."""
    rows = shares.reshape(-1, shares.shape[-1])
    parameter.accumulate_product(ones(len(rows), rows.dtype), rows)


Mean: TypeAlias = Callable[[Array], Array]
"""Takes the mean over some axes, in a shape that broadcasts with the array."""


def batch_mean(rows: Array) -> Array:
    """Mean of each column over all rows; zeros if there are no rows."""
    one = ones(len(rows), rows.dtype)
    mean = one.dot(rows) if len(rows) <= LONG_BATCH else long_product(one, rows)  # at a fifth of rows.mean(axis=0)
    mean /= max(len(rows), 1)
    return mean


def row_mean(x: Array) -> Array:
    """Mean along the last axis."""
    mean: Array = x.dot(ones(x.shape[-1], x.dtype))[..., None]
    mean /= x.shape[-1]
    return mean


def standardized(x: Array, mean: Mean, epsilon: float) -> tuple[Array, Array, Array, Array]:
    """Return (x̂, 1 / √(σ² + ε), μ, σ²) with x̂ = (x − μ) / √(σ² + ε), μ = mean x, and the biased σ² = mean (x − μ)²."""
    centre = mean(x)
    normal = x - centre
    variance = mean(normal * normal)
    inverse = 1 / finite_root(variance, epsilon)
    normal *= inverse
    return normal, inverse, centre, variance


def finite_root(variance: Array, epsilon: float) -> Array:
    """√(σ² + ε), and NaN where the square overflowed: x / ∞ = 0 would be finite, and hide the overflow."""
    root = np.sqrt(variance + float(epsilon))
    if not isfinite(np.add.reduce(root, axis=None)):
        root[np.isinf(root)] = np.nan
    return np.asarray(root)


def standardized_backward(normal: Array, inverse: Array, delta: Array, mean: Mean) -> Array:
    """Backpropagate δ = ∂L/∂x̂ to x: (δ − mean δ − x̂ · mean(δ x̂)) / √(σ² + ε).

    Each x affects x̂ directly, through μ, and through σ²: one term for each.
    """
    grad_input = delta - mean(delta)
    grad_input -= normal * mean(delta * normal)
    grad_input *= inverse
    return grad_input


BatchNormSaved: TypeAlias = tuple[Array, Array, bool]
"""x̂, 1 / √(σ² + ε), and whether σ² and μ are constants, the frozen running averages."""

_CENTRED = "(x - feature_mean(x))"
_BATCH_ROOT = "sqrt(feature_variance(x) + epsilon)"
_BATCH_PROJECTED = f"feature_mean(delta * {_CENTRED})"
_RUNNING = "(x - running_mean) / sqrt(running_variance + epsilon)"


@define(eq=False)
class BatchNorm(Elementwise[BatchNormSaved]):
    """Batch normalization: y = γ · x̂ + β with x̂ = (x − μ) / √(σ² + ε), with the batch's mean and variance.

    In inference μ and σ² are running averages, so that the result for a sample does not depend on the others: each
    training pass updates running ← momentum · running + (1 − momentum) · batch, from initial values 0 and 1.

    Shapes: x and y (B, …, F); γ, β and the running averages (F,). Features lie along the last axis; the means are taken
    over all other axes. σ² is the biased variance, divided by n, the number of values of a feature in a batch; the
    running average uses the unbiased σ² · n / (n − 1). For a batch of one value x̂ and the backpropagated gradient are
    0, and the running variance keeps its value.

    Gradients: ∂L/∂γ = Σ δ x̂, ∂L/∂β = Σ δ; backpropagated, with δ̂ = γ δ: (δ̂ − mean δ̂ − x̂ · mean(δ̂ x̂)) / √(σ² +
    ε).

    After ``freeze(statistics=True)``, training passes compute with the running averages as well, and keep them; the
    backpropagated gradient is then δ̂ / √(σ² + ε).

    Args:
        momentum: the weight of the old running average in each update. PyTorch's ``momentum`` is 1 minus this.
        epsilon: ε, inside the square root.

    Raises:
        ShapeError: by ``build``, for samples that are single numbers.

    >>> import numpy as np
    >>> from deepbp.layers import BatchNorm, Builder
    >>> norm = BatchNorm()
    >>> _ = Builder(dtype="float64").build(norm, (1,))
    >>> norm.forward(np.array([[1.0], [2.0], [3.0]]))[0].round(3).tolist()
    [[-1.225], [0.0], [1.225]]
    >>> norm.running_mean.value, norm.running_variance.value  # 0.1 · 2, and 0.9 + 0.1 · 1
    (array([0.2]), array([1.]))

    Source: Ioffe & Szegedy 2015.
    """

    stepwise = False  # the means of a batch take in its padding

    formula = Formula(
        f"gain * {_CENTRED} / {_BATCH_ROOT} + shift",
        backward=f"gain * (delta - feature_mean(delta) "
        f"- {_CENTRED} * {_BATCH_PROJECTED} / (feature_variance(x) + epsilon)) / {_BATCH_ROOT}",
        gradients={"gain": f"feature_sum(delta * {_CENTRED} / {_BATCH_ROOT})", "shift": "feature_sum(delta)"},
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

    def stated_formula(self) -> Formula | None:
        if not self.running_mean.frozen:
            return self.formula
        return Formula(
            f"gain * {_RUNNING} + shift",
            backward="gain * delta / sqrt(running_variance + epsilon)",
            gradients={"gain": f"feature_sum(delta * {_RUNNING})", "shift": "feature_sum(delta)"},
            symbols={"gain": "γ", "shift": "β", "epsilon": "ε", "running_mean": "μ", "running_variance": "v"},
        )

    def forward(self, x: Array) -> tuple[Array, BatchNormSaved]:
        if self.running_mean.frozen:
            inverse = 1 / finite_root(self.running_variance.value, self.epsilon)
            return self.predict(x), ((x - self.running_mean.value) * inverse, inverse, True)
        rows = x.reshape(-1, x.shape[-1])
        # differences from some sample are small where features are large: float32 then keeps the digits of the mean
        start = rows[0] if len(rows) else np.zeros_like(self.gain.value)
        normal, inverse, mean, variance = standardized(rows - start, batch_mean, self.epsilon)
        if not self._update_averages(len(rows), start + mean, variance):
            normal *= np.nan  # an overflow, of which no part may pass unnoticed
        normal = normal.reshape(x.shape)
        y = normal * self.gain.value
        y += self.shift.value
        return y, (normal, inverse, False)

    def _update_averages(self, count: int, mean: Array, variance: Array) -> bool:
        """Include a batch in the running averages; False, without a change, if its mean or variance overflowed."""
        kept, unbiased = float(self.momentum), variance * (count / max(count - 1, 1))
        if not isfinite(np.add.reduce(mean) + np.add.reduce(unbiased)) and not (
            np.isfinite(mean).all() and np.isfinite(unbiased).all()
        ):
            return False
        if count > 0:
            self.running_mean.value = kept * self.running_mean.value + (1 - kept) * mean
        if count > 1:
            self.running_variance.value = kept * self.running_variance.value + (1 - kept) * unbiased
        return True

    def backward(self, saved: BatchNormSaved, delta: Array) -> Array:
        self._run_backward_parameters(saved, delta)
        normal, inverse, frozen = saved
        if frozen:
            return np.asarray(delta * (self.gain.value * inverse))
        features = len(inverse)
        rows = (delta * self.gain.value).reshape(-1, features)
        grad_input = standardized_backward(normal.reshape(-1, features), inverse, rows, batch_mean)
        return grad_input.reshape(delta.shape)

    def backward_parameters(self, saved: BatchNormSaved, delta: Array) -> None:
        normal, _, _ = saved
        accumulate_features(self.gain, delta * normal)  # ∂L/∂γ = Σ δ x̂
        accumulate_features(self.shift, delta)  # ∂L/∂β = Σ δ

    def predict(self, x: Array) -> Array:
        y = x - self.running_mean.value
        y *= self.gain.value / finite_root(self.running_variance.value, self.epsilon)
        y += self.shift.value
        return y


LayerNormSaved: TypeAlias = tuple[Array, Array]
"""x̂ and 1 / √(σ² + ε)."""

_ROW_CENTRED = "(x - row_mean(x))"
_ROW_ROOT = "sqrt(row_variance(x) + epsilon)"
_ROW_PROJECTED = f"row_mean(gain * delta * {_ROW_CENTRED})"


@define(eq=False)
class LayerNorm(Elementwise[LayerNormSaved]):
    """Layer normalization: y = γ · x̂ + β with x̂ = (x − μ) / √(σ² + ε), with mean and variance of each row's own
    features.

    Shapes: x and y (B, …, F), γ and β (F,). Features lie along the last axis; the means are taken along it. σ² is the
    biased variance, divided by F. Training and inference are the same.

    Gradients: ∂L/∂γ = Σ δ x̂, ∂L/∂β = Σ δ; backpropagated, with δ̂ = γ δ: (δ̂ − mean δ̂ − x̂ · mean(δ̂ x̂)) / √(σ² +
    ε).

    Args:
        epsilon: ε, inside the square root.

    Raises:
        ShapeError: by ``build``, for a single feature, which minus its mean is always 0, and for single numbers.

    >>> import numpy as np
    >>> from deepbp.layers import Builder, LayerNorm
    >>> norm = LayerNorm()
    >>> _ = Builder(dtype="float64").build(norm, (3,))
    >>> norm.predict(np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])).round(3)
    array([[-1.225,  0.   ,  1.225],
           [-1.225,  0.   ,  1.225]])

    Source: Ba, Kiros & Hinton 2016.
    """

    formula = Formula(
        f"gain * {_ROW_CENTRED} / {_ROW_ROOT} + shift",
        backward=f"(gain * delta - row_mean(gain * delta) "
        f"- {_ROW_CENTRED} * {_ROW_PROJECTED} / (row_variance(x) + epsilon)) / {_ROW_ROOT}",
        gradients={"gain": f"feature_sum(delta * {_ROW_CENTRED} / {_ROW_ROOT})", "shift": "feature_sum(delta)"},
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

    def forward(self, x: Array) -> tuple[Array, LayerNormSaved]:
        # differences from the first feature keep the digits of the mean: those of equal numbers are exactly 0
        normal, inverse, _, _ = standardized(x - x[..., :1], row_mean, self.epsilon)
        y = normal * self.gain.value
        y += self.shift.value
        return y, (normal, inverse)

    def backward(self, saved: LayerNormSaved, delta: Array) -> Array:
        self._run_backward_parameters(saved, delta)
        return standardized_backward(*saved, delta * self.gain.value, row_mean)

    def backward_parameters(self, saved: LayerNormSaved, delta: Array) -> None:
        normal, _ = saved
        accumulate_features(self.gain, delta * normal)  # ∂L/∂γ = Σ δ x̂
        accumulate_features(self.shift, delta)  # ∂L/∂β = Σ δ


GroupNormSaved: TypeAlias = tuple[Array, Array]
"""x̂, and 1 / √(σ² + ε) of each sample's groups."""


def _group_mean(grouped: Array) -> Array:
    """(B, P, G, F/G) to (B, 1, G, 1): over the places and over the features of a group."""
    return np.asarray(grouped.mean(axis=(1, 3), keepdims=True))


@define(eq=False)
class GroupNorm(Elementwise[GroupNormSaved]):
    """Group normalization: y = γ · x̂ + β with x̂ = (x − μ) / √(σ² + ε), for groups of a sample's features.

    Shapes: x and y (B, …, F), γ and β (F,). The last axis, the features, is split into G groups of F/G neighbours; each
    mean is taken over a group and over all axes between samples and features, separately for each sample: over F/G
    numbers for samples of shape (F,), over H·W·F/G for images (H, W, F). One group normalizes the whole sample; as many
    groups as features are instance normalization. σ² is the biased variance. Training and inference are the same.

    Gradients: ∂L/∂γ = Σ δ x̂, ∂L/∂β = Σ δ; backpropagated, with δ̂ = γ δ: (δ̂ − mean δ̂ − x̂ · mean(δ̂ x̂)) / √(σ² +
    ε).

    Args:
        groups: G, a divisor of F.
        epsilon: ε, inside the square root.

    Raises:
        ShapeError: by ``build``, if G does not divide the number of features, or if a group is a single number.

    >>> import numpy as np
    >>> from deepbp.layers import Builder, GroupNorm
    >>> norm = GroupNorm(2)
    >>> _ = Builder(dtype="float64").build(norm, (4,))
    >>> norm.predict(np.array([[1.0, 3.0, 10.0, 30.0]])).round(3)
    array([[-1.,  1., -1.,  1.]])

    Source: Wu & He 2018; instance normalization: Ulyanov, Vedaldi & Lempitsky 2016.
    """

    stepwise = False  # the means of a sample take in its padding

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

    def forward(self, x: Array) -> tuple[Array, GroupNormSaved]:
        grouped = self._grouped(x)
        grouped, inverse, _, _ = standardized(grouped - grouped[:, :1, :, :1], _group_mean, self.epsilon)
        normal = grouped.reshape(x.shape)
        y = normal * self.gain.value
        y += self.shift.value
        return y, (normal, inverse)

    def backward(self, saved: GroupNormSaved, delta: Array) -> Array:
        self._run_backward_parameters(saved, delta)
        normal, inverse = saved
        grouped = self._grouped(delta * self.gain.value)
        return standardized_backward(self._grouped(normal), inverse, grouped, _group_mean).reshape(delta.shape)

    def backward_parameters(self, saved: GroupNormSaved, delta: Array) -> None:
        normal, _ = saved
        accumulate_features(self.gain, delta * normal)  # ∂L/∂γ = Σ δ x̂
        accumulate_features(self.shift, delta)  # ∂L/∂β = Σ δ

    def _grouped(self, x: Array) -> Array:
        """(B, …, F) to (B, P, G, F/G), with P places."""
        return x.reshape(len(x), prod(x.shape[1:-1]), self.groups, x.shape[-1] // self.groups)


RMSNormSaved: TypeAlias = tuple[Array, Array]
"""x̂ and 1 / √(mean x² + ε)."""

_MEAN_SQUARE = "(row_mean(x**2) + epsilon)"


@define(eq=False)
class RMSNorm(Elementwise[RMSNormSaved]):
    """Root mean square normalization: y = γ · x̂ with x̂ = x / √(mean x² + ε), separately for each row.

    A layer normalization without centering and offset.

    Shapes: x and y (B, …, F), γ (F,). Features lie along the last axis; the mean is taken along it.

    Gradients: ∂L/∂γ = Σ δ x̂; backpropagated, with δ̂ = γ δ: (δ̂ − x̂ · mean(δ̂ x̂)) / √(mean x² + ε).

    Args:
        epsilon: ε, inside the square root.

    Raises:
        ShapeError: by ``build``, for samples that are single numbers.

    >>> import numpy as np
    >>> from deepbp.layers import Builder, RMSNorm
    >>> norm = RMSNorm()
    >>> _ = Builder(dtype="float64").build(norm, (2,))
    >>> norm.predict(np.array([[1.0, 7.0]])).round(3)  # divided by √((1 + 49) / 2) = 5
    array([[0.2, 1.4]])

    Source: Zhang & Sennrich 2019.
    """

    formula = Formula(
        f"gain * x / sqrt{_MEAN_SQUARE}",
        backward=f"(gain * delta - x * row_mean(gain * delta * x) / {_MEAN_SQUARE}) / sqrt{_MEAN_SQUARE}",
        gradients={"gain": f"feature_sum(delta * x / sqrt{_MEAN_SQUARE})"},
        symbols={"gain": "γ", "epsilon": "ε"},
    )

    epsilon: float = field(default=1e-6, kw_only=True, validator=positive)
    gain: Parameter = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = builder.parameter(features_of(input_shape), Ones())
        return input_shape

    def forward(self, x: Array) -> tuple[Array, RMSNormSaved]:
        inverse = 1 / finite_root(row_mean(x * x), self.epsilon)
        normal = x * inverse
        return normal * self.gain.value, (normal, inverse)

    def backward(self, saved: RMSNormSaved, delta: Array) -> Array:
        self._run_backward_parameters(saved, delta)
        normal, inverse = saved
        grad_input = delta * self.gain.value
        grad_input -= normal * row_mean(grad_input * normal)  # x affects x̂ directly, and through the mean square
        grad_input *= inverse
        return grad_input

    def backward_parameters(self, saved: RMSNormSaved, delta: Array) -> None:
        normal, _ = saved
        accumulate_features(self.gain, delta * normal)  # ∂L/∂γ = Σ δ x̂
