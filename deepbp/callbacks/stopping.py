"""Callbacks that end a training or lower its learning rate: early stopping, plateaus, time limits."""

from collections.abc import Mapping
from time import monotonic
from typing import Any, cast

import attrs
from attrs import define, evolve, field

from deepbp.callbacks.monitor import MonitorCallback
from deepbp.errors import ConfigurationError, shown
from deepbp.errors.validators import boolean, non_negative, non_negative_int, number, positive
from deepbp.optimizers import Optimizer, Schedule
from deepbp.optimizers.schedules import Scaled
from deepbp.training.freezing import Snapshot
from deepbp.training.trainer import Callback, Trainer


@define(eq=False)
class EarlyStopping(MonitorCallback):
    """Early stopping: ends the training after ``patience`` epochs in a row without a new best, and restores the best.

    The best weights and buffers are restored whatever ends the training. Each call of ``fit`` begins without a best
    value, and restores the best of its own epochs. Only a call that resumes a stored training continues with its best.

    >>> from deepbp import Sequential
    >>> from deepbp.callbacks import EarlyStopping
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import MeanSquaredError
    >>> from deepbp.optimizers import SGD
    >>> stopping = EarlyStopping("val_loss", patience=3)
    >>> net = Sequential([Dense(1)], input_shape=1, rng=0)
    >>> options = {"loss": MeanSquaredError(), "optimizer": SGD(0.1), "validation_data": ([[1.0]], [[1.9]])}
    >>> history = net.fit([[1.0]], [[2.0]], epochs=100, callbacks=[stopping], **options)
    >>> stopping.stopped, history.epochs - stopping.best_epoch
    (True, 3)

    Args:
        monitor: the column of the history to monitor.
        patience: with 1, the first epoch that is not better ends the training. With ``validation_every``, only epochs
            that are validated count.
        min_delta: the smallest improvement that counts; at least 0, in both modes.
        mode: "min" or "max"; needed for metrics of your own.
        restore_best: False keeps the weights of the last epoch.

    Attributes:
        best, best_epoch: the best value, and its epoch, counted from 1; NaN and 0 before the first.
        waited: the number of epochs since the best.
        stopped: whether it has ended the last training.

    Raises:
        ConfigurationError: before the first epoch, if there is no such column, or its direction is not known.

    Source: Goodfellow, Bengio & Courville 2016, algorithm 7.1.
    """

    restore_best: bool = field(default=True, validator=boolean, kw_only=True)
    stopped: bool = field(init=False, default=False, repr=False)
    _kept: Snapshot | None = field(init=False, default=None, repr=False)

    def _begin_call(self) -> None:
        super()._begin_call()
        self.stopped, self._kept = False, None

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


@define(eq=False)
class ReduceOnPlateau(MonitorCallback):
    """Reduces the learning rate on a plateau: η ← factor · η after ``patience`` epochs in a row without a new best.

    All later rates of a schedule are multiplied by the factor. Each call of ``fit`` begins without a best value, at the
    rate that the call before has reached.

    >>> from deepbp import Sequential
    >>> from deepbp.callbacks import ReduceOnPlateau
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import MeanSquaredError
    >>> from deepbp.optimizers import SGD
    >>> reducing = ReduceOnPlateau("loss", patience=2, factor=0.5)
    >>> net = Sequential([Dense(1)], input_shape=1, rng=0)
    >>> options = {"loss": MeanSquaredError(), "optimizer": SGD(0.6), "epochs": 4}  # too large: the loss grows
    >>> history = net.fit([[1.0]], [[2.0]], callbacks=[reducing], **options)
    >>> reducing.best_epoch, reducing.reductions
    (1, [3])

    Args:
        monitor, mode: as in ``EarlyStopping``, whose patience should be longer.
        factor: above 0 and below 1.
        patience: with 1, the first epoch that is not better lowers the rate.
        min_delta: the smallest improvement that counts.
        min_rate: the callback does not lower the rate below it; a schedule itself may.
        cooldown: the number of epochs after a reduction that are not counted.

    Attributes:
        best, best_epoch, waited: as in ``EarlyStopping``.
        reductions: the epochs, counted from 1, after which the rate was lowered.

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
                f"ReduceOnPlateau: expected an optimizer with a field learning_rate, got {shown(optimizer)}: "
                "make it an attrs class, @frozen, with one"
            )
        super().on_fit_start(trainer)

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        improved = self.improved(trainer, row)
        if improved is None:
            return
        if self._cooling:
            self._cooling, self.waited = self._cooling - 1, 0
        elif not improved and self.waited >= self.patience:
            self._reduce(trainer)
            self._cooling, self.waited = self.cooldown, 0

    def _begin_call(self) -> None:
        super()._begin_call()
        self._cooling = 0

    def _reduce(self, trainer: Trainer) -> None:
        rate = trainer.optimizer.rate(trainer.steps)
        lower = max(rate * self.factor, self.min_rate)
        if lower < rate:
            scheduled = callable(trainer.optimizer.learning_rate)
            _set_level(trainer, _level(trainer.optimizer) * (lower / rate) if scheduled else lower)
            self.reductions.append(trainer.epoch + 1)

    def state(self) -> dict[str, Any]:
        level = {} if self._trainer is None else {"level": _level(self._trainer.optimizer)}
        reductions = [epoch - 1 for epoch in self.reductions]  # in files, from 0
        return {**super().state(), "reductions": reductions, "cooling": self._cooling, **level}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.reductions = [int(epoch) + 1 for epoch in state.get("reductions", [])]
        self._cooling = int(state.get("cooling", 0))
        if "level" in state and state["level"] != _level(self._trainer.optimizer):
            _set_level(self._trainer, float(state["level"]))


def _level(optimizer: Optimizer) -> float:
    """The learning rate if it is a number, or the factor of a schedule."""
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
    """Time limit: ends the training after the step, or the validation, in which the time runs out.

    Each call of ``fit`` has the full time, also one that resumes a stored training.

    >>> from deepbp import Sequential
    >>> from deepbp.callbacks import TimeLimit
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import MeanSquaredError
    >>> from deepbp.optimizers import SGD
    >>> limit = TimeLimit(seconds=1e-6)
    >>> net = Sequential([Dense(1)], input_shape=1, rng=0)
    >>> options = {"loss": MeanSquaredError(), "optimizer": SGD(0.1), "epochs": 1000}
    >>> net.fit([[1.0], [2.0]], [[2.0], [4.0]], callbacks=[limit], **options).epochs, limit.stopped
    (1, True)

    Args:
        seconds: from the start of ``fit``, wall-clock time.

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
