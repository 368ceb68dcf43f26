"""Lowers the learning rate of a training that gets no better."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
from attrs import define, evolve, field, frozen

from deepbp.errors import ConfigurationError
from deepbp.errors.validators import non_negative, non_negative_int, number
from deepbp.optimizers import Optimizer, Schedule
from deepbp.training.callbacks.watcher import Watcher

if TYPE_CHECKING:
    from deepbp.training.trainer import Trainer


@frozen
class Scaled:
    """A schedule times a factor. The factor alone brings it no lower than ``min_rate``."""

    schedule: Schedule
    factor: float
    min_rate: float = 0.0

    def __call__(self, step: int) -> float:
        rate = self.schedule(step)
        return max(rate * self.factor, min(rate, self.min_rate))


@define(eq=False)
class ReduceOnPlateau(Watcher):
    """η ← factor · η after ``patience`` epochs in a row without a new best.

    Of a schedule, all that it gives from then on is multiplied.

    Args:
        monitor, mode: as in ``EarlyStopping``, whose patience should be longer.
        factor: above 0 and below 1.
        patience: with 1 the first epoch that is no better lowers the rate.
        min_delta: what is not better by more than this is no better.
        min_rate: the rate is not lowered below it.
        cooldown: so many epochs after a reduction are not counted.

    Attributes:
        best, best_epoch, waited: as in ``EarlyStopping``.
        reductions: the epochs, counted from 0, after which it lowered the rate.

    Source: He et al. 2016, section 3.4: "divided by 10 when the error plateaus".
    """

    factor: float = field(
        default=0.1, validator=number(lambda v: 0 < v < 1, "a number above 0 and below 1"), kw_only=True
    )
    min_rate: float = field(default=0.0, validator=non_negative, kw_only=True)
    cooldown: int = field(default=0, validator=non_negative_int, kw_only=True)
    reductions: list[int] = field(init=False, factory=list, repr=False)
    _cooling: int = field(init=False, default=0, repr=False)

    def on_fit_start(self, trainer: "Trainer") -> None:
        optimizer: Any = trainer.optimizer
        if not attrs.has(type(optimizer)) or "learning_rate" not in attrs.fields_dict(type(optimizer)):
            raise ConfigurationError(
                f"ReduceOnPlateau: expected an optimizer with a field learning_rate, got {optimizer!r}: "
                "make it an attrs class, @frozen, with one"
            )
        super().on_fit_start(trainer)

    def on_epoch_end(self, trainer: "Trainer", row: Mapping[str, float]) -> None:
        improved = self.improved(trainer, row)
        if self._cooling:
            self._cooling, self.waited = self._cooling - 1, 0
        elif not improved and self.waited >= self.patience:
            self._reduce(trainer)
            self._cooling, self.waited = self.cooldown, 0

    def _reduce(self, trainer: "Trainer") -> None:
        level = _level(trainer.optimizer)
        lower = level * self.factor
        if not callable(trainer.optimizer.learning_rate):
            lower = max(lower, min(level, self.min_rate))
        if lower < level:
            self._set(trainer, lower)
            self.reductions.append(trainer.epoch)

    def _set(self, trainer: "Trainer", level: float) -> None:
        rate: Any = trainer.optimizer.learning_rate
        if isinstance(rate, Scaled):
            rate = evolve(rate, factor=level)
        else:
            rate = Scaled(rate, level, self.min_rate) if callable(rate) else level
        trainer.optimizer = evolve(trainer.optimizer, learning_rate=rate)  # type: ignore[misc]  # checked at the start

    def state(self) -> dict[str, Any]:
        level = {} if self._trainer is None else {"level": _level(self._trainer.optimizer)}
        return {**super().state(), "reductions": list(self.reductions), "cooling": self._cooling, **level}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.reductions = [int(epoch) for epoch in state.get("reductions", [])]
        self._cooling = int(state.get("cooling", 0))
        if "level" in state and state["level"] != _level(self._trainer.optimizer):
            self._set(self._trainer, float(state["level"]))


def _level(optimizer: Optimizer) -> float:
    """The rate, where it is a number; the factor of a schedule."""
    rate = optimizer.learning_rate
    if isinstance(rate, Scaled):
        return rate.factor
    return 1.0 if callable(rate) else float(rate)
