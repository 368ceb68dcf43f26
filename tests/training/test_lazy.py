"""Lazy arrays train to the same bytes as arrays in memory, and are never read whole."""

import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ConfigurationError, DataError
from deepbp.layers import Dense, Tanh
from deepbp.losses import MeanSquaredError, SoftmaxCrossEntropy
from deepbp.optimizers import Adam
from deepbp.training.lazy import Blocks, is_lazy

h5py = pytest.importorskip("h5py")
zarr = pytest.importorskip("zarr")
X = np.random.default_rng(0).normal(size=(1000, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(1000, 1)).astype("float32")


class Counted:
    """An array that only its slices give away, and that notes how much was read."""

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.reads: list[tuple[int, int]] = []

    def __getitem__(self, rows: slice) -> Any:
        self.reads.append((rows.start, rows.stop))
        return self.array[rows]


def stored(kind: str, array: Any, folder: Path) -> Any:
    if kind == "h5py":
        return h5py.File(folder / f"{id(array)}.h5", "w").create_dataset("a", data=array, chunks=(64, *array.shape[1:]))
    if kind == "zarr":
        return zarr.array(array, chunks=(64, *array.shape[1:]))
    return Counted(array)


def epoch(source: Blocks, *args: Any) -> list[Any]:
    return list(source.batches(*args))


KINDS = ["h5py", "zarr", "slices"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_lazy(kind: str, tmp_path: Path) -> None:
    assert is_lazy(stored(kind, X, tmp_path))
    memmap = np.memmap(tmp_path / "x", "float32", "w+", shape=(3, 2))
    pandas = pytest.importorskip("pandas")
    others: list[Any] = [X, memmap, X.tolist(), pandas.DataFrame(X), pandas.Series(Y[:, 0]), None, "text", {}]
    assert not any(map(is_lazy, others))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 7, 64, 1000, None])
def test_in_order_the_batches_are_those_of_the_array(kind: str, size: int | None, tmp_path: Path) -> None:
    source = Blocks(stored(kind, X, tmp_path), Y, None, lambda x, y: (x, y), window=4096)
    step = size or 1000
    for number, (x, y) in enumerate(epoch(source, size)):
        np.testing.assert_array_equal(x, X[number * step : (number + 1) * step])
        np.testing.assert_array_equal(y, Y[number * step : (number + 1) * step])
    assert number == -(-1000 // step) - 1


def test_within_one_window_the_order_is_that_of_an_array(tmp_path: Path) -> None:
    source = Blocks(stored("h5py", X, tmp_path), stored("zarr", Y, tmp_path), None, lambda x, y: (x, y))
    batches = epoch(source, 32, np.random.default_rng(5))
    order = np.random.default_rng(5).permutation(1000)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), X[order])
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), Y[order])


@pytest.mark.parametrize("size", [1, 10, 333])
def test_beyond_one_window_every_sample_comes_once_and_is_shuffled_among_others(size: int) -> None:
    rows = np.arange(1000)
    source = Blocks(Counted(X), rows, None, lambda x, y: (x, y), window=2048)  # of 128 rows
    seen = [np.concatenate([y for _, y in epoch(source, size, np.random.default_rng(seed))]) for seed in (0, 1)]
    assert all(sorted(order) == rows.tolist() for order in seen)
    assert not np.array_equal(seen[0], seen[1])
    assert np.abs(np.corrcoef(seen[0], rows)[0, 1]) < 0.5
    for x, y in epoch(source, size, np.random.default_rng(0)):
        np.testing.assert_array_equal(x, X[y])


@pytest.mark.parametrize("skip", [0, 1, 5, 33, 100])
@pytest.mark.parametrize("shuffled", [False, True])
def test_skipped_batches_are_left_out_and_not_read(skip: int, shuffled: bool) -> None:
    lazy = Counted(X)
    source = Blocks(lazy, Y, None, lambda x, y: (x, y), window=2048)
    every = epoch(source, 10, np.random.default_rng(3) if shuffled else None)
    lazy.reads.clear()
    rest = epoch(source, 10, np.random.default_rng(3) if shuffled else None, skip)
    assert len(rest) == len(every) - skip
    for (x, y), (other_x, other_y) in zip(rest, every[skip:], strict=True):
        np.testing.assert_array_equal(x, other_x)
        np.testing.assert_array_equal(y, other_y)
    assert sum(stop - start for start, stop in lazy.reads) <= 1000 - 10 * skip + 128


