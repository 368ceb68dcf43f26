"""Learning-rate schedules."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import cos, pi, sqrt
from numbers import Integral
from typing import Any, Literal, TypeAlias, get_args

from attrs import Attribute, field, frozen

from deepbp._suggestions import ExplainedArguments, suggest_names
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.errors.validators import fraction, non_negative, number, positive, positive_int
from deepbp.optimizers.optimizer import Schedule, rate_or_schedule

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


@frozen
class StepDecay(LearningRateSchedule):
    """η(t) = start · factor^⌊t / every⌋: the same for ``every`` steps, then ``factor`` times as large. It has no end.

    Args:
        start: the rate of the first step.
        every: how many steps each stair is long.
        factor: above 0 and at most 1.
    """

    start: float = field(validator=non_negative)
    every: int = field(validator=positive_int)
    factor: float = field(default=0.1, validator=at_most_one)

    def rate(self, step: int) -> float:
        return float(self.start * self.factor ** (step // self.every))


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


def _as_boundaries(boundaries: Sequence[int]) -> tuple[int, ...]:
    return tuple(boundaries) if isinstance(boundaries, list) else boundaries  # type: ignore[return-value]  # validated


def _as_pieces(pieces: Sequence[float | Schedule]) -> tuple[float | Schedule, ...]:
    return tuple(pieces) if isinstance(pieces, list) else pieces  # type: ignore[return-value]  # validated


@frozen
class Piecewise(LearningRateSchedule):
    """η(t) = pieceₖ(t − bₖ), where bₖ is the last boundary that is not above t, and b₀ = 0.

    ``Piecewise([1000, 1500], [0.1, 0.01, 0.001])`` is constant in three pieces. A piece may be a schedule, too, which
    counts from its own beginning: ``Piecewise([500], [0.1, Cosine(0.1, 2000)])``. The last one goes on.

    Args:
        boundaries: the steps at which the second piece begins, the third, and so on.
        pieces: rates, schedules or any callables of the step, one more than there are boundaries.

    Raises:
        ConfigurationError: when boundaries do not rise, or their number does not fit.
    """

    boundaries: tuple[int, ...] = field(converter=_as_boundaries)
    pieces: tuple[float | Schedule, ...] = field(converter=_as_pieces)

    @boundaries.validator  # pyright: ignore[reportAttributeAccessIssue]
    def _check_boundaries(self, attribute: "Attribute[Any]", value: Any) -> None:
        expected = f"Piecewise: boundaries: expected steps of at least 1 that rise, such as [1000, 1500], got {value!r}"
        if not isinstance(value, tuple) or any(isinstance(b, bool) or not isinstance(b, Integral) for b in value):
            raise ArgumentTypeError(expected)
        if any(later <= earlier for earlier, later in zip((0, *value), value, strict=False)):
            raise ConfigurationError(expected)

    @pieces.validator  # pyright: ignore[reportAttributeAccessIssue]
    def _check_pieces(self, attribute: "Attribute[Any]", value: Any) -> None:
        if not isinstance(value, tuple):
            raise ArgumentTypeError(f"Piecewise: pieces: expected a list of rates or schedules, got {value!r}")
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

    @annealing.validator  # pyright: ignore[reportAttributeAccessIssue]
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


globals()["__getattr__"] = suggest_names(__name__)
