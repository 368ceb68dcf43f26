"""A rate that falls by the same share in each step."""

from attrs import field, frozen

from deepbp.errors.validators import non_negative, positive_int
from deepbp.optimizers.schedules.schedule import LearningRateSchedule, at_most_one


@frozen
class Exponential(LearningRateSchedule):
    """η(t) = start · factor^(t / every): ``StepDecay`` without its stairs. It has no end.

    Args:
        start: the rate of the first step.
        every: after this many steps the rate is ``factor`` times as large.
        factor: above 0 and at most 1.
    """

    start: float = field(validator=non_negative)
    every: int = field(validator=positive_int)
    factor: float = field(default=0.1, validator=at_most_one)

    def rate(self, step: int) -> float:
        return float(self.start * self.factor ** (step / self.every))
