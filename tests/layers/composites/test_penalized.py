"""What a penalised layer adds to the loss, written out, and that what is paid is what is learned from."""

from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, ContractError
from deepbp.initializers import Ones
from deepbp.layers import L1, L1L2, L2, Builder, Chain, Dense, Layer, Parallel, Penalized, ReLU, Repeat, Residual, Tanh
from deepbp.typing import Array


def built(layer: Layer[Any], *shape: int) -> Layer[Any]:
    Builder(0, "float64").build(layer, shape)
    return layer


def run(layer: Layer[Any], x: Array, delta: Array) -> tuple[float, Array, dict[str, Array]]:
    """The penalty, the error signal passed back, and the gradients."""
    for parameter in layer.parameters():
        parameter.clear_grad()
    _, saved = layer.forward(x)
    moved = layer.backward(saved, delta)
    return layer.penalty(saved), moved, {name: p.grad.copy() for name, p in layer.named_parameters().items()}


def test_numbers_are_those_of_keras() -> None:
    """A layer of ones: 0.1 Σ w² = 0.6, and 0.5 Σ |y| = 12 of 4 samples, 3 in the mean; Keras 3.15 says 0.6 and 3.0."""
    dense = Dense(3, weight_init=Ones())
    layer = built(Penalized(dense, weights=L2(0.1), outputs=L1(0.5)), 2)
    penalty, _, gradients = run(layer, np.ones((4, 2)), np.zeros((4, 3)))
    np.testing.assert_array_max_ulp(penalty, 0.6 + 3.0, maxulp=4)
    np.testing.assert_array_max_ulp(gradients["layer.weight"], np.full((2, 3), 0.2 + 4 * 0.5 / 4), maxulp=4)
    np.testing.assert_array_max_ulp(gradients["layer.bias"], np.full(3, 4 * 0.5 / 4), maxulp=4)


def test_weights_of_two_dimensions_are_penalised_and_biases_are_not(rng: np.random.Generator) -> None:
    body = [Dense(3), Tanh(), Dense(2)]
    plain, layer = built(Chain(body), 4), built(Penalized(body, weights=L1L2(0.2, 0.3)), 4)
    for parameter in plain.parameters():
        parameter.value = rng.normal(size=parameter.value.shape)
    x, delta = rng.normal(size=(5, 4)), rng.normal(size=(5, 2))
    nothing, moved, without = run(plain, x, delta)
    penalty, same, gradients = run(layer, x, delta)
    weights = {name: p.value for name, p in layer.named_parameters().items() if p.value.ndim == 2}
    assert nothing == 0.0
    numbers = [float(w) for weight in weights.values() for w in weight.ravel()]
    assert penalty == pytest.approx(sum(0.2 * abs(w) + 0.3 * w * w for w in numbers), rel=1e-14)
    np.testing.assert_array_equal(moved, same)
    for name, gradient in gradients.items():
        weight = weights.get(name, np.zeros_like(gradient))
        added = 0.2 * np.sign(weight) + 0.6 * weight
        np.testing.assert_allclose(gradient, without[name.removeprefix("layer.")] + added, rtol=1e-13)


def test_outputs_are_summed_over_units_and_meant_over_samples(rng: np.random.Generator) -> None:
    layer = built(Penalized(Tanh(), outputs=L2(0.5)), 3)
    x, delta = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    penalty, moved, _ = run(layer, x, delta)
    y = np.tanh(x)
    assert penalty == pytest.approx(sum(0.5 * float(v) ** 2 for row in y for v in row) / 4, rel=1e-14)
    np.testing.assert_allclose(moved, (delta + 2 * 0.5 * y / 4) * (1 - y**2), rtol=1e-14, atol=1e-15)


def test_a_weight_used_twice_inside_is_paid_once_and_a_penalised_layer_used_twice_twice() -> None:
    x, delta = np.ones((2, 1)), np.zeros((2, 1))
    for layer, times in (
        (Penalized(Repeat(Dense(1, weight_init=Ones()), 3, share=True), weights=L2(0.5)), 1),
        (Repeat(Penalized(Dense(1, weight_init=Ones()), weights=L2(0.5)), 3, share=True), 3),
        (Penalized(Penalized(Dense(1, weight_init=Ones()), weights=L2(0.5)), weights=L2(0.5)), 2),
    ):
        penalty, _, gradients = run(built(layer, 1), x, delta)
        assert penalty == times * 0.5
        assert [g.item() for g in gradients.values() if g.ndim == 2] == [times * 1.0]


def test_frozen_weights_cost_nothing() -> None:
    first, second = Dense(2, weight_init=Ones()), Dense(2, weight_init=Ones())
    layer = built(Penalized([first, second], weights=L1(1.0)), 2)
    first.freeze()
    penalty, _, gradients = run(layer, np.ones((3, 2)), np.zeros((3, 2)))
    assert penalty == 4.0
    np.testing.assert_array_equal(gradients["layer.1.weight"], np.ones((2, 2)))
    np.testing.assert_array_equal(gradients["layer.0.weight"], np.zeros((2, 2)))


def test_a_network_adds_up_what_is_inside_at_any_depth() -> None:
    def piece(strength: float) -> Penalized:
        return Penalized(Dense(2, weight_init=Ones()), weights=L1(strength))

    net = Sequential(
        [
            piece(1.0),
            ReLU(),
            Residual([Tanh(), piece(10.0)]),
            Parallel([piece(100.0), Repeat(piece(1000.0), 2)], merge="add"),
        ],
        input_shape=2,
        dtype="float64",
    )
    assert net.has_penalty()
    _, saved = net.forward(np.ones((3, 2)))
    assert net.penalty(saved) == 4 * (1 + 10 + 100 + 2000)


def test_networks_without_penalties_ask_nobody() -> None:
    net = Sequential([Dense(2), Residual([Dense(2), Tanh()])], input_shape=2)
    assert not net.has_penalty()
    assert net.penalty(net.forward(np.ones((3, 2), np.float32))[1]) == 0.0
    assert net._penalized == ()


def test_inference_is_free(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 3))
    dense = Dense(2)
    layer = built(Penalized(dense, weights=L2(0.1), outputs=L1(0.1)), 3)
    np.testing.assert_array_equal(layer.predict(x), dense.predict(x))
    np.testing.assert_array_equal(layer.forward(x)[0], dense.predict(x))


@pytest.mark.parametrize("value", [0, -3, 2.5, "64", np.nan, L2])
@pytest.mark.parametrize("name", ["weights", "outputs"])
def test_what_is_no_penalty(name: str, value: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=f"Penalized: {name}: expected Penalty, got "):
        Penalized(Dense(2), **{name: value})


def test_nothing_to_pay_for() -> None:
    with pytest.raises(ConfigurationError, match=r"Penalized: expected a penalty, got none: give weights=L2\(1e-4\)"):
        Penalized(Dense(2))
    with pytest.raises(
        ConfigurationError, match=r"layer 1, Penalized: weights=L2.*: expected parameters of two or more.* in Tanh\(\)"
    ):
        Sequential([Dense(2), Penalized(Tanh(), weights=L2(0.1))], input_shape=2)
    with pytest.raises(ContractError, match="layer: expected a layer, got 3"):
        Penalized(3, weights=L2(0.1))  # type: ignore[arg-type]
