"""The contract of a loss function, and the checks and means that losses share."""

from abc import ABC, abstractmethod
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import attrs
import numpy as np

from deepbp import kernels
from deepbp._config import configuration_text
from deepbp._validation import FILL, as_numbers, as_type, check_sample_shape
from deepbp.errors import ArgumentTypeError, ContractError, DataError, DataTypeError, ShapeError, shown
from deepbp.errors.validators import explain_constructor
from deepbp.formulas.language import LossFormula
from deepbp.kernels.blocks import LONG, long_sum, plan_of_sum
from deepbp.program.program import Program, Slot
from deepbp.typing import Array, ArrayLike, Shape, freely_named

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    # `Loss` alone means `Loss[Any]`, and a list of different losses is a list[Loss[object]].
    Saved = TypeVarWithDefault("Saved", default=Any, covariant=True)
else:
    Saved = TypeVar("Saved")

Expects: TypeAlias = Literal["values", "probabilities", "logits", "scores", "rates", "log-rates"]
"""What predictions are: numbers like the targets; probabilities; logits, to which the loss applies a sigmoid or
softmax; scores of which the sign or the order decides; expected counts; logarithms of expected counts."""


class Loss(ABC, Generic[Saved]):
    """Base class of loss functions: one number L for predictions and targets, and its gradient ∂L/∂prediction.

    A subclass is usually an ``attrs.frozen`` class. ``sample_weight`` (B,) multiplies each sample's share of the loss;
    weights of the target's shape multiply the share of each number, place or label.
    Means divide by the number of samples, not by the sum of the weights, so the share of a sample does not depend on
    the other samples in its batch.

    >>> import numpy as np
    >>> from deepbp.losses import Loss
    >>> class SumOfErrors(Loss):
    ...     def forward(self, prediction, target, sample_weight=None):
    ...         return float((prediction - target).sum()), prediction.shape
    ...     def backward(self, saved):
    ...         return np.ones(saved)
    >>> SumOfErrors().forward(np.array([[3.0]]), np.array([[1.0]]))
    (2.0, (1, 1))
    """

    reduction: ClassVar[Literal["sum", "mean"]] = "mean"
    """Whether the shares of the samples are added or averaged; the loss of an epoch combines batches accordingly."""

    expects: ClassVar[Expects] = "values"
    """What the predictions must be."""

    formula: ClassVar[LossFormula | None] = None
    """The formula of value and gradient, which ``derivation`` prints and the gradient checks evaluate."""

    _by_rows: ClassVar[bool] = False
    """Whether there is one term for each row (B, …, C) of the prediction, so that a row is missing as a whole."""

    _built_in_targets: ClassVar[bool] = True
    """Whether no class outside deepbp has a part in ``prepare_target``."""

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        if attrs.inspect(cls).added_repr:  # the one by attrs prints arguments that equal their default, too
            cls.__repr__ = Loss.__repr__  # type: ignore[method-assign]
        explain_constructor(cls)

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        owner = next(kind for kind in cls.__mro__ if "lower" in vars(kind))
        if any(
            getattr(cls, one, None) is not getattr(owner, one, None)
            for one in ("forward", "backward", "terms", "check")
        ):
            cls.lower = Loss.lower  # type: ignore[method-assign]  # that of the owner would run the owner's formula
        places = (kind.__module__ for kind in cls.__mro__ if "prepare_target" in vars(kind))
        cls._built_in_targets = all(f"{place}.".startswith("deepbp.losses.") for place in places)

    @abstractmethod
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Saved]:
        """The loss, and what ``backward`` needs."""

    @abstractmethod
    @freely_named
    def backward(self, saved: Saved) -> Array:  # type: ignore[misc]
        """∂L/∂prediction: the error signal, or upstream gradient, of the last layer."""

    def lower(self, program: Program, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        """Add this loss to a program; by default as a function of Python that runs both passes."""
        program.loss(self, prediction, target, weight)

    def stated_formula(self) -> LossFormula | None:
        """The formula in this configuration."""
        return self.formula

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        """Validate and convert all targets once, before training; by default, numbers of the network's output shape.

        ``forward`` and metrics get what this method returns, along axis 0 one entry for each sample. Every way to
        train, evaluate or explain a network calls it exactly once. Override it for targets of another shape, or to
        convert them.
        """
        array = as_numbers(target, name, fix=f"{FILL}, or leave them out, with IgnoreMissing({self})")
        if array.ndim == 1 and output_shape == (1,):  # one number for each sample can only be meant as a column
            array = array.reshape(-1, 1)
        if fix := missing_flatten(array, output_shape):
            raise ShapeError(f"{name}: expected a target of shape {output_shape} a sample, got {array.shape}{fix}")
        check_sample_shape(array, name, output_shape, "the network's output, and so the loss,", target)
        return as_type(array, name, dtype, target)

    def _keeps_targets(self) -> bool:
        """Whether ``prepare_target`` only validates targets of the right dtype, so that a step may leave it out."""
        return self._built_in_targets and "prepare_target" not in vars(self)

    def _of_known_targets(self) -> "Loss[Any]":
        """The loss of the targets that are not missing: of ``IgnoreMissing``, the loss inside."""
        return self

    def _takes_missing(self) -> bool:
        """Whether NaN stands for a missing target."""
        return False

    def _samples(self, prediction: Array, target: Array) -> float:
        """The number of samples that a mean divides by; a sample of which half the targets are missing is a half."""
        return len(prediction)

    def _counted(
        self, prediction: Array, target: Array, sample_weight: Array | None, weighted: bool = True
    ) -> tuple[Array, Array, Array | None]:
        """Prediction, target and weights of what metrics count: all but ignored labels and missing targets.

        A sample of which some targets are missing is counted with weights of 0, by a metric that takes weights; any
        other gets NaN.
        """
        if not self._takes_missing() or not (missing := np.isnan(target)).any():
            return prediction, target, sample_weight
        some = ~missing.reshape(len(target), -1).all(axis=1)
        prediction, target, missing = prediction[some], target[some], missing[some]
        weight = None if sample_weight is None else sample_weight[some]
        if weighted and missing.any():
            present = (~missing).astype(prediction.dtype)
            weight = present if weight is None else present * weight_column(weight, present)
            target = np.where(missing, 0, target)
        return prediction, target, weight

    def probabilities(self, prediction: Array) -> Array | None:
        """The probabilities, or expected counts, that raw predictions stand for; None where the loss has none.

        Metrics, thresholds and plots call this function, so that logits are never compared with ½. It follows from
        ``expects``: probabilities and rates stay as they are, log-rates become eᶻ, and logits σ(z), or softmax(z) in
        losses of classes. Values and scores of a margin are no probabilities: None. A loss of your own with logits
        of several outputs overrides this method, because they may mean either.

        >>> import numpy as np
        >>> from deepbp.losses import Hinge, SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy
        >>> z = np.array([[0.0, np.log(3)]])
        >>> SigmoidBinaryCrossEntropy().probabilities(z), SoftmaxCrossEntropy().probabilities(z)
        (array([[0.5 , 0.75]]), array([[0.25, 0.75]]))
        >>> Hinge().probabilities(z) is None
        True
        """
        match self.expects:
            case "probabilities" | "rates":
                return prediction
            case "log-rates":
                return np.asarray(np.exp(prediction))
            case "logits" if prediction.shape[-1:] == (1,):
                return np.asarray(kernels.sigmoid(prediction))
        return None

    def __repr__(self) -> str:
        """The constructor call that makes the same loss."""
        return configuration_text(self) if attrs.has(type(self)) else f"{type(self).__name__}()"


MeanSaved: TypeAlias = tuple[Array, int, Array | None]
"""The slopes ∂t/∂prediction, the number of terms, and the sample weights."""


class MeanLoss(Loss[MeanSaved]):
    """Base class of losses that are means, L = Σ t / n: one term t for each number of the prediction, or each row.

    A subclass states the terms together with their derivatives; sample weights and the division by n are added here.
    """

    def check(self, prediction: Array, target: Array) -> None:
        """Validate one batch; by default, prediction and target must have the same shape."""
        check_same_shape(prediction, target)

    @abstractmethod
    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """The terms t, of shape (B, …), and the slopes ∂t/∂prediction, of the prediction's shape."""

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, MeanSaved]:
        self.check(prediction, target)
        terms, slopes = self.terms(prediction, target)
        total = long_sum(terms if sample_weight is None else terms * weight_column(sample_weight, terms))
        return total / terms.size, (slopes, terms.size, sample_weight)

    def backward(self, saved: MeanSaved) -> Array:
        slopes, n, sample_weight = saved
        delta = slopes / n
        return delta if sample_weight is None else delta * weight_column(sample_weight, slopes)

    def _lower_terms(
        self, program: Program, prediction: Slot, target: Array, weight: Array | None, name: str, *settings: float,
        of_outputs: float | tuple[float, ...] | None = None, one_target: bool = False,
    ) -> None:  # fmt: skip
        """The instruction that computes the terms, times weights, and their mean.

        Args:
            of_outputs: a setting of each output, or of all.
            one_target: whether all outputs have one target.
        """
        z, weights = prediction.value, program.weights(weight, prediction.value)
        expected = (*z.shape[:-1], 1) if one_target else z.shape
        known = not isinstance(of_outputs, tuple) or len(of_outputs) == z.shape[-1]
        if weights is None or not known or (target.shape, target.dtype) != (expected, z.dtype) or z.size > LONG:
            Loss.lower(self, program, prediction, target, weight)
            return
        if one_target:
            single, target = target, np.zeros_like(z)
            program.then("repeat", single, target, single[0].size, z.shape[-1])
        factors = () if of_outputs is None else (np.full(z.shape, of_outputs, z.dtype),)
        plan = np.array(plan_of_sum(z.size), np.int64)
        memory = (np.zeros_like(z), prediction.width, plan, len(plan), np.zeros(len(plan), z.dtype))
        program.then(name, z, target, prediction.delta, *memory, *weights, *factors, *settings)


