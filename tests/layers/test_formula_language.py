"""What the functions of formulas mean, and how they print."""

import math
from typing import Any

import numpy as np
import pytest

from deepbp.formulas.language import FUNCTIONS, evaluate
from deepbp.formulas.printer import TextPrinter, print_expression

X = np.array([[[0.5, -1.0], [2.0, 0.0]], [[-0.25, 3.0], [1.0, -2.0]], [[0.0, 1.0], [4.0, -0.5]]])


@pytest.mark.parametrize("name", ["cos", "cosh", "erf", "sin", "tanh", "exp"])
def test_a_function_is_pythons(name: str) -> None:
    expected = [getattr(math, name)(v) for v in X.ravel()]
    np.testing.assert_array_max_ulp(evaluate(f"{name}(x)", {"x": X}).ravel(), expected, maxulp=4)
    assert evaluate(f"{name}(x)", {"x": X[:0]}).shape == (0, 2, 2)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("feature_sum(x)", [7.25, 0.5]),
        ("batch_sum(x)", [[0.25, 3.0], [7.0, -2.5]]),
        ("batch_mean(x)", [[0.25 / 3, 1.0], [7 / 3, -2.5 / 3]]),
        ("row_sum(x)", [[[-0.5], [2.0]], [[2.75], [-1.0]], [[1.0], [3.5]]]),
        ("row_mean(x)", [[[-0.25], [1.0]], [[1.375], [-0.5]], [[0.5], [1.75]]]),
        ("total(x)", 7.75),
        ("sign(batch_sum(x) - 3)", [[-1, 0], [1, -1]]),
        ("sin(pi / 6)", 0.5),
    ],
)
def test_sums_means_and_signs(expression: str, expected: Any) -> None:
    np.testing.assert_array_max_ulp(evaluate(expression, {"x": X}), expected, maxulp=4)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("x * (1 + erf(x / sqrt(2))) / 2", "x · (1 + erf(x / √2)) / 2"),
        ("exp(-x**2 / 2) / sqrt(2 * pi)", "e^(−x² / 2) / √(2 π)"),
        ("(x - row_mean(x)) / batch_mean(x)", "(x − meanⱼ(x)) / meanᵢ(x)"),
        ("sign(x) * feature_sum(x)", "sgn(x) · Σᵢ x"),
        ("sin(x) + cos(x) + cosh(x)", "sin(x) + cos(x) + cosh(x)"),
    ],
)
def test_they_print(expression: str, text: str) -> None:
    assert print_expression(expression, {}, TextPrinter()) == text


def test_functions_are_listed_in_order() -> None:
    assert list(FUNCTIONS) == sorted(FUNCTIONS)
