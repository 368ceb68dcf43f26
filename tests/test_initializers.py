"""First values: their distribution, the fans it is fitted to, their dtype."""

from math import sqrt
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, ShapeError
from deepbp.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LeCunNormal,
    Normal,
    Ones,
    Orthogonal,
    Uniform,
    Zeros,
)
from deepbp.layers import Dense
from deepbp.typing import Array, Shape

FLOAT64 = np.dtype(np.float64)
ALL: list[Initializer] = [
    *(Zeros(), Ones(), Constant(0.3), Uniform(), Normal()),
    *(GlorotUniform(), GlorotNormal(), HeUniform(), HeNormal(), LeCunNormal(), Orthogonal()),
]


def draw(initializer: Initializer, shape: Shape, dtype: Any = FLOAT64) -> Array:
    return initializer(shape, np.random.default_rng(1), np.dtype(dtype))


def assert_moments(values: Array, mean: float, variance: float, kurtosis: float) -> None:
    """Within five standard errors of the sample's moments. Kurtosis: 3 for a normal, 1.8 for a uniform distribution."""
    n = values.size
    assert abs(values.mean() - mean) < 5 * sqrt(variance / n)
    assert abs(values.var() - variance) < 5 * variance * sqrt((kurtosis - 1) / n)
    fourth = ((values - mean) ** 4).mean() / variance**2
    assert abs(fourth - kurtosis) < 5 * sqrt(96 / n)  # the standard error for a normal, larger than for a uniform one


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("initializer", ALL, ids=repr)
def test_shape_dtype_and_repeatability(initializer: Initializer, dtype: Any) -> None:
    for shape in ((4, 3), (2, 2, 3)):
        values = draw(initializer, shape, dtype)
        assert values.shape == shape
        assert values.dtype == dtype
        np.testing.assert_array_equal(values, draw(initializer, shape, dtype))
        assert values.flags.writeable


def test_constants() -> None:
    np.testing.assert_array_equal(draw(Zeros(), (2, 3)), [[0, 0, 0]] * 2)
    np.testing.assert_array_equal(draw(Ones(), (2, 3)), [[1, 1, 1]] * 2)
    np.testing.assert_array_equal(draw(Constant(-0.25), (2,)), [-0.25, -0.25])


def test_uniform() -> None:
    values = draw(Uniform(-1, 3), (100_000,))
    assert_moments(values, mean=1, variance=16 / 12, kurtosis=1.8)
    assert -1 <= values.min() < -0.99
    assert 2.99 < values.max() <= 3


def test_normal() -> None:
    assert_moments(draw(Normal(mean=2, std=0.5), (100_000,)), mean=2, variance=0.25, kurtosis=3)


SHAPES = [
    ((300, 500), 300, 500),
    ((4, 5, 20, 100), 400, 2000),
    ((50_000,), 50_000, 50_000),
]  # the axes before the last two are places


@pytest.mark.parametrize(("shape", "fan_in", "fan_out"), SHAPES, ids=["2-D", "4-D", "1-D"])
def test_scaled_to_the_fans(shape: Shape, fan_in: int, fan_out: int) -> None:
    glorot, he, lecun = 2 / (fan_in + fan_out), 2 / fan_in, 1 / fan_in
    for normal, variance in ((GlorotNormal(), glorot), (HeNormal(), he), (LeCunNormal(), lecun)):
        assert_moments(draw(normal, shape), 0, variance, kurtosis=3)
    for uniform, variance in ((GlorotUniform(), glorot), (HeUniform(), he)):
        values = draw(uniform, shape)
        assert_moments(values, 0, variance, kurtosis=1.8)
        limit = sqrt(3 * variance)  # Glorot's √(6 / (fan_in + fan_out)), He's √(6 / fan_in)
        assert 0.99 * limit < np.abs(values).max() <= limit


@pytest.mark.parametrize("gain", [1.0, 2.5])
@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (2, 3, 4), (1, 1), (4, 1)])
def test_orthogonal(shape: Shape, gain: float) -> None:
    matrix = draw(Orthogonal(gain), shape).reshape(-1, shape[-1])
    product = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(product, gain**2 * np.eye(len(product)), atol=1e-13)


def test_orthogonal_is_spread_evenly() -> None:
    """The trace of a rotation or reflection drawn evenly has mean 0 and variance 1; that of a bare QR has not."""
    rng = np.random.default_rng(1)
    traces = np.array([np.trace(Orthogonal()((3, 3), rng, FLOAT64)) for _ in range(4000)])
    assert abs(traces.mean()) < 5 / sqrt(4000)
    assert abs(traces.var() - 1) < 0.15


def test_orthogonal_refuses_vectors() -> None:
    with pytest.raises(ShapeError, match=r"Orthogonal: expected a shape of two or more axes, got \(3,\): use Zeros"):
        draw(Orthogonal(), (3,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(float("nan")), "Constant: value: expected a finite number, got nan"),
        (lambda: Uniform(1.0, -1.0), "Uniform: expected low ≤ high, got low=1.0, high=-1.0"),
        (lambda: Uniform(0.0, float("inf")), "Uniform: high: expected a finite number, got inf"),
        (lambda: Normal(std=-1.0), "Normal: std: expected a number of at least 0, got -1.0"),
        (lambda: Orthogonal(0.0), "Orthogonal: gain: expected a number above 0, got 0.0"),
    ],
)
def test_values_that_make_no_sense_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize("value", ["1", None, True, [1.0], 1j])
def test_what_is_no_number_is_refused(value: Any) -> None:
    for kind, name in ((Constant, "value"), (Uniform, "low"), (Normal, "mean"), (Orthogonal, "gain")):
        with pytest.raises(ArgumentTypeError, match=f"{kind.__name__}: {name}: expected a .*number.*, got"):
            kind(value)


@pytest.mark.parametrize("initializer", [Constant(1e39), Normal(std=1e39), Uniform(-1e308, 1e308)])
def test_values_that_the_dtype_cannot_hold_are_refused(initializer: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"layer 0, Dense.*initializer .*: expected finite numbers of float32"):
        Sequential([Dense(2, weight_init=initializer)], input_shape=2, rng=0)


def test_a_parameter_that_no_memory_can_hold_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"layer 0, Dense.*memory can hold, got one of shape \(10000000000, 10000000000\)"
    ):
        Sequential([Dense(10**10)], input_shape=10**10)
