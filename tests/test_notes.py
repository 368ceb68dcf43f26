"""The handwritten notes' two-layer network and deepbp give the same numbers, and so do the notes' single factors."""

import numpy as np
import pytest

from deepbp import Sequential, Trainer
from deepbp.layers import Dense, Sigmoid
from deepbp.losses import SumSquaredError
from deepbp.optimizers import SGD
from deepbp.testing import numeric_gradient
from deepbp.typing import Array

X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=float)
Y = np.array([[0], [1], [1], [0]], dtype=float)
EPSILON = np.finfo(float).eps  # a unit in the last place of 1


def sigmoid(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-z)))


def sigmoid_derivative(a: Array) -> Array:
    return np.asarray(a * (1 - a))


def changes(weights1: Array, weights2: Array, moved_by: Array | None = None) -> tuple[Array, Array]:
    """The notes' d₁ and d₂; ``moved_by`` are the weights that the error is moved back through."""
    layer1 = sigmoid(X @ weights1)
    output = sigmoid(layer1 @ weights2)
    bracket = 2 * (Y - output) * sigmoid_derivative(output)
    back = weights2 if moved_by is None else moved_by
    return X.T @ (bracket @ back.T * sigmoid_derivative(layer1)), layer1.T @ bracket


def notes_network(seed: int) -> tuple[Trainer, Dense, Dense]:
    first, second = Dense(4, use_bias=False), Dense(1, use_bias=False)
    net = Sequential([first, Sigmoid(), second, Sigmoid()], input_shape=3, rng=seed, dtype="float64")
    return Trainer(net, SumSquaredError(), SGD(learning_rate=1.0)), first, second


def assert_close(got: Array, expected: Array, tolerance: float) -> None:
    """Absolutely, and relative to the size of numbers above 1."""
    assert got.shape == expected.shape
    assert np.all(np.abs(got - expected) <= tolerance * np.maximum(1, np.abs(expected)))


@pytest.mark.parametrize("seed", range(20))
def test_first_step_is_the_notes_d1_and_d2(seed: int) -> None:
    trainer, first, second = notes_network(seed)
    weights1, weights2 = first.weight.value.copy(), second.weight.value.copy()
    d1, d2 = changes(weights1, weights2)
    loss = trainer.step(X, Y)
    np.testing.assert_array_max_ulp(loss, np.sum((Y - sigmoid(sigmoid(X @ weights1) @ weights2)) ** 2), maxulp=8)
    assert_close(
        -second.weight.grad, d2, 4 * EPSILON
    )  # 2(y − ŷ) is the negative gradient: the notes add, SGD subtracts
    assert_close(-first.weight.grad, d1, 4 * EPSILON)
    assert_close(second.weight.value, weights2 + d2, 4 * EPSILON)
    assert_close(first.weight.value, weights1 + d1, 4 * EPSILON)


@pytest.mark.parametrize("seed", range(20))
def test_d1_is_moved_back_through_weights2_from_before_its_update(seed: int) -> None:
    trainer, first, second = notes_network(seed)
    weights1, weights2 = first.weight.value.copy(), second.weight.value.copy()
    trainer.step(X, Y)
    too_late, _ = changes(weights1, weights2, moved_by=second.weight.value)
    assert np.abs(too_late + first.weight.grad).max() > 1e-4


@pytest.mark.parametrize("seed", range(20))
def test_weights_agree_after_1500_steps(seed: int) -> None:
    trainer, first, second = notes_network(seed)
    weights1, weights2 = first.weight.value.copy(), second.weight.value.copy()
    for _ in range(1500):
        d1, d2 = changes(weights1, weights2)
        weights2 += d2
        weights1 += d1
        trainer.step(X, Y)
    assert_close(first.weight.value, weights1, 1e-10)
    assert_close(second.weight.value, weights2, 1e-10)


def one(number: float) -> Array:
    """A batch of one sample of one number."""
    return np.array([[number]])


@pytest.mark.parametrize(("x", "y", "w1", "w2"), [(0.7, 0.2, -1.3, 0.9), (-1.1, 1.0, 0.4, -2.0), (0.3, 0.0, 2.5, 1.5)])
def test_chain_of_single_neurons_has_the_notes_three_factors(x: float, y: float, w1: float, w2: float) -> None:
    """∂C/∂w = ∂z/∂w · ∂a/∂z · ∂C/∂a on a 1-1-1 net: each factor, and what is passed on from factor to factor."""
    hidden, output = Dense(1), Dense(1)
    net = Sequential([hidden, Sigmoid(), output, Sigmoid()], input_shape=1, dtype="float64")
    assert output.bias is not None
    hidden.weight.value, output.weight.value, output.bias.value = one(w1), one(w2), np.array([0.3])
    loss = SumSquaredError()
    a1 = net[:2].predict(one(x))
    z2, saved_dense = output.forward(a1)
    a2, saved_sigmoid = net[3].forward(z2)
    value, saved_loss = loss.forward(a2, one(y))
    np.testing.assert_array_max_ulp(value, (a2.item() - y) ** 2, maxulp=4)

    cost_by_a = loss.backward(saved_loss)
    np.testing.assert_array_max_ulp(cost_by_a.item(), 2 * (a2.item() - y), maxulp=4)
    assert_close(cost_by_a, numeric_gradient(lambda a: loss.forward(a, one(y))[0], a2), 1e-9)

    a_by_z = net[3].backward(saved_sigmoid, one(1.0))
    np.testing.assert_array_max_ulp(a_by_z.item(), a2.item() * (1 - a2.item()), maxulp=4)
    assert_close(a_by_z, numeric_gradient(lambda z: float(sigmoid(z).item()), z2), 1e-9)

    def z_of(w: Array) -> float:
        return float((a1 @ w).item() + 0.3)

    output.backward(saved_dense, one(1.0))
    z_by_w = output.weight.grad.copy()
    assert_close(z_by_w, a1, 0)
    assert_close(z_by_w, numeric_gradient(z_of, np.array([[w2]])), 1e-9)
    assert output.bias.grad == 1  # ∂z/∂b

    for parameter in net.parameters():
        parameter.clear_grad()
    _, saved = net.forward(one(x))
    net.backward(saved, cost_by_a)
    delta = cost_by_a * a_by_z
    assert_close(output.weight.grad, z_by_w * delta, 4 * EPSILON)
    assert_close(output.bias.grad, delta[0], 4 * EPSILON)
    moved = delta * w2 * sigmoid_derivative(a1)  # the same, moved by one layer
    assert_close(hidden.weight.grad, x * moved, 4 * EPSILON)
