"""Rates and their logarithms, margins, focal losses: where a formula taken literally would overflow or lose digits."""

from math import exp, log
from typing import Any

import numpy as np
import pytest

from deepbp.losses import (
    CategoricalHinge,
    Hinge,
    KLDivergence,
    LogPoisson,
    Loss,
    Poisson,
    SigmoidBinaryCrossEntropy,
    SigmoidFocal,
    SoftmaxCrossEntropy,
    SoftmaxFocal,
    SquaredHinge,
)
from deepbp.testing import compare_gradients, numeric_gradient
from deepbp.typing import Array

DTYPES = [np.float32, np.float64]


def evaluate(loss: Loss[Any], prediction: Any, target: Any, dtype: Any = np.float64) -> tuple[float, Array]:
    target = np.asarray(target)
    value, saved = loss.forward(np.array(prediction, dtype), target if target.ndim == 1 else target.astype(dtype))
    return value, loss.backward(saved)


def test_both_forms_of_poisson_are_one(rng: np.random.Generator) -> None:
    z, y = rng.normal(size=(5, 3)), rng.poisson(2, (5, 3))
    value, delta = evaluate(LogPoisson(), z, y)
    rate_value, rate_delta = evaluate(Poisson(), np.exp(z), y)
    assert value == pytest.approx(rate_value, rel=1e-13)
    np.testing.assert_allclose(delta, rate_delta * np.exp(z), rtol=1e-12, atol=1e-16)  # the chain rule


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rate", [0.0, "subnormal"])
def test_a_rate_of_nothing(rate: Any, dtype: Any) -> None:
    least = float(np.sqrt(np.finfo(dtype).tiny))
    p = float(np.finfo(dtype).smallest_subnormal) if rate else 0.0
    value, delta = evaluate(Poisson(), [[p, p]], [[0, 1e9]], dtype)
    assert value == pytest.approx((least + least - 1e9 * log(least)) / 2, rel=1e-6)
    assert delta[0, 0] == 0.5
    assert delta[0, 1] == pytest.approx(-1e9 / least / 2, rel=1e-6)


@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 44.36142), (np.float64, 354.8913564)])
def test_the_logarithm_of_too_large_a_rate_goes_on_as_a_tangent(dtype: Any, limit: float) -> None:
    value, delta = evaluate(LogPoisson(), [[limit + 100]], [[3]], dtype)
    assert value == pytest.approx(exp(limit) * 101, rel=1e-4)
    assert delta[0, 0] == pytest.approx(exp(limit), rel=1e-4)
    value, delta = evaluate(LogPoisson(), [[-1e4]], [[3]], dtype)
    assert (value, delta[0, 0]) == (3e4, -3)
    if dtype == np.float64:
        p = np.array([[limit - 1, limit + 2]])
        analytic = evaluate(LogPoisson(), p, [[1, 1]])[1]
        numeric, resolution = numeric_gradient(
            lambda moved: LogPoisson().forward(moved, np.ones((1, 2)))[0], p, return_resolution=True
        )
        assert compare_gradients({"z": analytic}, {"z": numeric}, resolution={"z": resolution}).relative < 1e-6


@pytest.mark.parametrize("dtype", DTYPES)
def test_divergence_of_certain_rows(dtype: Any) -> None:
    value, delta = evaluate(KLDivergence(), [[0, 1], [1, 0]], [[0, 1], [1, 0]], dtype)
    assert value == 0
    np.testing.assert_array_equal(delta, [[0, -0.5], [-0.5, 0]])
    value, delta = evaluate(KLDivergence(), [[0, 1]], [[1, 0]], dtype)
    assert value == pytest.approx(-log(np.finfo(dtype).tiny), rel=1e-6)
    assert np.isfinite(delta).all()


def test_divergence_is_cross_entropy_less_the_entropy(rng: np.random.Generator) -> None:
    z, y = rng.normal(size=(5, 3)), rng.dirichlet(np.ones(3), 5)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    entropy = -(y * np.log(y)).sum() / 5
    assert evaluate(KLDivergence(), p, y)[0] == pytest.approx(evaluate(SoftmaxCrossEntropy(), z, y)[0] - entropy)


