"""The progress bar: over epochs, on stderr, only where a person can see it, unless asked."""

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from deepbp.errors import ArgumentTypeError

# A short bar, for on 80 columns the numbers matter more.
_FORMAT = "{n_fmt}/{total_fmt} epochs |{bar:12}| {elapsed}<{remaining}{postfix}"


class Progress:
    """A tqdm bar, or nothing.

    Args:
        epochs: how many there will be.
        progress: True and False mean yes and no; None means where stderr is a terminal, or in a notebook.
    """

    def __init__(self, epochs: int, progress: bool | None) -> None:
        if progress is not None and not isinstance(progress, bool):
            raise ArgumentTypeError(f"progress: expected True, False or None, got {progress!r}")
        self._bar: Any = None
        if progress or (progress is None and (sys.stderr.isatty() or "ipykernel" in sys.modules)):
            from tqdm.auto import tqdm  # where it is used: importing it costs more than the rest of the package

            self._bar = tqdm(total=epochs, file=sys.stderr, dynamic_ncols=True, bar_format=_FORMAT)

    def epoch(self, row: Mapping[str, float]) -> None:
        """One epoch is done; show its numbers."""
        if self._bar is not None:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in row.items()}, refresh=False)
            self._bar.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
