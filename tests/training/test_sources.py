"""Data sets read item by item, and streams of batches, train as the arrays they hold do."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from problems import CLASSES, SQUARES, values

from deepbp import Sequential, Trainer
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DeepBPError, NotBuiltError, ShapeError
from deepbp.layers import Dense
from deepbp.optimizers import SGD, Adam
from deepbp.training import Accuracy

X, Y, LOSS = SQUARES.x, SQUARES.y, SQUARES.loss
WEIGHT = np.linspace(0.5, 2, len(X))
BATCH = 9


class Rows:
    """A data set: (x, y), or (x, y, weight), of one row."""

    def __init__(self, *columns: Any) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, row: int) -> tuple[Any, ...]:
        assert type(row) is int
        return tuple(column[row] for column in self.columns)


def batches(*columns: Any) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(columns[0]), BATCH):
        yield tuple(column[start : start + BATCH] for column in columns)


class Loader:
    """Can be run through again and again."""

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return batches(X, Y)


def trained(x: Any, y: Any = None, **options: Any) -> tuple[Any, dict[str, list[float]]]:
    net = SQUARES.network()
    history = net.fit(x, y, loss=LOSS, optimizer=Adam(0.01), **{"epochs": 3, "batch_size": BATCH, **options})
    return values(net), dict(history)


@pytest.mark.parametrize("prefetch", [0, 1, 3])
@pytest.mark.parametrize("shuffle", [True, False])
def test_items_train_as_their_arrays_do(shuffle: bool, prefetch: int) -> None:
    arrays = trained(X, Y, shuffle=shuffle, rng=4)
    assert trained(Rows(X, Y), shuffle=shuffle, rng=4, prefetch=prefetch) == arrays
    assert trained(X, Y, shuffle=shuffle, rng=4, prefetch=prefetch) == arrays
    assert trained(X, Y, shuffle=not shuffle, rng=4) != arrays


def test_items_with_weights_labels_and_metrics() -> None:
    one, other = CLASSES.network(), CLASSES.network()
    options: dict[str, Any] = {"loss": CLASSES.loss, "optimizer": SGD(0.1), "batch_size": 5, "metrics": [Accuracy()]}
    weighted = one.fit(
        Rows(CLASSES.x, CLASSES.y, WEIGHT), validation_data=Rows(CLASSES.x[:7], CLASSES.y[:7]), epochs=2, **options
    )
    expected = other.fit(
        CLASSES.x,
        CLASSES.y,
        sample_weight=WEIGHT,
        validation_data=(CLASSES.x[:7], CLASSES.y[:7]),
        epochs=2,
        **options,
    )
    assert weighted == expected
    assert values(one) == values(other)


@pytest.mark.parametrize(
    "stream",
    [
        lambda: batches(X, Y),
        Loader(),
        lambda: (pair for pair in [(X[:BATCH], Y[:BATCH]), (X[9:18], Y[9:18]), (X[18:], Y[18:])]),
    ],
    ids=["function", "iterable", "function of a generator"],
)
@pytest.mark.parametrize("prefetch", [0, 2])
def test_streams_train_as_their_arrays_do(stream: Any, prefetch: int) -> None:
    assert trained(stream, prefetch=prefetch) == trained(X, Y, shuffle=False)


def endless() -> Iterator[tuple[Any, Any]]:
    while True:
        yield from batches(X, Y)


def test_steps_per_epoch_cuts_an_endless_stream() -> None:
    assert trained(endless(), steps_per_epoch=3) == trained(X, Y, shuffle=False)
    _, history = trained(endless(), steps_per_epoch=2, epochs=5)
    assert len(history["loss"]) == 5


def test_one_generator_is_one_epoch() -> None:
    assert trained(batches(X, Y), epochs=1) == trained(X, Y, epochs=1, shuffle=False)
    message = "x: expected at least one batch for this epoch, got 0: a generator runs out; pass the function that makes"
    with pytest.raises(DataError, match=message):
        trained(batches(X, Y), epochs=2)
    with pytest.raises(DataError, match="x: expected 2 batches for this epoch, got 1: a generator runs out"):
        trained(batches(X, Y), epochs=2, steps_per_epoch=2)


def test_a_network_is_built_by_the_first_item() -> None:
    net = Sequential([Dense(4)], rng=0)
    net.fit(Rows(X, Y), loss=LOSS, optimizer=SGD(0.01))
    assert net.input_shape == (3,)
    with pytest.raises(NotBuiltError, match="nobody knows the sizes of a stream's samples before: give input_shape"):
        Sequential([Dense(4)]).fit(lambda: batches(X, Y), loss=LOSS, optimizer=SGD(0.01))


def broken() -> Iterator[Any]:
    yield X[:4], Y[:4]
    raise OSError("the disk is gone")


def ragged() -> Iterator[Any]:
    yield X[:4], Y[:4]
    yield X[:4], Y[:3]


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (X, {}, ArgumentTypeError, "y: expected the targets, got None: give them, or instead of x a data set"),
        ([[1.0, 2, 3]], {}, ArgumentTypeError, "y: expected the targets, got None"),
        (7, {}, ArgumentTypeError, "x: expected arrays, a data set, an iterable of batches or what makes one, got 7"),
        (lambda: 7, {}, ArgumentTypeError, "x: expected a function that returns an iterator of batches, got 7"),
        (lambda: iter([X]), {}, ArgumentTypeError, "expected (x, y) or (x, y, sample_weight), got array"),
        (Rows(X), {}, ArgumentTypeError, "expected (x, y) or (x, y, sample_weight), got (array"),
        (Rows(X[:0], Y[:0]), {}, DataError, "x: expected a data set of at least one sample, got none"),
        (Rows(X[:, :2], Y), {}, ShapeError, "samples from row 0 on: x: the network expects samples of shape (3,)"),
        (ragged, {}, DataError, "batch 1: expected the same number of samples everywhere, got: x has 4, y has 3"),
        (broken, {}, OSError, "the disk is gone\nin epoch 1, after update 1, whose weights the model holds"),
        (Rows(X, Y), {"sample_weight": WEIGHT}, ConfigurationError, "sample_weight: batches without y bring their"),
        (Rows(X, Y), {"validation_split": 0.5}, ConfigurationError, "validation_split: is for arrays; give a data set"),
        (Rows(X, Y), {"validation_data": X}, ArgumentTypeError, "validation_data: expected (x, y) or (x, y, sample_"),
        (Rows(X, Y), {"class_weight": "balanced"}, ConfigurationError, "class_weight: 'balanced' counts all labels"),
        (Rows(X, Y), {"prefetch": -1}, ConfigurationError, "prefetch: expected a whole number of at least 0, got -1"),
        (Rows(X, Y), {"prefetch": 1.5}, ArgumentTypeError, "prefetch: expected a whole number of at least 0, got 1.5"),
    ],
)
@pytest.mark.parametrize("prefetch", [0, 2])
def test_what_cannot_be_trained_on(
    x: Any, options: dict[str, Any], error: type[Exception], message: str, prefetch: int
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        trained(x, **{"shuffle": False, "prefetch": prefetch, **options})


def test_steps_per_epoch_is_for_streams() -> None:
    with pytest.raises(ConfigurationError, match="steps_per_epoch: is for streams of batches"):
        trained(X, Y, steps_per_epoch=2)


def test_an_item_that_fails_is_named() -> None:
    class Fails(Rows):
        def __getitem__(self, row: int) -> tuple[Any, ...]:
            if row == 11:
                raise ValueError("no such picture")
            return super().__getitem__(row)

    with pytest.raises(ValueError, match=r"no such picture\nin item 11 of the data set Fails"):
        trained(Fails(X, Y))


def test_a_source_that_fails_leaves_the_weights_of_the_last_update() -> None:
    net, twin = SQUARES.network(), SQUARES.network()
    trainer = Trainer(net, LOSS, SGD(0.01))
    with pytest.raises(OSError, match="the disk is gone"):
        trainer.fit(broken, batch_size=4)
    Trainer(twin, LOSS, SGD(0.01)).step(X[:4], Y[:4])
    assert values(net) == values(twin)
    assert trainer.fit(X, Y).epochs == 1  # and it can be trained on


@pytest.mark.parametrize("make", [lambda: batches(X, Y, -WEIGHT), lambda: batches(X * np.nan, Y)])
def test_batches_are_checked(make: Callable[[], Iterator[Any]]) -> None:
    with pytest.raises(DeepBPError, match=r"batch 0: (sample_weight: expected weights of|x: expected finite)"):
        trained(make)