@pytest.mark.parametrize("loss", [Hinge(), SquaredHinge()], ids=repr)
def test_beyond_the_margin_there_is_nothing(loss: Loss[Any]) -> None:
    value, delta = evaluate(loss, [[1.0, -1.0, 2.5, -1e4]], [[1, 0, 1, 0]])
    assert value == 0
    np.testing.assert_array_equal(delta, 0)
    value, delta = evaluate(loss, [[1.0, -1.0]], [[0, 1]])  # both wrong by 2
    assert value == (2 if loss == Hinge() else 4)
    np.testing.assert_array_equal(delta, np.array([[0.5, -0.5]]) * (1 if loss == Hinge() else 4))


def test_the_largest_wrong_score_counts() -> None:
    value, delta = evaluate(CategoricalHinge(), [[-3, -1, -2.0], [0, 1.5, 0], [4, 1, 5]], [1, 0, 2])
    assert value == pytest.approx((0 + 2.5 + 0) / 3)  # 5 wins over 4 by just the margin
    np.testing.assert_allclose(delta, np.array([[0, 0, 0], [-1, 1, 0], [1, 0, -1]]) / 3)  # the first of equal ones


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2, 5])
def test_focal_losses_of_scores_of_any_size(gamma: float, dtype: Any) -> None:
    value, delta = evaluate(SigmoidFocal(gamma, alpha=None), [[1e4, -1e4, 1e4, -1e4]], [[1, 0, 0, 1]], dtype)
    assert value == pytest.approx(2e4 / 4)
    np.testing.assert_array_equal(delta, [[0, 0, 0.25, -0.25]])
    value, delta = evaluate(SoftmaxFocal(gamma), [[1e4, -1e4, 0], [1e4, -1e4, 0]], [0, 1], dtype)
    assert value == pytest.approx(2e4 / 2)
    np.testing.assert_array_equal(delta, [[0, 0, 0], [0.5, -0.5, 0]])


def test_focal_losses_of_confident_right_answers_keep_their_digits() -> None:
    """(1 − p)² (−ln p) ≈ e⁻³ᶻ, which 1 − p taken literally would swallow."""
    assert evaluate(SigmoidFocal(2, alpha=None), [[30.0]], [[1]])[0] == pytest.approx(exp(-90), rel=1e-12, abs=0)
    assert evaluate(SigmoidFocal(2, alpha=None), [[-30.0]], [[0]])[0] == pytest.approx(exp(-90), rel=1e-12, abs=0)


def test_without_focus_they_are_cross_entropies(rng: np.random.Generator) -> None:
    z, y, labels = rng.normal(size=(5, 3)), rng.integers(0, 2, (5, 3)), rng.integers(0, 3, 5)
    for focal, plain, target in (
        (SigmoidFocal(0, alpha=None), SigmoidBinaryCrossEntropy(), y),
        (SigmoidFocal(0, alpha=0.75), SigmoidBinaryCrossEntropy(pos_weight=3), y),
        (SoftmaxFocal(0), SoftmaxCrossEntropy(), labels),
    ):
        factor = 0.25 if target is y and focal != SigmoidFocal(0, alpha=None) else 1
        (value, delta), (other, other_delta) = evaluate(focal, z, target), evaluate(plain, z, target)
        assert value == pytest.approx(factor * other, rel=1e-12)
        np.testing.assert_allclose(delta, factor * other_delta, rtol=1e-10, atol=1e-15)


def test_alpha_weighs_classes_as_weights_of_samples_do(rng: np.random.Generator) -> None:
    z, labels, alpha = rng.normal(size=(6, 3)), np.array([0, 1, 2, 0, 1, 2]), np.array([0.5, 2.0, 3.0])
    loss, plain = SoftmaxFocal(alpha=alpha), SoftmaxFocal()
    (value, saved), (other, other_saved) = loss.forward(z, labels), plain.forward(z, labels, alpha[labels])
    assert value == pytest.approx(other, rel=1e-13)
    np.testing.assert_allclose(loss.backward(saved), plain.backward(other_saved), rtol=1e-12)
    assert repr(loss) == "SoftmaxFocal(alpha=(0.5, 2.0, 3.0))"
