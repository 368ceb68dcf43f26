"""Checkpoints: the callback that saves the training while it runs."""

import os
import re
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
        keep: the number of newest files to keep; those before the newest are ``run-step120.npz`` and so on.
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
    _stored: int = field(init=False, default=-1)  # the number of updates in the newest file

    def __attrs_post_init__(self) -> None:
        if self.best is not None:
            self._monitor = MonitorCallback(self.best, mode=self.mode)

    def on_fit_start(self, trainer: Trainer) -> None:
        if not self.path.parent.is_dir():  # raised now, not after an epoch of work
            raise ConfigurationError(f"ModelCheckpoint: path: expected a folder that exists, got {self.path.parent}")
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
        if path != self.path:
            trainer.save(path)
            return
        if self.keep > 1 and self.path.exists() and 0 <= self._stored != trainer.steps:
            _same_file(self.path, self._named(f"step{self._stored}"))
        before, self._stored = self._stored, trainer.steps
        try:
            trainer.save(path)
        except BaseException:
            self._stored = before
            raise
        for _, older in sorted(self._older(trainer.steps), reverse=True)[self.keep - 1 :]:
            older.unlink(missing_ok=True)

    def _named(self, what: str) -> Path:
        return self.path.with_name(f"{self.path.stem}-{what}{self.path.suffix}")

    def _older(self, steps: int) -> list[tuple[int, Path]]:
        """The files before the newest, each with its step; files of later steps belong to another training."""
        name = re.compile(rf"{re.escape(self.path.stem)}-step(\d+){re.escape(self.path.suffix)}")
        found = [(name.fullmatch(entry.name), entry) for entry in self.path.parent.iterdir()]
        return [(int(match[1]), entry) for match, entry in found if match and int(match[1]) <= steps]

    def state(self) -> dict[str, Any]:
        return {"stored": self._stored, "best": None if self._monitor is None else self._monitor.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._stored = int(state["stored"])
        if self._monitor is not None and state["best"] is not None:
            self._monitor.restore(state["best"])


def _same_file(path: Path, name: Path) -> None:
    """Add another name to the file: a hard link, or a copy if the file system has no links."""
    if name.exists():
        return
    try:
        os.link(path, name)
    except OSError:
        with suppress(OSError), open(path, "rb") as source, whole_file(name, binary=True) as target:
            shutil.copyfileobj(source, target)
