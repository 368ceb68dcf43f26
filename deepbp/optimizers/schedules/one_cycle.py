"""A rate that rises to a peak and falls far below where it began."""

from math import cos, pi
from typing import Any, Literal, TypeAlias, get_args

from attrs import Attribute, field, frozen

from deepbp.errors import ConfigurationError
from deepbp.errors.validators import fraction, non_negative, number, positive_int
from deepbp.optimizers.schedules.schedule import LearningRateSchedule

Annealing: TypeAlias = Literal["cosine", "linear"]

divisor = number(lambda v: v >= 1, "a number of at least 1")


@frozen
class OneCycle(LearningRateSchedule):
    """From peak / start_divisor up to ``peak`` at t = rise · steps, and down to the end at t = steps, where it stays.

    The end is start / end_divisor, with start = peak / start_divisor. From a to b it goes as b + (a − b) (1 + cos π u)
    / 2, or in straight lines as b + (a − b) (1 − u), where u goes from 0 to 1. The momentum is not changed beside it,
    as it is in the paper.

    Args:
        peak: the largest rate; a ``learning_rate_range_test`` finds one.
        steps: of the whole training.
        rise: the share of the steps in which the rate rises, at least 0 and below 1.
        start_divisor, end_divisor: at least 1.
        annealing: ``"cosine"`` or ``"linear"``.

    Source: Smith 2018; Smith & Topin 2019; with a cosine, as here by default, it is fastai's form.
    """

    peak: float = field(validator=non_negative)
    steps: int = field(validator=positive_int)
    rise: float = field(default=0.3, validator=fraction)
    start_divisor: float = field(default=25.0, validator=divisor)
    end_divisor: float = field(default=10_000.0, validator=divisor)
    annealing: Annealing = field(default="cosine")

    @annealing.validator
    def _check_annealing(self, attribute: "Attribute[Any]", value: Any) -> None:
        if not isinstance(value, str) or value not in get_args(Annealing):
            raise ConfigurationError(f"OneCycle: annealing: expected 'cosine' or 'linear', got {value!r}")

    def rate(self, step: int) -> float:
        start, turn = self.peak / self.start_divisor, self.rise * self.steps
        if step < turn:
            return self._between(start, self.peak, step / turn)
        return self._between(self.peak, start / self.end_divisor, min((step - turn) / (self.steps - turn), 1.0))

    def _between(self, a: float, b: float, u: float) -> float:
        left = (1 + cos(pi * u)) / 2 if self.annealing == "cosine" else 1 - u
        return b + (a - b) * left
