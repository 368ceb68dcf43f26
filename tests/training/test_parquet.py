"""Parquet files train to the same bytes as arrays in memory; each row group is read once in an epoch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ConfigurationError, DataError, DataTypeError
from deepbp.layers import Dense, Tanh
from deepbp.losses import MeanSquaredError, SoftmaxCrossEntropy
from deepbp.metrics import Accuracy
from deepbp.optimizers import Adam
from deepbp.training import Parquet
from deepbp.training.lazy import Blocks, is_lazy

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(500, 3)).astype("float32")
LABELS = (X[:, 0] > 0).astype(int)
TARGETS = RNG.normal(size=(500, 2))
COLUMNS = {
    "a": X[:, 0],
    "b": X[:, 1],
    "label": LABELS,
    "c": X[:, 2],
    "first": TARGETS[:, 0],
    "second": TARGETS[:, 1],
    "weight": np.linspace(0, 2, 500),
    "image": pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(X.reshape(-1)), 3),
    "yes": LABELS == 1,
}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two files, with row groups of 128, 128, 44 and of 90, 90, 20 rows."""
    table = pyarrow.table(COLUMNS)
    for name, start, stop, rows in (("one", 0, 300, 128), ("two", 300, 500, 90)):
        parquet.write_table(table.slice(start, stop - start), tmp_path / name, row_group_size=rows)
    return [tmp_path / "one", tmp_path / "two"]


def trained(*data: Any, **options: Any) -> bytes:
    net = Sequential([Dense(8), Tanh(), Dense(2)], rng=0)
    net.fit(*data, loss=SoftmaxCrossEntropy(), optimizer=Adam(0.01), epochs=2, **options)
    return b"".join(parameter.value.tobytes() for parameter in net.parameters())


def test_columns_are_lazy_arrays(files: list[Path]) -> None:
    data = Parquet(files, x=["a", "b", "c"], y="label", sample_weight="weight")
    assert data.keys() == ["x", "y", "sample_weight"]
    assert is_lazy(data["x"])
    assert (data["x"].shape, data["x"].dtype.name, data["y"].shape) == ((500, 3), "float32", (500,))
    for rows in (slice(0, 500), slice(100, 310), slice(None, 5), slice(499, None), slice(7, 7)):
        np.testing.assert_array_equal(data["x"][rows], X[rows])
        np.testing.assert_array_equal(data["y"][rows], LABELS[rows])
    np.testing.assert_array_equal(Parquet(files, x="image")["x"][250:350], X[250:350])
    mixed = Parquet(files, x=["a", "yes", "first"])["x"]
    assert mixed.dtype == np.float64
    np.testing.assert_array_equal(mixed[290:310], np.c_[X[:, 0], LABELS, TARGETS[:, 0]][290:310])
    others = Parquet(files[0], y=["first", "second"], sample_weight="image")
    assert others["x"].columns == ["a", "b", "label", "c", "weight", "yes"]
    assert others["y"].shape == (300, 2)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_network_learns_the_same_bytes_as_from_arrays(files: list[Path], shuffle: bool) -> None:
    data = Parquet(files, x=["a", "b", "c"], y="label")
    options: dict[str, Any]
    for options in ({}, {"validation_split": 0.2}, {"prefetch": 2}, {"batch_size": None}):
        assert trained(data, shuffle=shuffle, **options) == trained(X, LABELS, shuffle=shuffle, **options)
    weighted = Parquet(files, x="image", y="label", sample_weight="weight")
    expected = trained(X, LABELS, sample_weight=COLUMNS["weight"], validation_data=(X, LABELS))
    assert trained(weighted, validation_data=data) == expected


def test_a_network_is_evaluated_and_predicts(files: list[Path]) -> None:
    net = Sequential([Dense(2)], input_shape=3, rng=0)
    inputs = Parquet(files, x=["a", "b", "c"])
    np.testing.assert_array_equal(net.predict(inputs), net.predict(X))
    options: dict[str, Any] = {"loss": MeanSquaredError()}
    found = net.evaluate(Parquet(files, x=["a", "b", "c"], y=["first", "second"]), **options)
    assert found["loss"] == pytest.approx(net.evaluate(X, TARGETS, **options)["loss"], rel=1e-6)
    history = net.fit(
        Parquet(files[0], x="image", y="yes"),
        loss=SoftmaxCrossEntropy(),
        optimizer=Adam(0.1),
        metrics=[Accuracy()],
        epochs=9,
    )
    assert history["accuracy"][-1] > 0.9


