"""The contract of a schedule: the learning rate as a function of the step."""

from abc import ABC, abstractmethod
from numbers import Integral
from typing import Any

from attrs import field, frozen

from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.errors.validators import non_negative, number
from deepbp.optimizers.optimizer import Schedule, rate_or_schedule

at_most_one = number(lambda v: 0 < v <= 1, "a number above 0 and at most 1")


class LearningRateSchedule(ABC):
    """A callable of the step, for ``learning_rate=...``. A subclass is an ``attrs.frozen`` class that states ``rate``.

    A step t is one update, so one batch, and counts from 0: a schedule knows nothing of epochs, and ``steps_per_epoch``
    converts. A schedule that has an end stays at its last value from there on. ``0.5 * schedule`` is half of it.
    """

    @abstractmethod
    def rate(self, step: int) -> float:
        """The learning rate of this step, which is a whole number of at least 0."""

    def __call__(self, step: int) -> float:
        """The learning rate of this step. Raises where it is no whole number of at least 0."""
        if type(step) is not int or step < 0:  # at the cost of a glance: it is asked before each update
            step = _as_step(step)
        return float(self.rate(step))

    def __mul__(self, factor: float) -> "Scaled":
        return Scaled(self, factor)

    __rmul__ = __mul__


@frozen
class Scaled(LearningRateSchedule):
    """η(t) = factor · schedule(t): ``0.5 * schedule`` writes it, and a function of yours can be scaled, too.

    Args:
        schedule: one of these, or any callable of the step.
        factor: at least 0.
    """

    schedule: float | Schedule = field(validator=rate_or_schedule)
    factor: float = field(validator=non_negative)

    def rate(self, step: int) -> float:
        return self.factor * rate_at(self.schedule, step)


def rate_at(schedule: float | Schedule, step: int) -> float:
    """What a schedule says of a step; a number is the same for all."""
    return schedule(step) if callable(schedule) else schedule


def steps_per_epoch(samples: int, batch_size: int | None = 32) -> int:
    """How many updates ``fit`` makes in an epoch: ⌈samples / batch_size⌉, for the last batch is what is left over.

    ``Cosine(0.1, steps=20 * steps_per_epoch(len(x)))`` falls over 20 epochs.

    Args:
        samples: those that are trained on, so without what ``validation_split`` keeps.
        batch_size: as ``fit`` is given it; None is a full batch.
    """
    for name, count in (("samples", samples), ("batch_size", 1 if batch_size is None else batch_size)):
        if isinstance(count, bool) or not isinstance(count, Integral):
            raise ArgumentTypeError(f"steps_per_epoch: {name}: expected a whole number of at least 1, got {count!r}")
        if count < 1:
            raise ConfigurationError(f"steps_per_epoch: {name}: expected a whole number of at least 1, got {count!r}")
    return 1 if batch_size is None else -(-int(samples) // int(batch_size))


def _as_step(step: Any) -> int:
    if isinstance(step, bool) or not isinstance(step, Integral):
        raise ArgumentTypeError(f"schedule: expected the step, a whole number of at least 0, got {step!r}")
    if step < 0:
        raise ConfigurationError(f"schedule: expected the step, a whole number of at least 0, got {step!r}")
    return int(step)
