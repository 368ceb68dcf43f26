"""Kernels for images: both forms take arrays in any layout, and refuse what does not fit with the same words."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from deepbp.errors import DataTypeError, ShapeError
from deepbp.kernels import numpy_convolution as plain
from deepbp.typing import Array

fused: Any = import_module("deepbp.kernels.numba_convolution") if find_spec("numba") else None
winograd: Any = import_module("deepbp.kernels.numba_winograd") if find_spec("numba") else None
needs_numba = pytest.mark.skipif(fused is None, reason="the fused kernels need Numba: pip install 'deepbp[fast]'")
in_both_forms = pytest.mark.parametrize(
    "form", [pytest.param(plain, id="plain"), pytest.param(fused, id="fused", marks=needs_numba)]
)
ONE = (1, 1)


def draw(*shape: int, dtype: Any = np.float64) -> Array:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(dtype)


@needs_numba
def test_every_kernel_has_both_forms() -> None:
    assert plain.__all__ == fused.__all__


@in_both_forms
def test_sizes_may_be_lists(form: Any) -> None:
    x, delta = draw(2, 5, 5, 3), draw(2, 4, 4, 6)
    pairs: Any = [[2, 2], [1, 1], [[0, 0], [0, 0]]]
    size, stride, pads = (2, 2), ONE, ((0, 0), (0, 0))
    np.testing.assert_array_equal(form.max_pool(x, *pairs)[0], form.max_pool(x, size, stride, pads)[0])
    weight: Any = draw(2, 2, 3, 6)
    images = form.correlate(x, weight, None, [1, 1], [1, 1], 1)
    np.testing.assert_array_equal(images, form.correlate(x, weight, None, ONE, ONE, 1))
    of_lists = form.correlate_weights(x, delta, pairs[0], [1, 1], [1, 1], 1)
    np.testing.assert_array_equal(of_lists, form.correlate_weights(x, delta, size, ONE, ONE, 1))


@in_both_forms
@pytest.mark.parametrize("layout", ["fortran", "strided", "read-only", "swapped", "unaligned", "float16"])
def test_arrays_in_any_layout(form: Any, layout: str) -> None:
    def arranged(array: Array) -> Array:
        if layout == "fortran":
            return np.asfortranarray(array)
        if layout == "strided":
            return np.repeat(array, 2, axis=-1)[..., ::2]
        if layout == "swapped":
            return array.astype(array.dtype.newbyteorder())
        if layout == "float16":
            return array.astype(np.float16)
        if layout == "unaligned":
            block = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
            block[...] = array
            return block
        array = array.copy()
        array.flags.writeable = False
        return array

    x, w, b, delta = draw(2, 5, 6, 3), draw(3, 2, 3, 4), draw(4), draw(2, 3, 5, 4)
    close = 0.2 if layout == "float16" else 1e-12
    z = form.correlate(arranged(x), arranged(w), arranged(b), ONE, ONE, 1)
    np.testing.assert_allclose(z, plain.correlate(x, w, b, ONE, ONE, 1), atol=close)
    share = form.correlate_weights(arranged(x), arranged(delta), (3, 2), ONE, ONE, 1)
    np.testing.assert_allclose(share, plain.correlate_weights(x, delta, (3, 2), ONE, ONE, 1), atol=close)
    y, winner = form.max_pool(arranged(x), (2, 2), (2, 2), ((0, 1), (0, 0)))
    expected, place = plain.max_pool(x, (2, 2), (2, 2), ((0, 1), (0, 0)))
    np.testing.assert_allclose(y, expected, atol=close)
    np.testing.assert_array_equal(winner, place)
    moved = form.max_pool_backward(winner, arranged(y), x.shape, (2, 2), (2, 2), ((0, 1), (0, 0)))
    np.testing.assert_allclose(moved.sum(), expected.sum(), atol=max(close, 1e-9))


@needs_numba
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (1, 3)])
@pytest.mark.parametrize("shape", [(1, 9, 4, 2), (2, 5, 9, 1), (3, 7, 7, 3), (5, 4, 3, 2), (1, 3, 30, 1)])
def test_places_that_fill_no_whole_number_of_tiles(shape: Any, stride: Any) -> None:
    x, w, b = draw(*shape), draw(3, 2, shape[3], 5), draw(5)
    expected = plain.correlate(x, w, b, stride, ONE, 1)
    np.testing.assert_allclose(fused.correlate(x, w, b, stride, ONE, 1), expected, atol=1e-12)


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("images", "size", "channels", "outputs"),
    [(3, (4, 6), 32, 32), (1, (2, 2), 33, 47), (2, (12, 10), 64, 36), (2, (10, 12), 35, 256)],
)
def test_kernels_of_3_by_3_and_many_channels(
    images: int, size: tuple[int, int], channels: int, outputs: int, dtype: Any
) -> None:
    """Winograd's form, in one block of tiles and several, with channels that fill vectors and others."""
    height, width = size
    x, w = draw(images, height + 2, width + 2, channels, dtype=dtype), draw(3, 3, channels, outputs, dtype=dtype)
    b, delta = draw(outputs, dtype=dtype), draw(images, height, width, outputs, dtype=dtype)
    assert winograd.is_worth_it(x, delta.shape, (3, 3), ONE, ONE, 1)
    for found, expected in (
        (fused.correlate(x, w, b, ONE, ONE, 1), plain.correlate(x, w, b, ONE, ONE, 1)),
        (fused.correlate(x, w, None, ONE, ONE, 1), plain.correlate(x, w, None, ONE, ONE, 1)),
        (
            fused.correlate_weights(x, delta, (3, 3), ONE, ONE, 1),
            plain.correlate_weights(x, delta, (3, 3), ONE, ONE, 1),
        ),
    ):
        assert found.dtype == dtype
        close = 32 * np.finfo(dtype).eps * np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=close)


