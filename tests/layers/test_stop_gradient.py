"""Where the error signal ends: what is below trains nothing through here, and everything by other ways."""

import numpy as np

from deepbp import Sequential
from deepbp.layers import Dense, Layer, Parallel, StopGradient, Tanh
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD


def test_forward_is_the_identity_and_backward_is_zero(rng: np.random.Generator) -> None:
    layer, x, delta = StopGradient(), *rng.normal(size=(2, 5, 3))
    y, saved = layer.forward(x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(layer.predict(x), x)
    assert not np.shares_memory(y, x)
    moved = layer.backward(saved, np.where(delta > 0, delta, np.inf))
    np.testing.assert_array_equal(moved, np.zeros((5, 3)))
    assert not np.signbit(moved).any()


def test_below_it_in_a_chain_nothing_is_trained(rng: np.random.Generator) -> None:
    net = Sequential([Dense(4), Tanh(), StopGradient(), Dense(2)], input_shape=3, rng=0)
    before = {name: p.value.copy() for name, p in net.named_parameters().items()}
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    net.fit(x, y, loss=MeanSquaredError(), optimizer=SGD(0.1))
    changed = {name for name, p in net.named_parameters().items() if (p.value != before[name]).any()}
    assert changed == {"3.weight", "3.bias"}


def test_beside_other_branches_it_leaves_them_their_signal(rng: np.random.Generator) -> None:
    dense = Dense(3)
    net = Sequential([Parallel([StopGradient(), dense], merge="add")], input_shape=3, rng=0, dtype="float64")
    x, delta = rng.normal(size=(2, 5, 3))
    y, saved = net.forward(x)
    np.testing.assert_allclose(y, x + dense.predict(x), rtol=1e-14)
    np.testing.assert_allclose(net.backward(saved, delta), delta @ dense.weight.value.T, rtol=1e-13)


def test_it_says_that_its_gradient_is_no_derivative() -> None:
    assert StopGradient.surrogate_gradient
    assert not Layer.surrogate_gradient
    assert not Dense(2).surrogate_gradient
