"""Whole numbers on their way to an embedding: they reach it as they are, whatever holds them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import define

from deepbp import Sequential, Trainer
from deepbp.layers import (
    GRU,
    CrossAttention,
    Dense,
    Embedding,
    EncoderDecoder,
    Flatten,
    Layer,
    Masked,
    Parallel,
    Residual,
    Split,
)
from deepbp.losses import MeanSquaredError, SoftmaxCrossEntropy
from deepbp.optimizers import SGD, Adam
from deepbp.typing import Array

RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 10, (30, 4)), RNG.integers(0, 3, 30)
INDEX = np.dtype(np.intp)
MET: list[Any] = []


@define(eq=False)
class Met(Embedding):
    """An embedding that notes the dtypes it gets."""

    def forward(self, x: Array) -> tuple[Array, Array]:
        MET.append(x.dtype)
        return Embedding.forward(self, x)

    def predict(self, x: Array) -> Array:
        MET.append(x.dtype)
        return Embedding.predict(self, x)


@pytest.fixture(autouse=True)
def _none_met() -> None:
    MET.clear()


def network(first: type[Embedding] = Met) -> Sequential:
    return Sequential([first(10, 3), Flatten(), Dense(3)], input_shape=4, rng=0)


class Pairs:
    """A data set."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i: int) -> tuple[Array, Any]:
        return X[i], Y[i]


def stream() -> Iterator[tuple[Array, Array]]:
    return iter([(X[start : start + 10], Y[start : start + 10]) for start in (0, 10, 20)])


def frame(dtype: str) -> Callable[[Path], Any]:
    return lambda _: pytest.importorskip("pandas").DataFrame(X, columns=list("abcd")).astype(dtype)


def on_disk(dtype: str) -> Callable[[Path], Any]:
    def written(path: Path) -> Any:
        array = np.memmap(path / "x", dtype, "w+", shape=X.shape)
        array[:] = X
        return array

    return written


@pytest.mark.parametrize(
    "made",
    [
        lambda _: X,
        lambda _: X.tolist(),
        lambda _: X.astype(np.uint8),
        lambda _: X.astype(object),
        frame("int64"),
        frame("Int64"),
        on_disk("int64"),
        on_disk("int16"),
        lambda _: Pairs(),
        lambda _: stream,
    ],
    ids=["array", "list", "bytes", "objects", "frame", "nullable", "mapped", "small", "data_set", "stream"],
)
def test_they_stay_whole_numbers(made: Callable[[Path], Any], tmp_path: Path) -> None:
    x, loss = made(tmp_path), SoftmaxCrossEntropy()
    arrays: list[Any] = [x] if isinstance(x, Pairs) or x is stream else [x, Y]
    expected = network(Embedding)
    expected.fit(X.astype(np.float32), Y, loss=loss, optimizer=Adam(), epochs=2, batch_size=10, shuffle=False)
    net = network()
    net.fit(*arrays, loss=loss, optimizer=Adam(), epochs=2, batch_size=10, shuffle=False)
    for one, other in zip(net.parameters(), expected.parameters(), strict=True):
        np.testing.assert_allclose(one.value, other.value, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(net.predict(x), net.predict(x, batch_size=7), rtol=1e-5, atol=1e-6)
    net.evaluate(*arrays, loss=loss)
    assert {*MET} == {INDEX}


def test_single_steps_take_them_as_they_are() -> None:
    trainers = [Trainer(network(kind), SoftmaxCrossEntropy(), SGD(0.1)) for kind in (Met, Embedding)]
    one, other = ([trainer.step(X, Y) for _ in range(3)] for trainer in trainers)
    np.testing.assert_allclose(one, other, rtol=1e-6)
    assert {*MET} == {INDEX}


def test_whole_numbers_that_are_too_large_for_an_index_become_floats() -> None:
    x = X.astype(np.uint64)
    np.testing.assert_array_equal(network().predict(x), network().predict(X))
    assert {*MET} == {np.dtype(np.float32), INDEX}


@pytest.mark.parametrize(
    "body",
    [
        Masked([Met(10, 3), GRU(3)]),
        Residual([Met(10, 3), Dense(3)], Met(10, 3)),
        Sequential([Masked(Parallel([Met(10, 3), Met(10, 4)]))]),
        EncoderDecoder([Met(10, 3), Dense(3)], [Met(10, 3), CrossAttention(1)], source_steps=2),
    ],
)
def test_composites_pass_them_on(body: Layer[Any]) -> None:
    net = Sequential([body], input_shape=(None,), rng=0)
    assert net.takes_categories
    assert net.predict(X).shape == net.forward(X)[0].shape == net.predict(X.tolist()).shape
    assert {*MET} == {INDEX}


def test_other_layers_get_floats() -> None:
    for layers in ([Residual(Met(10, 1))], [Split([Met(10, 2), None])], [Masked(GRU(2))], [Dense(2), Met(10, 2)]):
        assert not Sequential(layers).takes_categories
    net = Sequential([Split([[Met(10, 2), Flatten()], None], sizes=(1, 3)), Dense(1)], input_shape=4, rng=0)
    net.fit(X, Y[:, None], loss=MeanSquaredError(), optimizer=SGD(0.1))
    assert {*MET} == {np.dtype(np.float32)}


def test_padding_of_whole_numbers_may_be_any_number() -> None:
    net = Sequential([Masked([Met(10, 3), GRU(3)], padding=0.5)], input_shape=(None,), rng=0)
    x = np.zeros((1, 4), int)  # real steps, though 0.5 would be rounded to 0
    assert (net.predict(x) != 0).all()
