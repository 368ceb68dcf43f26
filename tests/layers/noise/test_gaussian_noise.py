"""Gaussian noise: how it is distributed, and that it is a constant to the error signal."""

from math import sqrt

import numpy as np
import pytest

from deepbp.layers import Builder, GaussianNoise
from deepbp.typing import Array


def noise(std: float, seed: int = 0, dtype: str = "float64") -> Array:
    """What is added to a million numbers."""
    layer = GaussianNoise(std)
    Builder(seed, dtype).build(layer, (1000,))
    x = np.full((1000, 1000), 7, dtype)
    return layer.forward(x)[0].astype(np.float64) - 7


@pytest.mark.parametrize("std", [0.05, 2.0])
def test_it_is_normal_with_this_standard_deviation(std: float) -> None:
    """Moments of n = 10⁶ normal numbers stray by √(1/n), √(2/n), √(15/n), √(96/n), and by no more than 5 times that."""
    z = noise(std) / std
    for power, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - expected) < 5 * sqrt(variance) / 1000
    assert abs(np.corrcoef(z[:, 1:].ravel(), z[:, :-1].ravel())[0, 1]) < 5 / 1000
    assert abs(np.corrcoef(z[1:].ravel(), z[:-1].ravel())[0, 1]) < 5 / 1000


def test_the_seed_decides() -> None:
    np.testing.assert_array_equal(noise(1.0, seed=1), noise(1.0, seed=1))
    assert (noise(1.0, seed=1) != noise(1.0, seed=2)).all()
    np.testing.assert_allclose(noise(1.0, dtype="float32"), noise(1.0), atol=1e-6)


def test_none_is_added_with_a_deviation_of_0_or_in_inference(rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 1000))
    for layer in (GaussianNoise(0), GaussianNoise(3.0)):
        Builder(0, "float64").build(layer, (1000,))
        np.testing.assert_array_equal(layer.predict(x), x)
        assert not np.shares_memory(layer.predict(x), x)
    np.testing.assert_array_equal(noise(0), np.zeros((1000, 1000)))


def test_the_error_signal_passes_as_it_is(rng: np.random.Generator) -> None:
    layer, delta = GaussianNoise(1.0), rng.normal(size=(5, 4))
    Builder(0, "float64").build(layer, (4,))
    np.testing.assert_array_equal(layer.backward(layer.forward(delta)[1], delta), delta)
