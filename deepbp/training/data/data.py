"""Checked data, and the batches it is trained in."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from attrs import define, evolve

from deepbp.arrays import as_numbers, as_samples, as_type, check_same_length, check_sample_shape
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, NotBuiltError, ShapeError
from deepbp.layers import Layer
from deepbp.losses import Loss, sample_weights
from deepbp.typing import Array, ArrayLike


@define(eq=False)
class Data:
    """Inputs x (N, …), targets y (N, …) and weights (N,) of a model's dtype.

    ``rows``: those in use, None for all. ``dtype``: what batches of x are converted to, None where x has it already.
    """

    x: Array
    y: Array
    sample_weight: Array | None = None
    rows: Array | None = None
    dtype: np.dtype[Any] | None = None

    @classmethod
    def of(
        cls,
        model: Layer[Any],
        loss: Loss[Any],
        x: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | str | None = None,
    ) -> Self:
        """Check and convert, once; what has the model's dtype already is not copied.

        A ``numpy.memmap`` of another dtype may be larger than the memory: its batches are converted one by one.
        """
        if not isinstance(model, Layer):
            raise ArgumentTypeError(f"model: expected a layer, such as a Sequential, got {model!r}")
        built = model.built
        if built is None:
            raise NotBuiltError(
                f"{type(model).__name__}: not built yet: give input_shape=..., or call build(input_shape)"
            )
        if not isinstance(loss, Loss):
            raise ArgumentTypeError(f"loss: expected an instance such as MeanSquaredError(), got {loss!r}")
        later = isinstance(x, np.memmap) and x.dtype != built.dtype
        if later:
            x = as_numbers(x, "x")
            check_sample_shape(x, "x", built.input_shape)
        else:
            x = as_samples(x, "x", built.input_shape, built.dtype)
        y = loss.prepare_target(y, built.output_shape, built.dtype)
        if sample_weight is not None:
            sample_weight = as_type(as_numbers(sample_weight, "sample_weight"), "sample_weight", built.dtype)
            if sample_weight.ndim != 1:
                raise ShapeError(f"sample_weight: expected one weight a sample, got shape {sample_weight.shape}")
            if sample_weight.min() < 0:
                raise DataError(f"sample_weight: expected weights of at least 0, got {sample_weight.min()}")
        check_same_length(x=x, y=y, sample_weight=sample_weight)
        if class_weight is not None:
            by_class = sample_weights(class_weight, y, built.output_shape).astype(built.dtype, copy=False)
            sample_weight = by_class if sample_weight is None else by_class * sample_weight
        return cls(x, y, sample_weight, dtype=built.dtype if later else None)

    @classmethod
    def ready(cls, model: Layer[Any], x: Any, y: Any, sample_weight: Any) -> Self | None:
        """The data as they are, where their types and shapes already fit, at the cost of a glance; otherwise None.

        The glance misses NaN and wrong labels: the loss, or the check of its value, finds those.
        """
        built = model.built
        fits = (
            built is not None
            and sample_weight is None
            and type(x) is type(y) is np.ndarray
            and x.dtype == built.dtype
            and x.ndim > 0
            and x.shape[1:] == built.input_shape
            and y.shape[:1] == x.shape[:1] != (0,)
            and (y.dtype == built.dtype or (y.dtype == np.intp and y.shape[1:] != built.output_shape))
        )
        return cls(x, y) if fits else None

    def __len__(self) -> int:
        return len(self.x) if self.rows is None else len(self.rows)

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(self)

    def take(self, rows: Array | slice) -> Self:
        """The samples at these rows; a slice copies nothing."""

        def select(array: Array) -> Array:
            return array[rows] if isinstance(rows, slice) else array.take(rows, axis=0)

        weight = None if self.sample_weight is None else select(self.sample_weight)
        x = select(self.x) if self.dtype is None else as_type(select(self.x), "x", self.dtype)
        return type(self)(x, select(self.y), weight)

    def split(self, fraction: float, rng: np.random.Generator) -> tuple[Self, Self]:
        """(training, validation) data, the rows of the second drawn by ``rng``; no sample is copied."""
        held_out = round(fraction * len(self))
        if not 0 < held_out < len(self):
            raise ConfigurationError(
                f"validation_split: {fraction} of {len(self)} samples leaves {len(self) - held_out} for training and "
                f"{held_out} for validation: both need at least one"
            )
        rows = rng.permutation(len(self))
        return evolve(self, rows=np.sort(rows[held_out:])), evolve(self, rows=np.sort(rows[:held_out]))

    def batches(self, batch_size: int | None, rng: np.random.Generator | None = None, skip: int = 0) -> Iterator[Self]:
        """All samples once, ``batch_size`` at a time (None: all at once), the last batch being what is left over.

        With a generator the rows, not the batches, are shuffled; the caller's arrays stay as they are. The first
        ``skip`` batches are left out, for an epoch that was begun before.
        """
        size = len(self) if batch_size is None else batch_size
        rows = self.rows
        if rng is not None and size < len(self):  # the order within a full batch does not matter
            rows = rng.permutation(len(self) if rows is None else rows)
        if rows is None and size >= len(self) and self.dtype is None:
            if not skip:
                yield self
            return
        for start in range(skip * size, len(self), size):
            yield self.take(slice(start, start + size) if rows is None else rows[start : start + size])


def check_batch_size(batch_size: int | None) -> None:
    """A whole number of at least 1, or None for all samples at once."""
    if batch_size is None:
        return
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer):
        raise ArgumentTypeError(f"batch_size: expected a whole number, or None for a full batch, got {batch_size!r}")
    if batch_size < 1:
        raise ConfigurationError(f"batch_size: expected at least 1, or None for a full batch, got {batch_size}")
