"""The history of a training: its loss and metrics, epoch by epoch."""

import os
from collections.abc import Mapping
from numbers import Real
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from deepbp._rich import curves, escape
from deepbp._suggestions import FOREIGN_ATTRIBUTES, add_foreign_methods
from deepbp.errors import ArgumentTypeError, ConfigurationError, FileFormatError, shown


class Best(NamedTuple):
    """The best value of a column of a history, and the first epoch that reached it.

    Epochs count from 1, as in logs, so the other columns of that epoch are ``history[name][epoch - 1]``.

    >>> from deepbp.training import Best
    >>> value, epoch = Best(value=0.25, epoch=7)
    >>> epoch
    7
    """

    value: float
    epoch: int


class History(dict[str, list[float]]):
    """The loss and the metrics of each completed epoch: lists by name, such as ``"loss"`` and ``"val_accuracy"``.

    Epoch 1 has index 0 in these lists. ``interrupted`` is whether Ctrl-C ended the training. ``print`` shows the last
    values, a notebook draws all, and ``dict(history)`` has the lists.

    >>> from deepbp import History
    >>> history = History()
    >>> for loss in (0.5, 0.2, 0.3):
    ...     history.append({"loss": loss})
    >>> history["loss"], history.best("loss")
    ([0.5, 0.2, 0.3], Best(value=0.2, epoch=2))
    >>> history
    History(3 epochs, loss=0.3, lowest 0.2 in epoch 2)
    """

    first: ClassVar[int] = 1
    """The number of the epoch at index 0."""

    interrupted = False
    _higher_is_better: Mapping[str, bool] = MappingProxyType({"loss": False, "val_loss": False})

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in FOREIGN_ATTRIBUTES]

    @property
    def epochs(self) -> int:
        """The number of completed epochs."""
        return max(map(len, self.values()), default=0)

    def __repr__(self) -> str:
        parts = [f"{self.epochs} epoch{'s' * (self.epochs != 1)}"]
        for name, values in self.items():
            parts.append(f"{name}={values[-1]:.4g}")
            if self.direction(name) and any(value == value for value in values):
                best, epoch = self.best(name)
                word = "lowest" if self.direction(name) == "min" else "highest"
                parts += [f"{word} {best:.4g} in epoch {epoch}"] * (epoch != self.epochs)
        return f"History({', '.join(parts)}{', interrupted' * self.interrupted})"

    def _repr_html_(self) -> str:
        """The curves for a notebook: each column beside its ``val_`` column, which is dashed."""
        names = dict.fromkeys(name.removeprefix("val_") for name in self)
        pairs = [[one for one in (name, f"val_{name}") if one in self] for name in names]
        drawn = "".join(curves({name: self[name] for name in pair}) for pair in pairs) if self.epochs > 1 else ""
        return f"<div>{drawn}<p>{escape(repr(self))}</p></div>"

    def note_direction(self, name: str, higher_is_better: bool) -> None:
        """Set the direction in which a column, and its ``val_`` column, improves."""
        further = {name: higher_is_better, f"val_{name}": higher_is_better}
        self._higher_is_better = {**self._higher_is_better, **further}

    def direction(self, name: str) -> Literal["min", "max"] | None:
        """Whether a column improves downwards or upwards; None if that was not set."""
        higher = self._higher_is_better.get(name)
        return None if higher is None else "max" if higher else "min"

    def append(self, row: Mapping[str, float]) -> None:
        """Add an epoch. A new column is filled up with NaN, and so is one that is missing in this row."""
        if not isinstance(row, Mapping) or not all(isinstance(value, Real) for value in row.values()):
            raise ArgumentTypeError(f"history: expected numbers by name, such as {{'loss': 0.5}}, got {shown(row)}")
        before = self.epochs
        for name in (*self, *row):
            column = self.setdefault(name, [float("nan")] * before)
            if len(column) == before:
                column.append(row.get(name, float("nan")))

    def best(self, name: str, mode: Literal["min", "max"] | None = None) -> Best:
        """The best value of a column, the lowest loss or the highest accuracy, and its epoch. NaN is ignored.

        Raises:
            ConfigurationError: if the column does not exist or has no number, or if its direction is unknown, as for
                a metric of your own: pass ``mode="min"`` or ``mode="max"``.
        """
        if name not in self:
            raise ConfigurationError(f"history: expected one of {list(self)}, got {shown(name)}")
        if mode is None:
            mode = self.direction(name)
        if mode not in ("min", "max"):
            raise ConfigurationError(
                f"history: is more of {name!r} better? give mode='max' or mode='min', got {shown(mode)}"
            )
        numbers = [Best(value, epoch) for epoch, value in enumerate(self[name], self.first) if value == value]
        if not numbers:
            raise ConfigurationError(f"history: expected numbers in {name!r}, got {self[name]}")
        sign = -1 if mode == "max" else 1
        return min(numbers, key=lambda best: (sign * best.value, best.epoch))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV file with a row for each epoch. A write that fails leaves an old file unchanged."""
        import csv

        from deepbp.storage.atomic import whole_file

        with whole_file(path) as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", *self])
            writer.writerows([epoch, *row] for epoch, row in enumerate(zip(*self.values(), strict=True), self.first))


def stored_columns(stored: Mapping[str, Any]) -> dict[str, list[float]]:
    """The columns of a history in a file. Raises FileFormatError for anything else."""
    for column in stored.values():
        if not isinstance(column, np.ndarray) or column.ndim != 1 or column.dtype != np.float64:
            raise FileFormatError(f"expected columns of a history, got {column!r:.100}")
    if len({len(column) for column in stored.values()}) > 1:
        raise FileFormatError("expected a history of columns of one length")
    return {name: column.tolist() for name, column in stored.items()}


add_foreign_methods(History, FOREIGN_ATTRIBUTES)
