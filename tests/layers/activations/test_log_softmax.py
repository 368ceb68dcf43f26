"""Logarithms of probabilities: the definition, the whole Jacobian, and the digits of what is almost certain."""

import math
from typing import Any

import numpy as np
import pytest

from deepbp.layers import LogSoftmax, Softmax

DTYPES = [np.float32, np.float64]


@pytest.mark.parametrize("shape", [(5,), (3, 4), (1,)])
def test_it_is_the_logarithm_of_softmax(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    z = rng.normal(size=(6, *shape))
    y = LogSoftmax().predict(z)
    np.testing.assert_allclose(y, np.log(Softmax().predict(z)), rtol=1e-13, atol=1e-15)
    for row in np.ndindex(z.shape[:-1]):
        total = math.fsum(math.exp(v) for v in z[row])
        np.testing.assert_allclose(y[row], [v - math.log(total) for v in z[row]], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("classes", [1, 2, 3, 7])
def test_the_whole_jacobian_is_applied(classes: int, rng: np.random.Generator) -> None:
    """∂yᵢ/∂zⱼ = 𝟙ᵢⱼ − pⱼ, built as a matrix for each sample."""
    z, delta = rng.normal(size=(2, 5, classes))
    _, saved = LogSoftmax().forward(z)
    moved = LogSoftmax().backward(saved, delta)
    for row in range(5):
        p = np.exp(z[row]) / np.exp(z[row]).sum()
        jacobian = np.eye(classes) - np.outer(np.ones(classes), p)
        np.testing.assert_allclose(moved[row], jacobian.T @ delta[row], rtol=1e-11, atol=1e-14)


def test_pytorchs_values() -> None:
    """PyTorch 2.13, float64; the error signal sent in counts from 1."""
    z = np.array([[-4, -3, -1, -0.25, 0, 0.5, 2, 3, 6, 7]])
    y, saved = LogSoftmax().forward(z)
    np.testing.assert_allclose(y, z - 7.333937660770907, rtol=1e-14)
    moved = LogSoftmax().backward(saved, np.arange(1.0, 11)[None])
    expected = [0.9993421966131956, 1.9982119050069507, 2.986787665786142, 3.97202948824977, 4.964085151994942]
    expected += [5.940786426160098, 6.734623173306056, 7.278630994303727, -5.489083799155677, -29.385413202265223]
    np.testing.assert_allclose(moved, [expected], rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gap", [1.0, 20.0, 50.0, 80.0])
def test_what_is_almost_certain_keeps_its_digits(gap: float, dtype: Any) -> None:
    """ln p = −ln(1 + e^−gap) ≈ −e^−gap, where 1 + e^−gap is 1 to the last digit."""
    y = LogSoftmax().predict(np.array([[3.0 + gap, 3.0], [-gap, 0.0]], dtype))
    small = -math.log1p(math.exp(-gap))
    assert small < 0
    expected = [[small, -gap + small], [-gap + small, small]]
    np.testing.assert_allclose(y, expected, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_scores_far_out(dtype: Any) -> None:
    z = np.array([[1e4, 1e4, -1e4], [-1e4, -1e4, -1e4]], dtype)
    third, half = -math.log(3), -math.log(2)
    np.testing.assert_allclose(LogSoftmax().predict(z), [[half, half, -2e4], [third] * 3], rtol=1e-4)
    np.testing.assert_array_equal(LogSoftmax().predict(z)[0, :2], dtype(half))
