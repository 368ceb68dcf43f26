"""Callbacks that monitor a metric: early stopping, reduced learning rates; and time limits."""

from collections.abc import Mapping
from time import monotonic
from typing import Any, cast

import attrs
from attrs import define, evolve, field

from deepbp.callbacks.monitor import Watcher
from deepbp.errors import ConfigurationError
from deepbp.errors.validators import boolean, non_negative, non_negative_int, number, positive
from deepbp.optimizers import Optimizer, Schedule
from deepbp.optimizers.schedules import Scaled
from deepbp.training.state import Snapshot
from deepbp.training.trainer import Callback, Trainer


@define(eq=False)
class EarlyStopping(Watcher):
    """Stops after ``patience`` epochs in a row without a new best, and puts back the weights and buffers of the best.

    They are put back whatever ends the training. A further ``fit`` of the same trainer goes on from them, and waits
    anew for better than the best; with another trainer everything starts anew.

    Args:
        monitor: the column of the history to watch.
        patience: with 1 the first epoch that is no better ends the training.
        min_delta: what is not better by more than this is no better; at least 0, whichever way the column improves.
        mode: "min" or "max", needed for metrics of which deepbp cannot know whether more is better.
        restore_best: False leaves the network as the last epoch left it.

    Attributes:
        best, best_epoch: the best value, and its epoch, counted from 0; NaN and −1 before there is one.
        waited: epochs since.
        stopped: whether it has ended the last training.

    Raises:
        ConfigurationError: after the first epoch, when there is no such column, or its direction is not known.

    Source: Goodfellow, Bengio & Courville 2016, algorithm 7.1.
    """

    restore_best: bool = field(default=True, validator=boolean, kw_only=True)
    stopped: bool = field(init=False, default=False, repr=False)
    _kept: Snapshot | None = field(init=False, default=None, repr=False)

    def on_fit_start(self, trainer: Trainer) -> None:
        super().on_fit_start(trainer)
        self._begin(trainer)

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        if self.improved(trainer, row):
            if self.restore_best:
                self._kept = trainer._training.capture()
        elif self.waited >= self.patience:
            self.stopped = True
            trainer.stop()

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._kept is not None and trainer is self._trainer:
            trainer._training.restore(self._kept)

    def state(self) -> dict[str, Any]:
        kept = {} if self._kept is None else self._kept.describe("kept")
        return {**super().state(), "stopped": self.stopped, **kept}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.stopped = bool(state.get("stopped", False))
        self._kept = self._trainer._training.described_snapshot(state, "kept")
        self._begin(self._trainer)

    def _begin(self, trainer: Trainer) -> None:
        if self.stopped and not trainer._training.position.stopped:
            self.stopped, self.waited = False, 0


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

    def on_fit_start(self, trainer: Trainer) -> None:
        optimizer: Any = trainer.optimizer
        if not attrs.has(type(optimizer)) or "learning_rate" not in attrs.fields_dict(type(optimizer)):
            raise ConfigurationError(
                f"ReduceOnPlateau: expected an optimizer with a field learning_rate, got {optimizer!r}: "
                "make it an attrs class, @frozen, with one"
            )
        super().on_fit_start(trainer)

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        improved = self.improved(trainer, row)
        if self._cooling:
            self._cooling, self.waited = self._cooling - 1, 0
        elif not improved and self.waited >= self.patience:
            self._reduce(trainer)
            self._cooling, self.waited = self.cooldown, 0

    def _reduce(self, trainer: Trainer) -> None:
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


def _set_level(trainer: Trainer, level: Any) -> None:
    optimizer: Any = trainer.optimizer
    rate = optimizer.learning_rate
    if callable(rate):
        level = evolve(rate, factor=level) if isinstance(rate, Scaled) else Scaled(cast(Schedule, rate), level)
    trainer.optimizer = evolve(optimizer, learning_rate=level)


@define(eq=False)
class TimeLimit(Callback):
    """Stops after the step, or the validation, in which the time is over; the network is usable.

    Each ``fit`` has the time anew, also one that goes on with a stored training: nothing is stored.

    Args:
        seconds: from the start of ``fit``, by the clock on the wall.

    Attributes:
        stopped: whether it has ended the last training.
    """

    seconds: float = field(validator=positive)
    stopped: bool = field(init=False, default=False, repr=False)
    _end: float = field(init=False, default=0.0, repr=False)

    def on_fit_start(self, trainer: Trainer) -> None:
        self.stopped, self._end = False, monotonic() + self.seconds

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        if monotonic() >= self._end:
            self.stopped = True
            trainer.stop(now=True)

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        self.on_step_end(trainer, row["loss"])
