"""Rates that fall as one over the time, or over its root: ever more slowly, and without an end."""

from math import sqrt

from attrs import field, frozen

from deepbp.errors.validators import non_negative, positive_int
from deepbp.optimizers.schedules.schedule import LearningRateSchedule


@frozen
class InverseTime(LearningRateSchedule):
    """η(t) = start / (1 + t / steps). It has no end.

    Args:
        start: the rate of the first step.
        steps: after this many steps the rate is a half of ``start``, after twice as many a third.

    Source: Robbins & Monro 1951: the rates add up to infinity, their squares do not.
    """

    start: float = field(validator=non_negative)
    steps: int = field(validator=positive_int)

    def rate(self, step: int) -> float:
        return self.start / (1 + step / self.steps)


@frozen
class InverseSqrt(LearningRateSchedule):
    """η(t) = start / √(1 + t / steps). It has no end.

    With a warm-up as long as its own steps, ``Warmup(steps, InverseSqrt(start, steps))``, it is the schedule of the
    Transformer: start · min(t / steps, √(steps / t)), with start = 1 / √(width · steps).

    Args:
        start: the rate of the first step.
        steps: after three times as many steps the rate is a half of ``start``.

    Source: Vaswani et al. 2017, section 5.3.
    """

    start: float = field(validator=non_negative)
    steps: int = field(validator=positive_int)

    def rate(self, step: int) -> float:
        return self.start / sqrt(1 + step / self.steps)
