"""Progress: a bar over epochs, bars over epochs and steps, or lines for a log; on stderr, only where someone looks."""

import sys
from collections.abc import Mapping
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from deepbp.errors import ArgumentTypeError

ProgressLike: TypeAlias = bool | Literal["steps", "text"] | None
"""Yes, no, yes with a bar for the steps of each epoch, lines of text, or: decide."""

# Short bars, for on 80 columns the numbers matter more.
_EPOCHS = "{n_fmt}/{total_fmt} epochs |{bar:12}| {elapsed}<{remaining}{postfix}"
_STEPS = "{n_fmt}/{total_fmt} samples |{bar:12}| {elapsed}<{remaining}{postfix}"
_REDRAW = 0.1  # seconds: steps are faster than eyes
_LINES = 100  # a log of a thousand epochs need not be longer
_SILENCE = 60.0  # seconds after which a log speaks up within an epoch, too


class Progress:
    """What ``fit`` shows while it runs.

    Args:
        epochs: how many there will be.
        progress: True shows a bar, False nothing; None is True where stderr is a terminal, or in a notebook, and
            False elsewhere. ``"steps"``: a second bar, for the samples of each epoch. ``"text"``: for a log, lines
            without control characters, one for each epoch; of very many, one for each hundredth of the training; and
            one a minute where there would be none for longer.
    """

    def __init__(self, epochs: int, progress: ProgressLike) -> None:
        if not (
            progress is None
            or isinstance(progress, bool)
            or (isinstance(progress, str) and progress in ("steps", "text"))
        ):
            raise ArgumentTypeError(f"progress: expected True, False, None, 'steps' or 'text', got {progress!r}")
        if progress is None:
            progress = (sys.stderr is not None and sys.stderr.isatty()) or "ipykernel" in sys.modules
        self._display: _Text | _Bars | None = None
        if progress:
            self._display = _Text(epochs) if progress == "text" else _Bars(epochs, steps=progress == "steps")

    def step(self, loss: float, seen: int, total: int | None) -> None:
        """A step is done: ``seen`` of the ``total`` samples of the epoch, None where not known, and the loss."""
        if self._display is not None:
            self._display.step(loss, seen, total)

    def epoch(self, row: Mapping[str, float]) -> None:
        """An epoch is done; show its numbers."""
        if self._display is not None:
            self._display.epoch([f"{name}={value:.4g}" for name, value in row.items()])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._display is not None:
            self._display.close()


class _Bars:
    """tqdm's: one over epochs and, below it, one over the samples of the epoch at hand."""

    def __init__(self, epochs: int, *, steps: bool) -> None:
        from tqdm.auto import tqdm  # where it is used: importing it costs more than the rest of the package

        self._bar = partial(tqdm, file=sys.stderr, dynamic_ncols=True)
        self._epochs = self._bar(total=epochs, bar_format=_EPOCHS)
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

    def epoch(self, numbers: list[str]) -> None:
        self._epochs.set_postfix_str(", ".join(numbers), refresh=False)
        self._epochs.update()

    def close(self) -> None:
        if self._steps is not None:
            self._steps.close()
        self._epochs.close()


class _Text:
    """Lines, each complete in itself."""

    def __init__(self, epochs: int) -> None:
        self._epochs, self._done = epochs, 0
        self._start = self._spoke = monotonic()
        self._unsaid: list[str] = []

    def step(self, loss: float, seen: int, total: int | None) -> None:
        if monotonic() >= self._spoke + _SILENCE and seen != total:
            samples = f"{seen} samples" if total is None else f"{seen}/{total} samples"
            self._say(self._done + 1, [samples, f"loss={loss:.4g}"])

    def epoch(self, numbers: list[str]) -> None:
        share = self._done * _LINES // self._epochs
        self._done += 1
        if self._done * _LINES // self._epochs > share or monotonic() >= self._spoke + _SILENCE:
            self._say(self._done, numbers)
        else:
            self._unsaid = numbers

    def close(self) -> None:
        if self._unsaid:  # stopped early: the last numbers are always there
            self._say(self._done, self._unsaid)

    def _say(self, epoch: int, numbers: list[str]) -> None:
        self._spoke = monotonic()
        self._unsaid = []
        place = f"epoch {epoch:{len(str(self._epochs))}}/{self._epochs}"
        print("  ".join([place, f"{self._spoke - self._start:.1f} s", *numbers]), file=sys.stderr, flush=True)
