"""A network as a list of layers that is used like one, and that is a layer itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from attrs import define, field
from networks import X, small, values

from deepbp import Parameter, Sequential
from deepbp.layers import Builder, Dense, Layer, ReLU, Tanh
from deepbp.losses import MeanSquaredError, SoftmaxCrossEntropy
from deepbp.optimizers import SGD
from deepbp.typing import Array


def test_length_index_and_iteration() -> None:
    net = small()
    assert len(net) == 4
    assert list(net) == list(net.layers)
    assert net[0] is net.layers[0]
    assert net[-1] is net.layers[3]
    assert isinstance(net[0], Dense)
    with pytest.raises(IndexError):
        net[4]


@pytest.mark.parametrize("cut", [slice(2), slice(1, 3), slice(2, None), slice(-1, None)])
def test_a_slice_is_a_network_that_shares_parameters(cut: slice) -> None:
    net = small(dtype="float64")
    part = net[cut]
    assert isinstance(part, Sequential)
    assert list(part) == list(net)[cut]
    start = cut.indices(4)[0]
    x = X if start == 0 else net[:start].predict(X)
    stop = cut.indices(4)[1]
    np.testing.assert_array_equal(part.predict(x), net[:stop].predict(X))
    before = net.predict(X)
    part.fit(x, part.predict(x) + 1, loss=MeanSquaredError(), optimizer=SGD(0.1))
    assert np.abs(net.predict(X) - before).max() > 1e-3


def test_a_slice_backwards_waits_to_be_built() -> None:
    assert small()[::-1].built is None


def test_named_parameters() -> None:
    net = small()
    assert {name: p.value.shape for name, p in net.named_parameters().items()} == {
        "0.weight": (3, 4),
        "0.bias": (4,),
        "2.0.weight": (4, 5),
        "2.0.bias": (5,),
        "3.weight": (5, 2),
        "3.bias": (2,),
    }
    assert net.parameters() == list(net.named_parameters().values())
    assert all(isinstance(parameter, Parameter) for parameter in net.parameters())


def test_a_layer_that_appears_twice_counts_once() -> None:
    shared = Dense(3)
    net = Sequential([shared, Tanh(), Sequential([shared])], input_shape=3)
    assert list(net.named_parameters()) == ["0.weight", "0.bias"]


class Frame:
    """What a data frame is to NumPy: something with ``__array__``."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.array.astype(dtype or self.array.dtype)


@define(eq=False)
class Sizes(Layer[None]):
    """y = x; counts the samples of each pass."""

    seen: list[int] = field(factory=list, init=False)

    def forward(self, x: Array) -> tuple[Array, None]:
        self.seen.append(len(x))
        return x, None

    def backward(self, saved: None, delta: Array) -> Array:
        return delta


@pytest.mark.parametrize("convert", [np.ndarray.tolist, Frame, np.asfortranarray, lambda x: np.repeat(x, 2, 0)[::2]])
def test_whatever_numpy_understands(convert: Callable[[Array], Any]) -> None:
    one, other = small(), small()
    y = np.arange(9) % 2
    arguments: dict[str, Any] = {"loss": SoftmaxCrossEntropy(), "optimizer": SGD(0.1), "batch_size": 4}
    history = one.fit(X, y, **arguments)
    assert other.fit(convert(X), convert(y) if convert is Frame else y.tolist(), **arguments) == history
    np.testing.assert_array_equal(one.predict(X), other.predict(convert(X)))


@pytest.mark.parametrize("batch_size", [1, 4, 9, 1000, None, np.int32(2)])
def test_predict_in_pieces(batch_size: int | None) -> None:
    net = small(dtype="float64")
    whole = net.predict(X)
    np.testing.assert_allclose(net.predict(X, batch_size=batch_size), whole, rtol=1e-13)
    assert whole.shape == (9, 2)


def test_predict_in_pieces_takes_no_more_at_a_time() -> None:
    sizes = Sizes()
    Sequential([Dense(2), sizes], input_shape=3).predict(X, batch_size=4)
    assert sizes.seen == [4, 4, 1]


def test_a_network_is_a_layer() -> None:
    """Forward and backward of a nest are those of the flat chain."""
    flat = Sequential([Dense(4), Tanh(), Dense(5), ReLU(), Dense(2)], input_shape=3, rng=0, dtype="float64")
    nest = small(dtype="float64")
    delta = np.random.default_rng(1).normal(size=(9, 2))
    signals: list[Array] = []
    for net in flat, nest:
        output, saved = net.forward(X)
        np.testing.assert_array_equal(output, net.predict(X))
        signals.append(net.backward(saved, delta))
    np.testing.assert_array_equal(signals[0], signals[1])
    for one, other in zip(flat.parameters(), nest.parameters(), strict=True):
        np.testing.assert_array_equal(one.grad, other.grad)


def test_two_networks_of_one_layer_class_do_not_meet() -> None:
    one, other = small(), small(rng=1)
    alone = small()
    before = values(other)
    output, saved = one.forward(X.astype("f4"))
    other_output, other_saved = other.forward(X[:4].astype("f4") * 2)
    other.backward(other_saved, other_output)
    one.backward(saved, output)
    expected, kept = alone.forward(X.astype("f4"))
    alone.backward(kept, expected)
    for p, q in zip(one.parameters(), alone.parameters(), strict=True):
        np.testing.assert_array_equal(p.grad, q.grad)
    assert values(other) == before


def test_build_takes_a_builder_of_the_parents() -> None:
    net = Sequential([Dense(2)])
    assert net.build(3, Builder(np.random.default_rng(0), "float64")) == (2,)
    assert net.parameters()[0].value.dtype == np.float64
