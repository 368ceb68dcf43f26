"""Signal handling: Ctrl-C and SIGTERM end a training after the current step."""

import signal
import sys
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

_UNTOUCHED: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_WORDS = {
    signal.SIGINT: "stopping after this step; Ctrl-C again stops at once",
    signal.SIGTERM: "SIGTERM: stopping after this step, then the process ends",
}


class Interrupt:
    """Signal handling: the first Ctrl-C sets ``requested``, the second raises KeyboardInterrupt at once.

    SIGTERM, which asks a process to end, sets ``requested``, too. It is sent again when the training has ended and its
    callbacks have written their files, and then ends the process.

    Python delivers signals to the main thread only, so nothing changes in other threads. Nor does it where a program
    has installed a handler of its own.
    """

    def __init__(self, quiet: bool = False) -> None:
        """``quiet``: whether another process tells that the training stops."""
        self.requested = False
        self._handled: list[int] = []
        self._terminated, self._quiet = False, quiet

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number, untouched in _UNTOUCHED.items():
                if signal.getsignal(number) is untouched:
                    signal.signal(number, self._request)
                    self._handled.append(number)
        return self

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
        self._terminated |= number == signal.SIGTERM
        if self._quiet:
            return
        with suppress(Exception):  # the signal may have come while stderr was being written to, or it may be closed
            print(f"\n{_WORDS[signal.Signals(number)]}", file=sys.stderr)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number in self._handled:
            if signal.getsignal(number) == self._request:  # a callback may have installed one of its own
                signal.signal(number, _UNTOUCHED[number])
        if self._terminated:
            signal.raise_signal(signal.SIGTERM)
