"""Learning-rate schedules: the learning rate as a function of the step."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import cos, pi, sqrt
from numbers import Integral
from typing import Any, Literal, TypeAlias

from attrs import Attribute, field, frozen

from deepbp._suggestions import suggest_names
from deepbp.errors import ArgumentTypeError, ConfigurationError, shown
from deepbp.errors.validators import (
    ExplainedArguments,
    as_python_number,
    fraction,
    non_negative,
    number,
    one_of,
    positive,
    positive_int,
    rate_or_schedule,
    whole,
)
from deepbp.optimizers.optimizer import Schedule

at_most_one = number(lambda v: 0 < v <= 1, "a number above 0 and at most 1")

__all__ = [
    "Cosine",
    "CosineRestarts",
    "Exponential",
    "InverseSqrt",
    "InverseTime",
    "LearningRateSchedule",
    "OneCycle",
    "Piecewise",
    "Polynomial",
    "Scaled",
    "StepDecay",
    "Warmup",
    "steps_per_epoch",
]


class LearningRateSchedule(ExplainedArguments, ABC):
    """Base class of learning-rate schedules: callables of the step, for ``learning_rate=...``.

    A subclass is an ``attrs.frozen`` class that states ``rate``. A step t is one update, that is one batch, and counts
    from 0; ``steps_per_epoch`` converts epochs. A schedule that has an end stays at its last value from there on.
    ``0.5 * schedule`` scales a schedule.

    >>> from attrs import frozen
    >>> from deepbp.optimizers.schedules import LearningRateSchedule
    >>> @frozen
    ... class Linear(LearningRateSchedule):
    ...     def rate(self, step):
    ...         return 0.5 * step
    >>> Linear()(4), (0.5 * Linear())(4)
    (2.0, 1.0)
    """

    @abstractmethod
    def rate(self, step: int) -> float:
        """The learning rate of this step, a whole number of at least 0."""

    def __call__(self, step: int) -> float:
        """The learning rate of this step. Raises unless the step is a whole number of at least 0."""
        if type(step) is not int or step < 0:  # a cheap test first: this runs before each update
            step = _as_step(step)
        return float(self.rate(step))

    def __mul__(self, factor: float) -> "Scaled":
        return Scaled(self, factor)

    __rmul__ = __mul__


@frozen
class Scaled(LearningRateSchedule):
    """Scaled schedule, η(t) = factor · schedule(t), which ``0.5 * schedule`` makes.

    Args:
        schedule: a schedule, any callable of the step, or a number.
        factor: at least 0.

    >>> from deepbp.optimizers.schedules import Cosine, Scaled
    >>> Scaled(Cosine(0.5, steps=10), 0.5)(0)
    0.25
    """

    schedule: float | Schedule = field(validator=rate_or_schedule)
    factor: float = field(validator=non_negative)

    def rate(self, step: int) -> float:
        return self.factor * rate_at(self.schedule, step)


def rate_at(schedule: float | Schedule, step: int) -> float:
    """The rate of a schedule at a step; a number is constant."""
    return schedule(step) if callable(schedule) else schedule


def steps_per_epoch(samples: int, batch_size: int | None = 32) -> int:
    """Updates that ``fit`` makes in an epoch, ⌈samples / batch_size⌉, the last batch being what is left.

    Args:
        samples: the training samples, without those of ``validation_split``.
        batch_size: as in ``fit``; None is a full batch.

    >>> from deepbp.optimizers.schedules import Cosine, steps_per_epoch
    >>> steps_per_epoch(100, batch_size=32)
    4
    >>> schedule = Cosine(0.1, steps=20 * steps_per_epoch(100))  # falls over 20 epochs
    """
    samples = whole("steps_per_epoch: samples", samples)
    batch_size = samples if batch_size is None else whole("steps_per_epoch: batch_size", batch_size)
    return -(-samples // batch_size)


def _as_step(step: Any) -> int:
    if isinstance(step, bool) or not isinstance(step, Integral):
        raise ArgumentTypeError(f"schedule: expected the step, a whole number of at least 0, got {shown(step)}")
    if step < 0:
        raise ConfigurationError(f"schedule: expected the step, a whole number of at least 0, got {shown(step)}")
    return int(step)


@frozen
class StepDecay(LearningRateSchedule):
    """Step decay, η(t) = start · factor^⌊t / every⌋, without an end.

    Args:
        start: the rate of the first step.
        every: the number of steps with the same rate.
        factor: above 0 and at most 1.

    >>> from deepbp.optimizers.schedules import StepDecay
    >>> schedule = StepDecay(0.8, every=10, factor=0.5)
    >>> schedule(9), schedule(10), schedule(20)
    (0.8, 0.4, 0.2)
    """

    start: float = field(validator=non_negative)
    every: int = field(validator=positive_int)
    factor: float = field(default=0.1, validator=at_most_one)

    def rate(self, step: int) -> float:
        return float(self.start * self.factor ** (step // self.every))


@frozen
class Exponential(LearningRateSchedule):
    """Exponential decay, η(t) = start · factor^(t / every), without an end: a smooth ``StepDecay``.

    Args:
        start, every, factor: as in ``StepDecay``.

    >>> from deepbp.optimizers.schedules import Exponential
    >>> schedule = Exponential(0.8, every=10, factor=0.25)
    >>> schedule(5), schedule(10)
    (0.4, 0.2)
    """

    start: float = field(validator=non_negative)
    every: int = field(validator=positive_int)
    factor: float = field(default=0.1, validator=at_most_one)

    def rate(self, step: int) -> float:
        return float(self.start * self.factor ** (step / self.every))


@frozen
class Polynomial(LearningRateSchedule):
    """Polynomial decay, η(t) = end + (start − end) (1 − t / steps)^power up to t = steps, then ``end``.

    Args:
        start, steps, end: as in ``Cosine``.
        power: 1 is a straight line; a larger power falls more steeply at first.

    >>> from deepbp.optimizers.schedules import Polynomial
    >>> schedule = Polynomial(1.0, steps=4, power=2.0)
    >>> schedule(0), schedule(2), schedule(9)
    (1.0, 0.25, 0.0)
    """

    start: float = field(validator=non_negative)
    steps: int = field(validator=positive_int)
    end: float = field(default=0.0, validator=non_negative)
    power: float = field(default=1.0, validator=positive)

    def rate(self, step: int) -> float:
        return float(self.end + (self.start - self.end) * (1 - min(step / self.steps, 1.0)) ** self.power)


@frozen
class InverseTime(LearningRateSchedule):
    """Inverse time decay, η(t) = start / (1 + t / steps), without an end.

    Args:
        start: the rate of the first step.
        steps: after this many steps the rate is a half of ``start``, after twice as many a third.

    >>> from deepbp.optimizers.schedules import InverseTime
    >>> InverseTime(0.6, steps=100)(200)  # 0.6 / 3
    0.19999999999999998

    Source: Robbins & Monro 1951: the sum of the rates diverges, the sum of their squares does not.
    """

    start: float = field(validator=non_negative)
    steps: int = field(validator=positive_int)

    def rate(self, step: int) -> float:
        return self.start / (1 + step / self.steps)


@frozen
class InverseSqrt(LearningRateSchedule):
    """Inverse square root decay, η(t) = start / √(1 + t / steps), without an end.

    ``Warmup(steps, InverseSqrt(start, steps))``, a warm-up of the same length, is the schedule of the Transformer:
    start · min(t / steps, √(steps / t)), with start = 1 / √(width · steps).

    Args:
        start: the rate of the first step.
        steps: after three times as many steps, the rate is a half of ``start``.

    >>> from deepbp.optimizers.schedules import InverseSqrt
    >>> InverseSqrt(0.5, steps=100)(300)
    0.25

    Source: Vaswani et al. 2017, section 5.3.
    """

    start: float = field(validator=non_negative)
    steps: int = field(validator=positive_int)

    def rate(self, step: int) -> float:
        return self.start / sqrt(1 + step / self.steps)


def _as_boundaries(boundaries: Sequence[int]) -> tuple[int, ...]:
    return tuple(map(as_python_number, boundaries)) if isinstance(boundaries, list | tuple) else boundaries  # type: ignore[return-value]  # validated


def _as_pieces(pieces: Sequence[float | Schedule]) -> tuple[float | Schedule, ...]:
    return tuple(map(as_python_number, pieces)) if isinstance(pieces, list | tuple) else pieces  # type: ignore[return-value]  # validated


@frozen
class Piecewise(LearningRateSchedule):
    """Piecewise schedule, η(t) = pieceₖ(t − bₖ), where bₖ is the last boundary that is not above t, and b₀ = 0.

    A piece may be a schedule, which counts from its own beginning: ``Piecewise([500], [0.1, Cosine(0.1, 2000)])``. The
    last piece has no end. Raises ``ConfigurationError`` when boundaries do not rise, or their number does not fit.

    Args:
        boundaries: the steps at which the second piece begins, the third, and so on.
        pieces: rates, schedules or any callables of the step, one more than there are boundaries.

    >>> from deepbp.optimizers.schedules import Piecewise
    >>> schedule = Piecewise([1000, 1500], [0.1, 0.01, 0.001])
    >>> schedule(999), schedule(1000), schedule(5000)
    (0.1, 0.01, 0.001)
    """

    boundaries: tuple[int, ...] = field(converter=_as_boundaries)
    pieces: tuple[float | Schedule, ...] = field(converter=_as_pieces)

    @boundaries.validator  # pyright: ignore[reportAttributeAccessIssue]
    def _check_boundaries(self, attribute: "Attribute[Any]", value: Any) -> None:
        expected = (
            f"Piecewise: boundaries: expected steps of at least 1 that rise, such as [1000, 1500], got {shown(value)}"
        )
        if not isinstance(value, tuple) or any(isinstance(b, bool) or not isinstance(b, Integral) for b in value):
            raise ArgumentTypeError(expected)
        if any(later <= earlier for earlier, later in zip((0, *value), value, strict=False)):
            raise ConfigurationError(expected)

    @pieces.validator  # pyright: ignore[reportAttributeAccessIssue]
    def _check_pieces(self, attribute: "Attribute[Any]", value: Any) -> None:
        if not isinstance(value, tuple):
            raise ArgumentTypeError(f"Piecewise: pieces: expected a list of rates or schedules, got {shown(value)}")
        if len(value) != len(self.boundaries) + 1:
            raise ConfigurationError(
                f"Piecewise: pieces: expected {len(self.boundaries) + 1}, one more than the boundaries "
                f"{list(self.boundaries)}, got {len(value)}"
            )
        for piece in value:
            rate_or_schedule(self, attribute, piece)

    def rate(self, step: int) -> float:
        begun = [boundary for boundary in self.boundaries if boundary <= step]
        return rate_at(self.pieces[len(begun)], step - (begun[-1] if begun else 0))


@frozen
class Cosine(LearningRateSchedule):
    """Cosine decay, η(t) = end + (start − end) (1 + cos(π t / steps)) / 2 up to t = steps, then ``end``.

    Args:
        start: the rate of the first step.
        steps: after this many steps, the rate is ``end``.
        end: a rate, not a share of ``start``.

    >>> from deepbp.optimizers.schedules import Cosine
    >>> schedule = Cosine(0.5, steps=100)
    >>> schedule(0), schedule(50), schedule(100)
    (0.5, 0.25, 0.0)

    Source: Loshchilov & Hutter 2017, equation 5, for one run.
    """

    start: float = field(validator=non_negative)
    steps: int = field(validator=positive_int)
    end: float = field(default=0.0, validator=non_negative)

    def rate(self, step: int) -> float:
        return self.end + (self.start - self.end) * (1 + cos(pi * min(step / self.steps, 1.0))) / 2


@frozen
class CosineRestarts(LearningRateSchedule):
    """Cosine decay with warm restarts (SGDR), η(t) = end + (start − end) (1 + cos(π tᵢ / Tᵢ)) / 2, without an end.

    Run i = 0, 1, 2, … has Tᵢ = steps · growthⁱ steps, of which tᵢ counts the place; it ends just before it would reach
    ``end``, and the next run begins at ``start`` again.

    Args:
        start: the rate of each run's first step.
        steps: the length of the first run, the paper's T₀.
        end: a rate, not a share of ``start``.
        growth: the ratio of the lengths of two runs, a whole number, the paper's T_mult.

    >>> from deepbp.optimizers.schedules import CosineRestarts
    >>> schedule = CosineRestarts(0.5, steps=4, growth=2)
    >>> schedule(0), round(schedule(2), 9), schedule(4), round(schedule(8), 9)
    (0.5, 0.25, 0.5, 0.25)

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


