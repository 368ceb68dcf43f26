"""The products of dense layers: which instruction gives the very bits that NumPy gives, and is the quickest."""

from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from deepbp.kernels.numpy_product import is_tiled
from deepbp.program.layout import DOT, GEMM, GEMV, KERNEL, LENGTH, address_of, blas_addresses
from deepbp.program.store import kernel_address
from deepbp.typing import Array, Shape

Sizes: TypeAlias = tuple[int, int, int, np.dtype[Any]]
"""Rows, inputs, outputs, and the dtype."""

# As the ordinary passes of a dense layer compute them: the shapes of both factors and of the result.
_PRODUCTS: dict[str, tuple[Callable[[int, int, int], tuple[Shape, Shape, Shape]], Callable[..., Any]]] = {
    "product": (lambda rows, i, o: ((rows, i), (i, o), (rows, o)), lambda x, weight, z: np.dot(x, weight, z)),
    "gradient": (lambda rows, i, o: ((rows, i), (rows, o), (i, o)), lambda x, delta, grad: np.dot(x.T, delta, grad)),
    "moved": (lambda rows, i, o: ((rows, o), (i, o), (rows, i)), lambda delta, w, moved: np.dot(delta, w.T, moved)),
}
# The instructions for each, with those of rows (0), inputs (1) and outputs (2) that must be 1 for it.
_FORMS: dict[str, dict[str, set[int]]] = {
    "product": {
        "product_by_gemm": set(),
        "product_by_rows": {2},
        "product_by_columns": {0},
        "product_by_dot": {0, 2},
    },
    "gradient": {
        "gradient_by_gemm": set(),
        "gradient_by_rows": {2},
        "gradient_by_columns": {1},
        "gradient_by_dot": {1, 2},
    },
    "moved": {
        "moved_by_gemm": set(),
        "moved_by_transpose": set(),
        "moved_by_rows": {0},
        "moved_by_columns": {1},
        "moved_by_dot": {0, 1},
    },
}
WITH_SCRATCH = {"moved_by_transpose"}
_LANES = 16  # the most numbers in a vector
# For the compiled kernel: the distances of the rows and columns of both factors, and the sizes of the product, 0 for
# the rows of the batch.
_IN_TILES: dict[str, Callable[[int, int], tuple[int, ...]]] = {
    "product": lambda i, o: (i, 1, o, 1, 0, i, o),
    "gradient": lambda i, o: (1, i, o, 1, i, 0, o),
    "moved": lambda i, o: (o, 1, 1, o, 0, o, i),
}
_LARGE = 1 << 22  # multiplications, from which a routine of a BLAS arranges the factors itself


def in_numpy(kind: str, a: Array, b: Array, out: Array) -> None:
    """The product as the ordinary passes compute it."""
    _PRODUCTS[kind][1](a, b, out)


def in_tiles(kind: str, sizes: Sizes) -> tuple[int, ...] | None:
    """The numbers for ``product_in_tiles``, if the ordinary passes compute this product by the compiled kernel."""
    rows, inputs, outputs, dtype = sizes
    numbers = _IN_TILES[kind](inputs, outputs)
    m, length, columns = (size or rows for size in numbers[-3:])
    return numbers if is_tiled(m, length, columns, dtype) else None


def scratch_size(inputs: int, outputs: int) -> int:
    """The numbers of a transposed matrix of weights, in whole vectors both ways."""
    return -(-inputs // _LANES) * -(-outputs // _LANES) * _LANES**2


@cache
def quickest(kind: str, sizes: Sizes) -> str | None:
    """The instruction for a product of these sizes, None if there is none.

    NumPy has several routines for a product, which add in different orders. Those that add as NumPy does for these
    sizes are found by comparison on random numbers, and the quickest of them by a trial.
    """
    *numbers, dtype = sizes
    shapes, reference = _PRODUCTS[kind]
    rng, context = np.random.default_rng(0), np.zeros(LENGTH, np.int64)
    context[[GEMM, GEMV, DOT]] = blas_addresses(dtype) or 0
    size = int(np.prod(numbers, dtype=np.int64))
    names = [name for name, ones in _FORMS[kind].items() if all(numbers[one] == 1 for one in ones)]
    if size > _LARGE:
        names = [name for name in names if name not in WITH_SCRATCH]
    kernels = {name: KERNEL(kernel_address(name, dtype)) for name in names}
    least = dict.fromkeys(names, np.inf)
    for trial in range(max(1, min(60, 100_000 // size))):  # on few numbers, two routines often agree by chance
        a, b, expected = (rng.standard_normal(shape, dtype) for shape in shapes(*numbers))
        reference(a, b, expected)
        out, scratch = np.empty_like(expected), np.empty(scratch_size(*numbers[1:]), dtype)
        operands = np.array([0, *map(address_of, (a, b, out)), *numbers[1:], address_of(scratch)], np.int64)
        arguments = address_of(operands), 0, sizes[0], address_of(context)
        for name in tuple(names):
            out.fill(np.nan)
            for _ in range(1 if trial or len(names) == 1 else 9):
                start = perf_counter()
                kernels[name](*arguments)
                least[name] = min(least[name], perf_counter() - start)
            if not np.array_equal(out, expected):
                names.remove(name)
    return min(names, key=least.__getitem__, default=None)
