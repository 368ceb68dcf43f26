"""The same layer again and again: with weights of its own each time, or with the same ones."""

from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, ContractError, ShapeError
from deepbp.layers import Builder, Chain, Dense, Layer, Maxout, Repeat, Residual, Tanh


def built(layer: Layer[Any], *shape: int) -> Layer[Any]:
    Builder(0, "float64").build(layer, shape)
    return layer


def test_copies_have_weights_of_their_own() -> None:
    layer = built(Repeat([Dense(3), Tanh()], 3), 5)
    assert list(layer.named_parameters()) == [f"{i}.0.{name}" for i in range(3) for name in ("weight", "bias")]
    weights = [p.value for p in layer.parameters() if p.value.ndim == 2]
    assert [w.shape for w in weights] == [(5, 3), (3, 3), (3, 3)]
    assert not np.array_equal(weights[1], weights[2])


def test_shared_weights_are_one_parameter_with_a_share_for_each_use(rng: np.random.Generator) -> None:
    """h₃ = ((x w) w) w = w³ x, so ∂h₃/∂w = 3 w² x."""
    layer = built(Repeat(Dense(1, use_bias=False), 3, share=True), 1)
    weight = layer.named_parameters()["0.weight"]
    weight.value = np.array([[0.7]])
    y, saved = layer.forward(np.array([[2.0]]))
    layer.backward(saved, np.array([[1.0]]))
    assert y.item() == pytest.approx(0.7**3 * 2)
    assert weight.grad.item() == pytest.approx(3 * 0.7**2 * 2)
    assert len(layer.parameters()) == 1


def test_sharing_is_what_a_chain_of_one_layer_does(rng: np.random.Generator) -> None:
    step = Chain([Dense(4), Tanh()])
    shared, chain = built(Repeat(step, 5, share=True), 4), Chain([step] * 5)
    Builder(0, "float64").build(chain, (4,))
    x, delta = rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
    found = []
    for layer in (shared, chain):
        for parameter in layer.parameters():
            parameter.clear_grad()
        y, saved = layer.forward(x)
        found.append([y, layer.backward(saved, delta), *(p.grad.copy() for p in layer.parameters())])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_copies_of_a_trained_layer_start_from_its_values() -> None:
    trained = Dense(3)
    built(trained, 3)
    weights = [p.value for p in built(Repeat(trained, 3), 3).parameters() if p.value.ndim == 2]
    assert weights[0] is trained.weight.value
    for weight in weights[1:]:
        np.testing.assert_array_equal(weight, trained.weight.value)
        assert not np.shares_memory(weight, trained.weight.value)


def test_once_is_the_layer_itself(rng: np.random.Generator) -> None:
    for share in (False, True):
        layer = built(Repeat(Dense(2), 1, share=share), 3)
        assert [p.value.shape for p in layer.parameters()] == [(3, 2), (2,)]


def test_printed_as_it_was_made() -> None:
    layer = Repeat(Residual([Dense(4), Tanh()]), 3)
    assert repr(layer) == repr(built(layer, 4)) == "Repeat(Residual(Chain([Dense(4), Tanh()])), 3)"
    assert repr(Repeat(Dense(3), 2, share=True)) == "Repeat(Dense(3), 2, share=True)"


def test_shared_weights_need_the_shape_of_their_output() -> None:
    with pytest.raises(ShapeError, match=r"layer 1, Repeat: a layer that is used again needs .* \(3,\), got \(5,\)"):
        Sequential([Dense(3), Repeat(Dense(5), 2, share=True)], input_shape=3)


def test_an_error_inside_names_the_copy() -> None:
    with pytest.raises(ShapeError, match=r"layer 0, Repeat: layer 0, Maxout\(3\): expects flat samples"):
        Sequential([Repeat(Maxout(3), 2)], input_shape=(2, 2))


@pytest.mark.parametrize(
    ("times", "error"),
    [
        (0, ConfigurationError),
        (-3, ConfigurationError),
        (2.5, ArgumentTypeError),
        (None, ArgumentTypeError),
        ("64", ArgumentTypeError),
        (True, ArgumentTypeError),
        (np.nan, ArgumentTypeError),
    ],
)
def test_times_that_make_no_sense(times: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="Repeat: times: expected a whole number of at least 1, got"):
        Repeat(Dense(3), times)


def test_other_arguments_that_make_no_sense() -> None:
    with pytest.raises(ContractError, match="layer: expected a layer, got 3"):
        Repeat(3, 2)  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="Repeat: share: expected bool, got 1"):
        Repeat(Dense(3), 2, share=1)  # type: ignore[arg-type]