def check_same_shape(prediction: Array, target: Array, place: str = "loss") -> None:
    """Raise ShapeError unless the shapes are equal: (N,) against (N, 1) would broadcast to N×N and train nonsense."""
    try:
        same = prediction.shape == target.shape
    except AttributeError:
        raise not_arrays(prediction=prediction, target=target) from None
    if not same:
        fix = ""
        if target.shape == prediction.shape[:-1] and prediction.shape[-1] == 1:
            fix = ": use target.reshape(-1, 1)" if target.ndim == 1 else ": use target[..., None]"
        elif prediction.shape == target.shape[:-1] and target.shape[-1] == 1:
            fix = ": use target[..., 0]"
        fix = fix or (missing_flatten(target, prediction.shape[1:]) if target.ndim else "")
        raise ShapeError(
            f"{place}: expected a target of the prediction's shape {prediction.shape}, got {target.shape}{fix}"
        )
    if not prediction.shape:
        raise not_arrays(prediction=prediction)
    if prediction.size == 0:
        raise DataError(f"{place}: expected at least one sample, got none")


def missing_flatten(target: Array, output_shape: Shape) -> str:
    """The fix where a network has an output for each place of a sample, and there is one target for the whole."""
    size = prod(target.shape[1:])
    if len(output_shape) < 2 or size not in (1, output_shape[-1]) or size == prod(output_shape):
        return ""
    return ": put Flatten() before the first Dense, which keeps all axes but the last, for one answer a sample"


