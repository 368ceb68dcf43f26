"""Which learning rates a network learns with: it is trained with rates that grow from step to step."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from numbers import Real
from typing import Any

import attrs
import numpy as np
from attrs import evolve, frozen

from deepbp.errors import ArgumentTypeError, ConfigurationError, NonFiniteError
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.optimizers import Optimizer
from deepbp.training.data import Data, check_batch_size
from deepbp.training.trainer import Trainer
from deepbp.typing import Array, ArrayLike, Seed

PLACE = "learning_rate_range_test"


@frozen(eq=False)
class RangeTest:
    """What a range test saw, for ``deepbp.plots.learning_rates``; each array is (T,), with T ≤ steps.

    Attributes:
        rates: η of each step, until the test ended.
        losses: of each step's batch, before its update.
        smoothed: means of the losses around each, weighted by a triangle that reaches a tenth of the steps to each
            side. It does not lag behind the rates, as a running mean would.
        suggestion: the rate at which the smoothed loss falls most steeply over ln η, before it is at its lowest; None
            where it does not fall.
        diverged: whether it ended early, at a loss that was not finite, or more than four times the mean of those of
            the first tenth of the steps.
    """

    rates: Array
    losses: Array
    smoothed: Array
    suggestion: float | None
    diverged: bool


def learning_rate_range_test(
    model: Layer[Any],
    x: ArrayLike,
    y: ArrayLike,
    loss: Loss[Any],
    optimizer: Optimizer,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int | None = 32,
    sample_weight: ArrayLike | None = None,
    rng: Seed = None,
) -> RangeTest:
    """Train a copy with η(t) = low · (high / low)^(t / (steps − 1)), and look where the loss falls, and where it grows.

    The network stays as it is. The suggestion is a rate to begin with, or the peak of a ``OneCycle``; it holds for this
    optimizer and batch size, and the picture tells more than the number.

    Args:
        model: a built layer, usually a Sequential.
        optimizer: its learning rate is replaced; all else counts.
        low, high: the first and the last rate.
        steps: at least 10. Batches are drawn as ``fit`` draws them, from as many epochs as it takes.
        rng: a seed or generator for the batches; by default a copy of the model's own generator, so that the same test
            gives the same numbers.

    Source: Smith 2017, "Cyclical learning rates", section 3.3.
    """
    _check_range(low, high, steps)
    check_batch_size(batch_size)
    kind: Any = type(optimizer)
    if not isinstance(optimizer, Optimizer) or not attrs.has(kind) or "learning_rate" not in attrs.fields_dict(kind):
        raise ArgumentTypeError(f"{PLACE}: optimizer: expected one with a learning_rate, got {optimizer!r}")
    rates = np.geomspace(low, high, steps)
    growing: Optimizer = evolve(optimizer, learning_rate=lambda step: rates[step])  # type: ignore[misc]
    trainer = Trainer(deepcopy(model), loss, growing, rng=rng)
    batches = _endless(Data.of(trainer.model, loss, x, y, sample_weight), batch_size, trainer.generator)
    losses: list[float] = []
    for batch in islice(batches, steps):
        try:
            value = trainer.step(batch.x, batch.y, batch.sample_weight)
        except NonFiniteError:
            if not losses:
                raise  # before any update: it is not the learning rate
            break
        if _diverged(value, losses[: steps // 10], steps // 10):
            break
        losses.append(value)
    rates, values = rates[: len(losses)], np.array(losses)
    smoothed = _smooth(values, steps // 10)
    return RangeTest(rates, values, smoothed, steepest(rates, smoothed), len(losses) < steps)


def _endless(data: Data, batch_size: int | None, rng: np.random.Generator) -> Iterator[Data]:
    while True:
        yield from data.batches(batch_size, rng)


def _diverged(value: float, first: list[float], count: int) -> bool:
    """Above four times the mean of the first losses, or, where that is negative, as far above it."""
    if len(first) < count:
        return False
    level = float(np.mean(first))
    return value - level > 3 * abs(level)


def _smooth(values: Array, reach: int) -> Array:
    """At the ends, and so with few values, the triangle is cut off."""
    triangle = 1 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)

    def sums(numbers: Array) -> Array:
        return np.convolve(numbers, triangle)[reach : reach + len(numbers)]

    return sums(values) / sums(np.ones_like(values))


def steepest(rates: Array, smoothed: Array) -> float | None:
    """The rate at which the loss falls fastest over ln η, before it is at its lowest; None where it is so at once."""
    lowest = int(np.argmin(smoothed))
    if lowest == 0:
        return None
    slopes = np.gradient(smoothed, np.log(rates))[:lowest]
    return float(rates[np.argmin(slopes)])


def _check_range(low: Any, high: Any, steps: Any) -> None:
    for name, value in (("low", low), ("high", high)):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ArgumentTypeError(f"{PLACE}: {name}: expected a number above 0, got {value!r}")
    if not 0 < low < high < float("inf"):
        raise ConfigurationError(f"{PLACE}: expected 0 < low < high, got low={low!r} and high={high!r}")
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer):
        raise ArgumentTypeError(f"{PLACE}: steps: expected a whole number of at least 10, got {steps!r}")
    if steps < 10:
        raise ConfigurationError(f"{PLACE}: steps: expected a whole number of at least 10, got {steps!r}")
