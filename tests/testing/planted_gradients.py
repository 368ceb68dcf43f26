"""Layers with one mistake each in a gradient."""

from typing import Any

import numpy as np
from attrs import define, field
from every_builtin import first_column_of_categories
from planting import Planted, planter
from right_layers import GainOfTanh, LeakyReLU, Scale, Square, WithPenalty

from deepbp.layers import Builder, Dense, Embedding, Formula, Layer, Softmax, StopGradient, Tanh
from deepbp.typing import Array, Shape

GRADIENTS: list[Planted] = []
planted = planter(GRADIENTS)


@planted("input_gradient", r"∂L/∂x.* is the negative of the numeric gradient")
@define(eq=False)
class NegativeSignal(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        return -super().backward(x, delta)


@planted("input_gradient", r"does not depend on delta: was the upstream error signal forgotten")
@define(eq=False)
class ForgottenDelta(Square):
    def backward(self, x: Array, delta: Array) -> Array:
        return 2 * x


@planted("input_gradient", r"is delta itself: was the layer's own derivative forgotten")
@define(eq=False)
class ForgottenDerivative(Tanh):
    def backward(self, y: Array, delta: Array) -> Array:
        return delta.copy()


@planted("input_gradient", r"is half the numeric gradient: was a factor of 2 forgotten")
@define(eq=False)
class ForgottenTwo(Square):
    def backward(self, x: Array, delta: Array) -> Array:
        return x * delta


@planted("input_gradient", r"is 2 times too large: was a factor of 2 taken twice")
@define(eq=False)
class TwiceTheTwo(Square):
    def backward(self, x: Array, delta: Array) -> Array:
        return 4 * x * delta


@planted("input_gradient", r"is 1\.5 times the numeric gradient, everywhere: a constant factor")
@define(eq=False)
class StrangeFactor(Square):
    def backward(self, x: Array, delta: Array) -> Array:
        return 3 * x * delta


@planted("input_gradient", r"keeps only the diagonal of the Jacobian")
@define(eq=False)
class SoftmaxWithoutOffDiagonal(Softmax):
    def backward(self, y: Array, delta: Array) -> Array:
        moved: Array = delta * y * (1 - y)
        return moved


@planted("input_gradient", r"is wrong\nat \[")
@define(eq=False)
class MaskFromDelta(LeakyReLU):
    def backward(self, x: Array, delta: Array) -> Array:
        return np.where(delta > 0, delta, self.slope * delta)


@planted("input_gradient", r"is wrong exactly where the input is negative")
@define(eq=False)
class OneBranchOnly(LeakyReLU):
    def backward(self, x: Array, delta: Array) -> Array:
        return np.where(x > 0, delta, 0.2 * delta)


@planted("input_gradient", r"lacks a factor: times gain it would be right")
@define(eq=False)
class ForgottenGain(GainOfTanh):
    def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
        super().backward(saved, delta)
        moved: Array = delta * (1 - saved[1] ** 2)
        return moved


@planted("input_gradient", r"has a factor too many: divided by gain it would be right")
@define(eq=False)
class GainTwice(GainOfTanh):
    def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
        moved: Array = super().backward(saved, delta) * self.gain.value
        return moved


@planted("input_gradient", r"is 3 times too small: 3 is the number of a sample's inputs.*was a mean taken")
@define(eq=False)
class MeanOverFeatures(Square):
    def backward(self, x: Array, delta: Array) -> Array:
        moved: Array = 2 * x * delta / x.shape[-1]
        return moved


@planted("input_gradient", r"is right in column 0 and wrong in columns 1, 2")
@define(eq=False)
class OneColumnOnly(Square):
    def backward(self, x: Array, delta: Array) -> Array:
        moved = 2 * x * delta
        moved[:, 1:] += 1
        return moved


@planted("input_gradient", r"has its rows in reverse order")
@define(eq=False)
class ReversedRows(Square):
    def backward(self, x: Array, delta: Array) -> Array:
        return (2 * x * delta)[::-1]


@planted("input_gradient", r"holds the right numbers in the wrong places", shape=(2, 3))
@define(eq=False)
class ReshapedInAnotherOrder(Layer[tuple[int, ...]]):
    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        return (6,)

    def forward(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        return x.reshape(len(x), 6), x.shape

    def backward(self, shape: tuple[int, ...], delta: Array) -> Array:
        return delta.reshape(shape[0], 3, 2).transpose(0, 2, 1)


@planted("input_gradient", r"uses `weight` where its transpose belongs, or the other way round")
@define(eq=False)
class SignalThroughUntransposedWeights(Dense):
    units: int = 3

    def backward(self, x: Array, delta: Array) -> Array:
        super().backward_parameters(x, delta)
        moved: Array = delta @ self.weight.value
        return moved


@planted("input_gradient", r"is zero everywhere, and the numeric gradient is not")
@define(eq=False)
class BlockedSignal(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        return 0 * super().backward(x, delta)


@planted("parameter_gradients", r"∂L/∂gain is 5 times too small: 5 is the batch size.*the loss takes the mean already")
@define(eq=False)
class MeanOverBatch(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate((x * delta).mean(axis=0))
        self.shift.accumulate(delta.sum(axis=0))
        return delta * self.gain.value


@planted("parameter_gradients", r"∂L/∂gain is 5 times too large: 5 is the batch size")
@define(eq=False)
class SumTwice(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate(len(x) * (x * delta).sum(axis=0))
        self.shift.accumulate(delta.sum(axis=0))
        return delta * self.gain.value


@planted("parameter_gradients", r"∂L/∂shift is that of the first sample alone: sum over the batch")
@define(eq=False)
class FirstSampleOnly(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate((x * delta).sum(axis=0))
        self.shift.accumulate(delta[0])
        return delta * self.gain.value


@planted("parameter_gradients", r"∂L/∂gain does not depend on delta")
@define(eq=False)
class GainWithoutDelta(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate(x.sum(axis=0))
        self.shift.accumulate(delta.sum(axis=0))
        return delta * self.gain.value


@planted("parameter_gradients", r"∂L/∂weight is transposed")
@define(eq=False)
class TransposedWeightGradient(Dense):
    units: int = 3

    def backward_parameters(self, x: Array, delta: Array) -> None:
        self.weight.accumulate(delta.T @ x)
        assert self.bias is not None
        self.bias.accumulate(delta.sum(axis=0))


@planted("backward_runs", r"gain gradient has shape \(5, 3\), expected \(3,\): sum over the batch")
@define(eq=False)
class MissingBatchSum(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate(x * delta)
        return delta * self.gain.value


@planted("backward_runs", r"shift gradient has shape \(5,\), expected \(3,\)")
@define(eq=False)
class WrongAxis(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate((x * delta).sum(axis=0))
        self.shift.accumulate(delta.sum(axis=1))
        return delta * self.gain.value


@planted("every_parameter_gets_a_gradient", r"parameter `shift` never got a gradient")
@define(eq=False)
class ForgottenParameter(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate((x * delta).sum(axis=0))
        return delta * self.gain.value


@planted("gradients_accumulate", r"∂L/∂gain.*the second overwrote the first, or was left out: call accumulate")
@define(eq=False)
class OverwrittenGradient(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.grad[...] = (x * delta).sum(axis=0)
        self.shift.accumulate(delta.sum(axis=0))
        return delta * self.gain.value


@planted("used_twice_in_one_net", r"∂L/∂shift: used twice in one net, the two uses' gradients do not add")
@define(eq=False)
class OnlyTheFirstUseCounts(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate((x * delta).sum(axis=0))
        if not self.shift.grad.any():
            self.shift.accumulate(delta.sum(axis=0))
        return delta * self.gain.value


@planted("backward_parameters_equals_backward", r"∂L/∂gain: backward_parameters accumulates nothing, and backward does")
@define(eq=False)
class EmptyBackwardParameters(Scale):
    def backward_parameters(self, x: Array, delta: Array) -> None:
        pass


@planted("kink_gradients", r"at −1, 0 and 1, where a kink allows any value between.*is wrong\nat \[")
@define(eq=False)
class FarOutsideTheKink(LeakyReLU):
    def backward(self, x: Array, delta: Array) -> Array:
        return np.where(x == 0, 3 * delta, super().backward(x, delta))


@planted("forward_twice_then_backward_of_the_first", r"∂L/∂x changes when another forward ran.*kept on the layer")
@define(eq=False)
class StaleCache(Square):
    cache: Any = field(init=False, default=None)

    def forward(self, x: Array) -> tuple[Array, Array]:
        self.cache = x
        return x * x, x

    def backward(self, x: Array, delta: Array) -> Array:
        moved: Array = 2 * self.cache[: len(delta)] * delta
        return moved


@planted("interleaved_uses", r"depends on which of two passes goes backward first|two forwards, then two backwards")
@define(eq=False)
class StackOnTheLayer(Square):
    stack: list[Array] = field(init=False, factory=list)

    def forward(self, x: Array) -> tuple[Array, Array]:
        self.stack.append(x)
        return x * x, x

    def backward(self, x: Array, delta: Array) -> Array:
        return 2 * self.stack.pop() * delta


@planted("nothing_kept_on_the_layer", r"forward changed the layer's field `seen`")
@define(eq=False)
class CountsOnTheLayer(Square):
    seen: int = field(init=False, default=0)

    def forward(self, x: Array) -> tuple[Array, Array]:
        self.seen += len(x)
        return x * x, x


@planted("parameters_stay", r"a pass changed the parameter `gain`")
@define(eq=False)
class UpdatesItself(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        moved = super().backward(x, delta)
        self.gain.value -= 0.01 * self.gain.grad
        return moved


@planted("input_gradient", r"∂L/∂x.* lacks the gradient of the penalty, which the layer adds to the loss")
@define(eq=False)
class PenaltyOfOutputsWithoutItsGradient(WithPenalty):
    def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
        x, _ = saved
        self.gain.accumulate((x * delta).sum(axis=0) + 0.2 * self.gain.value)
        return delta * self.gain.value


@planted("parameter_gradients", r"∂L/∂gain is wrong by a summand: plus 1/10 · gain it would be right")
@define(eq=False)
class PenaltyOfWeightsWithHalfItsGradient(WithPenalty):
    def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
        moved = super().backward(saved, delta)
        self.gain.accumulate(-0.1 * self.gain.value)
        return moved


@planted("parameter_gradients", r"∂L/∂gain is wrong\nat \[")
@define(eq=False)
class PenaltyThatIsASumWithTheGradientOfAMean(WithPenalty):
    def penalty(self, saved: tuple[Array, Array]) -> float:
        return float(0.1 * (self.gain.value**2).sum() + 0.2 * (saved[1] ** 2).sum())


@planted("parameter_gradients", r"∂L/∂gain lacks the gradient of the penalty")
@define(eq=False)
class PenaltyOfWeightsWithoutItsGradient(Scale):
    def penalty(self, x: Array) -> float:
        return float(0.1 * (self.gain.value**2).sum())


@planted("parameter_gradients", r"∂L/∂gain is wrong by a summand: minus 1/5 · gain it would be right")
@define(eq=False)
class GradientOfAPenaltyThatNobodyPays(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate(0.2 * self.gain.value)
        return super().backward(x, delta)


@planted("input_gradient", r"penalty: expected a float, what is added to the loss, returned array")
@define(eq=False)
class PenaltyIsAnArray(WithPenalty):
    def penalty(self, saved: tuple[Array, Array]) -> Any:
        return 0.2 * (saved[1] ** 2).mean(axis=0)


@planted("input_gradient", r"surrogate_gradient: backward passes on something else.*must say what: formula = Formula")
@define(eq=False)
class SurrogateThatIsNotStated(StopGradient):
    formula = Formula("x")


@planted("formula", r"formula: ∂L/∂x = 'delta' is not what backward gives")
@define(eq=False)
class SurrogateThatIsNotWhatWasStated(StopGradient):
    formula = Formula("x", backward="delta")


@planted(
    "input_gradient",
    r"∂L/∂x at \[0, 0\] is .*refuses to see this number moved a little.*the error signal must be 0",
    shape=(1,),
    inputs=first_column_of_categories,
)
@define(eq=False)
class SignalByCategories(Embedding):
    categories: int = 5
    units: int = 1

    def backward(self, rows: Array, delta: Array) -> Array:
        super().backward(rows, delta)
        moved: Array = delta[..., 0]
        return moved
