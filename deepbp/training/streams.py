"""Streams of batches: functions, iterables and generators; prefetching in a thread."""

import queue
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain, islice
from typing import Any, Self, TypeAlias, TypeVar

import numpy as np
from attrs import define, field

from deepbp.errors import ArgumentTypeError, DataError, shown
from deepbp.training.lazy import Check, checked

ENDLESS = 100_000  # batches of an epoch after which a stream without a number of steps is reported
Item = TypeVar("Item")
_WAIT = 0.05  # seconds after which a thread that waits for room checks whether it is still needed


class _End:
    """Marks the end of the items: the iterator is exhausted, or raised ``error``."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


Made: TypeAlias = "queue.SimpleQueue[Any]"
"""Items that a thread has made, and an ``_End`` after the last."""


class Unused:
    """Batches that a thread has read from an iterator, and that the training has ended without.

    The iterator does not give them again, so the next call of ``fit`` on the same iterator begins with them.
    """

    def __init__(self) -> None:
        self._iterator: Any = None
        self._batches: deque[Any] = deque()
        self._reading: tuple[threading.Thread, Made] | None = None

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()  # a copy of a trainer does not share the iterator

    def keep(self, thread: threading.Thread, made: Made) -> None:
        """Keep what this thread has made, and the batch that it may still be reading."""
        self._reading = thread, made

    def of(self, iterator: Iterator[Any]) -> deque[Any]:
        """The batches that were read from this iterator, from which to take them; those of others are forgotten."""
        if self._reading is not None:
            (thread, made), self._reading = self._reading, None
            thread.join()
            items = [made.get() for _ in range(made.qsize())]
            self._batches.extendleft(item for item in reversed(items) if not isinstance(item, _End))
        if iterator is not self._iterator:
            self._iterator, self._batches = iterator, deque()
        return self._batches


@define(eq=False)
class Stream:
    """A stream of batches: a function that is called for each epoch, an iterable, or a generator."""

    batches_of: Any
    check: Check
    steps: int | None = None
    unused: Unused = field(factory=Unused, init=False)

    @property
    def samples(self) -> None:
        """None: the length of a stream is not known."""

    def batches(
        self,
        batch_size: int | None,
        rng: np.random.Generator | None = None,
        skip: int = 0,
        part: Callable[[int], slice] = slice,
    ) -> Iterator[Any]:
        """Yield the batches of the next epoch; the stream determines their order and sizes.

        All of them: each of several processes has a stream of its own, of other samples.
        """
        iterator, given = iter(called(self.batches_of)), 0
        read = self.unused.of(iterator)
        ready = len(read)
        for batch in islice(chain((read.popleft() for _ in range(ready)), iterator), self.steps):
            given += 1
            if given == ENDLESS and self.steps is None:
                warnings.warn(
                    f"x: {given:,} batches of this epoch, and no end: if the source never ends, give the number of "
                    "batches, steps_per_epoch=... or validation_steps=...",
                    stacklevel=2,
                )
            if given > skip:
                yield batch if given <= ready else checked(self.check, batch, f"batch {given - 1}")
        if given == 0 or (self.steps is not None and given < self.steps):
            wanted = "at least one batch" if self.steps is None else f"{self.steps} batches"
            raise DataError(
                f"x: expected {wanted} for this epoch, got {given}: a generator runs out; pass the function that "
                "makes it, which is then called for each epoch"
            )

    def leave_out(self, epochs: int) -> None:
        """Skip epochs of a generator that provides several; any other stream starts again for each epoch."""
        if self.steps is not None and not callable(self.batches_of) and iter(self.batches_of) is self.batches_of:
            deque(islice(self.batches_of, epochs * self.steps), maxlen=0)


def called(x: Any) -> Iterable[Any]:
    """The batches of a stream, or of the function that returns one."""
    made = x() if callable(x) else x
    if not isinstance(made, Iterable):
        raise ArgumentTypeError(f"x: expected a function that returns an iterator of batches, got {shown(made)}")
    return made


def prefetched(items: Iterator[Item], ahead: int, unused: Unused | None = None) -> Generator[Item]:
    """Prefetch: yield the same items, up to ``ahead`` of which a thread has made in advance; 0 starts no thread.

    Exceptions of the iterator are raised here, after the items before. When the consumer stops, the thread ends with
    the current item, and ``unused`` keeps the items that were not yielded.
    """
    if ahead == 0:
        yield from items
        return
    made: Made = queue.SimpleQueue()
    room, unwanted = threading.Semaphore(ahead), threading.Event()

    def work() -> None:
        try:
            while not unwanted.is_set():
                if room.acquire(timeout=_WAIT):
                    made.put(item := next(items, _END))
                    if item is _END:
                        return
        except BaseException as error:  # raised again in the consuming thread
            made.put(_End(error))

    thread = threading.Thread(
        target=work, name="deepbp-prefetch", daemon=True
    )  # a daemon thread does not delay the end of the program
    thread.start()
    try:
        while not isinstance(item := _take(made, thread), _End):
            room.release()
            yield item
        if item.error is not None:
            raise item.error
    finally:
        unwanted.set()
        thread.join(timeout=10 * _WAIT)
        if unused is not None:
            unused.keep(thread, made)


_END = _End()


def _take(made: Made, thread: threading.Thread) -> Any:
    """The next item. A thread that died silently, as in a forked process, gives an error."""
    while True:
        try:
            return made.get(timeout=20 * _WAIT)
        except queue.Empty:
            if not thread.is_alive() and made.empty():
                return _End(RuntimeError("prefetch: the thread that prepares batches died; try prefetch=0"))
