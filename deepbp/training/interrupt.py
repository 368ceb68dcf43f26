"""Ctrl-C ends training between two steps, never in the middle of an update."""

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Self


class Interrupt:
    """While active, the first Ctrl-C sets ``requested`` and the second raises KeyboardInterrupt at once.

    Python delivers signals to the main thread alone, and a handler that a program installed is respected: in other
    threads, and there, nothing changes.
    """

    def __init__(self) -> None:
        self.requested = False
        self._active = False

    def __enter__(self) -> Self:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._request)
            self._active = True
        return self

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print("\nstopping after this step; Ctrl-C again stops at once", file=sys.stderr)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._active:
            signal.signal(signal.SIGINT, signal.default_int_handler)
