"""Layers, losses and optimizers that are wrong in a late digit: the kit must see what training would hardly show.

Gradients are wrong by a millionth, or by 1e-5 in a small column; what needs no differences is wrong by a billionth.
"""

from collections.abc import Callable

import numpy as np
from attrs import define, frozen
from planting import Planted, planter
from right_layers import Scale, Square, WithPenalty

from deepbp.layers import Dense
from deepbp.losses import MeanSquaredError as MeanOfSquares
from deepbp.losses import SumSquaredError as SumOfSquares
from deepbp.optimizers import SGD, State
from deepbp.parameters import ParameterVector
from deepbp.typing import Array

SLIGHT_LAYERS: list[Planted] = []
SLIGHT_LOSSES: list[Planted] = []
SLIGHT_OPTIMIZERS: list[Planted] = []
planted_layer, planted_loss, planted_optimizer = map(planter, (SLIGHT_LAYERS, SLIGHT_LOSSES, SLIGHT_OPTIMIZERS))

MILLIONTH, BILLIONTH = 1 + 1e-6, 1 + 1e-9
FIVE_DIGITS = r"is right to about five digits, and not beyond"


@planted_layer("input_gradient", rf"∂L/∂x.* {FIVE_DIGITS}")
@define(eq=False)
class SlightSignal(Square):
    def backward(self, x: Array, delta: Array) -> Array:
        return MILLIONTH * super().backward(x, delta)


@planted_layer("input_gradient", rf"∂L/∂x.* {FIVE_DIGITS}")
@define(eq=False)
class OneSmallColumnOfTheSignal(Scale):
    """Beside columns that are three hundred times as large."""

    def forward(self, x: Array) -> tuple[Array, Array]:
        return self._sizes * super().forward(x)[0], x

    def backward(self, x: Array, delta: Array) -> Array:
        moved = super().backward(x, self._sizes * delta)
        moved[:, 0] *= 1 + 1e-5
        return moved

    @property
    def _sizes(self) -> Array:
        return np.array([1, 300, 300], self.gain.value.dtype)


@planted_layer("parameter_gradients", rf"∂L/∂weight {FIVE_DIGITS}")
@define(eq=False)
class SlightWeightGradient(Dense):
    units: int = 2

    def backward_parameters(self, x: Array, delta: Array) -> None:
        self.weight.accumulate(MILLIONTH * (x.T @ delta))
        assert self.bias is not None
        self.bias.accumulate(delta.sum(axis=0))


@planted_layer("parameter_gradients", rf"∂L/∂bias {FIVE_DIGITS}")
@define(eq=False)
class SlightBiasGradient(Dense):
    units: int = 2

    def backward_parameters(self, x: Array, delta: Array) -> None:
        self.weight.accumulate(x.T @ delta)
        assert self.bias is not None
        self.bias.accumulate(MILLIONTH * delta.sum(axis=0))


@planted_layer("parameter_gradients", rf"∂L/∂gain {FIVE_DIGITS}")
@define(eq=False)
class SlightPenaltyOfWeights(WithPenalty):
    def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
        moved = super().backward(saved, delta)
        self.gain.accumulate(1e-5 * 0.2 * self.gain.value)
        return moved


@planted_layer("input_gradient", rf"∂L/∂x.* {FIVE_DIGITS}")
@define(eq=False)
class SlightPenaltyOfOutputs(WithPenalty):
    def penalty(self, saved: tuple[Array, Array]) -> float:
        return super().penalty(saved) + 1e-5 * float(0.2 * (saved[1] ** 2).sum() / max(len(saved[1]), 1))


@planted_layer("kink_gradients", r"at −1, 0 and 1.*is right to about five digits|at −1, 0 and 1.*is wrong\nat \[")
@define(eq=False)
class SlightlyWrongAtWholeNumbers(Square):
    def backward(self, x: Array, delta: Array) -> Array:
        return np.where(x == np.round(x), MILLIONTH, 1) * super().backward(x, delta)


