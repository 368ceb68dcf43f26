"""The floor: only the matrix products of a step, by NumPy's BLAS, called one after another from compiled code."""

import ctypes
import importlib
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from benchmarks.workloads import Workload

ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112


def _gemm(dtype: str) -> Any:
    """The function of NumPy's own OpenBLAS for C = α op(A) op(B) + β C."""
    function = getattr(
        ctypes.CDLL(importlib.import_module("numpy._core._multiarray_umath").__file__),
        f"scipy_cblas_{'sd'[dtype == 'float64']}gemm64_",
    )
    real, whole, address = ctypes.c_double if dtype == "float64" else ctypes.c_float, ctypes.c_int64, ctypes.c_size_t
    sizes = [ctypes.c_int] * 3 + [whole] * 3
    function.argtypes = [*sizes, real, address, whole, address, whole, real, address, whole]
    function.restype = None
    return function


def prepare_calls(workload: Workload) -> tuple[Callable[[int], Any], int]:
    weights, rng, batch = workload.weights(), np.random.default_rng(2), workload.batch
    grads = [np.empty_like(weight) for weight in weights]
    signals = [rng.normal(size=(batch, size)).astype(workload.dtype) for size in workload.sizes]
    inputs = [x for x, _ in workload.batches()]
    outputs = [np.empty_like(signal) for signal in signals]

    def product(a: Any, b: Any, c: Any, turned: tuple[bool, bool]) -> list[int]:
        inner = a.shape[0] if turned[0] else a.shape[1]
        codes = [TRANSPOSED if one else AS_IT_IS for one in turned]
        arrays = [part for one in (a, b, c) for part in (one.ctypes.data, one.shape[1])]
        return [*codes, *c.shape, inner, *arrays]

    steps = []
    for x in inputs:
        signals[0] = x
        rows = [product(signals[i], weight, outputs[i + 1], (False, False)) for i, weight in enumerate(weights)]
        for i in reversed(range(0 if workload.inference else len(weights))):
            rows.append(product(signals[i], signals[i + 1], grads[i], (True, False)))
            if i:
                rows.append(product(signals[i + 1], weights[i], outputs[i], (False, True)))
        steps.append(rows)
    table, gemm = np.array(steps, np.int64), _gemm(workload.dtype)
    one, zero = np.ones(1, workload.dtype)[0], np.zeros(1, workload.dtype)[0]

    @numba.njit
    def run_compiled(calls: int, table: Any, one: Any, zero: Any) -> None:
        for _ in range(calls):
            for step in range(table.shape[0]):
                for i in range(table.shape[1]):
                    row = table[step, i]
                    gemm(
                        ROW_MAJOR, row[0], row[1], row[2], row[3], row[4],
                        one, row[5], row[6], row[7], row[8], zero, row[9], row[10],
                    )  # fmt: skip

    held = (weights, grads, signals, inputs, outputs)  # whose addresses the table has

    def run(calls: int) -> Any:
        run_compiled(calls, table, one, zero)
        return held

    return run, workload.count
