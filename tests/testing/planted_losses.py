"""Losses with one mistake each."""

from typing import Any

import numpy as np
from attrs import define, field, frozen
from planting import Planted, from_percent, planter

from deepbp.losses import Loss
from deepbp.losses import MeanSquaredError as MeanOfSquares
from deepbp.losses import SoftmaxCrossEntropy as CrossEntropyOfLogits
from deepbp.losses import SumSquaredError as SumOfSquares
from deepbp.losses.loss import check_same_shape, weight_column
from deepbp.typing import Array

LOSSES: list[Planted] = []
planted = planter(LOSSES)


@planted("targets_are_prepared", r"prepare_target, which fit calls first, takes no such targets: y: .*\n.*override")
@frozen
class ExpectsAColumn(MeanOfSquares):
    def prepare_target(self, target: Any, output_shape: Any, dtype: Any, name: str = "y") -> Array:
        return super().prepare_target(target, (1,), dtype, name)


@planted("targets_are_prepared", r"expected an array with 5 entries, one for each sample, got shape \(1, 5, 3\)")
@frozen
class AddsAnAxis(MeanOfSquares):
    def prepare_target(self, target: Any, output_shape: Any, dtype: Any, name: str = "y") -> Array:
        return super().prepare_target(target, output_shape, dtype, name)[None]


@planted("gradient", r"∂L/∂prediction is the mean of all samples in every row: each sample has a gradient of its own")
@frozen
class MeanInEveryRow(MeanOfSquares):
    def backward(self, weighted: Array) -> Array:
        mean: Array = super().backward(weighted).mean(axis=0)
        return mean + np.zeros_like(weighted)


@planted("gradient", r"is wrong by a summand: minus 1/5 · the target it would be right")
@frozen
class ForgottenTarget(CrossEntropyOfLogits):
    def backward(self, saved: Any) -> Array:
        residual = saved[0]
        return super().backward(saved) + (np.asarray(residual) < 0) / len(residual)


@planted("gradient", r"lacks a factor: times \(1 − probability\) it would be right")
@frozen
class ForgottenDerivativeOfTheSigmoid(Loss[tuple[Array, Array]]):
    """The mean squared error of σ(z)."""

    expects = "logits"

    def probabilities(self, prediction: Array) -> Array:
        return np.asarray(1 / (1 + np.exp(-np.maximum(prediction, -700))))

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, Array]]:
        check_same_shape(prediction, target)
        p = self.probabilities(prediction).astype(prediction.dtype)
        weight = np.ones(len(p), p.dtype) if sample_weight is None else sample_weight
        weighted = (p - target) * weight_column(weight, p)
        return float(np.vdot(p - target, weighted)) / p.size, (p, weighted)

    def backward(self, saved: tuple[Array, Array]) -> Array:
        p, weighted = saved
        return weighted * p * (2 / p.size)


@planted("forward_and_backward_run", r"expected the loss as one number, returned array")
@frozen
class LossOfEachSample(MeanOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> Any:
        return ((prediction - target) ** 2).mean(axis=1), prediction - target


@planted(
    "forward_and_backward_run", r"backward: expected an array of the prediction's shape \(5, 3\), got shape \(5,\)"
)
@frozen
class SummedSignal(MeanOfSquares):
    def backward(self, weighted: Array) -> Array:
        total: Array = super().backward(weighted).sum(axis=1)
        return total


@planted("gradient", r"∂L/∂prediction is half the numeric gradient: was a factor of 2 forgotten")
@frozen
class ForgottenTwo(MeanOfSquares):
    def backward(self, weighted: Array) -> Array:
        return super().backward(weighted) / 2


@planted("gradient", r"∂L/∂prediction is the negative of the numeric gradient")
@frozen
class TargetMinusPrediction(SumOfSquares):
    def backward(self, weighted: Array) -> Array:
        return -super().backward(weighted)


@planted("gradient", r"is 3 times too large: 3 is the number of a sample's outputs")
@frozen
class ValueAndGradientFromTwoDefinitions(MeanOfSquares):
    def backward(self, delta: Array) -> Array:
        divided_by_samples_alone: Array = delta * delta[0].size
        return divided_by_samples_alone


@planted("gradient", r"is 15 times too large: 15 is the number of all outputs: was a mean forgotten")
@frozen
class ForgottenMean(MeanOfSquares):
    def backward(self, delta: Array) -> Array:
        return delta * delta.size


@planted("weighted_gradient", r"with sample_weight lacks a factor: times sample_weight it would be right")
@frozen
class WeightsInForwardOnly(MeanOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        return super().forward(prediction, target, sample_weight)[0], super().forward(prediction, target)[1]


@planted("sample_weights_multiply_shares", r"expected 2 times the loss.*weights multiply each sample's share")
@frozen
class DividesByTheWeights(Loss[tuple[Array, float]]):
    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, float]]:
        check_same_shape(prediction, target)
        weight = np.ones(len(target), target.dtype) if sample_weight is None else sample_weight
        total = float(weight.sum()) * prediction[0].size
        weighted = (prediction - target) * weight_column(weight, prediction)
        return float(np.vdot(prediction - target, weighted)) / total, (weighted, total)

    def backward(self, saved: tuple[Array, float]) -> Array:
        weighted, total = saved
        return weighted * (2 / total)


