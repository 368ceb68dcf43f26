"""A rate that falls along a power of what is left of the steps; a straight line, unless it is told otherwise."""

from attrs import field, frozen

from deepbp.errors.validators import non_negative, positive, positive_int
from deepbp.optimizers.schedules.schedule import LearningRateSchedule


@frozen
class Polynomial(LearningRateSchedule):
    """η(t) = end + (start − end) (1 − t / steps)^power up to t = steps, and ``end`` from there on.

    Args:
        start: the rate of the first step.
        steps: after this many steps the rate is ``end``.
        end: a rate, not a share of ``start``.
        power: 1 is a straight line; a larger one falls steeply first.
    """

    start: float = field(validator=non_negative)
    steps: int = field(validator=positive_int)
    end: float = field(default=0.0, validator=non_negative)
    power: float = field(default=1.0, validator=positive)

    def rate(self, step: int) -> float:
        return float(self.end + (self.start - self.end) * (1 - min(step / self.steps, 1.0)) ** self.power)
