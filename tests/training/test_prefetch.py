"""A thread that prepares batches gives them all, in order, raises what they raise, and never outlives its use."""

import threading
import time
from collections.abc import Iterator

import pytest

from deepbp.training.streams import prefetched


def alive() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "deepbp-prefetch"]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert alive() == []


@pytest.mark.parametrize("ahead", [0, 1, 2, 100])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_all_items_in_order(ahead: int, count: int) -> None:
    assert list(prefetched(iter(range(count)), ahead)) == list(range(count))


def test_items_are_made_ahead_and_no_further() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            yield number

    items = prefetched(source(), 3)
    assert next(items) == 0
    deadline = time.monotonic() + 5
    while len(made) < 4 and time.monotonic() < deadline:  # one was taken, three wait in line
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(made) == 4
    items.close()


def test_an_error_comes_behind_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("three")

    items = prefetched(source(), 5)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(KeyError, match="three"):
        next(items)


def test_a_thread_is_left_behind_by_nobody_who_stops_early() -> None:
    def source() -> Iterator[int]:
        while True:
            yield 0

    for item in prefetched(source(), 2):
        assert item == 0
        break


def test_a_thread_that_dies_without_a_word_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "run", lambda self: None)
    with pytest.raises(RuntimeError, match="prefetch: the thread that prepares batches died; try prefetch=0"):
        next(prefetched(iter([1]), 1))
