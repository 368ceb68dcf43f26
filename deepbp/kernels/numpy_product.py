"""The NumPy form of products and sums of matrices, and which products the compiled form computes itself."""

from functools import cache
from os import environ
from typing import Any

import numpy as np

from deepbp._validation import ones
from deepbp.kernels.blas_threads import MOST, threads
from deepbp.kernels.blocks import LONG_BATCH, long_product
from deepbp.typing import Array

SMALLEST = 10**6
"""Multiplications: for fewer, OpenBLAS has tiles of its own."""

LARGEST = 2**30
"""Multiplications, times the bytes of a number: for more, OpenBLAS is as quick, which copies parts of both factors."""

TERMS = 512
"""Terms that are added up before they are added to the sum of those before."""

PANEL = 128
"""The bytes of a row of a panel: of as many neighbouring columns of the second factor as a tile has."""

FEWEST_ROWS = 4
"""The least number of rows of the result that are worth a tile."""

LONGEST_ROW = 4096
"""The most bytes of a row of the second factor: parts of longer ones displace each other in the cache."""


def matrix_product(a: Array, b: Array, out: Array | None = None) -> Array:
    """The product of two matrices, a (M, K) @ b (K, N), written to ``out`` if there is one.

    The compiled form computes products of medium size itself where registers are wide; all others are NumPy's.

    >>> import numpy as np
    >>> from deepbp.kernels import matrix_product
    >>> matrix_product(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    product: Array = a.dot(b, out)
    return product


def column_sum(rows: Array, out: Array | None = None) -> Array:
    """Σ over the rows of a matrix (B, O), written to ``out`` (O,) if there is one, as the gradient of a bias is.

    >>> import numpy as np
    >>> from deepbp.kernels import column_sum
    >>> column_sum(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([4., 6.])
    """
    one = ones(len(rows), rows.dtype)  # a product with ones takes a fifth of the time of ``rows.sum(axis=0)``
    total: Array = one.dot(rows, out) if len(rows) <= LONG_BATCH else long_product(one, rows)
    if out is None or len(rows) <= LONG_BATCH:
        return total
    out[...] = total
    return out


_PLAIN = (np.ndarray, np.memmap)  # other kinds of arrays have products of their own


@cache
def has_wide_registers() -> bool:
    """Whether compiled code may count on 32 registers of 64 bytes.

    Numba's settings of another processor count as no; Numba itself is not imported for that.
    """
    try:
        import llvmlite.binding as llvm

        host = bool(llvm.get_host_cpu_features().get("avx512f"))
    except (ImportError, RuntimeError):
        return False
    return host and not ({"NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"} & environ.keys())


def is_tiled(rows: int, length: int, columns: int, dtype: "np.dtype[Any]") -> bool:
    """Whether the compiled form computes the product of matrices (rows, length) and (length, columns) itself.

    It does so on one thread. Where NumPy's BLAS has several, the larger products are left to them.

    >>> is_tiled(4, 3, 2, np.dtype("float64"))
    False
    """
    size = rows * length * columns
    return (
        SMALLEST < size <= LARGEST // dtype.itemsize
        and rows >= FEWEST_ROWS
        and columns * dtype.itemsize <= LONGEST_ROW
        and has_wide_registers()
        and (size < MOST or threads() == 1)
    )


def is_tiled_product(a: Any, b: Any) -> bool:
    """The same for two matrices; False for what are none, or of other dtypes."""
    return (
        type(a) in _PLAIN
        and type(b) in _PLAIN
        and a.ndim == b.ndim == 2
        and a.size * b.shape[1] > SMALLEST  # of small products, no more is asked
        and a.shape[1] == len(b)
        and a.dtype == b.dtype
        and a.dtype.char in "fd"
        and a.dtype.isnative
        and is_tiled(len(a), len(b), b.shape[1], a.dtype)
    )
