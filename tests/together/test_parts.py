"""What each of several processes reads of arrays, data sets and lazy arrays: together all, and no sample twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from together_cases import Lazy

from deepbp import Sequential
from deepbp.errors import DataError
from deepbp.layers import Dense
from deepbp.losses import MeanSquaredError
from deepbp.metrics import R2, MeanAbsoluteError
from deepbp.processes import Processes
from deepbp.training import evaluation
from deepbp.training.data import Data, as_source
from deepbp.training.lazy import Blocks
from deepbp.typing import Array

NET = Sequential([Dense(1)], input_shape=2, rng=0, dtype="float64")
X = np.arange(202.0).reshape(-1, 2)  # a sample says which it is
Y = X[:, :1].copy()


class Samples:
    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, row: int) -> tuple[Array, Array]:
        self.read += 1
        return X[row], Y[row]


def lazy(window: int) -> Callable[[], tuple[Any, Any]]:
    def make() -> tuple[Any, Any]:
        x, y = Lazy(X, 7), Lazy(Y, 7)
        source = Blocks(x, y, None, lambda *parts: Data.of(NET, MeanSquaredError(), *parts), window)
        return source, lambda: x.read

    return make


def arrays() -> tuple[Any, Any]:
    return Data.of(NET, MeanSquaredError(), X, Y), None


def items() -> tuple[Any, Any]:
    held = Samples()
    return as_source(NET, MeanSquaredError(), held), lambda: held.read


def split() -> tuple[Any, Any]:
    source, read = lazy(24 * 7 * 3)()
    return source.split(0.2, np.random.default_rng(0))[0], read


def processes(size: int) -> list[Processes]:
    made = [Processes() for _ in range(size)]
    for rank, one in enumerate(made):
        one.rank, one.size = rank, size
    return made


SOURCES = {"arrays": arrays, "items": items, "one window": lazy(2**20), "windows": lazy(24 * 7 * 3), "split": split}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize(
    ("size", "batch_size", "skip"), [(2, 16, 0), (3, 16, 2), (7, 3, 0), (2, None, 0), (150, 64, 0)]
)
def test_the_parts_of_a_batch_are_the_batch(
    name: str, shuffled: bool, size: int, batch_size: int | None, skip: int
) -> None:
    def rng() -> np.random.Generator | None:
        return np.random.default_rng(5) if shuffled else None

    whole = [batch.x for batch in SOURCES[name]()[0].batches(batch_size, rng(), skip)]
    parts: list[list[Any]] = []
    for one in processes(size):
        source, read = SOURCES[name]()
        parts.append(list(source.batches(batch_size, rng(), skip, one.part)))
        if read is not None and skip == 0 and name != "split":
            windows = -(-len(X) // 21) if name == "windows" else 1
            share = len(X) / size + (0 if name == "items" else 2 * 6 * windows)  # two chunks are read by two processes
            assert read() <= (share if shuffled or name == "items" or batch_size is None else len(X)) + len(whole)
    assert {len(of_one) for of_one in parts} == {len(whole)}
    for number, batch in enumerate(whole):
        found = [of_one[number].x for of_one in parts if of_one[number] is not None]
        rows = np.concatenate(found)
        assert sorted(rows[:, 0]) == sorted(batch[:, 0])


def test_an_uneven_batch_is_divided_as_evenly_as_can_be() -> None:
    for count in range(20):
        lengths = [one.part(count).stop - one.part(count).start for one in processes(6)]
        assert sum(lengths) == count
        assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("pending", [0, 2**16])
def test_the_meters_of_several_processes_are_one(pending: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "PENDING", pending)  # bytes of predictions, after which they become sums
    rng = np.random.default_rng(0)
    target = rng.normal(size=(60, 2)) + 100
    prediction, weight = target + rng.normal(size=target.shape), rng.uniform(size=60)
    metrics = [R2(), MeanAbsoluteError()]

    def meter(part: slice) -> evaluation.Meter:
        made = evaluation.Meter(MeanSquaredError(), metrics)
        for start in range(part.start, part.stop, 7):
            rows = slice(start, min(start + 7, part.stop))
            made.add(float(start), prediction[rows], target[rows], weight[rows])
        return made

    meters = [meter(part) for part in (slice(0, 21), slice(21, 21), slice(21, 60))]
    whole = meters[1].merged([one.content() for one in meters]).row()
    assert whole == pytest.approx(meter(slice(0, 60)).row(), rel=1e-12)


@pytest.mark.parametrize(("name", "dtype"), [("x", "float64"), ("y", "float64"), ("x", "float32")])
def test_each_process_looks_for_what_is_missing_in_its_part_of_a_file(tmp_path: Path, name: str, dtype: str) -> None:
    files = {"x": X.astype(dtype), "y": Y.astype(dtype)}
    files[name][70, 0] = np.nan
    for one, array in files.items():
        np.save(tmp_path / f"{one}.npy", array)
    x, y = (np.load(tmp_path / f"{one}.npy", mmap_mode="r") for one in "xy")
    first, second, third = (one.part for one in processes(3))
    data = Data.of(NET, MeanSquaredError(), x, y, part=first)
    assert np.shares_memory(data.x, x)
    assert np.shares_memory(data.y, y) == (dtype == "float64")
    np.testing.assert_array_equal(data.take(slice(3, 9)).y, Y[3:9])
    Data.of(NET, MeanSquaredError(), x, y, part=second)
    with pytest.raises(DataError, match=rf"^{name}: expected finite numbers, got nan at {name}\[70, 0\]"):
        Data.of(NET, MeanSquaredError(), x, y, part=third)