Annealing: TypeAlias = Literal["cosine", "linear"]

divisor = number(lambda v: v >= 1, "a number of at least 1")


@frozen
class OneCycle(LearningRateSchedule):
    """One-cycle schedule: peak / start_divisor up to ``peak`` at t = rise · steps, then down to the end at t = steps.

    The end is start / end_divisor, with start = peak / start_divisor. From a to b the rate is b + (a − b) (1 + cos π u)
    / 2, or, for straight lines, b + (a − b) (1 − u), where u goes from 0 to 1. The momentum stays constant, unlike in
    the paper.

    Args:
        peak: the largest rate; a ``learning_rate_range_test`` finds one.
        steps: of the whole training.
        rise: the share of the steps in which the rate rises, at least 0 and below 1.
        start_divisor, end_divisor: at least 1.
        annealing: ``"cosine"`` or ``"linear"``.

    >>> from deepbp.optimizers.schedules import OneCycle
    >>> schedule = OneCycle(1.0, steps=100, rise=0.5, start_divisor=4.0, annealing="linear")
    >>> schedule(0), schedule(25), schedule(50), schedule(100)
    (0.25, 0.625, 1.0, 2.5e-05)

    Source: Smith 2018; Smith & Topin 2019; the cosine, the default here, is fastai's form.
    """

    peak: float = field(validator=non_negative)
    steps: int = field(validator=positive_int)
    rise: float = field(default=0.3, validator=fraction)
    start_divisor: float = field(default=25.0, validator=divisor)
    end_divisor: float = field(default=10_000.0, validator=divisor)
    annealing: Annealing = field(default="cosine", validator=one_of("cosine", "linear"))

    def rate(self, step: int) -> float:
        start, turn = self.peak / self.start_divisor, self.rise * self.steps
        if step < turn:
            return self._between(start, self.peak, step / turn)
        return self._between(self.peak, start / self.end_divisor, min((step - turn) / (self.steps - turn), 1.0))

    def _between(self, a: float, b: float, u: float) -> float:
        left = (1 + cos(pi * u)) / 2 if self.annealing == "cosine" else 1 - u
        return b + (a - b) * left


@frozen
class Warmup(LearningRateSchedule):
    """Linear warm-up: η(t) = start + (then(0) − start) t / steps for t < steps, and then(t − steps) from there on.

    Args:
        steps: the length of the warm-up.
        then: a rate, a schedule, or any callable of the step; its step 0 is the step ``steps`` of the training.
        start: the rate of the first step. At 0, that step only updates the optimizer's means.

    >>> from deepbp.optimizers.schedules import StepDecay, Warmup
    >>> schedule = Warmup(10, StepDecay(0.8, every=100, factor=0.5))
    >>> schedule(0), schedule(5), schedule(10), schedule(110)
    (0.0, 0.4, 0.8, 0.4)

    Source: Goyal et al. 2017, section 2.2.
    """

    steps: int = field(validator=positive_int)
    then: float | Schedule = field(validator=rate_or_schedule)
    start: float = field(default=0.0, validator=non_negative)

    def rate(self, step: int) -> float:
        if step >= self.steps:
            return rate_at(self.then, step - self.steps)
        return self.start + (rate_at(self.then, 0) - self.start) * step / self.steps


globals()["__getattr__"] = suggest_names(__name__)
