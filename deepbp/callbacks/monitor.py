"""The base class of callbacks that monitor a column of the history."""

from collections.abc import Mapping
from math import isnan, nan
from typing import Any, Literal

from attrs import Attribute, define, field

from deepbp.errors import ConfigurationError, shown
from deepbp.errors.validators import instance_of, non_negative, positive_int
from deepbp.training.trainer import Callback, Trainer


def _min_or_max(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
    if value not in ("min", "max", None):
        raise ConfigurationError(f"{type(instance).__name__}: mode: expected 'min', 'max' or None, got {shown(value)}")


@define(eq=False)
class MonitorCallback(Callback):
    """Compares a column of the history with its best value: base class of EarlyStopping and ReduceOnPlateau.

    An epoch is better if the column is *more* than ``min_delta`` below the best value so far, or above it in mode
    ``"max"``. NaN is never better; epochs that ``validation_every`` leaves out do not count. Each call of ``fit``
    begins without a best value; one that resumes a stored training continues with that of the file.
    """

    monitor: str = field(default="val_loss", validator=instance_of(str))
    patience: int = field(default=10, validator=positive_int, kw_only=True)
    min_delta: float = field(default=0.0, validator=non_negative, kw_only=True)
    mode: Literal["min", "max"] | None = field(default=None, validator=_min_or_max, kw_only=True)
    best: float = field(init=False, default=nan, repr=False)
    best_epoch: int = field(init=False, default=0, repr=False)  # counted from 1
    waited: int = field(init=False, default=0, repr=False)
    _trainer: Any = field(init=False, default=None, repr=False)

    def on_fit_start(self, trainer: Trainer) -> None:
        self.watch(trainer)
        self._begin_call()

    def _begin_call(self) -> None:
        self.best, self.best_epoch, self.waited = nan, 0, 0

    def watch(self, trainer: Trainer) -> None:
        """Watch this trainer. Raises ConfigurationError if its epochs will not have the column."""
        if trainer is not self._trainer:
            self._trainer = trainer
            self.restore({"best": nan, "best_epoch": -1, "waited": 0})
        if trainer._running is not None:
            self._value(dict.fromkeys(trainer._running.columns, nan))
            self._direction(trainer)

    def improved(self, trainer: Trainer, row: Mapping[str, float]) -> bool | None:
        """Whether this epoch is the best so far; otherwise adds one to ``waited``.

        None, and nothing changes, if ``validation_every`` leaves out the epoch.
        """
        if self.monitor not in row and trainer._running is not None and self.monitor in trainer._running.columns:
            return None
        value, mode = self._value(row), self._direction(trainer)
        below = value < self.best - self.min_delta
        above = value > self.best + self.min_delta
        if (above if mode == "max" else below) or (isnan(self.best) and not isnan(value)):
            self.best, self.best_epoch, self.waited = value, trainer.epoch + 1, 0
            return True
        self.waited += 1
        return False

    def _direction(self, trainer: Trainer) -> Literal["min", "max"]:
        mode = self.mode or trainer.history.direction(self.monitor)
        if mode is None:
            raise ConfigurationError(
                f"{type(self).__name__}: is more of {self.monitor!r} better? give mode='max' or mode='min'"
            )
        return mode

    def _value(self, row: Mapping[str, float]) -> float:
        if self.monitor in row:
            return row[self.monitor]
        validated = any(name.startswith("val_") for name in row)
        fix = ""
        if self.monitor[:4] == "val_" and not validated:
            fix = ": give fit validation_data or validation_split, or an estimator early_stopping=True"
        raise ConfigurationError(
            f"{type(self).__name__}: monitor: expected one of {list(row)}, got {shown(self.monitor)}{fix}"
        )

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch - 1, "waited": self.waited}  # in files, from 0

    def restore(self, state: Mapping[str, Any]) -> None:
        self.best, self.waited = float(state["best"]), int(state["waited"])
        self.best_epoch = int(state["best_epoch"]) + 1
