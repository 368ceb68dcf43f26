"""Small products run on one thread of the BLAS, and its number of threads comes back."""

from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest
from attrs import define

from deepbp import Sequential, Trainer
from deepbp.kernels import blas_threads
from deepbp.kernels.blas_threads import FEWEST, MOST, _OneThread, threads_for
from deepbp.layers import Dense, Layer
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD
from deepbp.typing import Array


class Library:
    def __init__(self, threads: int) -> None:
        self.threads, self.inside = threads, _OneThread(lambda: self.threads, self.set)

    def set(self, threads: int) -> None:
        self.threads = threads


def test_the_number_comes_back_when_the_last_one_leaves() -> None:
    library = Library(4)
    with library.inside:
        with library.inside:
            assert library.threads == 1
        assert library.threads == 1
    assert library.threads == 4
    with pytest.raises(ZeroDivisionError), library.inside:
        1 / 0  # noqa: B018
    assert library.threads == 4


def test_another_number_that_was_set_meanwhile_stays() -> None:
    library = Library(4)
    with library.inside:
        library.set(3)
    assert library.threads == 3


def test_several_threads_of_python() -> None:
    library, both = Library(8), Barrier(2)
    seen = []

    def enter() -> None:
        for _ in range(200):
            with library.inside:
                seen.append(library.threads)
            both.wait()

    threads = [Thread(target=enter) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {1}
    assert library.threads == 8


@pytest.mark.parametrize(("rows", "units", "limited"), [(1, 8, False), (64, 512, True), (64, 4096, False)])
def test_steps_and_evaluations_of_small_networks(
    rows: int, units: int, limited: bool, kernel_form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one of 8 units has products that every BLAS computes on one thread, and that of 4096 has large ones."""
    library = Library(2)
    monkeypatch.setattr(blas_threads, "one_thread", lambda: library.inside)
    seen: list[tuple[str, int]] = []

    @define(eq=False)
    class Watching(Layer[None]):
        def forward(self, x: Array) -> tuple[Array, None]:
            seen.append(("forward", library.threads))
            return x, None

        def backward(self, saved: None, delta: Array) -> Array:
            seen.append(("backward", library.threads))
            return delta

    layers: list[Layer[Any]] = [Dense(units), Watching(), Dense(1)]
    trainer = Trainer(Sequential(layers, input_shape=256, rng=0), MeanSquaredError(), SGD(0.001))
    x, y = np.zeros((rows, 256), "float32"), np.zeros((rows, 1), "float32")
    for run in (lambda: trainer.fit(x, y, progress=False), lambda: trainer.step(x, y), lambda: trainer.evaluate(x, y)):
        seen.clear()
        run()
        assert {threads for _, threads in seen} == {1 if limited else 2}
        assert library.threads == 2


@pytest.mark.parametrize(
    ("x", "largest", "limited"),
    [
        (np.zeros((1, 3)), FEWEST, False),
        (np.zeros((2, 3)), FEWEST, True),
        (np.zeros((2, 3)), MOST // 2, False),
        (np.zeros((2, 4, 3)), MOST // 8, False),
        (np.zeros((2, 4), int), MOST // 8, False),  # ids: a step each
        (np.zeros((2, 4)), MOST // 8, True),
    ],
)
def test_which_products_are_small(x: Array, largest: int, limited: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = Library(2).inside
    monkeypatch.setattr(blas_threads, "one_thread", lambda: inside)
    assert (threads_for(x, largest) is inside) == limited
