"""Batches that are prepared in a thread while the model trains on the ones before."""

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

Item = TypeVar("Item")
_WAIT = 0.05  # seconds after which a thread that can put nothing looks whether it is still wanted


class _End:
    """Stands behind the last item: the iterator is exhausted, or raised ``error``."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetched(items: Iterator[Item], ahead: int) -> Iterator[Item]:
    """The same items in the same order, up to ``ahead`` of them made in advance by a thread; 0 makes none.

    What the iterator raises is raised here, behind the items before it. When nobody takes any more, because training
    stopped or raised, the thread ends with the item at hand.
    """
    if ahead == 0:
        yield from items
        return
    made: queue.Queue[Item | _End] = queue.Queue(maxsize=ahead)
    unwanted = threading.Event()

    def put(item: Item | _End) -> bool:
        while not unwanted.is_set():
            try:
                made.put(item, timeout=_WAIT)
                return True
            except queue.Full:
                pass
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(_End())
        except BaseException as error:  # whatever it was: it is raised where the items are waited for
            put(_End(error))

    thread = threading.Thread(target=work, name="deepbp-prefetch", daemon=True)  # one that hangs holds up no exit
    thread.start()
    try:
        while not isinstance(item := _take(made, thread), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        unwanted.set()
        thread.join(timeout=10 * _WAIT)


def _take(made: "queue.Queue[Item | _End]", thread: threading.Thread) -> Item | _End:
    """The next item. A thread that died without a word, as in a process that was forked, is noticed."""
    while True:
        try:
            return made.get(timeout=20 * _WAIT)
        except queue.Empty:
            if not thread.is_alive() and made.empty():
                return _End(RuntimeError("prefetch: the thread that prepares batches died; try prefetch=0"))
