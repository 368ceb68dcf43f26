"""Losses of differences and directions: limits, kinks, small numbers, and vectors without a direction."""

from typing import Any

import numpy as np
import pytest

from deepbp.losses import CosineSimilarity, Huber, LogCosh, Loss, MeanAbsoluteError, MeanSquaredError, Quantile
from deepbp.typing import Array


def evaluate(loss: Loss[Any], prediction: Array, target: Array) -> tuple[float, Array]:
    value, saved = loss.forward(prediction, target)
    return value, loss.backward(saved)


@pytest.mark.parametrize("loss", [MeanAbsoluteError(), Quantile(0.2), Huber(), LogCosh()], ids=repr)
def test_a_perfect_prediction_costs_nothing_and_has_no_slope(loss: Loss[Any]) -> None:
    value, delta = evaluate(loss, np.array([[1.5, -2.0]]), np.array([[1.5, -2.0]]))
    assert value == 0
    np.testing.assert_array_equal(delta, 0)


def test_huber_is_half_the_squares_for_a_large_delta_and_the_distance_for_a_small_one(rng: np.random.Generator) -> None:
    p, t = rng.normal(size=(2, 5, 3))
    squares, distances = evaluate(MeanSquaredError(), p, t), evaluate(MeanAbsoluteError(), p, t)
    value, delta = evaluate(Huber(100), p, t)
    assert value == pytest.approx(squares[0] / 2)
    np.testing.assert_allclose(delta, squares[1] / 2)
    value, delta = evaluate(Huber(1e-7), p, t)
    assert value / 1e-7 == pytest.approx(distances[0], rel=1e-5)
    np.testing.assert_allclose(delta / 1e-7, distances[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sign", [-1, 1])
def test_log_cosh_far_away_and_near(sign: int, dtype: Any) -> None:
    zero = np.zeros((1, 1), dtype)
    value, delta = evaluate(LogCosh(), np.array([[sign * 1e4]], dtype), zero)
    assert value == pytest.approx(1e4 - np.log(2), rel=1e-7)
    assert delta[0, 0] == sign
    value, delta = evaluate(LogCosh(), np.array([[sign * 1e-3]], dtype), zero)
    assert value == pytest.approx(5e-7, rel=1e-3, abs=0)
    assert delta[0, 0] == pytest.approx(sign * 1e-3, rel=1e-5)


def test_directions_alone_count(rng: np.random.Generator) -> None:
    p, t = rng.normal(size=(2, 4, 3))
    value, delta = evaluate(CosineSimilarity(), p, t)
    for factor in (1e-15, 1e12):
        scaled, scaled_delta = evaluate(CosineSimilarity(), p * factor, t / factor)
        assert scaled == pytest.approx(value, rel=1e-13)
        np.testing.assert_allclose(scaled_delta * factor, delta, rtol=1e-10)
    np.testing.assert_allclose((delta * p).sum(axis=1), 0, atol=1e-15)  # no step along the prediction itself
    assert evaluate(CosineSimilarity(), p, 2 * p)[0] == pytest.approx(0, abs=1e-30)
    np.testing.assert_array_max_ulp(evaluate(CosineSimilarity(), p, -2 * p)[0], 2.0, maxulp=4)


def test_a_small_angle_keeps_its_digits() -> None:
    """1 − cos θ ≈ θ²/2, which the difference of two numbers near 1 would lose."""
    value, _ = evaluate(CosineSimilarity(), np.array([[1.0, 1e-9]]), np.array([[1.0, 0.0]]))
    assert value == pytest.approx(5e-19, rel=1e-6, abs=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0.0, "subnormal"])
def test_vectors_of_zeros_have_no_direction(size: Any, dtype: Any) -> None:
    none = np.full((1, 3), np.finfo(dtype).smallest_subnormal if size else 0, dtype)
    some = np.array([[3.0, 0, -4]], dtype)
    for p, t in ((none, some), (some, none), (none, none)):
        value, delta = evaluate(CosineSimilarity(), np.concatenate([p, some]), np.concatenate([t, -some]))
        assert value == pytest.approx((1 + 2) / 2, rel=1e-6)
        np.testing.assert_array_equal(delta[0], 0)