@planted("sample_weights_multiply_shares", r"expected 2 times the loss")
@frozen
class IgnoresWeights(MeanOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        return super().forward(prediction, target)


@planted("reduction_as_stated", r"reduction = 'mean', but the loss of a batch.*it is their sum")
@frozen
class SaysMeanAndSums(SumOfSquares):
    reduction = "mean"  # type: ignore[assignment]


@planted("shapes_must_match", r"a prediction of shape \(5, 1\) and a target of shape \(5,\) are taken, and broadcast")
@frozen
class Broadcasts(MeanOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        difference = prediction - target
        weighted = difference if sample_weight is None else difference * weight_column(sample_weight, prediction)
        return float(np.vdot(difference, weighted)) / difference.size, weighted


_last: list[Array] = []


@planted("forward_twice_then_backward_of_the_first", r"changes when another forward ran before backward")
@frozen
class RemembersTheLastBatch(MeanOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        value, weighted = super().forward(prediction, target, sample_weight)
        _last[:] = [weighted]
        return value, weighted

    def backward(self, weighted: Array) -> Array:
        return super().backward(_last[0])


@planted("nothing_is_written", r"wrote into the prediction: make a new array")
@frozen
class WritesThePrediction(MeanOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        result = super().forward(prediction, target, sample_weight)
        prediction -= target
        return result


@planted("nothing_is_written", r"wrote into the target: make a new array")
@frozen
class WritesTheTarget(MeanOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        result = super().forward(prediction, target, sample_weight)
        target -= prediction
        return result


@planted("nothing_is_written", r"wrote into sample_weight: make a new array")
@frozen
class WritesTheWeights(MeanOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        result = super().forward(prediction, target, sample_weight)
        if sample_weight is not None:
            sample_weight /= sample_weight.sum()
        return result


@planted("nothing_is_written", r"backward wrote into saved")
@frozen
class WritesSaved(MeanOfSquares):
    def backward(self, weighted: Array) -> Array:
        weighted *= 2 / weighted.size
        return weighted


@planted("dtype_is_kept", r"backward returns float64 for a float32 prediction")
@frozen
class Float64Leak(MeanOfSquares):
    def backward(self, weighted: Array) -> Array:
        return weighted * np.float64(2 / weighted.size)


@planted("extreme_predictions", r"predictions of -10000 and 10000, float32: overflow encountered in exp")
@frozen
class NaiveExponential(Loss[Array]):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        check_same_shape(prediction, target)
        e = np.exp(prediction)
        weighted = e if sample_weight is None else e * weight_column(sample_weight, prediction)
        return float(weighted.sum()) / e.size, weighted

    def backward(self, weighted: Array) -> Array:
        return weighted / weighted.size


@planted("configuration_is_frozen", r"put @frozen, from attrs, above the class")
@define
class NotFrozen(Loss[Array]):
    factor: float = 1.0

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        return MeanOfSquares().forward(prediction, target, sample_weight)

    def backward(self, weighted: Array) -> Array:
        return MeanOfSquares().backward(weighted)


@planted("repr_can_be_pasted_back", r"repr cannot be pasted back: squares")
@frozen(repr=False)
class PrettyRepr(MeanOfSquares):
    def __repr__(self) -> str:
        return "squares of differences"


@planted("configuration_rebuilds", r"the constructor, given what the fields hold, makes something else")
@frozen
class ConvertsTwice(MeanOfSquares):
    percent: float = field(default=50.0, converter=from_percent)


@planted("copy_and_pickle", r"pickle raises")
@frozen(eq=False)
class HoldsALock(MeanOfSquares):
    def __reduce__(self) -> str:
        return "nowhere_to_be_found"

    def __deepcopy__(self, memo: Any) -> "HoldsALock":
        return self


@planted("forward_and_backward_run", r"expected the pair \(loss, saved\), returned 1\.0")
@frozen
class BareNumber(MeanOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> Any:
        return 1.0


@planted("forward_and_backward_run", r"expected a finite loss for ordinary data, got nan: predictions=")
@frozen
class LogOfNegatives(MeanOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        with np.errstate(invalid="ignore"):
            return float(np.log(prediction).sum()), prediction


@planted("sample_weights_multiply_shares", r"expected the weighted sum of the samples' shares.*got")
@frozen
class AverageWeight(MeanOfSquares):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        value, difference = super().forward(prediction, target)
        mean = 1.0 if sample_weight is None else float(sample_weight.mean())
        return value * mean, difference * mean


@planted("reduction_as_stated", r"reduction: expected 'mean' or 'sum', got 'average'")
@frozen
class UnknownReduction(MeanOfSquares):
    reduction = "average"  # type: ignore[assignment]


@planted("extreme_predictions", r"predictions of -10000 and 10000, float32: the loss or its gradient is not finite")
@frozen
class SilentOverflow(NaiveExponential):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        with np.errstate(over="ignore"):
            return super().forward(prediction, target, sample_weight)
