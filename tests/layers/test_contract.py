"""What a layer remembers is returned, not kept: uses may interleave, and threads may share a network."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.layers import Dense, Layer, ReLU, Sigmoid, Softmax, Tanh
from deepbp.typing import Array


def network(seed: int = 0, dtype: str = "float64") -> Sequential:
    layers: list[Layer[Any]] = [Dense(5), Sigmoid(), Dense(4), Tanh(), Dense(6), ReLU(), Dense(3), Softmax()]
    return Sequential(layers, input_shape=4, rng=seed, dtype=dtype)


def gradients(net: Sequential) -> list[Array]:
    """What was accumulated; then cleared."""
    found = [p.grad.copy() for p in net.parameters()]
    for p in net.parameters():
        p.clear_grad()
    return found


def assert_equal(one: list[Array], other: list[Array]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_passes_between_forward_and_backward_change_nothing(rng: np.random.Generator) -> None:
    net, x, y, delta = network(), rng.normal(size=(7, 4)), rng.normal(size=(9, 4)), rng.normal(size=(7, 3))
    _, saved = net.forward(x)
    moved = net.backward(saved, delta)
    expected = gradients(net)
    _, saved = net.forward(x)
    net.predict(y)
    net.forward(y)
    np.testing.assert_array_equal(net.backward(saved, delta), moved)
    assert_equal(gradients(net), expected)


def test_two_networks_of_the_same_classes_do_not_meet(rng: np.random.Generator) -> None:
    x, delta = rng.normal(size=(7, 4)), rng.normal(size=(7, 3))
    alone = network(seed=1)
    alone.backward(alone.forward(x)[1], delta)
    one, other = network(seed=1), network(seed=2)
    saved, saved_other = one.forward(x)[1], other.forward(-x)[1]
    other.backward(saved_other, -delta)
    one.backward(saved, delta)
    assert_equal(gradients(one), gradients(alone))


def test_gradients_of_two_batches_add_up_to_those_of_both(rng: np.random.Generator) -> None:
    net, x, delta = network(), rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
    net.backward(net.forward(x)[1], delta)
    expected = gradients(net)
    for half in (slice(0, 2), slice(2, 6)):
        net.backward(net.forward(x[half])[1], delta[half])
    for got, whole in zip(gradients(net), expected, strict=True):
        np.testing.assert_allclose(got, whole, rtol=1e-12, atol=1e-15)


def test_eight_threads_predict_with_one_network(rng: np.random.Generator) -> None:
    net, inputs = network(), rng.normal(size=(8, 200, 6, 4))
    expected = [[net.predict(x) for x in batches] for batches in inputs]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda batches: [net.predict(x) for x in batches], inputs))
    for one, other in zip(got, expected, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_stays_end_to_end(dtype: str, rng: np.random.Generator) -> None:
    net = network(dtype=dtype)
    x, delta = rng.normal(size=(7, 4)).astype(dtype), rng.normal(size=(7, 3)).astype(dtype)
    output, saved = net.forward(x)
    arrays = [output, net.backward(saved, delta), net.predict(x), *gradients(net)]
    assert {a.dtype for a in arrays} == {np.dtype(dtype)}


def test_the_same_seed_gives_the_same_bytes() -> None:
    def first_values(seed: int) -> list[bytes]:
        return [p.value.tobytes() for p in network(seed).parameters() if p.value.ndim > 1]

    assert first_values(3) == first_values(3)
    assert all(one != other for one, other in zip(first_values(3), first_values(4), strict=True))
