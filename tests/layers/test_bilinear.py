"""Bilinear: all products of the left columns with the right ones, written out."""

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import DeepBPError, ShapeError
from deepbp.layers import Bilinear, Builder, Dense


def built(layer: Bilinear, width: int) -> Bilinear:
    Builder(0, "float64").build(layer, (width,))
    return layer


@pytest.mark.parametrize(("sizes", "left"), [((2, 4), 2), ((5, 1), 5), (None, 3)])
def test_sums_of_products_and_their_derivatives(
    sizes: tuple[int, int] | None, left: int, rng: np.random.Generator
) -> None:
    layer, right = built(Bilinear(2, sizes=sizes), 6), 6 - left
    assert layer.bias is not None
    layer.bias.value = np.array([10.0, 20.0])
    w, x, delta = layer.weight.value, rng.normal(size=(4, 6)), rng.normal(size=(4, 2))
    assert w.shape == (left, right, 2)
    u, v = x[:, :left], x[:, left:]
    z, saved = layer.forward(x)
    moved = layer.backward(saved, delta)
    places = [(b, i, j, k) for b in range(4) for i in range(left) for j in range(right) for k in range(2)]
    expected = np.tile([10.0, 20.0], (4, 1))
    by_weight, by_x = np.zeros_like(w), np.zeros_like(x)
    for b, i, j, k in places:
        expected[b, k] += u[b, i] * w[i, j, k] * v[b, j]
        by_weight[i, j, k] += u[b, i] * v[b, j] * delta[b, k]
        by_x[b, i] += v[b, j] * w[i, j, k] * delta[b, k]
        by_x[b, left + j] += u[b, i] * w[i, j, k] * delta[b, k]
    np.testing.assert_allclose(z, expected, rtol=1e-12)
    np.testing.assert_allclose(moved, by_x, rtol=1e-12)
    np.testing.assert_allclose(layer.weight.grad, by_weight, rtol=1e-12)
    np.testing.assert_allclose(layer.bias.grad, delta.sum(axis=0), rtol=1e-13)


def test_a_one_on_the_right_makes_a_dense_layer(rng: np.random.Generator) -> None:
    layer, dense = built(Bilinear(3, sizes=(4, 1), use_bias=False), 5), Dense(3, use_bias=False)
    Builder(0, "float64").build(dense, (4,))
    dense.weight.value = layer.weight.value[:, 0]
    x = rng.normal(size=(6, 4))
    np.testing.assert_allclose(layer.predict(np.column_stack([x, np.ones(6)])), dense.predict(x), rtol=1e-13)
    assert layer.bias is None


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Bilinear(2), (5,), "cannot cut 5 columns in two halves, got (5,): give sizes=..."),
        (Bilinear(2, sizes=(2, 3)), (6,), "expects 2 + 3 = 5 columns, got (6,)"),
        (Bilinear(2), (2, 2), "expects flat samples such as (64,), got (2, 2): put Flatten() before it"),
    ],
)
def test_samples_that_do_not_fit(layer: Bilinear, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(DeepBPError) as caught:
        Sequential([layer], input_shape=shape)
    assert type(caught.value) is ShapeError
    assert str(caught.value) == f"layer 0, {layer}: {message}"
