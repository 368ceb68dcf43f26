"""The kernels of rarer activation functions: accurate in both forms, also at the ends of the range."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from forms import needs_numba

from deepbp.errors import DataTypeError, ShapeError
from deepbp.kernels import numpy_activations as plain

fused: Any = import_module("deepbp.kernels.numba_activations") if find_spec("numba") else None
in_both_forms = pytest.mark.parametrize(
    "form", [pytest.param(plain, id="plain"), pytest.param(fused, id="fused", marks=needs_numba)]
)
DTYPES = [np.float32, np.float64]


def ulp(found: Any, truth: Any) -> Any:
    """The error in units of the last place; of subnormal numbers, of the smallest normal one."""
    numbers = np.finfo(found.dtype)
    unit = np.spacing(np.maximum(np.abs(truth), numbers.tiny).astype(found.dtype))
    return np.abs(found.astype(np.longdouble) - truth) / unit


@needs_numba
def test_every_kernel_has_both_forms() -> None:
    assert plain.__all__ == fused.__all__
    assert all(getattr(fused, name).__module__ == fused.__name__ for name in plain.__all__)


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
def test_sines_of_any_angle(form: ModuleType, dtype: Any) -> None:
    """Also next to the multiples of π/2, where one of both is nearly 0, and of angles that the C library reduces."""
    rng = np.random.default_rng(0)
    small = [10.0 ** rng.uniform(-30, 6, 20_000), rng.uniform(-100, 100, 20_000), np.arange(20_000) * np.pi / 2]
    z = np.concatenate([*small, [1e7, -1e9, 3e15]]).astype(dtype)
    wide = z.astype(np.longdouble)
    y, slope = form.sine(z, 1.0)
    assert ulp(y, np.sin(wide)).max() <= 2
    assert ulp(slope, np.cos(wide)).max() <= 2
    y, slope = form.sine(z, 30.0)
    angle = (dtype(30) * z).astype(np.longdouble)
    assert ulp(y, np.sin(angle)).max() <= 2
    np.testing.assert_allclose(slope, 30 * np.cos(angle), rtol=1e-5, atol=60 * float(np.finfo(dtype).eps))


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
def test_mish_is_accurate_on_both_sides(form: ModuleType, dtype: Any) -> None:
    lowest = float(np.log(np.finfo(dtype).tiny)) + 3
    z = np.concatenate([np.linspace(lowest, -lowest, 20_000), np.geomspace(1e-30, 1, 1000), [0]]).astype(dtype)
    wide = z.astype(np.longdouble)
    truth, slopes = plain.mish(wide)
    y, slope = form.mish(z)
    assert ulp(y, truth).max() <= 5
    np.testing.assert_allclose(slope, slopes, rtol=1e-5, atol=8 * float(np.finfo(dtype).eps))
    np.testing.assert_array_equal(form.mish(np.array([-1e4, 1e4], dtype))[0], [0, 1e4])


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [1, 3, 10, 100])
def test_log_softmax(form: ModuleType, classes: int, dtype: Any) -> None:
    z = np.random.default_rng(0).normal(0, 5, (2, 50, classes)).astype(dtype)
    z[0, 0] = z[0, 0, 0]  # all of them the largest
    y = form.log_softmax(z)
    truth = plain.log_softmax(z.astype(np.longdouble))
    unit = np.spacing(np.maximum(np.abs(truth), 1).astype(dtype))
    assert (np.abs(y - truth) <= 8 * unit).all()
    np.testing.assert_allclose(np.exp(y.astype(np.float64)).sum(axis=-1), 1, atol=20 * float(np.finfo(dtype).eps))
    moved, delta = form.log_softmax_backward(y, z), z.astype(np.longdouble)
    expected = delta - np.exp(truth) * delta.sum(axis=-1, keepdims=True)
    assert np.abs(moved - expected).max() <= 40 * classes * float(np.finfo(dtype).eps)


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [3, 40])
def test_log_softmax_of_extreme_scores(form: ModuleType, classes: int, dtype: Any) -> None:
    """A probability that rounds to 1 keeps its digits; −∞ is a class that cannot be."""
    sure = np.zeros((1, classes), dtype)
    sure[0, 1] = 1e4
    np.testing.assert_array_equal(form.log_softmax(sure)[0], np.where(np.arange(classes) == 1, 0, -1e4))
    nearly = np.full((1, classes), -np.inf, dtype)
    nearly[0, :2] = 20, 0
    found = form.log_softmax(nearly)[0]
    np.testing.assert_allclose(found[0], -np.exp(-20.0), rtol=1e-5)
    assert found[2:].tolist() == [-np.inf] * (classes - 2)


@in_both_forms
@pytest.mark.parametrize("classes", [3, 40])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_nan_stays_nan(form: ModuleType, place: int, classes: int) -> None:
    z = np.zeros((2, classes))
    z[0, place] = np.nan
    z[1, place] = 1
    np.testing.assert_array_equal(np.isnan(form.log_softmax(z)), [[True] * classes, [False] * classes])
    for name, *settings in (("mish",), ("sine", 30.0)):
        for result in getattr(form, name)(z, *settings):
            np.testing.assert_array_equal(np.isnan(result), np.isnan(z))
    with np.errstate(invalid="ignore"):
        assert np.isnan(form.sine(np.array([np.inf, -np.inf]), 1.0)).all()


@in_both_forms
def test_other_arrays_are_refused(form: ModuleType) -> None:
    for name, *settings in (("mish",), ("log_softmax",), ("sine", 1.0)):
        with pytest.raises(DataTypeError):
            getattr(form, name)(np.ones((2, 3), int), *settings)
    with pytest.raises(ShapeError, match="expected scores along the last axis"):
        form.log_softmax(np.ones((2, 0)))
    with pytest.raises(ShapeError, match="expected a delta of the output's shape"):
        form.log_softmax_backward(np.ones((2, 3)), np.ones((2, 1)))
