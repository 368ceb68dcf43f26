"""Dropout: which numbers are dropped, what that does to the mean, and nothing at all in inference."""

from math import sqrt

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.layers import Builder, Dense, Dropout
from deepbp.typing import Array


def built(rate: float, seed: int = 0, dtype: str = "float64") -> Dropout:
    layer = Dropout(rate)
    Builder(seed, dtype).build(layer, (1000,))
    return layer


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_each_number_is_dropped_or_scaled_and_so_is_its_error_signal(rate: float, rng: np.random.Generator) -> None:
    x, delta = rng.uniform(1, 2, (20, 1000)), rng.uniform(1, 2, (20, 1000))
    layer = built(rate)
    y, saved = layer.forward(x)
    kept = y != 0
    np.testing.assert_array_max_ulp(y[kept], x[kept] / (1 - rate), maxulp=2)
    moved = layer.backward(saved, delta)
    np.testing.assert_array_equal(moved != 0, kept)
    np.testing.assert_array_max_ulp(moved[kept], delta[kept] / (1 - rate), maxulp=2)


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.5, 0.85])
def test_as_many_are_dropped_as_the_rate_says(rate: float) -> None:
    """Of 10⁶ draws the share strays by √(p (1 − p)) / 1000; five times that is a chance of one in a million."""
    dropped = built(rate, seed=1).forward(np.ones((1000, 1000)))[0] == 0
    assert abs(dropped.mean() - rate) < 5 * sqrt(rate * (1 - rate)) / 1000
    neighbours = np.corrcoef(dropped[:, 1:].ravel(), dropped[:, :-1].ravel())[0, 1]
    samples = np.corrcoef(dropped[1:].ravel(), dropped[:-1].ravel())[0, 1]
    assert max(abs(neighbours), abs(samples)) < 5 / 1000


@pytest.mark.parametrize("rate", [0.2, 0.75])
def test_the_mean_stays_and_the_variance_is_known(rate: float) -> None:
    """y = m · 3 has the mean 3 and the variance 9 p / (1 − p)."""
    y = built(rate, seed=2).forward(np.full((1000, 1000), 3.0))[0]
    variance = 9 * rate / (1 - rate)
    assert abs(y.mean() - 3) < 5 * sqrt(variance) / 1000
    assert abs(y.var() / variance - 1) < 0.02


def test_every_pass_draws_anew_from_the_networks_generator() -> None:
    def passes(seed: int) -> list[Array]:
        net = Sequential([Dropout(0.5)], input_shape=50, rng=seed)
        return [net.forward(np.ones((4, 50), np.float32))[0] for _ in range(2)]

    one, again, other = passes(3), passes(3), passes(4)
    np.testing.assert_array_equal(one, again)
    assert (one[0] != one[1]).any()
    assert (one[0] != other[0]).any()


def test_both_number_types_drop_the_same() -> None:
    x = np.ones((10, 1000))
    single, double = (built(0.4, dtype=dtype).forward(x.astype(dtype))[0] for dtype in ("float32", "float64"))
    np.testing.assert_array_equal(single == 0, double == 0)
    assert single.dtype == np.float32


def test_inference_is_the_identity_and_draws_nothing(rng: np.random.Generator) -> None:
    net = Sequential([Dense(5), Dropout(0.9)], input_shape=3, rng=0, dtype="float64")
    before = net.generator.bit_generator.state
    x = rng.normal(size=(6, 3))
    np.testing.assert_array_equal(net.predict(x), net[0].predict(x))
    assert net.generator.bit_generator.state == before
    assert not np.shares_memory(net[1].predict(x), x)
