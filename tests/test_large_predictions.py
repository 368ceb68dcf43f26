"""Predictions of many samples, computed in blocks; and mistakes in slices, names and samples."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, DataError, DataTypeError, PositionError, ShapeError
from deepbp.layers import Activation, Dense, ReLU
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD
from deepbp.training.data import blocks_of_rows


@pytest.mark.parametrize("count", [1, 4095, 4096, 8191, 8192, 8193, 12287, 12288, 12289])
@pytest.mark.parametrize("size", [None, 1, 7, 4096, 20_000])
def test_blocks_contain_each_row_once(count: int, size: int | None) -> None:
    blocks = blocks_of_rows(count, size)
    assert [row for block in blocks for row in range(count)[block]] == list(range(count))
    lengths = [block.stop - block.start for block in blocks]
    if size is None:
        assert lengths[:-1] == [4096] * (len(lengths) - 1)
        assert lengths[-1] < 8192
    else:
        assert set(lengths[:-1]) <= {size}


def network(rows: list[int] | None = None) -> Sequential:
    def noted(x: Any) -> Any:
        if rows is not None:
            rows.append(len(x))
        return x

    layers = [Activation(noted, np.ones_like), Dense(40), ReLU(), Dense(2)]
    return Sequential(layers, input_shape=3, rng=0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("kind", [np.asarray, list])
def test_large_data_are_predicted_in_blocks(dtype: str, kind: Any) -> None:
    x = np.random.default_rng(0).integers(0, 9, (9000, 3)).astype(dtype)
    rows: list[int] = []
    together = network().predict(kind(x), batch_size=len(x))
    np.testing.assert_allclose(network(rows).predict(kind(x)), together, rtol=1e-5, atol=1e-6)
    assert rows == [4096, 4904]


def test_a_block_is_all_that_is_in_memory() -> None:
    net = Sequential([Dense(256), ReLU(), Dense(1)], input_shape=4, rng=0)
    x = np.ones((60_000, 4), np.int64)
    tracemalloc.start()
    net.predict(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(x) * 256 * 4 / 2


def test_errors_name_the_row_in_all_data() -> None:
    x = np.zeros((9000, 3))
    x[8999, 1] = np.nan
    with pytest.raises(DataError, match=r"at x\[8999, 1\]"):
        network().predict(x)
    with pytest.raises(ShapeError, match=r"got \(9000, 4\)"):
        network().predict(np.zeros((9000, 4)))
    big = np.zeros((9000, 3), np.int64)
    big[5000, 0] = 2**24 + 1
    with pytest.warns(UserWarning, match=r"x\[4096:\]: float32 takes 16777217 at .*\[904, 0\]"):
        network().predict(big)


@pytest.mark.parametrize("part", [slice(None, None, 0), slice("a", None), slice(1.5, None)])
def test_impossible_slices_of_a_network_are_refused(part: Any) -> None:
    with pytest.raises(PositionError, match="Sequential: expected whole numbers in a slice, got slice"):
        network()[part]


class Ragged:
    """A data set whose samples have rows of different lengths."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, row: int) -> Any:
        return [[1.0, 2.0], [3.0]], [0.0]


def test_a_ragged_first_sample_is_refused() -> None:
    options: Any = {"loss": MeanSquaredError(), "optimizer": SGD(0.1)}
    with pytest.raises(DataTypeError, match=r"x in item 0 of the data set Ragged: .*rows of different lengths"):
        Sequential([Dense(1)]).fit(Ragged(), **options)
    with pytest.raises(DataError, match=r"samples from row \d on: expected .* of the same shapes"):
        Sequential([Dense(1)], input_shape=2).fit(Ragged(), **options)


def test_names_of_weights_that_are_an_array_are_refused(tmp_path: Path) -> None:
    net = network()
    path = Sequential([Dense(2)], input_shape=2).save(tmp_path / "net.npz")
    with pytest.raises(ArgumentTypeError, match="names: expected the file's names"):
        net.load_weights(path, names=np.zeros(2))  # type: ignore[arg-type]