def weight_column(sample_weight: Array, prediction: Array) -> Array:
    """Weights of samples (B,), places (B, T) or single numbers, with axes of size 1 up to those of the prediction."""
    if not isinstance(sample_weight, np.ndarray):
        raise not_arrays(sample_weight=sample_weight)
    axes = sample_weight.ndim
    if axes == 0 or sample_weight.shape != prediction.shape[:axes]:
        whole = "" if prediction.ndim < 2 else f", or a weight for each target, shape {prediction.shape}"
        raise ShapeError(
            f"sample_weight: expected one weight a sample, shape {prediction.shape[:1]}{whole}, "
            f"got {sample_weight.shape}"
        )
    return sample_weight.reshape(*sample_weight.shape, *(1,) * (prediction.ndim - axes))


def not_arrays(**given: Any) -> ArgumentTypeError:
    """The error for the first argument that is not an array with samples along axis 0."""
    name = next(name for name, value in given.items() if not getattr(value, "shape", ()))
    return ArgumentTypeError(
        f"{name}: expected an array with samples along axis 0, got {shown(given[name])}: use numpy.asarray({name})"
    )


def broken_pair(loss: Loss[Any], pair: Any) -> ContractError:
    """The error for a loss whose ``forward`` does not return a pair (loss, saved)."""
    return ContractError(f"{loss!r}: forward: expected the pair (loss as one number, saved), returned {shown(pair)}")


def limits(prediction: Array) -> "np.finfo[Any]":
    """The limits of the prediction's dtype. Raises DataTypeError for integers, which have no gradient."""
    try:
        return np.finfo(prediction.dtype)
    except ValueError:
        raise DataTypeError(
            f"prediction: expected floating-point numbers, got {prediction.dtype}: use prediction.astype(float)"
        ) from None


def check_range(array: Array, name: str, fix: str) -> None:
    """Raise DataError unless every number lies in [0, 1]."""
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 1):
        raise DataError(f"{name}: expected numbers from 0 to 1, got {low if not low >= 0 else high}: {fix}")


def per_output(numbers: float | tuple[float, ...], array: Array, place: str) -> Array:
    """The scalar, or one number for each entry of the array's last axis, as an array of the same dtype."""
    if isinstance(numbers, tuple) and len(numbers) != array.shape[-1]:
        raise ShapeError(
            f"{place}: expected one number for each output, {array.shape[-1]} of them, got {len(numbers)}: {numbers}"
        )
    return np.asarray(numbers, array.dtype)
