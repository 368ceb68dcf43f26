"""Both forms of the normalizations: the same numbers, in every size, and sums of many rows that keep their digits."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from forms import fused, in_both_forms, needs_numba

from deepbp.errors import ShapeError
from deepbp.kernels import numpy_kernels as plain

EPSILON = 1e-5
DTYPES = [np.float32, np.float64]
SHAPES = [(1, 1, 1, 2), (3, 1, 1, 5), (1, 5, 16, 1), (65, 1, 1, 17), (2, 131, 4, 3), (1, 130, 33, 1), (3, 4, 2, 40)]


def draw(shape: tuple[int, ...], dtype: Any, seed: int) -> Any:
    return np.random.default_rng(seed).normal(1.0, 3.0, shape).astype(dtype)


def passes(form: ModuleType, name: str, x: Any, delta: Any, affine: list[Any]) -> list[Any]:
    """What both passes of a normalization return, for x (samples, places, groups, size) in the shape that it takes."""
    samples, places, groups, size = x.shape
    shape = {"batch_norm": (samples * places, groups * size), "group_norm": x.shape}.get(name, (samples, places, -1))
    width = (groups, size) if name == "group_norm" else (groups * size,)
    affine = [values.reshape(width) for values in affine[: 1 if name == "rms_norm" else 2]]
    first = getattr(form, name)(x.reshape(shape), *affine, EPSILON)
    _, normal, inverse, *_ = first
    return [*first, *getattr(form, f"{name}_backward")(normal, inverse, affine[0], delta.reshape(shape))]


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "group_norm", "rms_norm"])
def test_normalizations_agree(name: str, dtype: Any) -> None:
    for shape in SHAPES:
        x, delta = draw(shape, dtype, 1), draw(shape, dtype, 2)
        affine = [draw((shape[2] * shape[3],), dtype, seed) for seed in (3, 4)]
        for one, other in zip(*(passes(form, name, x, delta, affine) for form in (fused, plain)), strict=True):
            assert one.shape == other.shape
            assert one.dtype == other.dtype
            scale = max(1.0, float(np.abs(other).max())) * np.sqrt(x.size)
            np.testing.assert_allclose(one, other, rtol=0, atol=20 * np.finfo(dtype).eps * scale)


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 5, 16, 33])
def test_sums_of_features_agree(width: int, dtype: Any) -> None:
    for rows in (0, 1, 2, 63, 64, 131):
        normal, delta = draw((rows, width), dtype, 1), draw((rows, width), dtype, 2)
        for one, other in zip(*(form.feature_sums(normal, delta) for form in (fused, plain)), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=100 * np.finfo(dtype).eps * max(rows, 1))


@needs_numba
def test_the_sum_of_a_long_row_keeps_its_digits() -> None:
    """One after the other, the roundings of 10⁶ numbers would show."""
    x = np.random.default_rng(0).random((1, 1_000_003), np.float32)
    one = np.ones(x.size, np.float32)
    _, normal, inverse = fused.layer_norm(x, one, 0 * one, EPSILON)
    wide = x.astype(np.float64)
    assert inverse.item() == pytest.approx(1 / np.sqrt(wide.var() + EPSILON), rel=1e-6)
    np.testing.assert_allclose(normal, (wide - wide.mean()) * inverse, atol=2e-6)


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_numbers_are_normalized_to_zero_and_an_overflow_to_nan(form: ModuleType, dtype: Any) -> None:
    one = np.ones(21, dtype)
    equal, huge = np.full((3, 21), 0.1, dtype), draw((3, 21), dtype, 1) * np.finfo(dtype).max ** 0.6
    for name in ("layer_norm", "batch_norm"):
        assert not getattr(form, name)(equal, one, 0 * one, EPSILON)[1].any()
        with np.errstate(all="ignore"):
            assert np.isnan(getattr(form, name)(huge, one, 0 * one, EPSILON)[0]).all()


@in_both_forms
@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "rms_norm"])
def test_another_delta_is_refused(form: ModuleType, name: str) -> None:
    normal = np.ones((4, 3))
    with pytest.raises(ShapeError, match="expected a delta of the output's shape"):
        getattr(form, f"{name}_backward")(normal, np.ones(3), np.ones(3), np.ones((1, 3)))
