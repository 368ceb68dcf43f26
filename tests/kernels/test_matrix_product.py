"""The product of two matrices in tiles: right for all sizes and layouts, and the same bits for any part of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forms import needs_numba

from deepbp.kernels import numpy_product as plain
from deepbp.typing import Array

pytestmark = needs_numba
TERMS = plain.TERMS


@pytest.fixture(autouse=True)
def all_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the processor or the size would leave a product to NumPy."""
    monkeypatch.setattr(plain, "has_wide_registers", lambda: True)
    monkeypatch.setattr(plain, "SMALLEST", 0)
    monkeypatch.setattr(plain, "FEWEST_ROWS", 1)
    monkeypatch.setattr(plain, "threads", lambda: 1)


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One number for each product in tiles."""
    from deepbp.kernels import numba_product

    found: list[int] = []
    original = numba_product._matrix_product

    def counted(*arguments: Any) -> None:
        found.append(1)
        original(*arguments)

    monkeypatch.setattr(numba_product, "_matrix_product", counted)
    return found


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    from deepbp.kernels import numba_product

    return numba_product.matrix_product(a, b, out)


def draw(*shape: int, dtype: str, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype)  # type: ignore[call-overload, no-any-return]


def layouts(matrix: Array) -> list[Array]:
    """The same numbers row by row, column by column, as a part of a larger matrix, and read-only."""
    rows, columns = matrix.shape
    larger = np.full((2 * rows, columns + 3), np.nan, matrix.dtype)
    larger[::2, 1:-2] = matrix
    fixed = matrix.copy()
    fixed.flags.writeable = False
    return [matrix, np.asfortranarray(matrix), larger[::2, 1:-2], fixed, fixed.T.copy().T]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_sizes(dtype: str, count: list[int]) -> None:
    """All heights of tiles, full vectors of columns and others, and one run, several and parts of them."""
    eps = np.finfo(dtype).eps
    sizes = [(rows, length, columns) for rows in (*range(1, 28), 250) for length in (1, 7) for columns in (1, 8, 31)]
    sizes += [
        (5, length, columns) for length in (TERMS - 1, TERMS, TERMS + 1, 2 * TERMS + 3) for columns in (16, 33, 70)
    ]
    for m, k, n in sizes:
        a, b = draw(m, k, dtype=dtype), draw(k, n, dtype=dtype, seed=1)
        exact = a.astype("float64") @ b.astype("float64")
        size = np.abs(a).astype("float64") @ np.abs(b)
        for one, other in zip(layouts(a), layouts(b), strict=True):
            assert (np.abs(product(one, other) - exact) <= eps * min(k + 2, TERMS + 4) * size).all(), (m, k, n)
    assert len(count) == 5 * len(sizes)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_part_has_the_same_bits(dtype: str) -> None:
    """So predictions do not depend on the batch, nor on how factors lie in memory."""
    a, b = draw(260, TERMS + 100, dtype=dtype), draw(TERMS + 100, 75, dtype=dtype, seed=1)
    whole = product(a, b)
    for one in layouts(a):
        for other in layouts(b):
            assert np.array_equal(product(one, other), whole)
    for first, last in ((0, 1), (0, 13), (5, 100), (239, 260)):
        assert np.array_equal(product(a[first:last], b), whole[first:last])
        assert np.array_equal(product(a, b[:, first % 70 : last]), whole[:, first % 70 : last])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_panels_of_a_factor_that_stays(dtype: str) -> None:
    """In panels of their own, all sizes give the bits of the product of both matrices, or add to what was there."""
    from deepbp.kernels.numba_math import inner
    from deepbp.kernels.numba_product import in_panels, product_of_panels

    @inner
    def multiply(
        a: Any, b: Any, b_row: Any, b_step: Any, y: Any, rows: Any, length: Any, columns: Any, add: Any
    ) -> None:
        panels = in_panels(b, b_row, b_step, length, columns)
        product_of_panels(a, length, length, panels, y, columns, rows, columns, add)

    for m, k, n in [(1, 1, 1), (3, 7, 5), (13, 40, 33), (5, TERMS + 9, 21), (2, 3, 64), (0, 3, 4), (4, 3, 0)]:
        a, b = draw(m, k, dtype=dtype), draw(k, n, dtype=dtype, seed=1)
        expected, y = product(a, b), np.full((m, n), 2, dtype)
        multiply(a.reshape(-1), b.reshape(-1), n, 1, y.reshape(-1), m, k, n, False)
        assert np.array_equal(y, expected)
        multiply(a.reshape(-1), b.T.reshape(-1), 1, k, y.reshape(-1), m, k, n, True)
        if k <= TERMS:
            assert np.array_equal(y, 2 * expected)
        assert np.allclose(y, 2 * expected, rtol=1e-4)


def test_the_sum_of_each_run_is_added_to_those_before() -> None:
    """In float32, 2²⁴ + 1 is 2²⁴: ones are lost that are added to it one by one, and not in a run."""
    a = np.ones((4, 2 * TERMS), "float32")
    a[:, 0], b = 2.0**24, np.ones((2 * TERMS, 40), "float32")
    assert (product(a, b) == 2**24 + TERMS).all()


def test_what_lies_beside_the_factors_is_not_read() -> None:
    a, b, out = np.full((9, 9), np.nan), np.full((9, 40), np.inf), np.zeros((5, 40))
    a[:5, :7], b[:7, :21] = 1, 2
    wanted = out[:, :21]
    wanted[...] = product(a[:5, :7], b[:7, :21])
    assert (wanted == 14).all()
    assert not out[:, 21:].any()


def test_no_number_is_lost_that_is_not_finite() -> None:
    a, b = np.ones((5, 20)), np.ones((20, 33))
    a[1, 3], a[2, 4], b[7, 9] = np.nan, np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        expected = a @ b
    assert np.array_equal(product(a, b), expected, equal_nan=True)


def test_arrays_on_disk(tmp_path: Path, count: list[int]) -> None:
    a, b = draw(9, 7, dtype="float32"), draw(7, 5, dtype="float32", seed=1)
    np.save(tmp_path / "a.npy", a)
    assert np.array_equal(product(np.load(tmp_path / "a.npy", mmap_mode="r"), b), product(a, b))
    assert len(count) == 2


def test_into_an_array(count: list[int]) -> None:
    a, b, out = draw(6, 5, dtype="float64"), draw(5, 4, dtype="float64", seed=1), np.full((6, 4), np.nan)
    assert product(a, b, out) is out
    assert np.array_equal(out, product(a, b))
    assert len(count) == 2
    square = draw(5, 5, dtype="float64", seed=2)
    expected = a @ square
    own = a[:5, :5].copy()
    assert np.allclose(product(own, square, own), expected[:5])  # a factor itself: NumPy makes a copy of it


@pytest.mark.parametrize(
    "out", [np.zeros((6, 3)), np.zeros((6, 4), "float32"), np.zeros((4, 6)).T], ids=["shape", "dtype", "layout"]
)
def test_what_does_not_fit_is_reported_by_numpy(out: Array, count: list[int]) -> None:
    with pytest.raises(ValueError, match=r"output array (is not acceptable|has wrong dimensions)"):
        product(np.ones((6, 5)), np.ones((5, 4)), out)
    with pytest.raises(ValueError, match="not aligned"):
        product(np.ones((6, 5)), np.ones((6, 5)))
    assert not count


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.ones(5), np.ones((5, 4))),
        (np.ones((3, 5), "float32"), np.ones((5, 4))),
        (np.ones((3, 5), int), np.ones((5, 4), int)),
        (np.ones((3, 5), "float16"), np.ones((5, 4), "float16")),
        (np.ones((3, 5), ">f4"), np.ones((5, 4), ">f4")),
        (np.ones((3, 0)), np.ones((0, 4))),
        (np.ma.masked_array(np.ones((3, 5))), np.ones((5, 4))),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_other_arrays_are_numpys(a: Array, b: Array, count: list[int]) -> None:
    made = product(a, b)
    assert np.array_equal(made, a.dot(b))
    assert (type(made), made.dtype) == (type(a.dot(b)), a.dot(b).dtype)
    assert not count


def test_which_products_are_computed_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    wide = plain.has_wide_registers()
    monkeypatch.setattr(plain, "threads", lambda: 2)
    short, long = np.dtype("float32"), np.dtype("float64")
    assert plain.is_tiled(64, 784, 128, short) == wide
    assert plain.is_tiled(64, 784, 128, long) == wide
    assert not plain.is_tiled(32, 64, 64, short)  # OpenBLAS is quicker
    assert not plain.is_tiled(2, 2048, 1024, short)
    assert not plain.is_tiled(64, 1024, 1025, short)
    assert not plain.is_tiled(64, 512, 513, long)
    assert not plain.is_tiled(128, 784, 512, short)  # two threads are quicker
    monkeypatch.setattr(plain, "threads", lambda: 1)
    assert plain.is_tiled(128, 784, 512, short) == wide
    assert not plain.is_tiled(2**20, 512, 512, short)
    monkeypatch.setattr(plain, "has_wide_registers", lambda: False)
    assert not plain.is_tiled(64, 784, 128, short)
