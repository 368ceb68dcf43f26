"""Losses stay finite and right where their formulas, taken literally, overflow or meet ln 0."""

from typing import Any

import numpy as np
import pytest

from deepbp.losses import BinaryCrossEntropy, CrossEntropy, Loss, SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy
from deepbp.typing import Array

pytestmark = pytest.mark.usefixtures("kernel_form")
DTYPES = [np.float32, np.float64]


def evaluate(loss: Loss[Any], prediction: Array, target: Array) -> tuple[float, Array]:
    value, saved = loss.forward(prediction, target)
    return value, loss.backward(saved)


@pytest.mark.parametrize("dtype", DTYPES)
def test_scores_of_any_size(dtype: Any) -> None:
    """ln(1 + eᶻ) is z for large z; so a wrong score of ±10⁴ costs 10⁴, a right one nothing."""
    z = np.array([[1e4], [-1e4], [1e4], [-1e4]], dtype)
    y = np.array([[1.0], [0], [0], [1]], dtype)
    value, delta = evaluate(SigmoidBinaryCrossEntropy(), z, y)
    assert value == pytest.approx(2e4 / 4, rel=1e-7)
    np.testing.assert_array_equal(delta, np.array([[0], [0], [0.25], [-0.25]]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("one_hot", [False, True])
def test_many_scores_of_any_size(one_hot: bool, dtype: Any) -> None:
    z = np.array([[1e4, -1e4, 0], [1e4, -1e4, 0]], dtype)
    labels = np.array([0, 1])
    value, delta = evaluate(SoftmaxCrossEntropy(), z, np.eye(3, dtype=dtype)[labels] if one_hot else labels)
    assert value == pytest.approx(2e4 / 2, rel=1e-7)
    np.testing.assert_array_equal(delta, [[0, 0, 0], [0.5, -0.5, 0]])


def test_confident_right_answers_keep_their_digits() -> None:
    """−ln σ(z) ≈ e⁻ᶻ, which 1 + e⁻ᶻ would swallow."""
    value, _ = evaluate(SigmoidBinaryCrossEntropy(), np.array([[50.0]]), np.array([[1.0]]))
    assert value == pytest.approx(np.exp(-50.0), rel=1e-14, abs=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_probabilities_of_exactly_0_and_1(p: float, y: float, dtype: Any) -> None:
    value, delta = evaluate(BinaryCrossEntropy(), np.array([[p]], dtype), np.array([[y]], dtype))
    assert np.isfinite(value)
    assert np.isfinite(delta).all()
    if p == y:
        assert value == pytest.approx(0, abs=2 * float(np.finfo(dtype).eps))
    else:
        assert value > 15
        assert np.sign(delta[0, 0]) == np.sign(p - y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("one_hot", [False, True])
def test_a_right_class_of_probability_0(one_hot: bool, dtype: Any) -> None:
    labels = np.array([0, 1])
    target = np.eye(2, dtype=dtype)[labels] if one_hot else labels
    value, delta = evaluate(CrossEntropy(), np.array([[0, 1], [0, 1]], dtype), target)
    assert value == pytest.approx(-np.log(np.finfo(dtype).tiny) / 2, rel=1e-6)
    assert np.isfinite(delta).all()
    assert delta[0, 0] < -1e30
    np.testing.assert_array_equal(delta[1], [0, -0.5])
