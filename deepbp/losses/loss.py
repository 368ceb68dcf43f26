"""The contract of a loss: how wrong a prediction is, as one number, and where the error signal starts."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import attrs
import numpy as np
from attrs import Attribute

from deepbp._config import configuration_text
from deepbp._suggestions import explain_constructor
from deepbp._validation import as_numbers, as_type, check_sample_shape
from deepbp.errors import ArgumentTypeError, ConfigurationError, ContractError, DataError, DataTypeError, ShapeError
from deepbp.errors.validators import Validator
from deepbp.formulas.language import LossFormula
from deepbp.typing import Array, ArrayLike, Shape

Saved = TypeVar("Saved")

Expects: TypeAlias = Literal["values", "probabilities", "logits", "scores", "rates", "log-rates"]
"""Numbers like the targets; probabilities; what a sigmoid or softmax in the loss makes probabilities of; numbers whose
sign or order decides; expected counts; logarithms of those."""


class Loss(ABC, Generic[Saved]):
    """Compares predictions with targets. A subclass is usually an ``attrs.frozen`` class.

    ``sample_weight`` (B,) multiplies each sample's share of the loss. Means are taken over the number of samples, not
    over the sum of the weights, so a sample's share does not depend on which others are in its batch.
    """

    reduction: ClassVar[Literal["sum", "mean"]] = "mean"
    """Whether the samples' shares are added up or averaged: it says how the losses of batches make that of an epoch."""

    expects: ClassVar[Expects] = "values"
    """What the predictions must be."""

    formula: ClassVar[LossFormula | None] = None
    """The mathematics, stated once: ``derivation`` prints it, and the checks evaluate it."""

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        if attrs.inspect(cls).added_repr:  # attrs' own prints arguments that equal their default, too
            cls.__repr__ = Loss.__repr__  # type: ignore[method-assign]
        explain_constructor(cls)

    @abstractmethod
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Saved]:
        """The loss, and what ``backward`` must remember."""

    @abstractmethod
    def backward(self, saved: Saved) -> Array:
        """∂L/∂prediction: the error signal that enters the last layer."""

    def stated_formula(self) -> LossFormula | None:
        """The formula of this very loss, for classes whose mathematics depends on the configuration."""
        return self.formula

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        """Check and convert all targets once, before training: by default, numbers of the network's output shape."""
        array = as_numbers(target, name)
        if array.ndim == 1 and output_shape == (1,):  # one number for each sample can only be meant as a column
            array = array.reshape(-1, 1)
        check_sample_shape(array, name, output_shape, "the network's output, and so the loss,", target)
        return as_type(array, name, dtype, target)

    def __repr__(self) -> str:
        """The constructor call that makes the same loss."""
        return configuration_text(self) if attrs.has(type(self)) else f"{type(self).__name__}()"


def check_same_shape(prediction: Array, target: Array, place: str = "loss") -> None:
    """Prediction and target must match exactly: (N,) against (N, 1) would broadcast to N×N and train nonsense."""
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
        raise ShapeError(
            f"{place}: expected a target of the prediction's shape {prediction.shape}, got {target.shape}{fix}"
        )
    if not prediction.shape:
        raise not_arrays(prediction=prediction)
    if prediction.size == 0:
        raise DataError(f"{place}: expected at least one sample, got none")


def weight_column(sample_weight: Array, prediction: Array) -> Array:
    """The weights (B,) with axes of length 1 behind, so that they multiply whole samples."""
    if not isinstance(sample_weight, np.ndarray):
        raise not_arrays(sample_weight=sample_weight)
    if sample_weight.shape != prediction.shape[:1]:
        raise ShapeError(
            f"sample_weight: expected one weight a sample, shape {prediction.shape[:1]}, got {sample_weight.shape}"
        )
    return sample_weight.reshape(-1, *(1,) * (prediction.ndim - 1))


def not_arrays(**given: Any) -> ArgumentTypeError:
    """The error for arguments of which one is no array with samples along axis 0."""
    name = next(name for name, value in given.items() if not getattr(value, "shape", ()))
    return ArgumentTypeError(
        f"{name}: expected an array with samples along axis 0, got {given[name]!r}: use numpy.asarray({name})"
    )


def broken_pair(loss: Loss[Any], pair: Any) -> ContractError:
    """The error for a loss whose ``forward`` returns something else than it must."""
    return ContractError(f"{loss!r}: forward: expected the pair (loss as one number, saved), returned {pair!r}")


def limits(prediction: Array) -> "np.finfo[Any]":
    """The smallest and largest numbers of its dtype. Raises DataTypeError for whole numbers, which have no gradient."""
    try:
        return np.finfo(prediction.dtype)
    except ValueError:
        raise DataTypeError(
            f"prediction: expected floating-point numbers, got {prediction.dtype}: use prediction.astype(float)"
        ) from None


def check_range(array: Array, name: str, fix: str) -> None:
    """Every number lies in [0, 1]."""
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 1):
        raise DataError(f"{name}: expected numbers from 0 to 1, got {low if not low >= 0 else high}: {fix}")


def mean(terms: Array, sample_weight: Array | None) -> float:
    """Σ w t / n over all terms (B, …), of which there are n: never divided by the sum of the weights."""
    total = terms.sum() if sample_weight is None else (terms * weight_column(sample_weight, terms)).sum()
    return float(total) / terms.size


def mean_backward(slopes: Array, sample_weight: Array | None, terms: int | None = None) -> Array:
    """∂mean/∂prediction, from the slopes ∂t/∂prediction (B, …) of so many terms: by default one for each number."""
    delta = slopes / (slopes.size if terms is None else terms)
    return delta if sample_weight is None else delta * weight_column(sample_weight, slopes)


def as_tuple(value: Any) -> Any:
    """A list, or a vector, as a tuple, which can be compared and printed; anything else as it is."""
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return tuple(value.tolist())
    return tuple(value) if isinstance(value, list) else value


def each(validator: Validator) -> Validator:
    """A validator of one number, or of each number in a tuple that is not empty."""

    def validate(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
        numbers = value if isinstance(value, tuple) else (value,)
        if not numbers:
            raise ConfigurationError(f"{type(instance).__name__}: {attribute.name}: expected at least one number")
        for number in numbers:
            validator(instance, attribute, number)

    return validate


def for_each(numbers: float | tuple[float, ...], array: Array, place: str) -> Array:
    """The numbers as an array of this one's dtype: a single one for all, or one for each along its last axis."""
    if isinstance(numbers, tuple) and len(numbers) != array.shape[-1]:
        raise ShapeError(
            f"{place}: expected one number for each output, {array.shape[-1]} of them, got {len(numbers)}: {numbers}"
        )
    return np.asarray(numbers, array.dtype)
