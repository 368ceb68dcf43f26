"""Data that do not lie in memory: read item by item, or made batch by batch."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Protocol, TypeAlias

import numpy as np
from attrs import define, field

from deepbp.arrays import as_numbers
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DeepBPError, NotBuiltError
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.training.data.data import Data
from deepbp.typing import Shape

Check: TypeAlias = Callable[..., Data]
"""Makes a checked batch of (x, y) or (x, y, sample_weight)."""


class Source(Protocol):
    """Where the batches of an epoch come from."""

    @property
    def samples(self) -> int | None:
        """How many an epoch has, where that is known."""

    def batches(self, batch_size: int | None, rng: np.random.Generator | None = None, skip: int = 0) -> Iterator[Data]:
        """Those of one epoch, in an order drawn by ``rng``; the first ``skip`` were seen before and are left out."""


@define(eq=False)
class Items:
    """A data set with ``__len__`` and ``__getitem__``, which gives (x, y) or (x, y, weight) of one sample."""

    items: Any
    check: Check

    @property
    def samples(self) -> int:
        """The data set's length."""
        return len(self.items)

    def batches(self, batch_size: int | None, rng: np.random.Generator | None = None, skip: int = 0) -> Iterator[Data]:
        """Batches of samples that are fetched one by one."""
        count = len(self.items)
        if count == 0:
            raise DataError("x: expected a data set of at least one sample, got none")
        size = count if batch_size is None else batch_size
        rows = np.arange(count) if rng is None else rng.permutation(count)
        for start in range(skip * size, count, size):
            samples = [self._sample(int(row)) for row in rows[start : start + size]]
            place = f"samples from row {start} on"
            try:
                columns = tuple(np.stack(column) for column in zip(*samples, strict=True))
            except ValueError as error:
                raise DataError(
                    f"{place}: expected (x, y), or (x, y, weight), all of the same shapes: {error}"
                ) from None
            yield _checked(self.check, columns, place)

    def _sample(self, row: int) -> tuple[Any, ...]:
        try:
            return _pair(self.items[row])
        except Exception as error:
            error.add_note(f"in item {row} of the data set {type(self.items).__name__}")
            raise


@define(eq=False)
class Stream:
    """Batches that come one after another: from a function called for each epoch, an iterable, or a generator."""

    batches_of: Any
    check: Check
    steps: int | None = None
    _running: Iterator[Any] | None = field(default=None, init=False)

    @property
    def samples(self) -> None:
        """Nobody knows."""

    def batches(self, batch_size: int | None, rng: np.random.Generator | None = None, skip: int = 0) -> Iterator[Data]:
        """The next epoch's batches, in the order and of the sizes in which they come."""
        given = 0
        for batch in islice(self._iterator(), self.steps):
            given += 1
            if given > skip:
                yield _checked(self.check, _pair(batch), f"batch {given - 1}")
        if given == 0 or (self.steps is not None and given < self.steps):
            wanted = "at least one batch" if self.steps is None else f"{self.steps} batches"
            raise DataError(
                f"x: expected {wanted} for this epoch, got {given}: a generator runs out; pass the function that "
                "makes it, which is then called for each epoch"
            )

    def leave_out(self, epochs: int) -> None:
        """So many were seen before: a generator that is cut into epochs runs on behind them; all else begins anew."""
        if self.steps is not None and not callable(self.batches_of) and iter(self.batches_of) is self.batches_of:
            deque(islice(self.batches_of, epochs * self.steps), maxlen=0)

    def _iterator(self) -> Iterator[Any]:
        if callable(self.batches_of):
            made = self.batches_of()
            if not isinstance(made, Iterable):
                raise ArgumentTypeError(f"x: expected a function that returns an iterator of batches, got {made!r}")
            return iter(made)
        if self._running is None or iter(self.batches_of) is not self.batches_of:
            self._running = iter(self.batches_of)
        return self._running


def as_source(
    model: Layer[Any],
    loss: Loss[Any],
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    class_weight: Mapping[int, float] | str | None = None,
    steps_per_epoch: int | None = None,
) -> Data | Items | Stream:
    """What ``fit`` trains on: arrays x and y, or, without y, a data set, an iterable of batches, or what makes one."""

    def check(x: Any, y: Any, sample_weight: Any = None) -> Data:
        return Data.of(model, loss, x, y, sample_weight, class_weight)

    if y is not None:
        if steps_per_epoch is not None:
            raise ConfigurationError("steps_per_epoch: is for streams of batches; arrays have an epoch of their own")
        return check(x, y, sample_weight)
    if sample_weight is not None:
        raise ConfigurationError("sample_weight: batches without y bring their weights themselves: (x, y, weight)")
    if isinstance(class_weight, str):
        raise ConfigurationError("class_weight: 'balanced' counts all labels: give batches weights as {0: 1.0, 1: 5.0}")
    if x is None or isinstance(x, list | tuple | str | dict | Data | type) or hasattr(x, "__array__"):
        raise ArgumentTypeError(
            "y: expected the targets, got None: give them, or instead of x a data set whose items are (x, y), or a "
            "function that returns an iterator of batches (x, y)"
        )
    if hasattr(x, "__getitem__") and hasattr(x, "__len__") and steps_per_epoch is None:
        return Items(x, check)
    if callable(x) or isinstance(x, Iterable):
        return Stream(x, check, steps_per_epoch)
    raise ArgumentTypeError(f"x: expected arrays, a data set, an iterable of batches or what makes one, got {x!r}")


def first_shape(x: Any, y: Any) -> Shape:
    """The shape of one sample, by which a network that was given none is built."""
    if y is not None or hasattr(x, "__array__") or isinstance(x, list | tuple):
        return as_numbers(x, "x").shape[1:]
    if hasattr(x, "__getitem__") and hasattr(x, "__len__") and len(x):
        return np.shape(_pair(x[0])[0])
    raise NotBuiltError("Sequential: nobody knows the sizes of a stream's samples before: give input_shape=...")


def _pair(given: Any) -> tuple[Any, ...]:
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise ArgumentTypeError(f"expected (x, y) or (x, y, sample_weight), got {given!r}")
    return tuple(given)


def _checked(check: Check, parts: tuple[Any, ...], place: str) -> Data:
    try:
        return check(*parts)
    except DeepBPError as error:
        raise error.placed(place) from None
