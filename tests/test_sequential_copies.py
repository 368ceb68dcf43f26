"""A network printed and pasted back, copied and pickled."""

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from networks import X, small, values

from deepbp import Sequential
from deepbp.initializers import Constant, HeNormal, Orthogonal
from deepbp.layers import Dense, Flatten, ReLU, Reshape, Sigmoid, Softmax, Tanh, same_configuration
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD


@pytest.mark.parametrize(
    "net",
    [
        small(),
        Sequential([Dense(4)]),
        Sequential((Dense(1, use_bias=False, weight_init=HeNormal(), bias_init=Constant(0.5)),), input_shape=[3]),
        Sequential([Flatten(), Reshape((3, -1)), Softmax()], input_shape=(2, 6), dtype=np.float64, rng=3),
        Sequential([Sequential([Dense(2, weight_init=Orthogonal())], rng=5), Sigmoid()], input_shape=2, rng=1),
    ],
    ids=repr,
)
def test_repr_pasted_back_is_the_same_network(net: Sequential) -> None:
    names = {
        layer.__name__: layer
        for layer in (
            Sequential,
            Dense,
            Flatten,
            ReLU,
            Reshape,
            Sigmoid,
            Softmax,
            Tanh,
            Constant,
            HeNormal,
            Orthogonal,
        )
    }
    pasted = eval(repr(net), names)
    assert same_configuration(pasted, net)
    assert repr(pasted) == repr(net)
    assert pasted.dtype == net.dtype
    if isinstance(net.rng, int):
        assert values(pasted) == values(net)


def test_repr_leaves_out_defaults() -> None:
    assert repr(Sequential([Dense(4), Sequential([ReLU()])])) == "Sequential([Dense(4), Sequential([ReLU()])])"
    assert repr(small()) == (
        "Sequential([Dense(4), Tanh(), Sequential([Dense(5), ReLU()]), Dense(2)], input_shape=(3,), rng=0)"
    )
    assert repr(Sequential([Dense(4, use_bias=False)], dtype="f8")) == (
        "Sequential([Dense(4, use_bias=False)], dtype='float64')"
    )


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_is_equal_and_independent(copied: Callable[[Sequential], Sequential]) -> None:
    net = small()
    net.fit(X, X[:, :2], loss=MeanSquaredError(), optimizer=SGD(0.1))
    other = copied(net)
    assert repr(other) == repr(net)
    assert values(other) == values(net)
    np.testing.assert_array_equal(other.predict(X), net.predict(X))
    before = values(net)
    history = other.fit(X, X[:, :2], loss=MeanSquaredError(), optimizer=SGD(0.1), batch_size=2)
    assert values(net) == before != values(other)
    again = net.fit(X, X[:, :2], loss=MeanSquaredError(), optimizer=SGD(0.1), batch_size=2)
    assert again == history  # the generator was copied, too
    assert values(net) == values(other)


def test_layers_that_are_shared_stay_shared_in_a_copy() -> None:
    shared = Dense(3)
    other = copy.deepcopy(Sequential([shared, shared], input_shape=3))
    assert other[0] is other[1]
    assert other[0] is not shared  # type: ignore[comparison-overlap]


def test_a_network_without_sizes_can_be_copied() -> None:
    other = pickle.loads(pickle.dumps(Sequential([Dense(2)], rng=0)))
    other.build(3)
    assert values(other) == values(Sequential([Dense(2)], input_shape=3, rng=0))
