"""Each row once an epoch, in a new order, and the caller's arrays as they were."""

from typing import Any

import numpy as np
import pytest
from problems import Recorder

from deepbp import Sequential
from deepbp.layers import Dense
from deepbp.losses import SumSquaredError
from deepbp.optimizers import SGD
from deepbp.training import Data
from deepbp.typing import Array


def numbered(rows: int) -> tuple[Array, Array]:
    """Row i holds i; its target is −i."""
    x = np.arange(rows, dtype=np.float64)[:, None]
    return x, -x


def batches_of_fit(rows: int, epochs: int = 1, **arguments: Any) -> list[list[int]]:
    """Which rows stood in which batch; on the way, each row must have come with its own target."""
    recorder = Recorder()
    net = Sequential([recorder, Dense(1)], input_shape=1, rng=7, dtype="float64")
    targets: list[Array] = []

    def keep_targets(prediction: Array, target: Array) -> float:
        targets.append(target.copy())
        return 0.0

    x, y = numbered(rows)
    net.fit(x, y, loss=SumSquaredError(), optimizer=SGD(1e-9), epochs=epochs, metrics=[keep_targets], **arguments)
    np.testing.assert_array_equal(np.concatenate(targets), -np.concatenate(recorder.trained))
    return [batch[:, 0].astype(int).tolist() for batch in recorder.trained]


def test_rows_are_shuffled_not_batch_starts() -> None:
    batches = batches_of_fit(64, epochs=2, batch_size=8)
    first, second = batches[:8], batches[8:]
    assert all(np.ptp(batch) > 7 for batch in batches)  # neighbours would span exactly 7
    assert {frozenset(batch) for batch in first}.isdisjoint({frozenset(batch) for batch in second})


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(8, [8, 8, 3]), (19, [19]), (100, [19]), (None, [19]), (1, [1] * 19)]
)
@pytest.mark.parametrize("shuffle", [True, False])
def test_each_row_once_in_each_epoch_and_the_short_last_batch_kept(
    batch_size: int | None, sizes: list[int], shuffle: bool
) -> None:
    batches = batches_of_fit(19, epochs=2, batch_size=batch_size, shuffle=shuffle)
    assert [len(batch) for batch in batches] == sizes * 2
    for epoch in batches[: len(sizes)], batches[len(sizes) :]:
        assert sorted(row for batch in epoch for row in batch) == list(range(19))


def test_without_shuffling_rows_keep_their_order() -> None:
    assert batches_of_fit(7, epochs=2, batch_size=3, shuffle=False) == [[0, 1, 2], [3, 4, 5], [6]] * 2


def test_batch_size_may_be_a_numpy_integer() -> None:
    assert len(batches_of_fit(10, batch_size=np.int64(5))) == 2


def test_rng_of_fit_decides_the_order() -> None:
    one, same, other = (batches_of_fit(32, batch_size=4, rng=seed) for seed in (1, 1, 2))
    assert one == same != other


def test_the_callers_arrays_are_untouched() -> None:
    net = Sequential([Dense(1)], input_shape=1, rng=0, dtype="float64")
    x, y = numbered(20)
    weight = np.linspace(0, 1, 20)
    before = x.tobytes(), y.tobytes(), weight.tobytes()
    for array in (x, y, weight):
        array.flags.writeable = False  # a write that is undone later would be an error, too
    net.fit(x, y, loss=SumSquaredError(), optimizer=SGD(1e-4), epochs=3, batch_size=6, sample_weight=weight)
    assert (x.tobytes(), y.tobytes(), weight.tobytes()) == before


@pytest.mark.parametrize("shuffled", [True, False])
def test_weights_stay_with_their_rows(shuffled: bool) -> None:
    x, y = numbered(11)
    data = Data(x, y, sample_weight=x[:, 0] / 2)
    for batch in data.batches(4, np.random.default_rng(0) if shuffled else None):
        assert batch.sample_weight is not None
        np.testing.assert_array_equal(batch.sample_weight * 2, batch.x[:, 0])


def test_data_of_the_networks_dtype_are_not_copied() -> None:
    net = Sequential([Dense(1)], input_shape=1, rng=0, dtype="float64")
    x, y = numbered(5)
    data = Data.of(net, SumSquaredError(), x, y)
    assert data.x is x
    assert data.y is y
    assert next(data.batches(None)) is data
    batch = next(data.batches(2))
    assert np.shares_memory(batch.x, x)
