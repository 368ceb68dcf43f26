"""Progress displays on stderr: a bar of epochs, a second one of steps, or lines for a log."""

import sys
from collections.abc import Mapping
from functools import partial
from math import inf
from textwrap import wrap
from time import monotonic
from typing import Any, Literal, Protocol, TypeAlias

from deepbp._rich import escape

ProgressLike: TypeAlias = bool | Literal["steps", "text"] | None
"""A bar, nothing, a bar for the steps of each epoch as well, lines of text, or (None) a bar where a person sees it."""

# The bars are short: on 80 columns the numbers matter more.
_EPOCHS = "{n_fmt}/{total_fmt} epochs |{bar:12}| {elapsed}<{remaining}{postfix}"
_STEPS = "{n_fmt}/{total_fmt} samples |{bar:12}| {elapsed}<{remaining}{postfix}"
_REDRAW = 0.1  # seconds between two updates of a bar
_LONG = 2.0  # seconds of an epoch after which its steps have a bar, too
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
    """The display that ``fit`` asks for; None if there is none, or no stderr to show it on.

    Args:
        epochs: how many there will be.
        progress: True shows a bar, False nothing; None is True if stderr is a terminal, or in a notebook, and False
            elsewhere. ``"steps"``: a second bar, for the samples of each epoch; without it, epochs of more than two
            seconds have one. ``"text"``: lines for a log, without control characters: one for each epoch, or for each
            hundredth of a training with more epochs, and one a minute if there would be none for longer.
        done: how many of them a stored training that resumes has completed.
    """
    notebook = _is_notebook()
    if progress is None:
        progress = (sys.stderr is not None and sys.stderr.isatty()) or notebook
    if not progress or sys.stderr is None:  # as under pythonw, or with ``2>&-``
        return None
    if progress == "text":
        return _Text(epochs, done)
    return (_Notebook if notebook else _Bars)(epochs, done, progress == "steps")


def _is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


def _texts(row: Mapping[str, float]) -> list[str]:
    return [f"{name}={value:.4g}" for name, value in row.items()]


def _in_short(row: Mapping[str, float]) -> list[str]:
    """The same with those of the validation first: where there is little room, they say most."""
    return sorted(_texts(row), key=lambda text: not text.startswith("val_"))


class _Bars:
    """Bars of tqdm: one for epochs, one for the samples of the current epoch, and lines of numbers that do not fit."""

    def __init__(self, epochs: int, done: int, steps: bool) -> None:
        from tqdm import tqdm  # here, because importing tqdm takes longer than the rest of the package

        self._bar = partial(tqdm, file=sys.stderr, dynamic_ncols=True, mininterval=inf)  # drawn by _show alone
        self._epochs = self._bar(total=epochs, initial=done, bar_format=_EPOCHS)
        self._wanted, self._drawn, self._shown = steps, 0.0, 0.0
        self._begun = monotonic()  # of the epoch
        self._steps: Any = None  # made at the first step, or when an epoch takes long
        self._lines: list[Any] = []
        self._row: Mapping[str, float] = {}

    def step(self, loss: float, seen: int, total: int | None) -> None:
        now = monotonic()
        self._wanted |= now >= self._begun + _LONG
        if not self._wanted or now < self._drawn + _REDRAW:
            return
        self._drawn = now
        if self._steps is None:
            self._steps = self._bar(total=total, bar_format=_STEPS, position=1 + len(self._lines), leave=False)
        if seen < self._steps.n or total != self._steps.total:  # another epoch
            self._steps.reset(total)
        self._steps.n = seen
        self._steps.set_postfix_str(f"loss={loss:.4g}")

    def epoch(self, row: Mapping[str, float]) -> None:
        self._begun, self._row = monotonic(), row
        self._epochs.n += 1
        if self._begun >= self._shown + _REDRAW:
            self._show()

    def _show(self) -> None:
        """Draw the bar of epochs with the newest numbers, which are on lines of their own if the bar is too narrow."""
        self._shown, texts, drawn = monotonic(), _in_short(self._row), self._epochs.format_dict
        columns, numbers = drawn["ncols"], ", ".join(texts)
        whole = self._epochs.format_meter(**{**drawn, "ncols": None, "postfix": numbers})
        if not self._lines and (not isinstance(columns, int) or len(whole) <= columns):
            self._epochs.set_postfix_str(numbers)
            return
        self._epochs.set_postfix_str("")
        texts = wrap("  ".join(texts), columns, break_on_hyphens=False)
        texts += [""] * (len(self._lines) - len(texts))
        while len(self._lines) < len(texts):
            position = 1 + len(self._lines) + (self._steps is not None)
            self._lines.append(self._bar(bar_format="{desc}", position=position))
        for line, text in zip(self._lines, texts, strict=True):
            line.set_description_str(text)

    def close(self) -> None:
        if self._steps is not None:
            self._steps.close()
        if self._row:
            self._show()
        for line in self._lines:  # each is drawn again below the one before
            line.clear()
        for bar in (self._epochs, *self._lines):
            bar.close()


class _Notebook:
    """A bar and a line of numbers, drawn again in the same place, so that a stored notebook shows their last state."""

    def __init__(self, epochs: int, done: int, steps: bool) -> None:
        from IPython.display import display

        self._epochs, self._done, self._row = epochs, done, dict[str, float]()
        self._start = self._begun = self._drawn = monotonic()
        self._wanted, self._samples = steps, ""
        show: Any = display  # without types
        self._handle = show(self, display_id=True)

    def step(self, loss: float, seen: int, total: int | None) -> None:
        now = monotonic()
        if (self._wanted or now >= self._begun + _LONG) and now >= self._drawn + _REDRAW:
            samples = f"{seen} samples" if total is None else f"{seen}/{total} samples"
            self._samples = f", {samples}, loss={loss:.4g}"
            self._draw(now)

    def epoch(self, row: Mapping[str, float]) -> None:
        self._begun, self._row, self._samples = monotonic(), dict(row), ""
        self._done += 1
        if self._begun >= self._drawn + _REDRAW:
            self._draw(self._begun)

    def close(self) -> None:
        self._samples = ""
        self._draw(monotonic())

    def _draw(self, now: float) -> None:
        self._drawn = now
        self._handle.update(self)

    def _place(self) -> str:
        return f"{self._done}/{self._epochs} epochs, {self._drawn - self._start:.1f} s{self._samples}"

    def __repr__(self) -> str:
        return "  ".join([self._place(), *_in_short(self._row)])

    def _repr_html_(self) -> str:
        bar = f'<progress max="{self._epochs}" value="{self._done}" style="vertical-align:middle"></progress>'
        numbers = f"<br>{escape('  '.join(_in_short(self._row)))}" if self._row else ""
        return f'<div style="font-family:monospace;white-space:pre-wrap">{bar} {escape(self._place())}{numbers}</div>'


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
