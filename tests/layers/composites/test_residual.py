"""A residual block: its numbers written out one by one, and in words what does not fit."""

import re
from math import tanh
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ContractError, DeepBPError, ShapeError
from deepbp.layers import Builder, Chain, Dense, Flatten, Layer, Maxout, ReLU, Reshape, Residual, Sigmoid, Tanh


def built(layer: Layer[Any], *shape: int) -> Layer[Any]:
    Builder(0, "float64").build(layer, shape)
    return layer


def test_numbers_of_a_block_written_out() -> None:
    """y = tanh(w x) + x, so ∂y/∂x = w (1 − tanh²) + 1 and ∂y/∂w = x (1 − tanh²)."""
    block = built(Residual([Dense(1, use_bias=False), Tanh()]), 1)
    weight = block.parameters()[0]
    weight.value = np.array([[0.5]])
    xs, deltas = [0.2, -1.5, 3.0], [1.0, -2.0, 0.25]
    y, saved = block.forward(np.array(xs)[:, None])
    moved = block.backward(saved, np.array(deltas)[:, None])
    slopes = [1 - tanh(0.5 * x) ** 2 for x in xs]
    np.testing.assert_array_max_ulp(y[:, 0], [tanh(0.5 * x) + x for x in xs], maxulp=4)
    np.testing.assert_array_max_ulp(
        moved[:, 0], [d * (0.5 * s + 1) for d, s in zip(deltas, slopes, strict=True)], maxulp=4
    )
    by_weight = sum(d * s * x for d, s, x in zip(deltas, slopes, xs, strict=True))
    np.testing.assert_array_max_ulp(weight.grad, [[by_weight]], maxulp=4)


def test_a_shortcut_with_weights_gets_the_whole_error_signal(rng: np.random.Generator) -> None:
    block = built(Residual(Dense(2), shortcut=Dense(2, use_bias=False)), 3)
    body, shortcut = (block.named_parameters()[name] for name in ("body.weight", "shortcut.weight"))
    x, delta = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    y, saved = block.forward(x)
    np.testing.assert_allclose(y, x @ body.value + x @ shortcut.value, rtol=1e-14)
    np.testing.assert_allclose(block.backward(saved, delta), delta @ (body.value + shortcut.value).T, rtol=1e-14)
    for parameter in (body, shortcut):
        np.testing.assert_allclose(parameter.grad, x.T @ delta, rtol=1e-14)


def test_the_error_signal_reaches_the_bottom_of_fifty_blocks(rng: np.random.Generator) -> None:
    """Through fifty sigmoids in a row next to nothing comes back; past them, all of it does."""
    x, delta = rng.normal(size=(4, 3)), np.ones((4, 3))
    sizes = {}
    for name, layers in (
        ("plain", [[Dense(3), Sigmoid()] for _ in range(50)]),
        ("residual", [Residual([Dense(3), Sigmoid()]) for _ in range(50)]),
    ):
        net = built(Chain([Chain(layer) if isinstance(layer, list) else layer for layer in layers]), 3)
        sizes[name] = float(np.abs(net.backward(net.forward(x)[1], delta)).mean())
    assert sizes["plain"] < 1e-20
    assert sizes["residual"] > 0.1


def test_a_list_is_a_chain_and_paths_lead_inside() -> None:
    net = Sequential([Dense(4), Residual([Dense(6), ReLU(), Dense(4)])], input_shape=3)
    assert repr(net.layers[1]) == "Residual(Chain([Dense(6), ReLU(), Dense(4)]))"
    names = ["0.weight", "0.bias", "1.body.0.weight", "1.body.0.bias", "1.body.2.weight", "1.body.2.bias"]
    assert list(net.named_parameters()) == names


@pytest.mark.parametrize(
    ("block", "shape", "message"),
    [
        (
            Residual([Dense(6), ReLU()]),
            (4,),
            "the body gives samples of shape (6,), the input itself, of shape (4,), is to be added to it: "
            "end the body with Dense(4), or give shortcut=Dense(6)",
        ),
        (Residual(Dense(6), Dense(5)), (4,), "the shortcut, of shape (5,), is to be added to it: end the body with D"),
        (Residual(Flatten()), (2, 2), "shape (2, 2), is to be added to it: give the body an output of that shape, or"),
        (Residual([ReLU(), Maxout(2)]), (2, 2), "body, Chain: layer 1, Maxout(2): expects flat samples"),
        (Residual(ReLU(), [Reshape(3)]), (4,), "shortcut, Chain: layer 0, Reshape((3,)): cannot give 4 numbers"),
    ],
    ids=range(5),
)
def test_shapes_that_do_not_fit(block: Residual, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=re.escape(message)):
        Sequential([block], input_shape=shape)


@pytest.mark.parametrize(
    ("body", "shortcut", "error", "message"),
    [
        (0, None, ContractError, "body: expected a layer, got 0"),
        ("64", None, ContractError, "body: expected a layer, got '64'"),
        (None, None, ContractError, "body: expected a layer, got None"),
        (Dense, None, ContractError, r"body: expected a layer, got the class Dense: write Dense\(\)"),
        ([], None, DeepBPError, "body: layers: expected at least one layer"),
        ([3], None, ContractError, "body: layer 0: expected a layer, got 3"),
        (Dense(3), 2.5, ContractError, r"shortcut: expected a layer, got 2\.5"),
        (Dense(3), np.nan, ContractError, "shortcut: expected a layer, got nan"),
    ],
)
def test_what_is_no_layer(body: Any, shortcut: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Residual(body, shortcut)