X, W, DELTA = draw(2, 5, 6, 4), draw(3, 2, 4, 6), draw(2, 3, 5, 6)


@in_both_forms
@pytest.mark.parametrize(
    ("kernel", "arguments", "message"),
    [
        (
            "correlate",
            (X[0], W, None, ONE, ONE, 1),
            r"expected images \(B, H, W, C\), got an array of shape \(5, 6, 4\)",
        ),
        ("correlate", (X, W[0], None, ONE, ONE, 1), r"expected kernels \(KH, KW, C / groups, O\)"),
        ("correlate", (X, W, None, ONE, ONE, 2), r"in 2 groups do not fit images of shape \(2, 5, 6, 4\)"),
        ("correlate", (X, W, None, ONE, ONE, 0), "in 0 groups do not fit"),
        ("correlate", (X, W, draw(5), ONE, ONE, 1), r"a bias for each of 6 outputs, got an array of shape \(5,\)"),
        ("correlate", (X, W, None, (0, 1), ONE, 1), r"no window of size \(3, 2\), stride \(0, 1\)"),
        ("correlate", (X, W, None, ONE, (3, 1), 1), r"dilation \(3, 1\) fits into \(5, 6\)"),
        ("correlate_weights", (X, DELTA[:1], (3, 2), ONE, ONE, 1), r"an error signal of shape \(2, 3, 5, 'O'\)"),
        ("correlate_weights", (X, DELTA, (3, 2), ONE, ONE, 4), "4 groups do not divide 4 channels and 6 outputs"),
        ("correlate_weights", (X, DELTA, (0, 2), ONE, ONE, 1), r"no window of size \(0, 2\)"),
        ("max_pool", (X[0], (2, 2), ONE, ((0, 0), (0, 0))), "expected images"),
        ("max_pool", (X, (2, 2), ONE, ((2, 0), (0, 0))), r"padding \(\(2, 0\), \(0, 0\)\) fits"),
        ("max_pool", (X, (2, 2), ONE, ((-1, 0), (0, 0))), r"padding \(\(-1, 0\), \(0, 0\)\) fits"),
        ("max_pool", (X, (7, 2), ONE, ((0, 0), (0, 0))), r"no window of size \(7, 2\)"),
        (
            "max_pool_backward",
            (np.zeros((2, 4, 5, 4), np.uint8), X, X.shape, (2, 2), ONE, ((0, 0), (0, 0))),
            r"expected places and an error signal of shape \(2, 4, 5, 4\)",
        ),
    ],
)
def test_arrays_that_do_not_fit(form: Any, kernel: str, arguments: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        getattr(form, kernel)(*arguments)


@in_both_forms
def test_places_are_whole_numbers(form: Any) -> None:
    with pytest.raises(DataTypeError, match="expected places as whole numbers, got float64"):
        form.max_pool_backward(draw(2, 4, 5, 4), draw(2, 4, 5, 4), X.shape, (2, 2), ONE, ((0, 0), (0, 0)))


def test_only_a_block_of_windows_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of images, of rows of large images, and a single row where even that is large, give the same sums."""
    expected = plain.correlate(X, W, None, ONE, ONE, 1), plain.correlate_weights(X, DELTA, (3, 2), ONE, ONE, 1)
    for at_once in (1, 250, 400):
        monkeypatch.setattr(plain, "AT_ONCE", at_once)
        again = plain.correlate(X, W, None, ONE, ONE, 1)
        np.testing.assert_allclose(again, expected[0], rtol=1e-12, atol=1e-13)  # a sum may be nearly 0
        again = plain.correlate_weights(X, DELTA, (3, 2), ONE, ONE, 1)
        np.testing.assert_allclose(again, expected[1], rtol=1e-11, atol=1e-12)
