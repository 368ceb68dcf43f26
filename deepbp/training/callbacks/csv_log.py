"""The history as a file, written while it is made."""

import csv
import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import define, field

from deepbp.errors import ConfigurationError
from deepbp.errors.validators import instance_of
from deepbp.training.callback import Callback

if TYPE_CHECKING:
    from deepbp.training.trainer import Trainer


@define(eq=False)
class CSVLog(Callback):
    """The table that ``history.to_csv`` writes, complete after every epoch: a crash loses nothing of it.

    The file holds the history of its trainer. A training that goes on, also a stored one, goes on with it, and rows of
    epochs that it does not know are gone; a new trainer begins it anew. A column that comes later is NaN in the rows
    above.

    A file that cannot be written is an error before the first epoch. Later, with a disk that is full, it is a warning:
    training goes on, and the next epoch tries to write all that is missing.

    Args:
        path: of the file; its folder must exist.
    """

    path: str | os.PathLike[str] = field(validator=instance_of(str, os.PathLike))
    _columns: list[str] = field(init=False, factory=list, repr=False)  # of the file; none: to be written anew

    def on_fit_start(self, trainer: "Trainer") -> None:
        self._columns = []
        try:
            self._write(trainer)
        except OSError as error:
            raise ConfigurationError(f"CSVLog: path: expected a file that can be written, got {error}") from None

    def on_epoch_end(self, trainer: "Trainer", row: Mapping[str, float]) -> None:
        try:
            self._write(trainer)
        except OSError as error:
            if self._columns:  # say it once
                warnings.warn(f"CSVLog: {error}: training goes on, and each epoch tries again", stacklevel=2)
            self._columns = []

    def _write(self, trainer: "Trainer") -> None:
        history = trainer.history
        columns = ["epoch", *history]
        if columns == self._columns:
            with open(self.path, "a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow([history.epochs - 1, *(column[-1] for column in history.values())])
        else:
            history.to_csv(self.path)
        self._columns = columns
