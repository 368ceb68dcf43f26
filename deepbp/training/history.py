"""What happened, epoch by epoch."""

import os
from collections.abc import Mapping
from numbers import Real
from typing import Literal, NamedTuple

from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.storage.atomic import whole_file


class Best(NamedTuple):
    """The best value of a column, and the epoch, counted from 0, in which it was reached first."""

    value: float
    epoch: int


class History(dict[str, list[float]]):
    """A list of numbers for each of ``"loss"``, ``"val_loss"``, ``"accuracy"``, …: one for each completed epoch.

    ``interrupted`` says whether Ctrl-C ended the training.
    """

    def __init__(self) -> None:
        super().__init__()
        self.interrupted = False
        self._higher_is_better: dict[str, bool] = {"loss": False, "val_loss": False}

    @property
    def epochs(self) -> int:
        """How many epochs were completed."""
        return max(map(len, self.values()), default=0)

    def note_direction(self, name: str, higher_is_better: bool) -> None:
        """Let ``best`` know in which direction a column, and its ``val_`` twin, improves."""
        self._higher_is_better.update({name: higher_is_better, f"val_{name}": higher_is_better})

    def direction(self, name: str) -> Literal["min", "max"] | None:
        """Whether a column improves downwards or upwards; None for one of which nobody has said it."""
        higher = self._higher_is_better.get(name)
        return None if higher is None else "max" if higher else "min"

    def append(self, row: Mapping[str, float]) -> None:
        """Add an epoch; a column that is new, or missing this time, is filled with NaN."""
        if not isinstance(row, Mapping) or not all(isinstance(value, Real) for value in row.values()):
            raise ArgumentTypeError(f"history: expected numbers by name, such as {{'loss': 0.5}}, got {row!r}")
        before = self.epochs
        for name in (*self, *row):
            column = self.setdefault(name, [float("nan")] * before)
            if len(column) == before:
                column.append(row.get(name, float("nan")))

    def best(self, name: str, mode: Literal["min", "max"] | None = None) -> Best:
        """The best value of a column, lowest for losses and errors, highest for accuracies; NaN never is.

        Raises:
            ConfigurationError: for a column that does not exist, one without a number, or one of which deepbp cannot
                know whether more is better, such as a metric of yours: give ``mode="min"`` or ``mode="max"``.
        """
        if name not in self:
            raise ConfigurationError(f"history: expected one of {list(self)}, got {name!r}")
        if mode is None:
            mode = self.direction(name)
        if mode not in ("min", "max"):
            raise ConfigurationError(
                f"history: is more of {name!r} better? give mode='max' or mode='min', got {mode!r}"
            )
        numbers = [Best(value, epoch) for epoch, value in enumerate(self[name]) if value == value]
        if not numbers:
            raise ConfigurationError(f"history: expected numbers in {name!r}, got {self[name]}")
        sign = -1 if mode == "max" else 1
        return min(numbers, key=lambda best: (sign * best.value, best.epoch))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a table with a row for each epoch. A write that fails leaves an old file as it was."""
        import csv  # needed here alone

        with whole_file(path) as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", *self])
            writer.writerows([epoch, *row] for epoch, row in enumerate(zip(*self.values(), strict=True)))
