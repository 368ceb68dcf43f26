"""Normalization layers: batch, layer, group and root-mean-square."""

from collections.abc import Callable
from math import isfinite, prod
from typing import Any, TypeAlias

import numpy as np
from attrs import define, field

from deepbp.errors import ShapeError
from deepbp.errors.validators import fraction, positive, positive_int
from deepbp.formulas.language import Formula
from deepbp.initializers import Ones, Zeros
from deepbp.kernels import unchecked as kernels
from deepbp.kernels.numpy_normalization import finite_root, shared_batch_norm, shared_batch_norm_backward
from deepbp.layers.layer import Builder, Elementwise
from deepbp.layers.shapes import features_of
from deepbp.parameters import UNBUILT, Buffer, Parameter
from deepbp.program.program import Program, Slot
from deepbp.typing import Array, Shape


def _lower_affine(
    program: Program, x: Slot, parameters: tuple[Parameter, ...], backward: tuple[Any, ...], places: int, normal: Array
) -> Slot:
    """Memory for the output; adds the backward pass, or where that needs no error signal, the gradients alone."""
    width, sums = x.value.shape[-1], np.zeros(4 * x.value.shape[-1])
    trained = [program.trains(parameter, program.written) for parameter in parameters]
    y = program.slot(x.value.shape[1:], program.training and (any(trained) or x.delta is not None))
    if y.delta is not None:
        name, before, after = backward  # of the instruction: its name, its operands up to γ, and those after the sums
        rows: list[tuple[Any, ...]] = [("feature_sums", normal, y.delta, sums, places, width)]
        if x.delta is not None:
            rows = [(name, *before, y.delta, x.delta, *after(sums))]
        for first, parameter, is_trained in zip((0, width), parameters, trained, strict=False):
            if is_trained:
                rows.append(("write_gradient", sums, parameter._grad_array(), first, width))
        program.on_the_way_back(*rows)
    return y


def _lower_rows(program: Program, x: Slot, parameters: tuple[Parameter, ...], epsilon: float) -> Slot:
    """A layer normalization, or one by the root mean square, which has no β."""
    places, width, centred = prod(x.value.shape[1:-1]), x.value.shape[-1], len(parameters) == 2
    normal, inverse = program.array(x.value.shape[1:]), program.array((places,))
    affine = [parameter.value for parameter in parameters]
    backward = (
        "norm_rows_backward", (normal, inverse, affine[0]), lambda sums: (sums, places, width, int(centred))
    )  # fmt: skip
    y = _lower_affine(program, x, parameters, backward, places, normal)
    name = "layer_norm" if centred else "rms_norm"
    program.then(name, x.value, *affine, y.value, normal, inverse, places, width, float(epsilon))
    return y


