"""What can be trained on can be validated, evaluated and predicted on, and nothing of it hangs."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_lazy import Counted

from deepbp import Sequential, Trainer
from deepbp.errors import ConfigurationError, DataError
from deepbp.layers import Dense, Tanh
from deepbp.losses import MeanSquaredError, SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy
from deepbp.optimizers import SGD
from deepbp.training import Data, streams

X = np.random.default_rng(0).normal(size=(100, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(100, 2)).astype("float32")


class Items:
    def __len__(self) -> int:
        return 100

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        return X[row], Y[row]


def batches() -> Iterator[tuple[Any, Any]]:
    for start in range(0, 100, 32):
        yield X[start : start + 32], Y[start : start + 32]


def endless() -> Iterator[tuple[Any, Any]]:
    while True:
        yield X, Y


def net() -> Sequential:
    return Sequential([Dense(4), Tanh(), Dense(2)], input_shape=3, rng=0)


ALONE: dict[str, Any] = {
    "data set": Items,
    "function": lambda: batches,
    "generator": batches,
    "list in an iterator": lambda: iter(list(batches())),
}


@pytest.mark.parametrize("kind", ALONE)
def test_evaluate_takes_sources_of_pairs(kind: str) -> None:
    expected = net().evaluate(X, Y, loss=MeanSquaredError())["loss"]
    assert net().evaluate(ALONE[kind](), loss=MeanSquaredError())["loss"] == pytest.approx(expected, rel=1e-6)
    trainer = Trainer(net(), MeanSquaredError(), SGD(0.1))
    assert trainer.evaluate(ALONE[kind]())["loss"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", ALONE)
def test_predict_uses_the_inputs_of_pairs(kind: str) -> None:
    np.testing.assert_allclose(net().predict(ALONE[kind]()), net().predict(X), rtol=1e-5, atol=1e-6)


def test_predict_takes_streams_of_inputs_alone() -> None:
    np.testing.assert_array_equal(net().predict(x for x in (X[:60], X[60:])), net().predict(X, batch_size=60))
    np.testing.assert_array_equal(net().predict(Counted(X), batch_size=60), net().predict(X, batch_size=60))
    with pytest.raises(DataError, match=r"^batch 1: x: expected finite numbers, got nan at x\[0, 0\]"):
        net().predict(iter([X, np.full((2, 3), np.nan)]))
    with pytest.raises(DataError, match=r"^x: expected at least one batch, got none"):
        net().predict(iter([]))


def test_evaluate_reads_so_many_batches_of_an_endless_stream() -> None:
    assert net().evaluate(endless, loss=MeanSquaredError(), steps=3) == net().evaluate(X, Y, loss=MeanSquaredError())


@pytest.mark.parametrize("source", [endless, endless()], ids=["function", "generator"])
def test_a_validation_stream_needs_its_number_of_batches_where_training_has_one(source: Any) -> None:
    options: dict[str, Any] = {"loss": MeanSquaredError(), "optimizer": SGD(0.1), "steps_per_epoch": 2}
    with pytest.raises(ConfigurationError, match=r"^validation_steps: expected .*validation_steps=\.\.\., such as 2$"):
        net().fit(endless, validation_data=source, **options)
    history = net().fit(endless, validation_data=source, validation_steps=3, epochs=2, **options)
    assert len(history["val_loss"]) == 2


def test_an_epoch_that_does_not_end_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "ENDLESS", 5)

    def long() -> Iterator[tuple[Any, Any]]:
        for _ in range(7):
            yield X, Y

    with pytest.warns(UserWarning, match=r"5 batches of this epoch, and no end: .*steps_per_epoch=\.\.\. or valid"):
        net().fit(long, loss=MeanSquaredError(), optimizer=SGD(0.1))


def test_a_memmap_is_predicted_batch_by_batch(tmp_path: Path) -> None:
    large = np.memmap(tmp_path / "x", "uint8", "w+", shape=(100_000, 64))  # 6 MiB, 24 MiB in float32
    large[:] = np.arange(64)
    model = Sequential([Dense(1)], input_shape=64, rng=0)
    model.predict(large[:10], batch_size=5)
    tracemalloc.start()
    predicted = model.predict(large, batch_size=256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(predicted, np.repeat(model.predict(large[:1]), 100_000, axis=0), rtol=1e-5)
    assert peak < 4 * 2**20
    broken = np.memmap(tmp_path / "y", "float64", "w+", shape=(600, 64))
    broken[513, 2] = np.nan
    with pytest.raises(DataError, match=r"^rows from 512 on: x: expected finite numbers, got nan at x\[1, 2\]"):
        model.predict(broken, batch_size=256)


def test_without_shuffling_the_last_rows_are_held_out() -> None:
    rows = np.arange(10.0).reshape(10, 1)
    kept, held_out = Data(rows, rows).split(0.3, None)
    assert [batch.x.ravel().tolist() for batch in held_out.batches(None)] == [[7, 8, 9]]
    assert [batch.x.ravel().tolist() for batch in kept.batches(None)] == [[0, 1, 2, 3, 4, 5, 6]]
    seen = net().fit(X, Y, loss=MeanSquaredError(), optimizer=SGD(0.0), shuffle=False, validation_split=0.2)
    assert seen["val_loss"][0] == pytest.approx(net().evaluate(X[80:], Y[80:], loss=MeanSquaredError())["loss"])


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("counts", [(95, 5), (50, 30, 20), (2, 98), (96, 2, 2)])
def test_stratified_parts_have_each_class_in_its_share(counts: tuple[int, ...], fraction: float) -> None:
    classes = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(len(classes))[:, None]
    for seed in range(20):
        kept, held_out = Data(rows, classes).split(fraction, np.random.default_rng(seed), classes)
        assert kept.rows is not None
        assert held_out.rows is not None
        assert sorted([*kept.rows, *held_out.rows]) == list(range(len(classes)))
        assert len(held_out) == round(fraction * len(classes))
        for label, count in enumerate(counts):
            inside = int((classes[held_out.rows] == label).sum())
            assert 0 < inside < count
            assert abs(inside - fraction * count) <= len(counts) - 1  # others with a single sample give that


def test_stratify_takes_the_classes_from_the_targets() -> None:
    labels = np.repeat([0, 1], [95, 5])
    for y, loss, outputs in (
        (labels, SoftmaxCrossEntropy(), 2),
        (np.eye(2)[labels], SoftmaxCrossEntropy(), 2),
        (labels, SigmoidBinaryCrossEntropy(), 1),
    ):
        model = Sequential([Dense(outputs)], input_shape=3, rng=0)
        options: dict[str, Any] = {"loss": loss, "optimizer": SGD(0.1), "validation_split": 0.2}
        assert len(model.fit(X, y, stratify=True, **options)["val_loss"]) == 1
    with pytest.raises(DataError, match=r"^stratify: expected one class for each sample"):
        net().fit(X, Y, loss=MeanSquaredError(), optimizer=SGD(0.1), validation_split=0.2, stratify=True)
    with pytest.raises(ConfigurationError, match=r"^stratify: is for validation_split"):
        net().fit(X, Y, loss=MeanSquaredError(), optimizer=SGD(0.1), stratify=True)
