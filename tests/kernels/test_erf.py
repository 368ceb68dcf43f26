"""erf, erfc, the bell curve and GELU over their whole range, in units in the last place of the true value."""

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from forms import fused, in_both_forms, needs_numba

from deepbp.kernels import numpy_kernels as plain
from deepbp.typing import Array

mpmath = pytest.importorskip("mpmath", reason="no mpmath to count with 30 digits: pip install sympy")
DTYPES = [np.float32, np.float64]
OF_DTYPES = pytest.mark.parametrize("dtype", DTYPES)


def points(dtype: Any, limit: float, count: int = 20_001) -> Array:
    """To both sides as far as the tail is a normal number, and close to zero."""
    small = np.geomspace(1e-30, 1, 500)
    return np.concatenate([np.linspace(-limit, limit, count), small, -small, [0.0]]).astype(dtype)


def ulp(got: Array, truth: Array) -> Array:
    """How far off, in units in the last place; below the smallest normal number, in those of that."""
    tiny = np.finfo(got.dtype).tiny
    spacing = np.spacing(np.maximum(np.abs(truth), tiny).astype(got.dtype)).astype(np.longdouble)
    return np.asarray(np.abs(got.astype(np.longdouble) - truth) / spacing)


def each(function: Callable[[float], Any], x: Array) -> Array:
    """A function of one number, applied to each."""
    return np.array([function(float(v)) for v in x], dtype=np.longdouble)


def tail(dtype: Any) -> float:
    """Where erfc is the smallest normal number."""
    return 9.19 if dtype == np.float32 else 26.54


@in_both_forms
@OF_DTYPES
def test_erf_is_pythons(form: ModuleType, dtype: Any) -> None:
    x = points(dtype, 7)
    assert ulp(form.erf(x), each(math.erf, x)).max() <= 4


@in_both_forms
@OF_DTYPES
def test_erfc_is_pythons_down_to_the_smallest_number(form: ModuleType, dtype: Any) -> None:
    x = points(dtype, tail(dtype))
    assert ulp(form.erfc(x), each(math.erfc, x)).max() <= 8
    np.testing.assert_array_equal(form.erfc(x[x < -7]), 2)


@in_both_forms
@OF_DTYPES
def test_the_bell_curve_keeps_its_digits(form: ModuleType, dtype: Any) -> None:
    x = points(dtype, tail(dtype))
    wide = x.astype(np.longdouble)
    assert ulp(form.gaussian(x), np.exp(-wide * wide)).max() <= 5


@in_both_forms
@OF_DTYPES
def test_gelu_and_its_derivative_keep_their_digits(form: ModuleType, dtype: Any) -> None:
    """With 30 digits; the derivative is 0 at −0.7518, and near that place absolute accuracy is all there can be."""
    z = points(dtype, tail(dtype) * 1.41, count=1501)
    y, slope = (found[0] for found in form.gelu(z[None]))
    with mpmath.workdps(30):
        wide = [mpmath.mpf(float(v)) for v in z]
        share = [mpmath.erfc(-v / mpmath.sqrt(2)) / 2 for v in wide]
        value = np.array([np.longdouble(str(v * s)) for v, s in zip(wide, share, strict=True)])
        derivative = np.array([np.longdouble(str(s + v * mpmath.npdf(v))) for v, s in zip(wide, share, strict=True)])
    assert ulp(y, value).max() <= 8
    near = np.abs(z + 0.7518) < 0.25
    assert ulp(slope, derivative)[~near].max() <= 8
    assert np.abs(slope - derivative).max() <= 3 * np.finfo(dtype).eps


@in_both_forms
@OF_DTYPES
def test_far_out_nothing_overflows(form: ModuleType, dtype: Any) -> None:
    z = np.array([-1e30, -1e4, -50, 50, 1e4, 1e30], dtype)
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_array_equal(form.erf(z), [-1, -1, -1, 1, 1, 1])
        np.testing.assert_array_equal(form.erfc(z), [2, 2, 2, 0, 0, 0])
        np.testing.assert_array_equal(form.gaussian(z), 0)
        y, slope = (found[0] for found in form.gelu(z[None]))
    np.testing.assert_array_equal(y, np.maximum(z, 0))
    np.testing.assert_array_equal(slope, z > 0)


@in_both_forms
@OF_DTYPES
@pytest.mark.parametrize("name", ["erf", "erfc", "gaussian", "gelu"])
def test_dtype_shape_and_nan_are_kept(form: ModuleType, name: str, dtype: Any) -> None:
    z = np.linspace(-3, 3, 24, dtype=dtype).reshape(2, 3, 4)
    z[1, 2, 3] = np.nan
    for variant in (z, np.asfortranarray(z) if dtype == np.float32 else z[:, ::-1], z[:0]):  # each is compiled anew
        made = getattr(form, name)(variant)
        for y in made if isinstance(made, tuple) else (made,):
            assert y.dtype == dtype
            assert y.shape == variant.shape
            np.testing.assert_array_equal(np.isnan(y), np.isnan(variant))


@needs_numba
@OF_DTYPES
@pytest.mark.parametrize("shape", [(1, 1), (5, 257), (2, 3, 5), (70, 300)])
def test_both_forms_of_gelu_agree(shape: tuple[int, ...], dtype: Any) -> None:
    z = np.random.default_rng(0).normal(0, 3, shape).astype(dtype)
    for one, other in zip(fused.gelu(z), plain.gelu(z), strict=True):
        np.testing.assert_allclose(one, other, rtol=8 * np.finfo(dtype).eps, atol=2 * np.finfo(dtype).eps)
