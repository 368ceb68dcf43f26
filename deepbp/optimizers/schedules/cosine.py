"""Rates that fall along half a wave of the cosine: slowly at first and at last."""

from math import cos, pi

from attrs import field, frozen

from deepbp.errors.validators import non_negative, positive_int
from deepbp.optimizers.schedules.schedule import LearningRateSchedule


@frozen
class Cosine(LearningRateSchedule):
    """η(t) = end + (start − end) (1 + cos(π t / steps)) / 2 up to t = steps, and ``end`` from there on.

    Args:
        start: the rate of the first step.
        steps: after this many steps the rate is ``end``.
        end: a rate, not a share of ``start``.

    Source: Loshchilov & Hutter 2017, equation 5, for one run.
    """

    start: float = field(validator=non_negative)
    steps: int = field(validator=positive_int)
    end: float = field(default=0.0, validator=non_negative)

    def rate(self, step: int) -> float:
        return self.end + (self.start - self.end) * (1 + cos(pi * min(step / self.steps, 1.0))) / 2


@frozen
class CosineRestarts(LearningRateSchedule):
    """η(t) = end + (start − end) (1 + cos(π tᵢ / Tᵢ)) / 2, where tᵢ counts the steps of run i.

    Run i = 0, 1, 2, … is Tᵢ = steps · growthⁱ steps long and ends just before it would reach ``end``; the next one
    begins at ``start`` again. There is no last one.

    Args:
        start: the rate of each run's first step.
        steps: the length of the first run, the paper's T₀.
        end: a rate, not a share of ``start``.
        growth: each run is so many times as long as the one before, a whole number, the paper's T_mult.

    Source: Loshchilov & Hutter 2017, "SGDR", equation 5.
    """

    start: float = field(validator=non_negative)
    steps: int = field(validator=positive_int)
    end: float = field(default=0.0, validator=non_negative)
    growth: int = field(default=1, validator=positive_int)

    def rate(self, step: int) -> float:
        length = self.steps
        if self.growth == 1:
            step %= length
        while step >= length:
            step -= length
            length *= self.growth
        return self.end + (self.start - self.end) * (1 + cos(pi * step / length)) / 2
