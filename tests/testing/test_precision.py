"""Precision of the checks: the smallest error that each comparison reports, and errors just below it."""

import numpy as np
import pytest
from attrs import define
from right_layers import Square

from deepbp.testing import CheckFailure, compare_gradients, layer_checks, numeric_gradient
from deepbp.typing import Array

EPSILON = float(np.finfo(np.float64).eps)
STEP = float(np.cbrt(EPSILON))
X = np.array([0.5, -2.0, 3.0])


def squares(x: Array) -> float:
    """Σ x², whose differences are exact but for rounding."""
    return float((x * x).sum())


@define(eq=False)
class Off(Square):
    """x², with a gradient and a prediction that are wrong by so much, relative."""

    signal: float = 0.0
    prediction: float = 0.0

    def backward(self, x: Array, delta: Array) -> Array:
        return (1 + self.signal) * super().backward(x, delta)

    def predict(self, x: Array) -> Array:
        y = self.forward(x)[0]
        return y + self.prediction * max(1.0, float(y.max(initial=1)))


@pytest.mark.parametrize(
    ("check", "layer", "is_right"),
    [
        ("input_gradient", Off(signal=5e-8), True),
        ("input_gradient", Off(signal=-5e-8), True),
        ("input_gradient", Off(signal=2e-7), False),
        ("input_gradient", Off(signal=-2e-7), False),
        ("predict_equals_forward", Off(prediction=0.9e-10), True),
        ("predict_equals_forward", Off(prediction=1.1e-10), False),
    ],
    ids=repr,
)
def test_smallest_error_that_a_check_reports(check: str, layer: Off, is_right: bool) -> None:
    run = {one.name: one for one in layer_checks(layer, (3,))}[check].run
    if is_right:
        run()
    else:
        with pytest.raises(CheckFailure):
            run()


def test_resolution_is_eight_roundings_of_the_function_over_the_step() -> None:
    gradient, resolution = numeric_gradient(squares, X, return_resolution=True)
    np.testing.assert_array_equal(gradient, numeric_gradient(squares, X))
    h = STEP * np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(resolution, 8 * EPSILON * squares(X) / h, rtol=1e-4)
    _, coarser = numeric_gradient(squares, X, magnitude=100, step=STEP / 10, return_resolution=True)
    np.testing.assert_allclose(coarser, 8 * EPSILON * 100 / (h / 10), rtol=1e-4)


def test_resolution_is_nan_at_other_places() -> None:
    _, resolution = numeric_gradient(squares, X, places=[(1,)], return_resolution=True)
    np.testing.assert_array_equal(np.isnan(resolution), [True, False, True])


def test_resolution_of_the_complex_step_is_that_of_the_function() -> None:
    def cubes(x: Array) -> float:
        total: float = (x**3).sum()
        return total

    gradient, resolution = numeric_gradient(cubes, X, complex_step=True, return_resolution=True)
    assert (np.abs(gradient - 3 * X**2) <= resolution).all()
    assert (resolution < 1e-13).all()


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e6])
def test_differences_of_a_large_function_are_within_their_resolution(offset: float) -> None:
    """The offset takes digits: 1e-7 is missed without the resolution, and an error that can be seen is seen with it."""

    def moved(x: Array) -> float:
        return squares(x) + offset

    x = np.random.default_rng(0).normal(size=50)
    numeric, resolution = numeric_gradient(moved, x, return_resolution=True)
    right = compare_gradients({"x": 2 * x}, {"x": numeric}, resolution={"x": resolution})
    assert right.relative < 1e-7
    if offset:
        assert compare_gradients({"x": 2 * x}, {"x": numeric}).relative > 1e-7
    wrong = 2 * x
    wrong[3] += 2.1 * resolution[3] + 1e-6 * abs(wrong[3])
    report = compare_gradients({"x": wrong}, {"x": numeric}, resolution={"x": resolution})
    assert report.relative > 1e-7
    assert report.errors[0].place == (3,)


def test_resolution_includes_terms_that_cancel() -> None:
    """Σ δ · y is 0 here, and its differences are not known to rounding of 0."""
    delta, x = np.array([1e6, -1e6, 1.0]), np.array([0.3, 0.3, 0.0])

    def f(x: Array) -> float:
        return float(np.vdot(delta, np.tanh(x)))

    analytic = delta * (1 - np.tanh(x) ** 2)
    numeric, by_value = numeric_gradient(f, x, return_resolution=True)
    _, by_terms = numeric_gradient(f, x, magnitude=float(np.abs(delta * np.tanh(x)).sum()), return_resolution=True)
    assert abs(f(x)) < 1e-3
    assert by_value[2] < 1e-12
    assert (by_terms > 1e-5).all()
    assert compare_gradients({"x": analytic}, {"x": numeric}, resolution={"x": by_terms}).relative == 0


def test_relative_error_excludes_the_resolution() -> None:
    analytic, numeric = np.array([100.0, 1e-4, 0.0]), np.array([100.0, 1.5e-4, 0.0])
    for resolution, relative in ((0.0, 1 / 3), (2e-5, 0.2), (5.0001e-5, 0.0)):
        report = compare_gradients({"a": analytic}, {"a": numeric}, resolution={"a": np.full(3, resolution)})
        assert report.relative == pytest.approx(relative, abs=1e-12)
        assert report.errors[0].absolute == pytest.approx(5e-5)


@pytest.mark.parametrize("resolution", [1.0, np.inf, np.nan])
def test_nan_is_an_error_at_any_resolution(resolution: float) -> None:
    nan, one = {"a": np.array([np.nan])}, {"a": np.array([1.0])}
    for analytic, numeric in ((nan, one), (one, nan)):
        assert compare_gradients(analytic, numeric, resolution={"a": np.array([resolution])}).relative == np.inf


@pytest.mark.parametrize(
    ("largest", "floor"), [(1.0, 1e-3), (50.0, 5e-2), (1e-3, 1e-6), (1e-4, 1e-6)], ids=["1", "50", "1e-3", "1e-4"]
)
def test_without_a_resolution_small_entries_count_as_a_thousandth_of_the_largest(largest: float, floor: float) -> None:
    analytic, numeric = np.array([largest, 0.5 * floor]), np.array([largest, 0.4 * floor])
    report = compare_gradients({"a": analytic}, {"a": numeric})
    assert report.relative == pytest.approx(0.1, rel=1e-9)
    analytic[1], numeric[1] = 2 * floor, 1.6 * floor  # not small: relative to itself
    assert compare_gradients({"a": analytic}, {"a": numeric}).relative == pytest.approx(0.2, rel=1e-9)