def test_the_memory_holds_a_window(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "large.h5", "w") as file:
        large = file.create_dataset("x", (200_000, 64), "float32", chunks=(1024, 64))  # 49 MiB
        source = Blocks(large, np.zeros((200_000, 1), "float32"), None, lambda x, y: len(x), window=2**20)
        tracemalloc.start()
        assert sum(source.batches(256, np.random.default_rng(0))) == 200_000
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 12 * 2**20


def test_what_is_wrong_is_placed() -> None:
    def refuse(x: Any, y: Any) -> None:
        raise DataError("x: expected finite numbers")

    source = Blocks(Counted(X), Y, None, refuse)
    with pytest.raises(DataError, match=r"^a batch of rows 0 to 9: x: expected finite"):
        epoch(source, 10)
    with pytest.raises(DataError, match=r"expected the same number of samples everywhere, got: x has 1000, y has 3"):
        Blocks(Counted(X), Y[:3], None, refuse)
    with pytest.raises(DataError, match="x: expected at least one sample, got none"):
        Blocks(Counted(X[:0]), Counted(Y[:0]), None, refuse)


def trained(x: Any, y: Any, **options: Any) -> bytes:
    net = Sequential([Dense(8), Tanh(), Dense(1 if y is None else y.shape[1])], rng=0)
    net.fit(x, y, loss=MeanSquaredError(), optimizer=Adam(0.01), epochs=2, **options)
    return b"".join(parameter.value.tobytes() for parameter in net.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_network_learns_the_same_bytes_as_from_the_array(kind: str, shuffle: bool, tmp_path: Path) -> None:
    x, y = stored(kind, X, tmp_path), stored(kind, Y, tmp_path)
    options: dict[str, Any]
    for options in ({}, {"sample_weight": np.linspace(0, 2, 1000)}, {"validation_data": (x, y)}, {"prefetch": 2}):
        expected = trained(X, Y, shuffle=shuffle, **options)
        assert trained(x, y, shuffle=shuffle, **options) == expected
        assert trained(x, Y, shuffle=shuffle, **options) == expected


def held_out(x: Any, y: Any, **options: Any) -> tuple[Any, bytes]:
    net = Sequential([Dense(8), Tanh(), Dense(2)], input_shape=4, rng=0)
    loss: Any = MeanSquaredError() if len(y.shape) == 2 else SoftmaxCrossEntropy()
    history = net.fit(x, y, loss=loss, optimizer=Adam(0.01), epochs=2, validation_split=0.2, **options)
    return dict(history), b"".join(parameter.value.tobytes() for parameter in net.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_part_is_held_out_as_of_the_array(kind: str, shuffle: bool, tmp_path: Path) -> None:
    targets, labels = X[:, :2] ** 2, (X[:, 0] > 1).astype(int)
    x = stored(kind, X, tmp_path)
    expected = held_out(X, targets, shuffle=shuffle)
    assert held_out(x, targets, shuffle=shuffle, prefetch=1) == expected
    assert held_out(x, stored(kind, targets, tmp_path), shuffle=shuffle) == expected
    assert len(expected[0]["val_loss"]) == 2
    expected = held_out(X, labels, shuffle=shuffle, stratify=True)
    assert held_out(x, labels, shuffle=shuffle, stratify=True) == expected
    assert held_out(x, stored(kind, labels, tmp_path), shuffle=shuffle, stratify=True) == expected


def test_parts_beyond_one_window_hold_each_sample_once() -> None:
    rows, lazy = np.arange(1000), Counted(X)
    source = Blocks(lazy, rows, None, lambda x, y: (x, y), window=2048)  # of 128 rows
    parts = source.split(0.2, np.random.default_rng(0))
    assert [part.samples for part in parts] == [800, 200]
    seen = [np.concatenate([y for _, y in epoch(part, 32, np.random.default_rng(1))]) for part in parts]
    assert sorted(np.concatenate(seen)) == rows.tolist()
    for part in parts:
        for x, y in [*epoch(part, 32, np.random.default_rng(1), 3), *epoch(part, 32)]:
            np.testing.assert_array_equal(x, X[y])
    lazy.reads.clear()
    kept, last = source.split(0.2, None)
    for part, first, end in ((kept, 0, 800), (last, 800, 1000)):
        np.testing.assert_array_equal(np.concatenate([y for _, y in epoch(part, 32)]), rows[first:end])
    assert sum(stop - start for start, stop in lazy.reads) == 1000  # neither part reads rows of the other


def test_the_number_of_samples_must_be_known() -> None:
    """A selection in Dask has nan of them."""
    lazy = Counted(X)
    lazy.shape = (np.nan, 4)
    net = Sequential([Dense(1)], input_shape=4, rng=0)
    message = r"^x: expected a known number of samples, got nan: call x\.compute_chunk_sizes\(\) first$"
    with pytest.raises(DataError, match=message):
        net.fit(lazy, Y, loss=MeanSquaredError(), optimizer=Adam())
    with pytest.raises(DataError, match=message):
        net.predict(lazy)


def test_groups_of_a_file_are_their_arrays(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"] = X, Y
        group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
        group.create_array("x", data=X)
        group.create_array("y", data=Y)
        np.savez(tmp_path / "a.npz", x=X, y=Y)
        net = Sequential([Dense(1)], input_shape=4, rng=0)
        for data in (file, group, np.load(tmp_path / "a.npz")):
            assert trained(data, None, validation_data=data) == trained(X, Y)
            expected = net.evaluate(X, Y, loss=MeanSquaredError())["loss"]
            assert net.evaluate(data, loss=MeanSquaredError())["loss"] == pytest.approx(expected)
            np.testing.assert_allclose(net.predict(data), net.predict(X), rtol=1e-5)


def test_labels_that_are_not_in_memory_cannot_be_counted() -> None:
    net = Sequential([Dense(2)], input_shape=4)
    with pytest.raises(ConfigurationError, match=r"class_weight: 'balanced' counts labels, .*\{0: 1.0, 1: 5.0\}"):
        net.fit(Counted(X), np.zeros(1000, int), loss=SoftmaxCrossEntropy(), optimizer=Adam(), class_weight="balanced")


class Chunked(Counted):
    """An array of a file that reads chunks whole."""

    def __init__(self, array: Any, chunks: Any) -> None:
        super().__init__(array)
        self.chunks = chunks


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("lengths", [[300, 300, 300, 100], [250, 100, 0, 650]])
def test_a_chunk_larger_than_a_window_is_read_once_in_an_epoch(lengths: list[int], shuffled: bool) -> None:
    x = Chunked(X, (300, 4) if lengths[0] == 300 else (tuple(lengths), (4,)))  # as of HDF5 and of Dask
    source = Blocks(x, np.arange(1000), None, lambda x, y: y, window=1024)  # of 64 rows
    seen = epoch(source, 32, np.random.default_rng(0) if shuffled else None)
    assert sorted(np.concatenate(seen)) == [*range(1000)]
    starts = np.cumsum([0, *lengths])
    expected = {(start, stop) for start, stop in pairwise(starts) if start < stop}
    assert len(x.reads) == len(expected)
    assert set(x.reads) == expected


def test_in_order_a_chunk_is_read_once_for_all_batches_of_a_process() -> None:
    x = Chunked(X, (300, 4))
    source = Blocks(x, np.arange(1000), None, lambda x, y: y)
    assert [*source.batches(32, part=lambda count: slice(count // 2, count))][1].tolist() == [*range(48, 64)]
    assert x.reads == [(0, 300), (300, 600), (600, 900), (900, 1000)]


def test_blocks_are_of_the_small_chunks_where_those_of_other_arrays_take_all_rows() -> None:
    x, y = Chunked(X, (64, 4)), Chunked(Y, (1000, 1))
    epoch(Blocks(x, y, None, lambda x, y: y, window=2048), 32, np.random.default_rng(0))
    assert set(x.reads) == {(start, min(start + 64, 1000)) for start in range(0, 1000, 64)}
