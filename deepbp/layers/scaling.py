"""Scale and shift of features: trainable, or learned from data before the training."""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from attrs import define, field

from deepbp._validation import as_samples, require_built
from deepbp.errors import DataError
from deepbp.errors.validators import instance_of
from deepbp.formulas.language import Formula
from deepbp.initializers import Initializer, Ones, Zeros
from deepbp.layers.layer import Builder, Elementwise
from deepbp.layers.shapes import features_of
from deepbp.parameters import UNBUILT, Buffer, Parameter
from deepbp.program.program import Program, Slot
from deepbp.typing import Array, ArrayLike, Shape


def _accumulate_features(parameter: Parameter, shares: Array) -> None:
    """Accumulate the gradient of a parameter (F,): terms (B, …, F), summed over all axes but the last."""
    rows = shares.reshape(-1, shares.shape[-1])
    parameter.accumulate_sum(rows)


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
        _accumulate_features(self.gain, delta * x)  # ∂L/∂γ = Σ δ x

    def lower_predict(self, program: Program, x: Slot) -> Slot:
        y = program.slot(x.value.shape[1:], False)
        program.then(*program.by_features("scale_features", x.value, y.value, self.gain.value))
        return y


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
        _accumulate_features(self.shift, delta)  # ∂L/∂β = Σ δ

    def lower_predict(self, program: Program, x: Slot) -> Slot:
        y = program.slot(x.value.shape[1:], False)
        program.then(*program.by_features("shift_features", x.value, y.value, self.shift.value))
        return y


Moments: TypeAlias = tuple[int, Array, Array]
"""The number of rows, the mean of each feature, and its Σ (x − μ)²."""


def _moments(rows: Array) -> Moments:
    rows = np.asarray(rows, np.float64)
    mean = rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1:])
    return len(rows), mean, ((rows - mean) ** 2).sum(axis=0)


def _merged(parts: Iterable[Moments], shape: Shape) -> Moments:
    """The moments of all parts together, after Chan, Golub & LeVeque 1983."""
    count, mean, squares = 0, np.zeros(shape), np.zeros(shape)
    for rows, center, deviations in parts:
        if rows:
            total = count + rows
            squares += deviations + (center - mean) ** 2 * (count * rows / total)
            mean += (center - mean) * (rows / total)
            count = total
    return count, mean, squares


@define(eq=False)
class Standardize(Elementwise[Array]):
    """Standardization of inputs: y = (x − μ) / σ, with the mean and standard deviation of each feature in the data.

    The first layer of a network, so that ``predict`` and a file take the data as they are. ``adapt`` learns μ and σ; if
    it was not called, the first ``fit`` does, from the inputs that it trains on, without those held out for validation.
    Then both are frozen: later data change nothing. ``unfreeze`` lets the next ``fit`` learn them again. Before, μ is 0
    and σ is 1.

    Shapes: x and y (B, …, F), μ and σ (F,). The statistics are taken over all axes but the last, in float64. A feature
    that is the same everywhere has σ = 1.

    Backpropagated gradient: δ / σ.

    Raises:
        ShapeError: by ``build``, for samples that are single numbers.

    >>> import numpy as np
    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense, Standardize
    >>> x = np.array([[1.0, 400.0], [3.0, 800.0]])
    >>> net = Sequential([Standardize(), Dense(1)], input_shape=2, rng=0)
    >>> net.layers[0].adapt(x)
    >>> net.layers[0].mean.value, net.layers[0].deviation.value
    (array([  2., 600.], dtype=float32), array([  1., 200.], dtype=float32))
    >>> net.layers[0].predict(x.astype("float32"))
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    """

    _normalizes = True

    formula = Formula("(x - mean) / deviation", backward="delta / deviation", symbols={"mean": "μ", "deviation": "σ"})

    mean: Buffer = field(init=False, default=UNBUILT)
    deviation: Buffer = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        features = features_of(input_shape)
        self.mean, self.deviation = builder.buffer(features), builder.buffer(features, Ones())
        return input_shape

    @property
    def is_adapted(self) -> bool:
        """Whether μ and σ were learned, or set and frozen."""
        return self.built is not None and self.mean.frozen

    def adapt(self, x: ArrayLike) -> None:
        """Learn μ and σ from inputs (N, …, F): an array, or a data frame. Replaces what was learned before.

        Raises:
            NotBuiltError: if the layer is not built yet: give the network ``input_shape=...``.
            ShapeError, DataError: for other shapes, and for NaN or infinity.
        """
        built = require_built(self, self.built)
        self.adapt_to([as_samples(x, "x", built.input_shape, built.dtype, lambda: "Standardize")])

    def adapt_to(self, batches: Iterable[Array]) -> None:
        """Learn μ and σ from batches of validated inputs, without all of them in memory."""
        self._learn([self._moments(batches)])

    def _moments(self, batches: Iterable[Array]) -> Moments:
        """The rows in these batches of validated inputs, their means and sums of squared deviations from those."""
        features = self.mean.value.shape
        return _merged((_moments(batch.reshape(-1, *features)) for batch in batches), features)

    def _learn(self, parts: Iterable[Moments]) -> None:
        """Learn μ and σ from the moments of all parts of the inputs."""
        count, mean, squares = _merged(parts, self.mean.value.shape)
        if not count:
            raise DataError("Standardize: expected at least one sample to learn from, got none")
        deviation = np.sqrt(squares / count)
        if not np.isfinite(deviation).all():
            raise DataError("Standardize: expected numbers whose squares float64 can hold: scale them to about ±1")
        tiny = np.finfo(self.mean.value.dtype).tiny  # a constant feature deviates by rounding alone
        deviation[deviation <= np.maximum(1e-12 * np.abs(mean), tiny)] = 1
        self.mean.value, self.deviation.value = mean, deviation
        self.mean.frozen = self.deviation.frozen = True

    def forward(self, x: Array) -> tuple[Array, Array]:
        y = (x - self.mean.value) / self.deviation.value
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        grad_input: Array = delta / self.deviation.value
        return grad_input

    def lower(self, program: Program, x: Slot) -> Slot:
        mean, deviation = self.mean.value, self.deviation.value
        y = program.slot(x.value.shape[1:], x.delta is not None)
        program.then(*program.by_features("standardize", x.value, y.value, mean, deviation))
        if x.delta is not None and y.delta is not None:
            program.on_the_way_back(program.by_features("divide_features", y.delta, x.delta, deviation))
        return y
