"""Programs for one batch at a time: steps by hand, streams, gradient accumulation, and evaluations."""

from collections.abc import Callable, Iterator
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from trainings import LAYERS, OPTIMIZERS, Doubled, both, everything, make_small, problem
from trainings import compiled_kernels as compiled_kernels

from deepbp import Sequential, Trainer, kernels
from deepbp.errors import DataError, NonFiniteError, ShapeError
from deepbp.layers import Dense, Dropout, ReLU, Sigmoid
from deepbp.losses import MeanSquaredError, SoftmaxCrossEntropy, SumSquaredError
from deepbp.metrics import Accuracy
from deepbp.optimizers import SGD, Adam
from deepbp.program.layout import blas_addresses
from deepbp.training import programmed
from deepbp.typing import Array

pytestmark = pytest.mark.skipif(
    blas_addresses(np.dtype(np.float64)) is None, reason="the BLAS of this NumPy has no interface that is known"
)


@pytest.fixture
def single(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of the single batches that programs have run."""
    made: list[str] = []
    original = programmed.Lowered._once

    def once(self: programmed.Lowered) -> float | None:
        if (value := original(self)) is not None:
            made.append(self._kind)
        return value

    monkeypatch.setattr(programmed.Lowered, "_once", once)
    return made


def batches(loss: Any, rows: int, outputs: int, dtype: str, size: int) -> list[tuple[Array, Array]]:
    x, y = problem(loss, rows, outputs, dtype)
    return [(x[start : start + size], y[start : start + size]) for start in range(0, rows, size)]


@pytest.mark.parametrize("name", sorted(LAYERS))
@pytest.mark.parametrize("weighted", [False, True])
def test_steps_by_hand(name: str, weighted: bool, monkeypatch: pytest.MonkeyPatch, single: list[str]) -> None:
    loss = SoftmaxCrossEntropy()
    weight = np.array([1.0, 0.5, 2.0, 0.0, 1.0]) if weighted else None
    values: list[list[str]] = []

    def make() -> Trainer:
        net = Sequential([Dense(4), LAYERS[name](), Dense(3)], input_shape=3, rng=0, dtype="float64")
        return Trainer(net, loss, OPTIMIZERS[len(name) % len(OPTIMIZERS)])

    def train(trainer: Trainer) -> None:
        values.append([])
        for x, y in batches(loss, 32, 3, "float64", 5) * 2:
            values[-1].append(trainer.step(x, y, weight if weight is None else weight[: len(x)]).hex())

    both(monkeypatch, make, train)
    assert values[0] == values[1]
    assert single == ["step"] * 14


def test_what_a_step_takes(monkeypatch: pytest.MonkeyPatch, single: list[str]) -> None:
    """Arrays that are not contiguous or have another dtype, lists, and other numbers of rows."""
    x, y = problem(MeanSquaredError(), 12, 1, "float64")
    every: list[Any] = [
        (x, y),
        (np.asfortranarray(x), y[::-1]),
        (x[:5], y[:5]),
        (x.tolist(), y.tolist()),
        (x.astype(np.float32), y),
        (x[::2], y[::2]),
        (x, y),
    ]
    values: list[list[str]] = []

    def train(trainer: Trainer) -> None:
        values.append([trainer.step(*batch).hex() for batch in every])

    both(monkeypatch, make_small, train)
    assert values[0] == values[1]
    assert len(single) == 7


def test_errors_are_those_of_the_ordinary_step(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = problem(MeanSquaredError(), 4, 1, "float64")
    bad, far = x.copy(), y * 1e200
    bad[2, 1] = np.nan
    wrong: list[Any] = [(bad, y), (x, far), (x[:, :2], y), (x, y[:3]), (x[:0], y[:0]), (x, "y"), ([[1.0]], [[1.0]])]
    told: list[list[str]] = []

    def train(trainer: Trainer) -> None:
        told.append([])
        for given in wrong:
            trainer.step(x, y)
            with pytest.raises((NonFiniteError, DataError, ShapeError, ValueError, TypeError)) as raised:
                trainer.step(*given)
            told[-1].append(f"{raised.type.__name__}: {raised.value}")

    both(monkeypatch, make_small, train)
    assert told[0] == told[1]
    assert len(set(told[0])) == 7


def test_labels_out_of_range(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = problem(SoftmaxCrossEntropy(), 4, 3, "float32")
    told: list[str] = []

    def train(trainer: Trainer) -> None:
        trainer.step(x, labels)
        with pytest.raises(DataError) as raised:
            trainer.step(x, labels + 3)
        told.append(str(raised.value))

    def make() -> Trainer:
        return Trainer(Sequential([Dense(3)], input_shape=3, rng=0), SoftmaxCrossEntropy(), Adam())

    both(monkeypatch, make, train)
    assert told[0] == told[1]


def test_the_rate_of_each_step(monkeypatch: pytest.MonkeyPatch, single: list[str]) -> None:
    x, y = problem(MeanSquaredError(), 4, 1, "float64")

    def train(trainer: Trainer) -> None:
        for rate in (0.1, 0.2, 0.05):
            trainer.optimizer = SGD(lambda step, rate=rate: rate / (1 + step))  # type: ignore[misc]
            trainer.step(x, y)
            trainer.step(x, y)
        trainer.optimizer = SGD(lambda step: [][step])
        with pytest.raises(IndexError) as raised:
            trainer.step(x, y)
        assert "with step 6" in raised.value.__notes__[0]

    both(monkeypatch, make_small, train)
    assert len(single) == 6


def test_batches_of_ever_other_sizes_get_no_programs_of_their_own(
    monkeypatch: pytest.MonkeyPatch, single: list[str]
) -> None:
    monkeypatch.setenv("DEEPBP_PROGRAM", "1")
    trainer = make_small()
    for rows in range(1, 60):
        trainer.step(*problem(MeanSquaredError(), rows, 1, "float64"))
    assert len(single) == programmed.SHAPES // 2
    for _ in range(3):
        trainer.step(*problem(MeanSquaredError(), 59, 1, "float64"))
    assert len(single) == programmed.SHAPES // 2 + 3
    assert trainer._programs is not None
    assert len(trainer._programs._made) <= programmed.SHAPES


def stream(size: int) -> Callable[[], Iterator[tuple[Array, Array]]]:
    return lambda: iter(batches(MeanSquaredError(), 30, 1, "float64", size))


@pytest.mark.parametrize(
    ("source", "options", "kind"),
    [
        ("stream", {}, "step"),
        ("stream", {"accumulate": 2}, "gradients"),
        ("arrays", {"accumulate": 3}, "gradients"),
        ("other dtype", {}, "step"),
        ("strided", {"clip_norm": 0.1}, "step"),
    ],
)
def test_batches_from_elsewhere(
    source: str,
    options: dict[str, Any],
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    single: list[str],
    tmp_path: Any,
) -> None:
    x, y = problem(MeanSquaredError(), 30, 1, "float64")
    on_disk = np.memmap(tmp_path / "x", np.float32, "w+", shape=x.shape)
    on_disk[...] = x

    def make() -> Trainer:
        net = Sequential([Dense(4), Sigmoid(), Dropout(0.2), Dense(1)], input_shape=3, rng=0, dtype="float64")
        return Trainer(net, MeanSquaredError(), Adam(), metrics=[lambda a, b: float(a[0, 0] + b[-1, 0])], **options)

    def train(trainer: Trainer) -> None:
        given: dict[str, Any] = {
            "stream": (stream(8),),
            "other dtype": (on_disk, y),
            "strided": (np.asfortranarray(x), y),
        }
        trainer.fit(*given.get(source, (x, y)), epochs=3, batch_size=8, validation_data=(x[:9], y[:9]))

    both(monkeypatch, make, train)
    assert single == ([kind] * 4 + ["evaluation"]) * 3


def test_evaluations(monkeypatch: pytest.MonkeyPatch, single: list[str]) -> None:
    loss = SoftmaxCrossEntropy()
    x, y = problem(loss, 50, 3, "float32")
    rows: list[dict[str, float]] = []

    def make() -> Trainer:
        layers = [Dense(4), ReLU(), Dropout(0.5), Doubled(), Dense(3)]
        return Trainer(Sequential(layers, input_shape=3, rng=0), loss, Adam(), metrics=[Accuracy()])

    def train(trainer: Trainer) -> None:
        for _ in range(2):
            rows.append(trainer.evaluate(x, y, batch_size=20))
            trainer.fit(x, y, epochs=2)
        rows.append(trainer.evaluate(x * 1e38, y))  # a loss that is not finite is no error
        made = [one for one in trainer._programs._made.values() if one is not None]
        assert all(list(map(type, one.program.in_python)) == [Doubled] for one in made)

    both(monkeypatch, make, train)
    assert str(rows[:3]) == str(rows[3:])
    assert len(single) == 7


def test_subnormal_numbers_in_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a training may take them for 0."""
    monkeypatch.setenv("DEEPBP_PROGRAM", "1")
    net = Sequential([Dense(1, use_bias=False), Sigmoid()], input_shape=1, rng=0)
    net.layers[0].weight.value = [[1.0]]
    trainer = Trainer(net, SumSquaredError(), SGD(0.1), metrics=[lambda prediction, target: float(prediction[0, 0])])
    row = trainer.evaluate(np.full((2, 1), -90, np.float32), np.zeros((2, 1)))
    assert row["<lambda>"] == pytest.approx(np.exp(-90), rel=1e-3, abs=0)


def test_evaluations_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPBP_PROGRAM", "1")
    trainer, barrier, found = make_small(), Barrier(4), set()
    x, y = problem(MeanSquaredError(), 40, 1, "float64")
    expected = trainer.evaluate(x, y)["loss"]

    def work() -> None:
        barrier.wait(60)
        for _ in range(100):
            found.add(trainer.evaluate(x, y)["loss"])

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {expected}


def test_other_kernels_run_no_program(monkeypatch: pytest.MonkeyPatch, single: list[str]) -> None:
    monkeypatch.setenv("DEEPBP_PROGRAM", "1")
    x, y = problem(MeanSquaredError(), 4, 1, "float64")
    trainer = make_small()
    trainer.step(x, y)
    kernels.use("numpy")
    trainer.step(x, y)
    trainer.evaluate(x, y)
    assert single == ["step"]
    kernels.use("numba")
    other = make_small()
    for _ in range(2):
        other.step(x, y)
    assert everything(other)["state"] == everything(trainer)["state"]


def test_a_setting_of_a_layer_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = problem(MeanSquaredError(), 24, 1, "float64")

    def make() -> Trainer:
        net = Sequential([Dense(4), Dropout(0.5), ReLU(), Dense(1)], input_shape=3, rng=0, dtype="float64")
        return Trainer(net, MeanSquaredError(), SGD(0.1))

    def train(trainer: Trainer) -> None:
        for rate in (0.1, 0.9):
            trainer.model.layers[1].rate = rate  # type: ignore[attr-defined]
            trainer.step(x, y)
            trainer.fit(x, y, batch_size=5)
            trainer.model.layers = (*trainer.model.layers[:2], Sigmoid(), trainer.model.layers[3])  # type: ignore[attr-defined]

    both(monkeypatch, make, train)
