"""The kernels of losses: both forms give the same numbers, accurate ones also at the ends of the range."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from forms import needs_numba

from deepbp.errors import DataTypeError, ShapeError
from deepbp.kernels import numpy_losses as plain

fused: Any = import_module("deepbp.kernels.numba_losses") if find_spec("numba") else None
in_both_forms = pytest.mark.parametrize(
    "form", [pytest.param(plain, id="plain"), pytest.param(fused, id="fused", marks=needs_numba)]
)
DTYPES = [np.float32, np.float64]
TERMS: dict[str, tuple[float, float, str, tuple[float, ...]]] = {  # the range of predictions, targets, and settings
    "binary_cross_entropy": (0, 1, "shares", ()),
    "log_cosh": (-30, 30, "values", ()),
    "poisson": (0, 30, "counts", ()),
    "log_poisson": (-30, 30, "counts", ()),
    "sigmoid_focal": (-30, 30, "answers", (2.0, 0.25, 0.75)),
}


def draw(name: str, shape: tuple[int, ...], dtype: Any) -> tuple[Any, Any]:
    low, high, kind, _ = TERMS[name]
    rng = np.random.default_rng(0)
    prediction = rng.uniform(low, high, shape)
    target = {
        "shares": rng.random(shape),
        "values": prediction - rng.choice([-1, 1], shape) * 10.0 ** rng.uniform(-1, 1, shape),
        "counts": rng.integers(0, 9, shape),
        "answers": rng.integers(0, 2, shape),
    }[kind]
    return prediction.astype(dtype), np.asarray(target, dtype)


@needs_numba
def test_every_kernel_has_both_forms() -> None:
    assert plain.__all__ == fused.__all__
    assert all(getattr(fused, name).__module__ == fused.__name__ for name in plain.__all__)


def size_of_differences(name: str, prediction: Any, target: Any) -> Any:
    """The size of what is subtracted in the terms λ − y ln λ, or eᶻ − y z, which may leave few digits; else 0."""
    if name == "poisson":
        return prediction + target * np.abs(np.log(prediction))
    return np.exp(prediction) + target * np.abs(prediction) if name == "log_poisson" else 0


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TERMS)
def test_both_forms_agree(name: str, dtype: Any) -> None:
    for shape in ((40, 25), (1, 1)):
        given = *draw(name, shape, dtype), *TERMS[name][3]
        for one, other in zip(getattr(fused, name)(*given), getattr(plain, name)(*given), strict=True):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            room = 2e-5 if dtype == np.float32 else 2e-13
            rest = 4 * np.finfo(dtype).eps * size_of_differences(name, *given[:2])
            assert (np.abs(one - other) <= room * np.abs(other) + rest).all()


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
def test_terms_at_the_ends_of_the_range(form: ModuleType, dtype: Any) -> None:
    numbers = np.finfo(dtype)
    p, y = np.array([0, 0, 1, 1, numbers.smallest_subnormal, 0.5], dtype), np.array([0, 1, 0, 1, 1, 1], dtype)
    terms, slopes = form.binary_cross_entropy(p, y)
    least, last = float(numbers.tiny), float(numbers.epsneg)
    expected = [least, -np.log(least), -np.log(last), last, -np.log(least), np.log(2)]
    np.testing.assert_allclose(terms, expected, rtol=4e-7 if dtype == np.float32 else 1e-15)
    assert np.isfinite(slopes).all()
    z = np.array([-1e4, 1e4, 0, np.inf], dtype)
    terms, slopes = form.log_cosh(z, np.zeros_like(z))
    np.testing.assert_allclose(terms, [1e4 - np.log(2), 1e4 - np.log(2), 0, np.inf], rtol=1e-6)
    np.testing.assert_array_equal(slopes, [-1, 1, 0, 1])
    terms, slopes = form.log_poisson(z[:3], np.ones(3, dtype))
    assert np.isfinite(terms).all()
    np.testing.assert_allclose(slopes, [-1, np.sqrt(float(numbers.max)), 0], rtol=1e-4)
    terms, _ = form.poisson(np.array([0, 1], dtype), np.array([1, 1], dtype))
    np.testing.assert_allclose(terms, [-np.log(float(numbers.tiny)) / 2, 1], rtol=1e-6)
    terms, _ = form.sigmoid_focal(z[:3], np.ones(3, dtype), 2.0, 1.0, 1.0)
    np.testing.assert_allclose(terms, [1e4, 0, np.log(2) / 4], rtol=1e-6)


@in_both_forms
@pytest.mark.parametrize("name", TERMS)
def test_nan_stays_nan(form: ModuleType, name: str) -> None:
    z, target = np.array([0.25, np.nan, 0.5]), np.array([1.0, 1.0, 0.0])
    for result in getattr(form, name)(z, target, *TERMS[name][3]):
        np.testing.assert_array_equal(np.isnan(result), [False, True, False])


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_logarithm_is_accurate(form: ModuleType, dtype: Any) -> None:
    """Within 1 unit in the last place; NumPy's own may be off by more."""
    rng, numbers = np.random.default_rng(0), np.finfo(dtype)
    wide = 10.0 ** rng.uniform(np.log10(float(numbers.tiny)), np.log10(float(numbers.max)) * 0.999, 20_000)
    ends = [1, 2, 0.5, float(numbers.tiny), float(numbers.max), np.nextafter(dtype(1), dtype(2))]
    x = np.concatenate([wide, rng.uniform(0.3, 3, 20_000), 1 + rng.uniform(-1e-3, 1e-3, 20_000), ends]).astype(dtype)
    exact = np.log(x.astype(np.longdouble))
    error = np.abs(form.logarithm(x) - exact) / np.maximum(np.spacing(np.abs(exact).astype(dtype)), numbers.tiny)
    assert error.max() <= (1 if form is fused else 4)
    np.testing.assert_array_equal(form.logarithm(np.array([np.inf, np.nan], dtype)), [np.inf, np.nan])


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("parts", [4, 12, 24])
def test_weighted_squared_errors(form: ModuleType, parts: int, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    prediction, target = (rng.normal(size=(4, 3, 2)).astype(dtype) for _ in range(2))
    weight = rng.random(parts).astype(dtype)
    value, delta = form.weighted_squared_error(prediction, target, weight, 0.3)
    wide = prediction.astype(np.float64) - target
    own = np.repeat(weight, 24 // parts).reshape(wide.shape)
    assert value == pytest.approx(float((own * wide**2).sum()), rel=1e-6)
    np.testing.assert_allclose(delta, 0.3 * own * wide, rtol=1e-5)


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [1, 3, 10, 100])
@pytest.mark.parametrize("weighted", [False, True])
def test_soft_cross_entropies(form: ModuleType, weighted: bool, classes: int, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    z, target = rng.normal(0, 5, (40, classes)).astype(dtype), rng.random((40, classes)).astype(dtype)
    weight = rng.random(40).astype(dtype) if weighted else None
    wide, shares = z.astype(np.longdouble), target.astype(np.longdouble)
    total = np.exp(wide).sum(axis=1, keepdims=True)
    terms = (np.log(total) * shares - shares * wide).sum(axis=1)
    value, residual = form.soft_cross_entropy(z, target, weight)
    eps = float(np.finfo(dtype).eps)
    assert value == pytest.approx(float((terms * (1 if weight is None else weight)).sum()), rel=50 * eps)
    expected = np.exp(wide) / total * shares.sum(axis=1, keepdims=True) - shares
    np.testing.assert_allclose(residual, expected.astype(dtype), rtol=0, atol=20 * classes * eps)


@in_both_forms
@pytest.mark.parametrize("classes", [3, 40])
def test_soft_cross_entropies_of_extreme_scores(form: ModuleType, classes: int) -> None:
    """A class that is nearly certain keeps its digits, and one that cannot be counts for nothing with a share of 0."""
    z, target = np.full((3, classes), -np.inf), np.zeros((3, classes))
    z[0, :2], target[0, 0] = (50, 0), 1
    z[1, :2], target[1, 1] = (1e4, 0), 1
    z[2, :2] = np.nan, 0
    value, residual = form.soft_cross_entropy(z[:1], target[:1], None)
    assert value == pytest.approx(np.exp(-50.0), rel=1e-12, abs=0)
    assert residual[0, 0] == pytest.approx(-np.exp(-50.0), rel=1e-12, abs=0)
    assert form.soft_cross_entropy(z[1:2], target[1:2], None)[0] == 1e4
    assert np.isnan(form.soft_cross_entropy(z[2:], target[2:], None)[0])


@in_both_forms
def test_other_shapes_are_refused(form: ModuleType) -> None:
    z = np.zeros((2, 3))
    for name in TERMS:
        with pytest.raises(ShapeError, match=r"expected a target of the prediction's shape \(2, 3\), got \(2, 1\)"):
            getattr(form, name)(z, z[:, :1], *TERMS[name][3])
    for weight in (np.ones(4), np.ones((2, 3)), np.ones(0)):
        with pytest.raises(
            ShapeError, match=r"expected a vector of weights for equal parts of an array of shape \(2, 3\)"
        ):
            form.weighted_squared_error(z, z, weight, 1.0)
    with pytest.raises(DataTypeError):
        form.logarithm(np.ones(3, int))
