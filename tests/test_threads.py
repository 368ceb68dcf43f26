"""Many threads may read one network at once."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from threading import Barrier
from typing import Any

import numpy as np

from deepbp import Sequential, kernels
from deepbp.layers import Dense, ReLU, Sigmoid, Softmax, Tanh
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import SGD

THREADS, MANY, CALLS = 8, 24, 2000


def network() -> Sequential:
    layers = [Dense(16), Tanh(), Sequential([Dense(16), ReLU()]), Dense(16), Sigmoid(), Dense(5), Softmax()]
    return Sequential(layers, input_shape=10, rng=0)


def in_threads(work: Callable[[int], Any], count: int = THREADS) -> list[Any]:
    """What each thread's work returns; all start at the same moment."""
    barrier = Barrier(count)

    def start(thread: int) -> Any:
        barrier.wait(timeout=60)
        return work(thread)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))


def test_predict_gives_each_thread_the_single_threaded_answer() -> None:
    net = network()
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(rows, 10)).astype("f4") for rows in (1, 2, 7, 32, 100, 3, 64, 5)]
    expected = [net.predict(x).tobytes() for x in inputs]

    def work(thread: int) -> int:
        order = np.random.default_rng(thread).integers(0, len(inputs), 200)
        return sum(net.predict(inputs[i]).tobytes() != expected[i] for i in order)

    assert in_threads(work) == [0] * THREADS


def test_many_threads_predict_while_one_trains_a_copy() -> None:
    net, copy = network(), deepcopy(network())
    inputs = [np.random.default_rng(rows).normal(size=(rows, 10)).astype("f4") for rows in (1, 2, 5, 3)]
    expected = [net.predict(x).tobytes() for x in inputs]
    x, y = np.random.default_rng(0).normal(size=(64, 10)).astype("f4"), np.arange(64) % 5
    optimizer, trained = SGD(0.1), deepcopy(network())
    alone = trained[:-1].fit(x, y, loss=SoftmaxCrossEntropy(), optimizer=optimizer, epochs=50, rng=0)

    def work(thread: int) -> Any:
        if thread == MANY:
            return copy[:-1].fit(x, y, loss=SoftmaxCrossEntropy(), optimizer=optimizer, epochs=50, rng=0)
        return sum(net.predict(inputs[i % 4]).tobytes() != expected[i % 4] for i in range(CALLS))

    *wrong, history = in_threads(work, MANY + 1)
    assert wrong == [0] * MANY
    assert history == alone


def test_evaluate_and_predict_at_once() -> None:
    net = network()[:-1]
    x = np.random.default_rng(0).normal(size=(50, 10))
    y = np.arange(50) % 5

    def both(thread: int = 0) -> tuple[float, bytes]:
        losses = {net.evaluate(x, y, loss=SoftmaxCrossEntropy(), batch_size=7)["loss"] for _ in range(20)}
        assert len(losses) == 1
        return losses.pop(), net.predict(x, batch_size=11).tobytes()

    assert set(in_threads(both)) == {both()}


def test_each_thread_may_train_a_network_of_its_own() -> None:
    """Layers keep nothing between forward and backward that threads could mix up."""
    x = np.random.default_rng(0).normal(size=(40, 10)).astype("f4")

    def gradients(thread: int) -> bytes:
        net = network()
        for _ in range(20):
            output, saved = net.forward(x)
            net.backward(saved, output)
        return b"".join(parameter.grad.tobytes() for parameter in net.parameters())

    assert set(in_threads(gradients)) == {gradients(0)}


FIRST_USE = """
import sys
from threading import Barrier, Thread
import numpy as np
from deepbp import Sequential
from deepbp.layers import Dense, Sigmoid, Softmax
sys.setswitchinterval(1e-6)
net = Sequential([Dense(4), Sigmoid(), Dense(3), Softmax()], input_shape=3, rng=0)
x, barrier, answers = np.ones((2, 3), "f4"), Barrier(8), []
def work():
    barrier.wait()
    answers.append(net.predict(x).tobytes())
threads = [Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(answers), len(set(answers)))
"""


def test_the_first_use_of_a_kernel_may_come_from_many_threads() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_USE], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("8 1\n", "")


def test_a_look_up_that_another_thread_overtook() -> None:
    """A thread asked for a kernel before any was chosen, and goes on after another thread chose."""
    kernels.use()
    assert kernels.__getattr__("sigmoid") is kernels.sigmoid
