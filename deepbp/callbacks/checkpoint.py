"""Checkpoints: the callback that saves the training while it runs."""

import os
import shutil
import warnings
from collections.abc import Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Literal

from attrs import define, field

from deepbp.callbacks.monitor import MonitorCallback
from deepbp.errors import ConfigurationError, DeepBPError
from deepbp.errors.validators import instance_of, optional, positive_int
from deepbp.storage.atomic import whole_file
from deepbp.storage.formats import format_of
from deepbp.training.trainer import Callback, Trainer


def _as_path(path: str | PathLike[str]) -> Path:
    try:
        format_of(path)
    except DeepBPError as error:
        raise error.placed("ModelCheckpoint") from None
    return Path(path)


@define(eq=False)
class ModelCheckpoint(Callback):
    """Saves checkpoints, which ``Trainer.load`` reads, at intervals and when ``fit`` ends.

    ``fit`` also ends at Ctrl-C, at SIGTERM and with an error. The file is replaced atomically: there is always a
    complete file under its name. A failed write is a warning while the training runs, which continues, and an error at
    the end. The callback is called after the others, so that checkpoints include what they did.

    >>> from deepbp import Sequential, Trainer
    >>> from deepbp.callbacks import ModelCheckpoint
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import MeanSquaredError
    >>> from deepbp.optimizers import Adam
    >>> def make_trainer():
    ...     net = Sequential([Dense(1)], input_shape=1, rng=0)
    ...     return Trainer(net, MeanSquaredError(), Adam(), callbacks=[ModelCheckpoint("run.npz")])
    >>> history = make_trainer().fit([[1.0], [2.0]], [[2.0], [4.0]], epochs=3)
    >>> trainer = make_trainer()
    >>> trainer.load("run.npz")
    >>> trainer.epoch, trainer.history == history
    (3, True)

    Args:
        path: the name of the newest file, such as ``run.npz`` or ``run.safetensors``.
        every_epochs: the number of epochs between checkpoints; None for none.
        every_steps: the number of updates between checkpoints; None for none.
        keep: the number of newest files to keep; those before the newest are ``run-step120.npz`` and so on. Only files
            that this training has written are deleted; one of the same name is replaced.
        best: a column of the history such as ``"val_loss"``: ``run-best.npz`` is the file of its best epoch, over
            all calls of ``fit``, as ``history.best``.
        mode: "min" or "max"; needed for metrics of your own.

    Raises:
        ConfigurationError: for a file name with another ending; when ``fit`` starts, if the folder does not exist.
    """

    runs_last: ClassVar[bool] = True

    path: Path = field(converter=_as_path)
    every_epochs: int | None = field(default=1, kw_only=True, validator=optional(positive_int))
    every_steps: int | None = field(default=None, kw_only=True, validator=optional(positive_int))
    keep: int = field(default=1, kw_only=True, validator=positive_int)
    best: str | None = field(default=None, kw_only=True, validator=optional(instance_of(str)))
    mode: Literal["min", "max"] | None = field(default=None, kw_only=True)
    _monitor: MonitorCallback | None = field(init=False, default=None)
    _trainer: Any = field(init=False, default=None, repr=False)
    _stored: int = field(init=False, default=-1)  # the number of updates in the newest file
    _older: list[int] = field(init=False, factory=list)  # those of the files before it that this training has written

    def __attrs_post_init__(self) -> None:
        if self.best is not None:
            self._monitor = MonitorCallback(self.best, mode=self.mode)

    def on_fit_start(self, trainer: Trainer) -> None:
        if trainer.is_first and not self.path.parent.is_dir():  # raised now, not after an epoch of work
            raise ConfigurationError(f"ModelCheckpoint: path: expected a folder that exists, got {self.path.parent}")
        if trainer is not self._trainer:
            self._trainer, self._stored, self._older = trainer, -1, []
        if self._monitor is not None:
            self._monitor.watch(trainer)  # the file on disk stays that of the best epoch of all calls of fit

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        if self.every_steps is not None and trainer.steps % self.every_steps == 0:
            self._try(trainer, self.path)

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        if self._monitor is not None and self._monitor.improved(trainer, row):
            self._try(trainer, self._named("best"))
        if self.every_epochs is not None and (trainer.epoch + 1) % self.every_epochs == 0:
            self._try(trainer, self.path)

    def on_fit_end(self, trainer: Trainer) -> None:
        if trainer._training.consistent:  # otherwise the file before is the newest one that is valid
            self._save(trainer, self.path)

    def _try(self, trainer: Trainer, path: Path) -> None:
        try:
            self._save(trainer, path)
        except OSError as error:
            warnings.warn(f"ModelCheckpoint: {error}: the training goes on", UserWarning, stacklevel=2)

    def _save(self, trainer: Trainer, path: Path) -> None:
        if path != self.path or not trainer.is_first:
            self._stored = trainer.steps if path == self.path else self._stored
            trainer.save(path)  # of several processes, all take part
            return
        before = self._stored
        if self.keep > 1 and 0 <= before != trainer.steps and self.path.exists():
            _same_file(self.path, self._named(f"step{before}"))
            self._older = [*filter(before.__ne__, self._older), before]
        self._stored = trainer.steps
        try:
            trainer.save(path)
        except BaseException:
            self._stored = before
            raise
        while len(self._older) >= self.keep:
            self._named(f"step{self._older.pop(0)}").unlink(missing_ok=True)

    def _named(self, what: str) -> Path:
        return self.path.with_name(f"{self.path.stem}-{what}{self.path.suffix}")

    def state(self) -> dict[str, Any]:
        best = None if self._monitor is None else self._monitor.state()
        return {"stored": self._stored, "older": list(self._older), "best": best}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._stored, self._older = int(state["stored"]), [int(steps) for steps in state.get("older", [])]
        if self._monitor is not None and state["best"] is not None:
            self._monitor.restore(state["best"])


def _same_file(path: Path, name: Path) -> None:
    """Give the file another name, in place of a file of that name: a hard link, or a copy where there are no links."""
    name.unlink(missing_ok=True)
    try:
        os.link(path, name)
    except OSError:
        with suppress(OSError), open(path, "rb") as source, whole_file(name, binary=True) as target:
            shutil.copyfileobj(source, target)
