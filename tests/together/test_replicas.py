"""A training in several threads: the numbers of one thread, to rounding, and the same bits each time."""

import gc
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import define, field
from every_builtin import BUILTIN_LAYERS, CATEGORY_LAYERS
from test_together import differences
from together_cases import CASES, LABELS, TARGETS, X, dense, results, train

from deepbp import Buffer, Sequential, Trainer, kernels
from deepbp.callbacks import Callback
from deepbp.errors import ConfigurationError, NonFiniteError
from deepbp.layers import L1, BatchNorm, Builder, Dense, Dropout, Embedding, Flatten, Layer, Penalized, Scale, Tanh
from deepbp.losses import IgnoreMissing, Loss, MeanSquaredError, SoftmaxCrossEntropy, SumSquaredError
from deepbp.optimizers import SGD, Adam
from deepbp.processes import Processes
from deepbp.training import replicas
from deepbp.typing import Array, Shape

FLOATS = [(layer, shape, None) for layer, shape in BUILTIN_LAYERS if shape != ()]
EVERY = deepcopy([*FLOATS, *CATEGORY_LAYERS])  # other tests build layers inside those


def named(given: Any) -> str:
    """The same in each process that collects the tests, as an address is not."""
    return given.__name__ if callable(given) and hasattr(given, "__name__") else str(given)


def state_of(trainer: Trainer) -> dict[str, Array]:
    return results(trainer.model, trainer.history)  # type: ignore[arg-type]


