"""Progress displays on stderr: a bar of epochs, a second one of steps, or lines for a log."""

import sys
from collections.abc import Mapping
from functools import partial
from time import monotonic
from typing import Any, Literal, Protocol, TypeAlias

ProgressLike: TypeAlias = bool | Literal["steps", "text"] | None
"""A bar, nothing, a bar for the steps of each epoch as well, lines of text, or (None) a bar where a person sees it."""

# The bars are short: on 80 columns the numbers matter more.
_EPOCHS = "{n_fmt}/{total_fmt} epochs |{bar:12}| {elapsed}<{remaining}{postfix}"
_STEPS = "{n_fmt}/{total_fmt} samples |{bar:12}| {elapsed}<{remaining}{postfix}"
_REDRAW = 0.1  # seconds between two updates of the bar of steps
_LINES = 100  # at most in a log, whatever the number of epochs
_SILENCE = 60.0  # seconds after which a log gets a line within an epoch, too


class Display(Protocol):
    """Shows the progress of a training."""

    def step(self, loss: float, seen: int, total: int | None) -> None:
        """Show a step: its loss, and how many samples of the epoch, ``total`` if that is known, were seen so far."""

    def epoch(self, row: Mapping[str, float]) -> None:
        """Show a completed epoch: its row of the history."""

    def close(self) -> None:
        """Show what is left to show, and end."""


def open_display(epochs: int, progress: ProgressLike, done: int = 0) -> Display | None:
    """The display that ``fit`` asks for; None if there is none.

    Args:
        epochs: how many there will be.
        progress: True shows a bar, False nothing; None is True if stderr is a terminal, or in a notebook, and False
            elsewhere. ``"steps"``: a second bar, for the samples of each epoch. ``"text"``: lines for a log, without
            control characters: one for each epoch, or for each hundredth of a training with more epochs, and one a
            minute if there would be none for longer.
        done: how many of them a stored training that resumes has completed.
    """
    if progress is None:
        progress = (sys.stderr is not None and sys.stderr.isatty()) or "ipykernel" in sys.modules
    if not progress:
        return None
    return _Text(epochs, done) if progress == "text" else _Bars(epochs, done, progress == "steps")


def _texts(row: Mapping[str, float]) -> list[str]:
    return [f"{name}={value:.4g}" for name, value in row.items()]


class _Bars:
    """Bars of tqdm: one for epochs and, below it, one for the samples of the current epoch."""

    def __init__(self, epochs: int, done: int, steps: bool) -> None:
        from tqdm.auto import tqdm  # here, because importing tqdm takes longer than the rest of the package

        self._bar = partial(tqdm, file=sys.stderr, dynamic_ncols=True)
        self._epochs = self._bar(total=epochs, initial=done, bar_format=_EPOCHS)
        self._wanted, self._drawn = steps, 0.0
        self._steps: Any = None  # made at the first step

    def step(self, loss: float, seen: int, total: int | None) -> None:
        if not self._wanted or (now := monotonic()) < self._drawn + _REDRAW:
            return
        self._drawn = now
        if self._steps is None:
            self._steps = self._bar(total=total, bar_format=_STEPS, position=1, leave=False)
        if seen < self._steps.n or total != self._steps.total:  # another epoch
            self._steps.reset(total)
        self._steps.n = seen
        self._steps.set_postfix_str(f"loss={loss:.4g}")

    def epoch(self, row: Mapping[str, float]) -> None:
        self._epochs.set_postfix_str(", ".join(_texts(row)), refresh=False)
        self._epochs.update()

    def close(self) -> None:
        if self._steps is not None:
            self._steps.close()
        self._epochs.close()


class _Text:
    """Lines of text without control characters."""

    def __init__(self, epochs: int, done: int) -> None:
        self._epochs, self._done = epochs, done
        self._start = self._printed = monotonic()
        self._pending: list[str] = []

    def step(self, loss: float, seen: int, total: int | None) -> None:
        if monotonic() >= self._printed + _SILENCE and seen != total:
            samples = f"{seen} samples" if total is None else f"{seen}/{total} samples"
            self._print(self._done + 1, [samples, f"loss={loss:.4g}"])

    def epoch(self, row: Mapping[str, float]) -> None:
        numbers, share = _texts(row), self._done * _LINES // self._epochs
        self._done += 1
        if self._done * _LINES // self._epochs > share or monotonic() >= self._printed + _SILENCE:
            self._print(self._done, numbers)
        else:
            self._pending = numbers

    def close(self) -> None:
        if self._pending:  # the training stopped early: the last numbers are always printed
            self._print(self._done, self._pending)

    def _print(self, epoch: int, numbers: list[str]) -> None:
        self._printed = monotonic()
        self._pending = []
        place = f"epoch {epoch:{len(str(self._epochs))}}/{self._epochs}"
        print("  ".join([place, f"{self._printed - self._start:.1f} s", *numbers]), file=sys.stderr, flush=True)
