"""Maxout: the largest of several weighted sums, and an error signal for that one alone."""

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ShapeError
from deepbp.layers import Builder, Maxout


def built(layer: Maxout, width: int) -> Maxout:
    Builder(0, "float64").build(layer, (width,))
    return layer


@pytest.mark.parametrize("pieces", [2, 3, 5])
def test_each_sum_written_out(pieces: int, rng: np.random.Generator) -> None:
    layer = built(Maxout(2, pieces), 3)
    layer.bias.value = rng.normal(size=2 * pieces)
    weight, bias = layer.weight.value, layer.bias.value
    assert weight.shape == (3, 2 * pieces)
    x, delta = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    y, saved = layer.forward(x)
    moved = layer.backward(saved, delta)
    by_weight, by_bias, by_x = np.zeros_like(weight), np.zeros_like(bias), np.zeros_like(x)
    for b in range(6):
        for o in range(2):
            columns = [2 * k + o for k in range(pieces)]
            sums = [sum(x[b, i] * weight[i, c] for i in range(3)) + bias[c] for c in columns]
            winner = columns[sums.index(max(sums))]
            assert y[b, o] == pytest.approx(max(sums), rel=1e-13)
            by_weight[:, winner] += x[b] * delta[b, o]
            by_bias[winner] += delta[b, o]
            by_x[b] += weight[:, winner] * delta[b, o]
    np.testing.assert_allclose(moved, by_x, rtol=1e-12)
    np.testing.assert_allclose(layer.weight.grad, by_weight, rtol=1e-12)
    np.testing.assert_allclose(layer.bias.grad, by_bias, rtol=1e-12)


def test_two_pieces_are_the_absolute_value_and_of_equal_ones_the_first_counts() -> None:
    layer = built(Maxout(1), 1)
    layer.weight.value = np.array([[1.0, -1.0]])
    y, saved = layer.forward(np.array([[-2.0], [0.0], [3.0]]))
    np.testing.assert_array_equal(y, [[2], [0], [3]])
    np.testing.assert_array_equal(layer.backward(saved, np.ones((3, 1))), [[-1], [1], [1]])


def test_the_first_weights_keep_the_mean_square_of_the_signals(rng: np.random.Generator) -> None:
    """Through eight layers of two pieces; each strays by about √(2/500)."""
    net = Sequential([Maxout(500) for _ in range(8)], input_shape=500, rng=0)
    y = net.predict(rng.normal(size=(50, 500)))
    assert 0.5 < float((y * y).mean()) < 2


def test_samples_must_be_flat() -> None:
    with pytest.raises(
        ShapeError, match=r"layer 0, Maxout\(2\): expects flat samples such as \(64,\), got \(2, 2\): put"
    ):
        Sequential([Maxout(2)], input_shape=(2, 2))