def alike(one: dict[str, Array], other: dict[str, Array]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("threads", [2, 3])
def test_any_number_of_threads_gives_the_same_training(name: str, threads: int) -> None:
    alone, together = CASES[name](None), CASES[name](threads)
    assert differences(name, alone, together) == []


@pytest.mark.parametrize(("layer", "shape", "draw"), EVERY, ids=named)
def test_every_layer_trains_in_threads(
    layer: Layer[Any], shape: Shape, draw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its output depends on nothing that a replica keeps from an earlier step, and no step makes new replicas."""
    copies, copy = 0, replicas.Replica.copy

    def counted(replica: replicas.Replica) -> replicas.Replica:
        nonlocal copies
        copies += 1
        return copy(replica)

    monkeypatch.setattr(replicas.Replica, "copy", counted)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, *shape)) if draw is None else draw(rng, (7, *shape))
    dtype = "float64" if layer.built is None else layer.built.dtype.name
    start = Sequential([*([Scale()] if draw is None else []), deepcopy(layer), Scale()], rng=0, dtype=dtype)
    start.build(shape)
    y = rng.normal(size=start.predict(x).shape)
    draws = bool(Trainer(start, MeanSquaredError(), SGD(0.1))._training._generators)
    found = []
    for threads in (2, 2) if draws else (1, 2):
        trainer = Trainer(deepcopy(start), MeanSquaredError(), SGD(0.1), threads=threads)
        losses = [trainer.step(x, y) for _ in range(2)]  # after the first one the model knows its loss
        copies = 0
        losses += [trainer.step(x, y) for _ in range(2)]
        assert copies == 0
        found.append(state_of(trainer) | {"losses": np.array(losses)})
    if draws:
        assert alike(*found)
    else:
        assert differences(dtype, found[0], found[1]) == []


def test_a_training_with_dropout_repeats_bit_by_bit() -> None:
    one, again, alone = (train(dense(inner=[Dropout(0.3), BatchNorm()]), threads) for threads in (2, 2, None))
    assert alike(one, again)
    assert not np.allclose(one["0.weight"], alone["0.weight"], rtol=1e-6)


def test_each_part_draws_numbers_of_its_own() -> None:
    masks = []

    @define(eq=False)
    class Noted(Dropout):
        def forward(self, x: Array) -> tuple[Array, Array]:
            y, mask = super().forward(x)
            masks.append(mask)
            return y, mask

    net = Sequential([Noted(0.5), Dense(3)], input_shape=12, rng=0)
    trainer = Trainer(net, SoftmaxCrossEntropy(), SGD(0.1), threads=2)
    for _ in range(3):
        trainer.step(X[:40], LABELS[:40])
    assert len({mask.tobytes() for mask in masks}) == len(masks) == 6


@pytest.mark.parametrize("inner", [[Dropout(0.3)], [BatchNorm()]], ids=str)
def test_a_training_resumes_within_an_epoch(inner: list[Layer[Any]]) -> None:
    def trainer(*callbacks: Callback) -> Trainer:
        net = dense(inner=deepcopy(inner))
        return Trainer(net, SoftmaxCrossEntropy(), Adam(0.01), threads=2, callbacks=callbacks)

    class Saving(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            if trainer.steps == 6:
                trainer.save(file)

    whole, file = trainer(), BytesIO()
    whole.fit(X, LABELS, epochs=3)
    trainer(Saving()).fit(X, LABELS, epochs=3)
    resumed = trainer(Saving())
    resumed.load(file.getvalue())
    resumed.fit(X, LABELS, epochs=3)
    assert alike(state_of(whole), state_of(resumed))


def test_a_file_tells_of_another_number_of_threads() -> None:
    file = BytesIO()
    Trainer(dense(), SoftmaxCrossEntropy(), SGD(0.1), threads=2).save(file)
    with pytest.warns(UserWarning, match="threads: 2 → 3"):
        Trainer(dense(), SoftmaxCrossEntropy(), SGD(0.1), threads=3).load(file.getvalue())


@define(eq=False)
class Raising(Tanh):
    """Raises for a batch with a marked row."""

    error: type[BaseException] = ValueError

    def forward(self, z: Array) -> Any:
        if (z > 1e6).any():
            raise self.error("a marked row")
        return super().forward(z)


@pytest.mark.parametrize("row", [0, 49], ids=["in this thread", "in another thread"])
@pytest.mark.parametrize("error", [ValueError, MemoryError, KeyboardInterrupt])
def test_an_exception_in_a_thread_is_that_of_the_step(row: int, error: type[BaseException]) -> None:
    """Nobody waits for the statistics of the thread that has raised it, and the training can go on."""
    layers = [Raising(error), BatchNorm(), Dropout(0.5), Dense(3)]
    net = Sequential(layers, input_shape=12, rng=0, dtype="float64")
    trainer = Trainer(net, SoftmaxCrossEntropy(), SGD(0.1), threads=2)
    trainer.step(X[:50], LABELS[:50])
    before, drawn = state_of(trainer), net.generator.bit_generator.state
    marked = X[:50].copy()
    marked[row] = 1e7
    with pytest.raises(error, match="a marked row"):
        trainer.step(marked, LABELS[:50])
    assert alike(state_of(trainer), before)
    assert net.generator.bit_generator.state == drawn
    twin = deepcopy(trainer)
    assert trainer.step(X[:50], LABELS[:50]) == twin.step(X[:50], LABELS[:50])
    assert net.forward(X[:5])[0].shape == (5, 3)  # it does not wait for other threads


@pytest.mark.parametrize("inner", [[], [BatchNorm()]], ids=["plain", "with statistics"])
@pytest.mark.parametrize("row", [0, 49])
def test_an_overflow_in_a_part_is_one_of_the_batch(row: int, inner: list[Layer[Any]]) -> None:
    net = Sequential([Dense(5), *deepcopy(inner), Dense(3)], input_shape=12, rng=0, dtype="float64")
    trainer = Trainer(net, MeanSquaredError(), SGD(0.1), threads=2)
    trainer.step(X[:50], TARGETS[:50])
    before, x = state_of(trainer), X[:50].copy()
    x[row] = 1e308
    with pytest.raises(NonFiniteError, match=r"step 2: the loss became (inf|nan); the first place that"):
        trainer.step(x, TARGETS[:50])
    assert alike(state_of(trainer), before)
    assert np.isfinite(trainer.step(X[:50], TARGETS[:50]))


def test_a_ctrl_c_does_not_wait_for_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What still runs has arrays of its own; the next step has new threads."""
    released, ended = threading.Event(), list[Array]()

    @define(eq=False)
    class Slow(Tanh):
        def forward(self, z: Array) -> Any:
            if z[0, 0] > 1e6:
                released.wait(60)
                ended.append(z)
            return super().forward(z)

    def wait(started: Any) -> None:
        if presses.pop():
            os.kill(os.getpid(), signal.SIGINT)
        usual(started)

    usual, presses = futures.wait, [False, True, False]
    monkeypatch.setattr("deepbp.training.replicas.wait", wait)
    net = Sequential([Slow(), Dense(3)], input_shape=12, rng=0)
    trainer = Trainer(net, SoftmaxCrossEntropy(), SGD(0.1), threads=2)
    trainer.step(X[:50], LABELS[:50])
    before, slow = state_of(trainer), X[:50].copy()
    slow[25] = 1e7
    try:
        with pytest.raises(KeyboardInterrupt):
            trainer.step(slow, LABELS[:50])
        assert alike(state_of(trainer), before)
        assert np.isfinite(trainer.step(X[:50], LABELS[:50]))
        assert not ended
    finally:
        released.set()


def test_changes_between_steps_reach_all_threads() -> None:
    def run(threads: int) -> dict[str, Array]:
        net = dense(inner=[BatchNorm()])
        trainer = Trainer(net, SoftmaxCrossEntropy(), SGD(0.1), threads=threads)
        norm: Any = net.layers[1]
        trainer.step(X, LABELS)
        norm.epsilon = 0.5
        trainer.step(X, LABELS)
        net.layers[0].freeze()
        trainer.step(X, LABELS)
        net.layers[0].weight.value = net.layers[0].weight.value + 1
        trainer.step(X, LABELS)
        net.layers[0].unfreeze()
        trainer.step(X, LABELS)
        norm.freeze(statistics=True)
        trainer.step(X, LABELS)
        norm.unfreeze()
        trainer.optimizer = SGD(0.01)
        trainer.step(X, LABELS)
        Trainer(net, SoftmaxCrossEntropy(), SGD(0.1), threads=threads).step(X, LABELS)
        trainer.step(X, LABELS)
        return state_of(trainer)

    assert differences("", run(1), run(2)) == []


def test_another_model_of_the_same_parameters_reaches_all_threads() -> None:
    def run(threads: int) -> dict[str, Array]:
        net = dense()
        longer = Sequential([net, Tanh()], input_shape=12, rng=0, dtype="float64")
        trainer = Trainer(net, SoftmaxCrossEntropy(), SGD(0.1), threads=threads)
        for model in (net, net, longer, net):
            trainer.model = model
            trainer.step(X, LABELS)
        return results(net, {})

    assert differences("", run(1), run(2)) == []


def test_rows_of_a_table_are_those_of_all_parts() -> None:
    """Neither more of them are updated, nor fewer."""
    ids = np.array([[1, 2], [2, 3], [3, 1], [7, 2], [7, 7], [2, 9]])
    y = np.array([0, 1, 2, 0, 1, 2])

    def run(threads: int) -> tuple[dict[str, Array], list[int]]:
        layers = [Embedding(500, 4, sparse_gradient=True), Flatten(), Dense(3)]
        net = Sequential(layers, input_shape=2, rng=0, dtype="float64")
        trainer = Trainer(net, SoftmaxCrossEntropy(), Adam(0.01), threads=threads)
        for rows in ([0, 1, 2, 3], [4, 5, 0], [3]):
            trainer.step(ids[rows], y[rows])
        table: Any = trainer.parameters.sparse[0]
        trainer.step(ids, y)
        return state_of(trainer), table.touched_rows().tolist()

    (alone, rows), (together, same) = run(1), run(2)
    assert differences("", alone, together) == []
    assert rows == same == [1, 2, 3, 7, 9]


@pytest.mark.parametrize("copied", [deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["copy", "pickle"])
def test_a_copied_trainer_has_threads_of_its_own(copied: Callable[[Trainer], Trainer]) -> None:
    trainer = Trainer(dense(inner=[Dropout(0.5)]), SoftmaxCrossEntropy(), SGD(0.1), threads=2)
    trainer.step(X, LABELS)
    other = copied(trainer)
    assert trainer.step(X, LABELS) == other.step(X, LABELS)
    assert alike(state_of(trainer), state_of(other))


def test_threads_end_with_their_trainer() -> None:
    before = {*threading.enumerate()}
    trainer = Trainer(dense(), SoftmaxCrossEntropy(), SGD(0.1), threads=3)
    trainer.step(X, LABELS)
    started = [one for one in {*threading.enumerate()} - before if one.name.startswith("deepbp")]
    assert len(started) in (1, 2)  # one is enough where it was quick
    del trainer
    gc.collect()
    for one in started:
        one.join(timeout=60)
        assert not one.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_trains_with_threads_of_its_own(tmp_path: Path) -> None:
    trainer = Trainer(dense(), SoftmaxCrossEntropy(), SGD(0.1), threads=2)
    trainer.step(X, LABELS)
    file = tmp_path / "loss"
    child = os.fork()
    if child == 0:
        try:
            file.write_text(repr(trainer.step(X, LABELS)))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert file.read_text() == repr(trainer.step(X, LABELS))


@define(eq=False)
class Running(Tanh):
    """Keeps the largest input so far, and counts its passes, and those that begin with a number above 0."""

    largest: Buffer = field(init=False)
    passes: Buffer = field(init=False)
    above: Buffer = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.largest = Buffer(np.zeros(()))
        self.passes, self.above = Buffer(np.zeros((), int)), Buffer(np.zeros((), int))
        return input_shape

    def forward(self, z: Array) -> Any:
        self.largest.value = max(self.largest.value, z.max())
        self.passes.value = self.passes.value + 1
        self.above.value = self.above.value + (z[0, 0] > 0)
        return super().forward(z)

    def numbers(self) -> list[float]:
        return [float(one.value) for one in (self.largest, self.passes, self.above)]


def test_running_values_are_averaged() -> None:
    running = Running()
    trainer = Trainer(
        Sequential([running, Dense(3)], input_shape=12, rng=0), SoftmaxCrossEntropy(), SGD(0.1), threads=2
    )
    x = np.zeros((4, 12))
    x[0], x[3] = 3, 5
    trainer.step(x, LABELS[:4])
    assert running.numbers() == [4, 1, 1]
    x[3] = 1
    trainer.step(x, LABELS[:4])
    assert [float(running.largest.value), int(running.passes.value), int(running.above.value)] == [
        4,
        2,
        2,
    ]  # each part began with the average


PENALIZED = Penalized(Tanh(), outputs=L1(0.1))


@pytest.mark.parametrize("first", [Tanh(), PENALIZED], ids=str)
@pytest.mark.parametrize("loss", [MeanSquaredError(), SumSquaredError(), IgnoreMissing(MeanSquaredError())], ids=str)
def test_batches_are_divided_for_every_kind_of_loss(loss: Loss[Any], first: Layer[Any]) -> None:
    sizes: list[int] = []

    @define(eq=False)
    class Noting(Tanh):
        def forward(self, z: Array) -> Any:
            sizes.append(len(z))
            return super().forward(z)

    net = Sequential([deepcopy(first), Noting(), Dense(3)], input_shape=12, rng=0)
    Trainer(net, loss, SGD(0.01), threads=3).step(X[:50], TARGETS[:50])
    assert sorted(sizes) == [16, 17, 17]


@pytest.mark.parametrize("first", [Tanh(), PENALIZED], ids=str)
def test_a_batch_without_targets(first: Layer[Any]) -> None:
    def run(threads: int) -> dict[str, Array]:
        net = Sequential([Dense(5), deepcopy(first), Dense(3)], input_shape=12, rng=0, dtype="float64")
        trainer = Trainer(net, IgnoreMissing(MeanSquaredError()), SGD(0.1), threads=threads)
        y = TARGETS[:50].copy()
        y[:20] = np.nan
        losses = [trainer.step(X[:50], np.full_like(y, np.nan)), trainer.step(X[:50], y)]
        return results(net, {}) | {"losses": np.array(losses)}

    assert differences("", run(1), run(2)) == []


def test_threads_and_replicas_are_kept() -> None:
    workers: list[int] = []

    @define(eq=False)
    class Noting(Tanh):
        def forward(self, z: Array) -> Any:
            if threading.current_thread() is not threading.main_thread():
                workers.append(threading.get_ident())
            return super().forward(z)

    net = Sequential([Noting(), Dense(3)], input_shape=12, rng=0)
    trainer = Trainer(net, SoftmaxCrossEntropy(), SGD(0.1), threads=2, processes=Processes())
    for _ in range(5):
        trainer.step(X, LABELS)
    assert len(workers) == 5
    assert len({*workers}) == 1


@pytest.mark.parametrize("inner", [[], [BatchNorm()]], ids=["plain", "with statistics"])
def test_a_system_without_another_thread(inner: list[Layer[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that have begun do not wait for those that cannot."""
    net = Sequential([Dense(5), *deepcopy(inner), Dense(3)], input_shape=12, rng=0)
    trainer = Trainer(net, SoftmaxCrossEntropy(), SGD(0.1), threads=3)
    before, submit = state_of(trainer), ThreadPoolExecutor.submit
    left = 1

    def submit_once(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise RuntimeError("can't start new thread")
        return submit(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ThreadPoolExecutor, "submit", submit_once)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            trainer.step(X, LABELS)
    assert alike(state_of(trainer), before)
    assert np.isfinite(trainer.step(X, LABELS))


@pytest.mark.parametrize("threads", [2, 3])
def test_evaluation_is_divided_too(threads: int) -> None:
    seen: list[tuple[int, bool]] = []

    @define(eq=False)
    class Noting(Tanh):
        def predict(self, z: Array) -> Array:
            seen.append((len(z), threading.current_thread() is threading.main_thread()))
            return super().predict(z)

    net = Sequential([Noting(), BatchNorm(), Dense(3)], input_shape=12, rng=0, dtype="float64")
    alone, together = (Trainer(net, SoftmaxCrossEntropy(), SGD(0.1), threads=count) for count in (1, threads))
    together.step(X, LABELS)
    seen.clear()
    one = alone.evaluate(X, LABELS)
    assert together.evaluate(X, LABELS)["loss"] == pytest.approx(one["loss"], rel=1e-14)
    parts = [(98, True), (99, False)] if threads == 2 else [(65, True), (66, False), (66, False)]
    assert sorted(seen) == [*parts, (197, True)]
    assert together.evaluate(X[:1], LABELS[:1]) == alone.evaluate(X[:1], LABELS[:1])
    together.fit(X, LABELS, epochs=1, validation_data=(X, LABELS))
    assert together.history["val_loss"] == [pytest.approx(alone.evaluate(X, LABELS)["loss"], rel=1e-14)]


def test_an_exception_in_an_evaluation_is_raised() -> None:
    marked = X.copy()
    marked[-1] = 1e7

    @define(eq=False)
    class Refusing(Tanh):
        def predict(self, z: Array) -> Array:
            if (z > 1e6).any():
                raise ValueError("a marked row")
            return super().predict(z)

    net = Sequential([Refusing(), Dense(3)], input_shape=12, rng=0)
    trainer = Trainer(net, SoftmaxCrossEntropy(), SGD(0.1), threads=2)
    with pytest.raises(ValueError, match="a marked row"):
        trainer.evaluate(marked, LABELS)
    assert np.isfinite(trainer.evaluate(X, LABELS)["loss"])


def test_products_have_one_thread_in_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = 0

    @contextmanager
    def one_thread() -> Iterator[None]:
        nonlocal inside
        inside += 1
        yield
        inside -= 1

    @define(eq=False)
    class Asking(Tanh):
        def forward(self, z: Array) -> Any:
            found.append(inside)
            return super().forward(z)

    found: list[int] = []
    monkeypatch.setattr("deepbp.training.replicas.one_thread", one_thread)
    net = Sequential([Asking(), Dense(3)], input_shape=12, rng=0)
    Trainer(net, SoftmaxCrossEntropy(), SGD(0.1), threads=2).step(X, LABELS)
    assert (found, inside) == ([1, 1], 0)


def test_errors_about_the_number_of_threads() -> None:
    for wrong in (0, -1, 1.5, True):
        with pytest.raises((ConfigurationError, TypeError), match="threads: expected a whole number"):
            Trainer(dense(), SoftmaxCrossEntropy(), SGD(0.1), threads=wrong)  # type: ignore[arg-type]
    processes = Processes()
    processes.size = 2
    with pytest.raises(ConfigurationError, match="threads: expected 1 with several processes, got 3: start 6 process"):
        Trainer(dense(), SoftmaxCrossEntropy(), SGD(0.1), threads=3, processes=processes)


@pytest.mark.skipif(kernels.current() != "numba", reason="programs need Numba")
def test_the_summary_tells_of_threads() -> None:
    net = dense(dtype="float32")
    net.fit(X, LABELS, loss=SoftmaxCrossEntropy(), optimizer=SGD(0.1), threads=2)
    assert net.summary().programs.endswith("; the last training ran in 2 threads, without a program")
