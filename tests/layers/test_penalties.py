"""What penalties cost, written out, and that value and gradient are one function's."""

from typing import Any

import numpy as np
import pytest

from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.formulas.language import evaluate
from deepbp.layers import L1, L1L2, L2, Penalty
from deepbp.testing import numeric_gradient

W = np.array([[0.5, -2.0, 0.0], [3.0, -0.25, 1.0]])


def sign(w: float) -> float:
    return float(w > 0) - float(w < 0)


@pytest.mark.parametrize(
    ("penalty", "price", "slope"),
    [
        (L1(0.3), lambda w: 0.3 * abs(w), lambda w: 0.3 * sign(w)),
        (L2(0.3), lambda w: 0.3 * w * w, lambda w: 0.6 * w),
        (L1L2(0.1, 0.01), lambda w: 0.1 * abs(w) + 0.01 * w * w, lambda w: 0.1 * sign(w) + 0.02 * w),
        (L2(0.0), lambda w: 0.0, lambda w: 0.0),
    ],
    ids=["L1", "L2", "both", "nothing"],
)
def test_numbers_written_out(penalty: Penalty, price: Any, slope: Any) -> None:
    value, gradient = penalty(W)
    assert type(value) is float
    np.testing.assert_array_max_ulp(value, sum(price(w) for w in W.ravel().tolist()), maxulp=4)
    np.testing.assert_array_max_ulp(gradient, [[slope(w) for w in row] for row in W.tolist()], maxulp=4)
    away = np.where(W == 0, 0.7, W)  # from the kink
    np.testing.assert_allclose(penalty(away)[1], numeric_gradient(lambda w: penalty(w)[0], away), rtol=1e-7, atol=1e-10)


def test_as_keras_has_it() -> None:
    """keras.regularizers.L1L2(0.1, 0.01) of [1, −2, 0] is 0.35, of Keras 3.15."""
    assert L1L2(0.1, 0.01)(np.array([1.0, -2.0, 0.0]))[0] == pytest.approx(0.35)


@pytest.mark.parametrize("penalty", [L1(0.3), L2(0.7), L1L2(0.2, 0.4)], ids=repr)
def test_stated_formula_is_what_runs(penalty: Any) -> None:
    names = {"w": W, **{name: getattr(penalty, name) for name in penalty.__slots__ if name != "__weakref__"}}
    value, gradient = penalty(W)
    np.testing.assert_array_max_ulp(evaluate(penalty.formula.value, names), value, maxulp=4)
    np.testing.assert_array_max_ulp(evaluate(penalty.formula.gradient, names), gradient, maxulp=4)


def test_kink_has_the_slope_0() -> None:
    for penalty in (L1(2.0), L1L2(2.0, 1.0)):
        np.testing.assert_array_equal(penalty(np.array([0.0, -0.0]))[1], [0.0, 0.0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("penalty", [L1(np.float64(0.3)), L2(np.float64(0.7)), L1L2(np.float64(1), 1)], ids=repr)
def test_dtype_is_kept_and_extremes_are_no_trouble(penalty: Penalty, dtype: str) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    value, gradient = penalty(np.array([1e4, -1e4, tiny, -tiny, 0.0], dtype))
    assert gradient.dtype == dtype
    assert type(value) is float
    assert np.isfinite([value, *gradient]).all()


@pytest.mark.parametrize("kind", [L1, L2, lambda value: L1L2(value, 1), lambda value: L1L2(1, value)])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-3, ConfigurationError),
        (np.nan, ConfigurationError),
        (np.inf, ConfigurationError),
        (None, ArgumentTypeError),
        ("64", ArgumentTypeError),
        (True, ArgumentTypeError),
    ],
)
def test_strengths_that_make_no_sense(kind: Any, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"L[12]\w*: (strength|l1|l2): expected a number of at least 0, got"):
        kind(value)


def test_printed_as_they_are_made() -> None:
    assert [repr(one) for one in (L1(0.1), L2(0.2), L1L2(0.1, 0.2))] == [
        "L1(0.1)",
        "L2(0.2)",
        "L1L2(0.1, 0.2)",
    ]
