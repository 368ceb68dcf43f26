"""Data sets read item by item, and streams of batches, train as the arrays they hold do."""

import pickle
import re
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from problems import CLASSES, SQUARES, values

from deepbp import Sequential, Trainer
from deepbp.callbacks import Callback, TimeLimit
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
        (
            list(zip(X, Y, strict=True)),
            {},
            ArgumentTypeError,
            "y: expected the targets, got None: write fit(*zip(*samples))",
        ),
        (list(batches(X, Y)), {}, ArgumentTypeError, "and fit(lambda: batches) for one of batches"),
        (
            deque(batches(X, Y)),
            {},
            ArgumentTypeError,
            "x: expected one sample as item 0 of the data set deque, got a batch: pass a function that returns the "
            "batches, lambda: (x[i] for i in range(len(x)))",
        ),
        (Rows(X, Y), {"steps_per_epoch": 2}, ConfigurationError, "steps_per_epoch: is for streams of batches; a data"),
        (Rows(X, [0, *Y[1:]]), {}, DataError, "samples from row 0 on: expected (x, y), or (x, y, weight), all of the"),
        ([[1.0, 2, 3]], {}, ArgumentTypeError, "y: expected the targets, got None"),
        (7, {}, ArgumentTypeError, "x: expected arrays, a data set, an iterable of batches or what makes one, got 7"),
        (lambda: 7, {}, ArgumentTypeError, "x: expected a function that returns an iterator of batches, got 7"),
        (lambda: iter([X]), {}, ArgumentTypeError, "expected (x, y) or (x, y, sample_weight), got an array"),
        (Rows(X), {}, ArgumentTypeError, "expected (x, y) or (x, y, sample_weight), got (array"),
        (Rows(X[:0], Y[:0]), {}, DataError, "x: expected a data set of at least one sample, got none"),
        (Rows(X[:, :2], Y), {}, ShapeError, "samples from row 0 on: x: the network expects samples of shape (3,)"),
        (ragged, {}, DataError, "batch 1: expected the same number of samples everywhere, got: x has 4, y has 3"),
        (broken, {}, OSError, "the disk is gone\nin epoch 1, after update 1, whose weights the model holds"),
        (Rows(X, Y), {"sample_weight": WEIGHT}, ConfigurationError, "sample_weight: batches without y bring their"),
        (
            Loader(),
            {"validation_split": 0.5},
            ConfigurationError,
            "validation_split: is for arrays and data sets; give",
        ),
        (
            Rows(X, Y),
            {"validation_split": 0.5, "stratify": True},
            ConfigurationError,
            "stratify: is for arrays of targets; give a data set its validation_data",
        ),
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


class Named(Rows):
    """The same rows as dicts."""

    def __init__(self, names: list[str], *columns: Any) -> None:
        super().__init__(*columns)
        self.names = names

    def __getitem__(self, row: int) -> Any:
        return dict(zip(self.names, super().__getitem__(row), strict=True))


def named_batches(names: list[str], *columns: Any) -> Iterator[dict[str, Any]]:
    for batch in batches(*columns):
        yield dict(zip(names, batch, strict=True))


PARTS = ["sample_weight", "y", "x"]


def test_samples_and_batches_may_be_dicts() -> None:
    expected = trained(X, Y, sample_weight=WEIGHT, shuffle=False)
    assert trained(Named(PARTS, WEIGHT, Y, X), shuffle=False) == expected
    assert trained(lambda: named_batches(PARTS, WEIGHT, Y, X)) == expected
    assert trained({"x": X, "y": Y, "sample_weight": WEIGHT}, shuffle=False) == expected
    validated = trained(X, Y, validation_data=(X[:7], Y[:7]))
    for held_out in (
        Named(["y", "x"], Y[:7], X[:7]),
        lambda: named_batches(["x", "y"], X[:7], Y[:7]),
        {"x": X[:7], "y": Y[:7]},
    ):
        assert trained(X, Y, validation_data=held_out) == validated
    net = SQUARES.network()
    for inputs in (Named(PARTS, WEIGHT, Y, X), {"x": X}, Named(["x"], X), named_batches(["x", "z"], X, X)):
        np.testing.assert_allclose(net.predict(inputs), net.predict(X), rtol=1e-12)
    unbuilt = Sequential([Dense(4)], rng=0)
    unbuilt.fit({"x": X, "y": Y}, loss=LOSS, optimizer=SGD(0.01))
    assert unbuilt.input_shape == (3,)


