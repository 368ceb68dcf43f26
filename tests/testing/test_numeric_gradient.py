"""Numeric gradients, and their comparison with analytic ones."""

from typing import Any

import numpy as np
import pytest

from deepbp.errors import ArgumentTypeError, DataTypeError, ShapeError
from deepbp.testing import compare_gradients, numeric_gradient
from deepbp.testing.gradients import one_sided_gradients
from deepbp.typing import Array


def cubes(x: Array) -> float:
    """Σ x³, whose gradient is 3x²; complex for a complex x."""
    total: float = (x**3).sum()
    return total


def test_central_differences_are_accurate_to_nine_digits() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_allclose(numeric_gradient(cubes, x), 3 * x**2, rtol=1e-9, atol=1e-9)


def test_step_grows_with_the_value() -> None:
    x = np.array([1e6])
    np.testing.assert_allclose(numeric_gradient(cubes, x), 3 * x**2, rtol=1e-9)


def test_complex_step_is_accurate_to_machine_precision() -> None:
    x = np.random.default_rng(1).normal(size=(2, 3))
    np.testing.assert_allclose(numeric_gradient(cubes, x, complex_step=True), 3 * x**2, rtol=1e-15)


def test_only_the_given_places_are_differentiated() -> None:
    gradient = numeric_gradient(cubes, np.full((2, 2), 2.0), places=[(0, 1)])
    assert gradient[0, 1] == pytest.approx(12)
    assert np.isnan(gradient).sum() == 3


def test_x_is_not_modified() -> None:
    x = np.array([1.0, 2.0])
    x.flags.writeable = False
    numeric_gradient(cubes, x)
    np.testing.assert_array_equal(x, [1.0, 2.0])


def test_float32_raises() -> None:
    with pytest.raises(DataTypeError, match="expected float64, got float32"):
        numeric_gradient(cubes, np.zeros(2, np.float32))


def test_one_sided_gradients_differ_at_a_kink() -> None:
    left, right = one_sided_gradients(lambda x: float(np.abs(x).sum()), np.array([3.0, 0.0]), (1,))
    assert [left, right] == pytest.approx([-1, 1])


def test_report_names_the_worst_entry_of_each_array() -> None:
    one = {"a": np.array([1.0, 2.0]), "b": np.array([[3.0, 4.0]])}
    other = {"a": np.array([1.0, 2.0]), "b": np.array([[3.0, 5.0]])}
    report = compare_gradients(one, other)
    assert [error.absolute for error in report.errors] == [0, 1]
    assert report.relative == pytest.approx(0.2)
    assert report.errors[1].place == (0, 1)
    assert "b[0, 1]: analytic 4, numeric 5" in str(report)


def test_nan_is_the_largest_error() -> None:
    assert compare_gradients({"a": np.array([np.nan])}, {"a": np.array([1.0])}).relative == np.inf


@pytest.mark.parametrize("arguments", [([1.0], {}), ({}, [1.0])], ids=["analytic", "numeric"])
def test_gradients_are_given_by_name(arguments: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="compare_gradients: expected arrays by name"):
        compare_gradients(*arguments)


def test_names_and_shapes_must_match() -> None:
    with pytest.raises(ShapeError, match="expected the same names"):
        compare_gradients({"a": np.zeros(1)}, {"b": np.zeros(1)})
    with pytest.raises(ShapeError, match=r"a: the analytic gradient has shape \(1,\), the numeric one \(2,\)"):
        compare_gradients({"a": np.zeros(1)}, {"a": np.zeros(2)})