@pytest.fixture
def groups_read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    read: list[tuple[str, int]] = []
    usual = parquet.ParquetFile.read_row_group

    def counted(file: Any, number: int, columns: Any) -> Any:
        read.append((",".join(columns), number))
        return usual(file, number, columns=columns)

    monkeypatch.setattr(parquet.ParquetFile, "read_row_group", counted)
    return read


@pytest.mark.parametrize("shuffled", [False, True])
def test_each_row_group_is_read_once_in_an_epoch(
    files: list[Path], shuffled: bool, groups_read: list[tuple[str, int]]
) -> None:
    data = Parquet(files, x=["a", "b", "c"], y="label")
    source = Blocks(data["x"], data["y"], None, lambda x, y: (x, y), window=256 * 20)  # about two row groups
    rng = np.random.default_rng(0) if shuffled else None
    batches = list(source.batches(32, rng))
    every = np.concatenate([x for x, _ in batches])
    np.testing.assert_array_equal(every[np.lexsort(every.T)], X[np.lexsort(X.T)])
    assert sorted(groups_read) == sorted([(name, number) for name in ("a,b,c", "label") for number in (0, 1, 2)] * 2)


def test_processes_read_shares_of_row_groups(files: list[Path], groups_read: list[tuple[str, int]]) -> None:
    data = Parquet(files, x=["a", "b", "c"], y="label")
    source = Blocks(data["x"], data["y"], None, lambda x, y: x)
    seen = []
    for rank in range(2):
        groups_read.clear()
        part = lambda count, rank=rank: slice(count * rank // 2, count * (rank + 1) // 2)  # noqa: E731
        seen += [x for x in source.batches(32, np.random.default_rng(0), part=part) if x is not None]
        assert len(groups_read) <= 2 * 4  # of six row groups, of which two processes share one
    every = np.concatenate(seen)
    np.testing.assert_array_equal(every[np.lexsort(every.T)], X[np.lexsort(X.T)])


def test_what_is_wrong(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"Parquet: y: expected columns of \['a', .*\], got 'labels'"):
        Parquet(files, x="a", y="labels")
    with pytest.raises(DataTypeError, match="Parquet: x: expected numbers in column 'image', got fixed_size_list"):
        Parquet(files, y="label")
    with pytest.raises(ConfigurationError, match="Parquet: paths: expected at least one file, got none"):
        Parquet([])
    with pytest.raises(ConfigurationError, match="Parquet: x: expected at least one column, got none"):
        Parquet(files, x=[])
    with pytest.raises(TypeError, match=r"x: expected a slice of rows in order, such as \[10:20\], got 3"):
        Parquet(files, x="a")["x"][3]
    gaps = pyarrow.table({"n": [1, None, 3], "f": [1.0, 2.0, None], "t": ["a", "b", "c"], "k": [0, 1, 1]})
    parquet.write_table(gaps, tmp_path / "gaps")
    with pytest.raises(
        DataError, match=r"Parquet: .*gaps: expected the columns of .*one, a \(float\), .*, got n \(int64\)"
    ):
        Parquet([files[0], tmp_path / "gaps"])
    with pytest.raises(
        DataTypeError, match=r"column 't', got string: encode them in the file, or use columns of \['n', 'f', 'k'\]"
    ):
        Parquet(tmp_path / "gaps")
    with pytest.raises(
        DataError, match=r"y: expected numbers in column 'n', got none in row 1 of a row group of .*gaps: fill"
    ):
        Parquet(tmp_path / "gaps", x="f", y="n")["y"][:]
    assert np.isnan(Parquet(tmp_path / "gaps", x=["n", "f"])["x"][:][[1, 2], [0, 1]]).all()
    with pytest.raises(DataError, match="x: expected finite numbers, got nan"):
        trained(Parquet(tmp_path / "gaps", x=["f"], y="k"))
