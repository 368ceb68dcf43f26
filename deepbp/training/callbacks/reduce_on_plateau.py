"""Lowers the learning rate of a training that gets no better."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
from attrs import define, evolve, field

from deepbp.errors import ConfigurationError
from deepbp.errors.validators import non_negative, non_negative_int, number
from deepbp.optimizers import Optimizer
from deepbp.optimizers.schedules import Scaled
from deepbp.training.callbacks.watcher import Watcher

if TYPE_CHECKING:
    from deepbp.training.trainer import Trainer


@define(eq=False)
class ReduceOnPlateau(Watcher):
    """η ← factor · η after ``patience`` epochs in a row without a new best.

    Of a schedule, all that it gives from then on is multiplied.

    Args:
        monitor, mode: as in ``EarlyStopping``, whose patience should be longer.
        factor: above 0 and below 1.
        patience: with 1 the first epoch that is no better lowers the rate.
        min_delta: what is not better by more than this is no better.
        min_rate: the rate is not lowered below it; what a schedule itself does is left to it.
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
        rate = trainer.optimizer.rate(trainer.steps)
        lower = max(rate * self.factor, self.min_rate)
        if lower < rate:
            scheduled = callable(trainer.optimizer.learning_rate)
            _set_level(trainer, _level(trainer.optimizer) * (lower / rate) if scheduled else lower)
            self.reductions.append(trainer.epoch)

    def state(self) -> dict[str, Any]:
        level = {} if self._trainer is None else {"level": _level(self._trainer.optimizer)}
        return {**super().state(), "reductions": list(self.reductions), "cooling": self._cooling, **level}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.reductions = [int(epoch) for epoch in state.get("reductions", [])]
        self._cooling = int(state.get("cooling", 0))
        if "level" in state and state["level"] != _level(self._trainer.optimizer):
            _set_level(self._trainer, float(state["level"]))


def _level(optimizer: Optimizer) -> float:
    """The rate, where it is a number; the factor of a schedule."""
    rate = optimizer.learning_rate
    if isinstance(rate, Scaled):
        return rate.factor
    return 1.0 if callable(rate) else float(rate)


def _set_level(trainer: "Trainer", level: Any) -> None:
    optimizer: Any = trainer.optimizer
    rate = optimizer.learning_rate
    if callable(rate):
        level = evolve(rate, factor=level) if isinstance(rate, Scaled) else Scaled(rate, level)
    trainer.optimizer = evolve(optimizer, learning_rate=level)
