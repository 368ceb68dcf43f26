"""A network gets its sizes and its number type once, and says what does not fit."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from networks import X, small, values

from deepbp import Sequential
from deepbp.errors import ConfigurationError, ContractError, DeepBPError, NotBuiltError, ShapeError
from deepbp.layers import Dense, Dropout, Flatten, GaussianNoise, Layer, Maxout, Reshape, Softmax, Tanh
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD

SHARED, ACTIVATION = Dense(4), Sequential([Tanh()])


def test_by_argument_by_call_by_fit_and_by_parent() -> None:
    by_argument = Sequential([Dense(2)], input_shape=3, rng=0)
    by_call = Sequential([Dense(2)], rng=0)
    assert by_call.built is None
    assert by_call.build((3,)) == (2,)
    by_fit = Sequential([Dense(2)], rng=0)
    by_fit.fit(X, X[:, :2], loss=MeanSquaredError(), optimizer=SGD(0.0))
    inner = Sequential([Dense(2)])
    Sequential([inner], input_shape=3, rng=0)
    for net in by_argument, by_call, by_fit, inner:
        assert net.input_shape == (3,)
        assert values(net) == values(by_argument)


def test_an_inner_network_may_have_a_seed_of_its_own() -> None:
    inner = Sequential([Dense(2)], rng=8)
    Sequential([Dense(3), inner], input_shape=3, rng=0)
    assert values(inner) == values(Sequential([Dense(2)], input_shape=3, rng=8))


def test_a_generator_is_drawn_from_not_copied() -> None:
    rng = np.random.default_rng(0)
    first, second = (Sequential([Dense(2)], input_shape=3, rng=rng) for _ in range(2))
    assert first.generator is second.generator is rng
    assert values(first) == values(Sequential([Dense(2)], input_shape=3, rng=0)) != values(second)


def test_building_again_for_the_same_shape_keeps_what_was_learned() -> None:
    net = small()
    before = values(net)
    assert net.build(3) == (2,)
    assert values(net) == before


def test_a_trained_layer_in_a_new_network_keeps_its_parameters() -> None:
    net = small()
    before = values(net)
    Sequential([*net, Softmax()], input_shape=3, rng=99)
    assert values(net) == before


@pytest.mark.parametrize(
    "use",
    [
        lambda net: net.predict(X),
        lambda net: net.evaluate(X, X, loss=MeanSquaredError()),
        lambda net: net.summary(),
        lambda net: net.forward(X),
    ],
)
def test_use_before_the_sizes_are_known(use: Callable[[Sequential], Any]) -> None:
    with pytest.raises(NotBuiltError, match=r"Sequential: its sizes are not known yet: give input_shape=\.\.\."):
        use(Sequential([Dense(2)]))


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        ([Maxout(2)], (3, 4), "layer 0, Maxout(2): expects flat samples such as (64,), got (3, 4): put Flatten()"),
        (
            [Dense(6), Reshape((2, 3)), Maxout(2)],
            3,
            "layer 2, Maxout(2): expects flat samples such as (64,), got (2, 3) from layer 1, Reshape((2, 3))",
        ),
        (
            [Sequential([Dense(5), Reshape((2, -1))])],
            3,
            "layer 0, Sequential: layer 1, Reshape((2, -1)): cannot give 5 numbers the shape (2, -1), "
            "got (5,) from layer 0, Dense(5)",
        ),
        (
            [SHARED, Tanh(), SHARED],
            3,
            "was built for samples of shape (3,), got (4,) from layer 1, Tanh(): "
            "make a new layer, or use it with the same shape",
        ),
        (
            [ACTIVATION, Dense(4), ACTIVATION],
            3,
            "was built for samples of shape (3,), got (4,) from layer 1, Dense(4): make a new layer",
        ),
    ],
)
def test_sizes_that_do_not_fit(layers: list[Layer[Any]], shape: Any, message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        Sequential(layers, input_shape=shape)
    assert message in str(caught.value)
    assert re.match(rf"layer {len(layers) - 1}, ", str(caught.value))


def test_a_failed_build_leaves_everything_free_for_the_right_shape() -> None:
    layers = [Sequential([Dense(5), Tanh()], rng=1), Flatten(), Dense(4), Reshape((2, 2)), Flatten(), Dense(2)]
    bad = Sequential([*layers[:2], Dense(4), Reshape((3, 3))])
    with pytest.raises(ShapeError, match=r"layer 3, Reshape\(\(3, 3\)\): cannot give 4 numbers the shape"):
        bad.build(7)
    assert all(layer.built is None for layer in (bad, *bad.named_layers().values()))
    net = Sequential(layers, input_shape=3, rng=0)
    assert net.predict(X).shape == (9, 2)
    assert net.parameters()[0].value.shape == (3, 5)


def test_a_failed_build_spares_what_was_built_before() -> None:
    trained = small()
    before = values(trained)
    with pytest.raises(ShapeError):
        Sequential([trained, Reshape((3, 3))], input_shape=3)
    assert trained.built is not None
    assert values(trained) == before


def test_a_network_without_parameters_can_be_built_once() -> None:
    act = Sequential([Tanh(), Flatten()])
    net = Sequential([act, Dense(3), act], input_shape=3, dtype="float64", rng=0)
    dense = net[1]
    np.testing.assert_allclose(net.predict(X), np.tanh(dense.predict(np.tanh(X))), rtol=1e-13)
    with pytest.raises(ShapeError, match=r"was built for samples of shape \(3,\), got \(4,\): make a new layer"):
        act.build(4)


def test_float32_unless_asked() -> None:
    assert Sequential([Dense(2)]).dtype == small().dtype == np.float32
    assert small(dtype="float64").dtype == small(dtype=float).dtype == np.float64


def test_inner_networks_take_the_outer_ones() -> None:
    net = Sequential([Sequential([Dense(2)])], input_shape=3, dtype="float64")
    inner = net[0]
    assert isinstance(inner, Sequential)
    assert inner.dtype == np.float64


@pytest.mark.parametrize(
    ("inner", "error", "message"),
    [
        (
            Sequential([Dense(2)], dtype="float64"),
            ConfigurationError,
            "dtype='float64' stands in a network of float32",
        ),
        (
            Sequential([Dense(2)], input_shape=3, dtype="float64"),
            ContractError,
            "was built with float64, the network has float32",
        ),
    ],
)
def test_conflicts(inner: Sequential, error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error) as caught:
        Sequential([inner], input_shape=3)
    assert message in str(caught.value)


@pytest.mark.parametrize("dtype", ["float16", "int32", "number", complex, 32])
def test_no_others(dtype: Any) -> None:
    with pytest.raises(ConfigurationError, match="dtype: expected 'float32' or 'float64', got "):
        Sequential([Dense(2)], dtype=dtype)


@pytest.mark.parametrize("noise", [Dropout, GaussianNoise])
def test_a_layer_in_a_second_network_keeps_the_generator_of_the_first(noise: Callable[[float], Layer[Any]]) -> None:
    """As it keeps its parameters: whether a second network is built changes nothing in the training of the first."""

    def trained(twice: bool) -> bytes:
        layers = [Dense(4), noise(0.5), Dense(2)]
        network = Sequential(layers, input_shape=3, rng=0)
        if twice:
            Sequential(layers[:2], input_shape=3, rng=1)
        network.fit(X, X[:, :2], loss=MeanSquaredError(), optimizer=SGD(0.1), epochs=3)
        return values(network)

    assert trained(twice=True) == trained(twice=False)