KEYS = "expected the keys 'x' and 'y', and 'sample_weight' if there are weights, got "


@pytest.mark.parametrize(
    ("x", "validation_data", "message"),
    [
        (Named(["image", "label"], X, Y), None, f"{KEYS}['image', 'label']: rename them, or use a tuple (x, y)"),
        (Named(["x", "y", "z"], X, Y, Y), None, f"{KEYS}['x', 'y', 'z']: rename them, or use a tuple (x, y)\nin item "),
        (lambda: named_batches(["x"], X), None, f"batch 0: {KEYS}['x']: rename"),
        ({"a": X, "y": Y}, None, f"x: {KEYS}['a', 'y']: pass two of its arrays instead, as x and y"),
        (Rows(X, Y), {"a": X, "y": Y}, f"validation_data: x: {KEYS}['a', 'y']: pass two"),
        (
            Rows(X, Y),
            Named(["x"], X),
            f"{KEYS}['x']: rename them, or use a tuple (x, y)\nin item 0 of the data set Named",
        ),
    ],
)
def test_other_keys_are_named(x: Any, validation_data: Any, message: str) -> None:
    with pytest.raises(ArgumentTypeError, match=re.escape(message)):
        trained(x, validation_data=validation_data)


def test_a_prediction_needs_the_key_x() -> None:
    for inputs in ({"a": X}, Named(["a"], X), named_batches(["a"], X)):
        with pytest.raises(ArgumentTypeError, match=r"x: expected the key 'x', got \['a'\]: rename it, or use x alone"):
            SQUARES.network().predict(inputs)


class Listed(Rows):
    """The same rows as lists."""

    def __getitem__(self, row: int) -> Any:
        return list(super().__getitem__(row))


def test_a_list_is_a_pair_of_arrays_or_the_rows_of_one() -> None:
    """A loader of PyTorch makes lists [x, y]; a list may also be an array."""
    net = SQUARES.network()
    for inputs in (
        iter([[X, Y]]),
        iter([[X, Y, WEIGHT]]),
        iter([list(X)]),
        iter([[X[0], X[1]], X[2:].tolist()]),
        Listed(X, Y),
        Listed(*X.T),
    ):
        np.testing.assert_allclose(net.predict(inputs), net.predict(X), rtol=1e-12)


def test_the_advice_for_lists_and_for_batches_as_items_works() -> None:
    expected = trained(X, Y, shuffle=False)
    samples, x = list(zip(X, Y, strict=True)), deque(batches(X, Y))
    assert trained(*zip(*samples, strict=True), shuffle=False) == expected
    assert trained(lambda: (x[i] for i in range(len(x)))) == expected
    assert trained(lambda: [*x]) == expected


def test_what_cannot_be_predicted_on() -> None:
    net = SQUARES.network()
    np.testing.assert_array_equal(net.predict(memoryview(X.data)), net.predict(X))
    with pytest.raises(DataError, match=r"samples from row 20 on: expected .* all of the same shapes: all"):
        net.predict(deque([*X[:22], X[22, :2]]), batch_size=10)
    with pytest.raises(ArgumentTypeError, match="x: expected one sample as item 0 of the data set deque, got a batch"):
        net.predict(deque(batches(X, Y)))


class Fetched(Rows):
    """A data set that reads many rows at once, as those of PyTorch may."""

    def __init__(self, *columns: Any) -> None:
        super().__init__(*columns)
        self.fetched: list[int] = []

    def __getitem__(self, row: int) -> Any:
        raise AssertionError("read one by one")

    def __getitems__(self, rows: list[int]) -> Any:
        assert {type(row) for row in rows} == {int}
        self.fetched.append(len(rows))
        return [super(Fetched, self).__getitem__(row) for row in rows]


def test_a_data_set_with_getitems_is_read_batch_by_batch() -> None:
    rows = Fetched(X, Y)
    assert trained(rows, rng=4) == trained(X, Y, rng=4)
    assert rows.fetched == 3 * [9, 9, 5]
    rows.fetched.clear()
    net = SQUARES.network()
    np.testing.assert_array_equal(net.predict(rows, batch_size=20), net.predict(X, batch_size=20))
    assert rows.fetched == [20, 3]


