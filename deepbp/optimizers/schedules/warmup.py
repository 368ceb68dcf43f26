"""A rate that first rises to where another schedule begins."""

from attrs import field, frozen

from deepbp.errors.validators import non_negative, positive_int
from deepbp.optimizers.optimizer import Schedule, rate_or_schedule
from deepbp.optimizers.schedules.schedule import LearningRateSchedule, rate_at


@frozen
class Warmup(LearningRateSchedule):
    """η(t) = start + (then(0) − start) t / steps for t < steps, and then(t − steps) from there on: a linear warm-up.

    Args:
        steps: how long the rate rises.
        then: a rate, a schedule, or any callable of the step; its own step 0 is the step ``steps`` of the training.
        start: the rate of the first step. At 0 that step moves nothing, and only fills an optimizer's means.

    Source: Goyal et al. 2017, section 2.2.
    """

    steps: int = field(validator=positive_int)
    then: float | Schedule = field(validator=rate_or_schedule)
    start: float = field(default=0.0, validator=non_negative)

    def rate(self, step: int) -> float:
        if step >= self.steps:
            return rate_at(self.then, step - self.steps)
        return self.start + (rate_at(self.then, 0) - self.start) * step / self.steps
