"""Diagnosis of wrong gradients: only with evidence in every sample."""

from collections.abc import Callable

import numpy as np
import pytest

from deepbp.testing.diagnosis import GradientSample, explain
from deepbp.typing import Array

SIZES = {"the batch size": 32, "the number of a sample's inputs": 4}
Mistake = Callable[[Array], Array]


def measured(mistake: Mistake, *, shape: tuple[int, ...] = (4, 4)) -> list[GradientSample]:
    """Two measurements of a gradient that is the true one with a mistake."""
    numeric = [np.random.default_rng(seed).normal(size=shape) for seed in (0, 1)]
    return [GradientSample(mistake(one), one) for one in numeric]


@pytest.mark.parametrize(
    ("mistake", "text"),
    [
        (lambda g: -g, "is the negative of the numeric gradient"),
        (lambda g: 32 * g, "is 32 times too large: 32 is the batch size: was a mean forgotten, or a sum taken twice?"),
        (lambda g: g / 32, "is 32 times too small: 32 is the batch size: was a mean taken over the batch?"),
        (lambda g: -4 * g, "is the negative of 4 times too large: 4 is the number of a sample's inputs"),
        (lambda g: 2 * g, "is 2 times too large: was a factor of 2 taken twice?"),
        (lambda g: g / 2, "is half the numeric gradient: was a factor of 2 forgotten?"),
        (lambda g: 0.3 * g, "is 0.3 times the numeric gradient, everywhere"),
        (lambda g: g.T, "is transposed"),
        (lambda g: g[::-1], "has its rows in reverse order"),
        (lambda g: g[:, ::-1], "holds the right numbers in the wrong places"),
        (lambda g: 0 * g, "is zero everywhere"),
        (lambda g: g + np.eye(4)[0], "is right in columns 1, 2, 3 and wrong in column 0"),
        (lambda g: g + np.eye(4)[:, :1], "is right in rows 1, 2, 3 and wrong in row 0"),
        (lambda g: g * (1 + 1e-6), "is right to about five digits"),
        (lambda g: np.where(g > 0, np.nan, g), "is not finite where the numeric gradient is"),
    ],
)
def test_diagnosis_of_a_common_mistake(mistake: Mistake, text: str) -> None:
    assert explain(measured(mistake), SIZES).startswith(text)


@pytest.mark.parametrize(
    "mistake",
    [lambda g: g**2, np.exp, lambda g: g + 1, lambda g: g.T + g, np.cumsum],
    ids=["square", "exp", "shifted", "transposed", "sums"],
)
def test_no_diagnosis_without_evidence(mistake: Mistake) -> None:
    assert explain(measured(lambda g: mistake(g).reshape(4, 4)), SIZES) == ""


def test_a_single_number_gives_no_evidence_of_a_factor() -> None:
    """One number is always some multiple of another: only two measurements show that the factor is no accident."""
    for shape in ((1,), ()):
        factors = iter((32.0, 7.0))
        assert explain(measured(lambda g, f=factors: next(f) * g, shape=shape), SIZES) == ""  # type: ignore[misc]


def test_a_factor_that_is_no_size_is_not_attributed_to_one() -> None:
    assert "batch" not in explain(measured(lambda g: 31 * g), SIZES)


def test_equal_sizes_are_both_named() -> None:
    text = explain(measured(lambda g: 5 * g), {"the batch size": 5, "the number of classes": 5})
    assert "5 is the batch size and the number of classes" in text


def test_a_known_factor_must_explain_all_samples() -> None:
    rng = np.random.default_rng(3)
    numeric, gains = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 3))
    right = [GradientSample(n / g, n, {"gain": g}) for n, g in zip(numeric, gains, strict=True)]
    assert explain(right, {}) == "lacks a factor: times gain it would be right"
    wrong = [right[0], GradientSample(numeric[1] * 2 / gains[1] ** 2, numeric[1], {"gain": gains[1]})]
    assert explain(wrong, {}) == ""


def test_a_candidate_equal_to_the_right_gradient_is_no_diagnosis() -> None:
    """The diagonal of a Jacobian that has no more than its diagonal is not a mistake."""
    one = np.random.default_rng(4).normal(size=(3, 2))
    assert explain([GradientSample(one + 1, one, candidates={"is the diagonal": lambda: one})], {}) == ""
    assert explain([GradientSample(one + 1, one, candidates={"adds one": lambda: one + 1})], {}) == "adds one"