def test_what_getitems_returns_is_checked() -> None:
    class Columns(Fetched):
        def __getitems__(self, rows: list[int]) -> Any:
            return {"x": X[rows], "y": Y[rows]}

    class Short(Fetched):
        def __getitems__(self, rows: list[int]) -> Any:
            return super().__getitems__(rows)[1:]

    class Fails(Fetched):
        def __getitems__(self, rows: list[int]) -> Any:
            raise OSError("no such file")

    for kind, error, message in (
        (Columns, DataError, r"^__getitems__ of the data set Columns: expected a list of 9 samples, got {'x'"),
        (Short, DataError, r"^__getitems__ of the data set Short: expected a list of 9 samples, got \["),
        (Fails, OSError, r"no such file\nin items \[0, 1, 2, .* of the data set Fails"),
    ):
        with pytest.raises(error, match=message):
            trained(kind(X, Y), shuffle=False)


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_data_set_is_split_as_its_arrays_are(shuffle: bool) -> None:
    expected = trained(X, Y, shuffle=shuffle, validation_split=0.3, rng=4)
    assert trained(Rows(X, Y), shuffle=shuffle, validation_split=0.3, rng=4) == expected
    assert len(expected[1]["val_loss"]) == 3


@pytest.mark.parametrize("prefetch", [0, 1, 4])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("ended_by", ["stop", "a time limit", "Ctrl-C", "an error"])
def test_no_batch_of_a_generator_is_lost(ended_by: str, accumulate: int, prefetch: int) -> None:
    """However a call of fit ends, the next one learns from the batch behind the last one that was learned from."""
    given: list[int] = []

    def numbered() -> Iterator[tuple[Any, Any]]:
        for number in range(40):
            given.append(number)
            yield np.full((2, 3), number / 40), np.full((2, 4), number / 20)

    class End(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            if trainer.steps in (3, 4, 9):
                if ended_by == "stop":
                    trainer.stop(now=True)
                elif ended_by == "Ctrl-C":
                    signal.raise_signal(signal.SIGINT)
                elif ended_by == "an error":
                    raise KeyError("mine")

    limit = TimeLimit(1e-9) if ended_by == "a time limit" else Callback()
    net, twin = SQUARES.network(), SQUARES.network()
    trainer = Trainer(net, LOSS, Adam(0.01), accumulate=accumulate, callbacks=[End(), limit])
    stream = numbered()
    calls = 0
    while trainer.steps * accumulate < 40:
        before = trainer.steps
        with nullcontext() if ended_by != "an error" or before > 8 else pytest.raises(KeyError, match="mine"):
            trainer.fit(stream, prefetch=prefetch)
        calls += 1
        assert len(given) <= trainer.steps * accumulate + prefetch
    assert calls == (40 // accumulate if ended_by == "a time limit" else 4)
    Trainer(twin, LOSS, Adam(0.01), accumulate=accumulate).fit(numbered)
    assert values(net) == values(twin)


def test_batches_read_ahead_belong_to_their_iterator() -> None:
    class Stop(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            trainer.stop(now=True)

    trainer, twin = (Trainer(SQUARES.network(), LOSS, SGD(0.01), callbacks=[Stop()]) for _ in range(2))
    trainer.fit(batches(X, Y), prefetch=2)
    trainer.fit(batches(-X, -Y), prefetch=2)
    for sign in (1, -1):
        twin.step(sign * X[:BATCH], sign * Y[:BATCH])
    assert values(trainer.model) == values(twin.model)  # type: ignore[arg-type]
    trainer.callbacks = ()
    assert pickle.loads(pickle.dumps(trainer)).steps == 2  # without the iterator


@pytest.mark.parametrize("source", [(X, Y), (Rows(X, Y),), (batches(X, Y),)], ids=["arrays", "items", "stream"])
def test_a_stop_in_the_last_batch_completes_the_epoch_if_it_is_known_to_be_the_last(source: Any) -> None:
    class Stop(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            if trainer.steps == 3:
                trainer.stop(now=True)

    steps = None if len(source) == 2 or isinstance(source[0], Rows) else 3
    trainer = Trainer(SQUARES.network(), LOSS, SGD(0.01), callbacks=[Stop()])
    assert trainer.fit(*source, batch_size=BATCH, steps_per_epoch=steps, epochs=2).epochs == 1


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