def _lower_groups(
    program: Program, x: Slot, gain: Parameter, shift: Parameter, epsilon: float, groups: int, over_batch: bool
) -> tuple[Slot, Array, Array]:
    """A group normalization, or a batch normalization; also the memory of means and variances."""
    places, width = prod(x.value.shape[1:-1]), x.value.shape[-1]
    normal, mean = program.array(x.value.shape[1:]), program.array((groups,))
    variance, inverse, columns = program.array((groups,)), program.array((groups,)), np.zeros(3 * width, program.dtype)
    sizes = (-places if over_batch else places, groups, width)
    backward = ("group_norm_backward", (normal, inverse, gain.value), lambda sums: (columns, sums, *sizes))
    y = _lower_affine(program, x, (gain, shift), backward, places, normal)
    arrays = (x.value, gain.value, shift.value, y.value, normal, inverse, mean, variance, columns, np.zeros(width))
    program.then("group_norm", *arrays, *sizes, float(epsilon))
    return y, mean, variance


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

    _normalizes = True
    stepwise = False  # the means of a batch take in its padding

    formula = Formula(
        f"gain * {_CENTRED} / {_BATCH_ROOT} + shift",
        backward=f"gain * (delta - feature_mean(delta) "
        f"- {_CENTRED} * {_BATCH_PROJECTED} / (feature_variance(x) + epsilon)) / {_BATCH_ROOT}",
        gradients={"gain": f"feature_sum(delta * {_CENTRED} / {_BATCH_ROOT})", "shift": "feature_sum(delta)"},
        symbols={"gain": "γ", "shift": "β", "epsilon": "ε"},
        inference=f"gain * {_RUNNING} + shift",
    )

    momentum: float = field(default=0.9, kw_only=True, validator=fraction)
    epsilon: float = field(default=1e-5, kw_only=True, validator=positive)
    gain: Parameter = field(init=False, default=UNBUILT)
    shift: Parameter = field(init=False, default=UNBUILT)
    running_mean: Buffer = field(init=False, default=UNBUILT)
    running_variance: Buffer = field(init=False, default=UNBUILT)
    _total: Callable[[Array], Array] | None = field(init=False, default=None)  # in a pass of one of several processes
    _share: float = field(init=False, default=1.0)  # of this process in the loss of all: a factor of its delta

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
        given, total = (rows, self.gain.value, self.shift.value, float(self.epsilon)), self._total
        found = (*kernels.batch_norm(*given), len(rows)) if total is None else shared_batch_norm(*given, total)
        y, normal, inverse, mean, variance, count = found
        if not self._update_averages(count, mean, variance):
            y *= np.nan  # an overflow, of which no part may pass unnoticed
            normal *= np.nan
        return y.reshape(x.shape), (normal.reshape(x.shape), inverse, False)

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
        normal, inverse, frozen = saved
        if frozen:
            self._run_backward_parameters(saved, delta)
            return np.asarray(delta * (self.gain.value * inverse))
        rows = (-1, len(inverse))
        given, total = (normal.reshape(rows), inverse, self.gain.value, delta.reshape(rows)), self._total
        if total is None:
            grad_input, of_gain, of_shift = kernels.batch_norm_backward(*given)
        else:
            grad_input, of_gain, of_shift = shared_batch_norm_backward(*given, total, self._share)
        self.gain.accumulate(of_gain)
        self.shift.accumulate(of_shift)
        return grad_input.reshape(delta.shape)

    def backward_parameters(self, saved: BatchNormSaved, delta: Array) -> None:
        of_gain, of_shift = kernels.feature_sums(saved[0], delta)
        self.gain.accumulate(of_gain)  # ∂L/∂γ = Σ δ x̂
        self.shift.accumulate(of_shift)  # ∂L/∂β = Σ δ

    def predict(self, x: Array) -> Array:
        y = x - self.running_mean.value
        y *= self.gain.value / finite_root(self.running_variance.value, self.epsilon)
        y += self.shift.value
        return y

    def lower_predict(self, program: Program, x: Slot) -> Slot:
        y, width, places = program.slot(x.value.shape[1:], False), x.value.shape[-1], prod(x.value.shape[1:-1])
        arrays = (one.value for one in (self.gain, self.shift, self.running_mean, self.running_variance, y))
        scratch = np.zeros(width, program.dtype)
        program.then("running_norm", x.value, *arrays, scratch, places, width, float(self.epsilon))
        return y

    def lower(self, program: Program, x: Slot) -> Slot:
        if self.running_mean.frozen or not program.training or self._total is not None:
            return program.layer(self, x)
        width, places = x.value.shape[-1], prod(x.value.shape[1:-1])
        y, mean, variance = _lower_groups(program, x, self.gain, self.shift, self.epsilon, width, over_batch=True)
        program.then("unbiased", mean, variance, places, width)
        keep = float(self.momentum)
        program.when_complete("average", self.running_mean.value, mean, width, keep)
        if program.rows * places > 1:
            program.when_complete("average", self.running_variance.value, variance, width, keep)
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

    _normalizes = True
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
        y, normal, inverse = kernels.layer_norm(x, self.gain.value, self.shift.value, float(self.epsilon))
        return y, (normal, inverse)

    def backward(self, saved: LayerNormSaved, delta: Array) -> Array:
        grad_input, of_gain, of_shift = kernels.layer_norm_backward(*saved, self.gain.value, delta)
        self.gain.accumulate(of_gain)
        self.shift.accumulate(of_shift)
        return np.asarray(grad_input)

    def backward_parameters(self, saved: LayerNormSaved, delta: Array) -> None:
        of_gain, of_shift = kernels.feature_sums(saved[0], delta)
        self.gain.accumulate(of_gain)  # ∂L/∂γ = Σ δ x̂
        self.shift.accumulate(of_shift)  # ∂L/∂β = Σ δ

    def lower(self, program: Program, x: Slot) -> Slot:
        return _lower_rows(program, x, (self.gain, self.shift), self.epsilon)