@planted_layer("formula", r"formula: ∂L/∂weight = .* is not what backward gives")
@define(eq=False)
class SlightlyNotTheStatedGradient(Dense):
    units: int = 2

    def backward_parameters(self, x: Array, delta: Array) -> None:
        self.weight.accumulate((1 + 1e-11) * (x.T @ delta))
        assert self.bias is not None
        self.bias.accumulate(delta.sum(axis=0))


@planted_layer("gradients_accumulate", r"∂L/∂gain: two passes do not give twice the gradient of one")
@planted_layer("used_twice_in_one_net", r"∂L/∂gain: used twice in one net, the two uses' gradients do not add")
@define(eq=False)
class SecondUseCountsSlightlyMore(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate((BILLIONTH if self.gain.grad.any() else 1) * (x * delta).sum(axis=0))
        self.shift.accumulate(delta.sum(axis=0))
        return delta * self.gain.value


@planted_layer("backward_parameters_equals_backward", r"∂L/∂gain: backward_parameters and backward do not agree")
@define(eq=False)
class BackwardParametersDiffersSlightly(Scale):
    def backward_parameters(self, x: Array, delta: Array) -> None:
        self.gain.accumulate(BILLIONTH * (x * delta).sum(axis=0))
        self.shift.accumulate(delta.sum(axis=0))


@planted_layer("predict_equals_forward", r"predict gives something else than forward, and nothing in the layer is rand")
@define(eq=False)
class PredictDiffersSlightly(Square):
    def predict(self, x: Array) -> Array:
        return BILLIONTH * self.forward(x)[0]


@planted_layer("batched_equals_one_by_one", r"predict: a batch gives something else than its samples one by one")
@define(eq=False)
class DependsSlightlyOnTheBatch(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        return (BILLIONTH if len(x) > 1 else 1) * (x * x), x


@planted_layer("any_memory_layout", r"the output changes for (Fortran-ordered|strided|reversed) arrays")
@define(eq=False)
class DependsSlightlyOnTheLayout(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        return (1 if x.flags.c_contiguous else BILLIONTH) * (x * x), x


_latest: list[Array] = []


@planted_layer("forward_twice_then_backward_of_the_first", r"∂L/∂x changes when another forward ran before backward")
@define(eq=False)
class SlightlyStale(Square):
    """Backward is larger by a billionth when another batch went forward since."""

    def forward(self, x: Array) -> tuple[Array, Array]:
        _latest[:] = [x]
        return x * x, x

    def backward(self, x: Array, delta: Array) -> Array:
        return (1 if _latest[0] is x else BILLIONTH) * super().backward(x, delta)


@planted_layer("interleaved_uses", r"∂L/∂x depends on which of two passes goes backward first")
@define(eq=False)
class FirstBackwardIsSlightlyLarger(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        _latest[:] = [x]
        return x * x, x

    def backward(self, x: Array, delta: Array) -> Array:
        is_first = bool(_latest)
        _latest.clear()
        return (BILLIONTH if is_first else 1) * super().backward(x, delta)


def in_single(factor: float) -> Callable[[Array], Array]:
    """Larger by this factor in float32 only."""
    return lambda array: array * array.dtype.type(factor) if array.dtype == np.float32 else array


@planted_layer("float32_agrees_with_float64", r"the output in float32 is another number than in float64")
@define(eq=False)
class LosesTheFourthDigit(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        return in_single(1.0005)(x * x), x


@planted_layer("float32_agrees_with_float64", r"∂L/∂x in float32 is another number than in float64")
@define(eq=False)
class LosesTheThirdDigitOfTheSignal(Square):
    def backward(self, x: Array, delta: Array) -> Array:
        return in_single(1.005)(super().backward(x, delta))


@planted_layer("float32_agrees_with_float64", r"∂L/∂gain in float32 is another number than in float64")
@define(eq=False)
class LosesTheThirdDigitOfTheGradient(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate(in_single(1.005)((x * delta).sum(axis=0)))
        self.shift.accumulate(delta.sum(axis=0))
        return delta * self.gain.value


@planted_loss("gradient", rf"∂L/∂prediction {FIVE_DIGITS}")
@frozen
class SlightLossGradient(MeanOfSquares):
    def backward(self, weighted: Array) -> Array:
        return super().backward(weighted) * MILLIONTH


@planted_loss("weighted_gradient", rf"∂L/∂prediction with sample_weight {FIVE_DIGITS}")
@frozen
class SlightlyOtherWeights(SumOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        value, weighted = super().forward(prediction, target, sample_weight)
        return value, weighted if sample_weight is None else weighted * MILLIONTH


@planted_loss("sample_weights_multiply_shares", r"sample_weight of 1 for each sample: expected 1 times the loss")
@frozen
class SlightlyLargerWithWeights(SumOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        value, weighted = super().forward(prediction, target, sample_weight)
        return value if sample_weight is None else value * BILLIONTH, weighted


@planted_loss("sample_weights_multiply_shares", r"expected the weighted sum of the samples' shares")
@frozen
class SlightlyLargerWithUnevenWeights(SumOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        value, weighted = super().forward(prediction, target, sample_weight)
        return value if sample_weight is None or not np.ptp(sample_weight) else value * BILLIONTH, weighted


@planted_loss(
    "reduction_as_stated", r"reduction = 'sum', but the loss of a batch.*is not the sum of its samples' losses"
)
@frozen
class SlightlyMoreThanTheSum(SumOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        value, weighted = super().forward(prediction, target, sample_weight)
        return value if len(target) == 1 else value * BILLIONTH, weighted


@planted_loss("forward_twice_then_backward_of_the_first", r"changes when another forward ran before backward")
@frozen
class SlightlyStaleLoss(SumOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        value, weighted = super().forward(prediction, target, sample_weight)
        _latest[:] = [weighted]
        return value, weighted

    def backward(self, weighted: Array) -> Array:
        return super().backward(weighted) * (1 if _latest[0] is weighted else BILLIONTH)


@planted_loss("dtype_is_kept", r"∂L/∂prediction in float32 is another number than in float64")
@frozen
class LossLosesTheThirdDigit(SumOfSquares):
    def backward(self, weighted: Array) -> Array:
        return in_single(1.005)(super().backward(weighted))


@planted_loss("formula", r"formula: L = .* is not what forward gives")
@frozen
class SlightlyNotTheStatedLoss(SumOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        value, weighted = super().forward(prediction, target, sample_weight)
        return value * (1 + 1e-11), weighted


@planted_optimizer("formula", r"formula: w = .* is not what step, at step 0, gives")
@frozen
class SlightlyLongerSteps(SGD):
    def step(self, parameters: ParameterVector, state: State) -> None:
        parameters.values -= BILLIONTH * self.rate(state["step"]) * parameters.grads
        state["step"] += 1


@planted_optimizer("schedule_is_followed", r"a schedule that is always 0.01 differs from learning_rate=0.01")
@frozen
class SlightlyOtherSchedule(SGD):
    def rate(self, step: int) -> float:
        return super().rate(step) * (BILLIONTH if callable(self.learning_rate) else 1)


@planted_optimizer("no_rate_no_change", r"learning_rate=0 still moves the parameters")
@frozen
class SlightDecayWithoutTheRate(SGD):
    def step(self, parameters: ParameterVector, state: State) -> None:
        parameters.values[parameters.matrices] *= 1 - 1e-9
        super().step(parameters, state)


@planted_optimizer("vectors_do_not_decay", r"a bias changes without a gradient")
@frozen
class SlightDecayOfBiases(SGD):
    def step(self, parameters: ParameterVector, state: State) -> None:
        parameters.values *= 1 - 1e-9
        super().step(parameters, state)


@planted_optimizer("dtype_is_kept", r"steps in float32 go elsewhere than in float64, by more than rounding")
@frozen
class LosesTheFourthDigitOfTheStep(SGD):
    def step(self, parameters: ParameterVector, state: State) -> None:
        parameters.values -= self.rate(state["step"]) * in_single(1.01)(parameters.grads)
        state["step"] += 1