GroupNormSaved: TypeAlias = tuple[Array, Array]
"""x̂, and 1 / √(σ² + ε) of each sample's groups."""


_GROUP_CENTRED = "(x - group_mean(x, groups))"
_GROUP_VARIANCE = f"group_mean({_GROUP_CENTRED}**2, groups)"
_GROUP_ROOT = f"sqrt({_GROUP_VARIANCE} + epsilon)"
_GROUP_PROJECTED = f"group_mean(gain * delta * {_GROUP_CENTRED}, groups)"


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

    _normalizes = True
    stepwise = False  # the means of a sample take in its padding

    formula = Formula(
        f"gain * {_GROUP_CENTRED} / {_GROUP_ROOT} + shift",
        backward=f"(gain * delta - group_mean(gain * delta, groups) "
        f"- {_GROUP_CENTRED} * {_GROUP_PROJECTED} / ({_GROUP_VARIANCE} + epsilon)) / {_GROUP_ROOT}",
        gradients={"gain": f"feature_sum(delta * {_GROUP_CENTRED} / {_GROUP_ROOT})", "shift": "feature_sum(delta)"},
        symbols={"gain": "γ", "shift": "β", "epsilon": "ε"},
    )

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
        gain, shift = self.gain.value.reshape(self.groups, -1), self.shift.value.reshape(self.groups, -1)
        y, normal, inverse = kernels.group_norm(self._grouped(x), gain, shift, float(self.epsilon))
        return y.reshape(x.shape), (normal.reshape(x.shape), inverse)

    def backward(self, saved: GroupNormSaved, delta: Array) -> Array:
        normal, inverse = saved
        grad_input, of_gain, of_shift = kernels.group_norm_backward(
            self._grouped(normal), inverse, self.gain.value.reshape(self.groups, -1), self._grouped(delta)
        )
        self.gain.accumulate(of_gain)
        self.shift.accumulate(of_shift)
        return grad_input.reshape(delta.shape)

    def backward_parameters(self, saved: GroupNormSaved, delta: Array) -> None:
        of_gain, of_shift = kernels.feature_sums(saved[0], delta)
        self.gain.accumulate(of_gain)  # ∂L/∂γ = Σ δ x̂
        self.shift.accumulate(of_shift)  # ∂L/∂β = Σ δ

    def _grouped(self, x: Array) -> Array:
        """(B, …, F) to (B, P, G, F/G), with P places."""
        return x.reshape(len(x), prod(x.shape[1:-1]), self.groups, x.shape[-1] // self.groups)

    def lower(self, program: Program, x: Slot) -> Slot:
        return _lower_groups(program, x, self.gain, self.shift, self.epsilon, self.groups, over_batch=False)[0]


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

    _normalizes = True
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
        y, normal, inverse = kernels.rms_norm(x, self.gain.value, float(self.epsilon))
        return y, (normal, inverse)

    def backward(self, saved: RMSNormSaved, delta: Array) -> Array:
        grad_input, of_gain = kernels.rms_norm_backward(*saved, self.gain.value, delta)
        self.gain.accumulate(of_gain)
        return np.asarray(grad_input)

    def backward_parameters(self, saved: RMSNormSaved, delta: Array) -> None:
        self.gain.accumulate(kernels.feature_sums(saved[0], delta)[0])  # ∂L/∂γ = Σ δ x̂

    def lower(self, program: Program, x: Slot) -> Slot:
        return _lower_rows(program, x, (self.gain,), self.epsilon)
