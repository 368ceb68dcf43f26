"""The layout of programs in memory, the functions that they may call, and those of the BLAS that NumPy has loaded."""

import ctypes
import platform
from functools import cache
from typing import Any

import numpy as np

from deepbp.kernels.blas_threads import numpy_library

# The context of a run, which all instructions share: whole numbers, but for VALUE and RATE.
GEMM, GEMV, DOT, X, Y, WEIGHT, ORDER, FIRST, STEP, VALUE, RATE, CONTROL, FLUSH = range(13)
# What the loop over all instructions needs, too: their number, and the number of steps, their rates and their losses.
INSTRUCTIONS, STEPS, RATES, LOSSES, LENGTH = range(13, 18)
WHOLES, REALS = 16, 3  # the numbers of an instruction, the first of which is the address of its kernel

FLUSH_BITS = 0x8040 if platform.machine() in ("x86_64", "AMD64") else 0
"""The bits of x86's MXCSR that make the processor take subnormal numbers for 0, in results and in operands."""

# What code may call: functions of the C library, of Python, and of Numba. The last two belong to what Numba adds around
# every function for exceptions and new arrays. Instructions never raise and create no arrays: it is never called.
LIBRARY = (
    *("cos", "cosf", "log", "log1p", "log1pf", "logf", "memcpy", "memmove", "memset", "pow", "powf", "sin", "sinf"),
    *("sqrt", "sqrtf"),
)
PYTHON = (
    *("PyBytes_FromStringAndSize", "PyErr_Clear", "PyErr_SetNone", "PyErr_SetString", "PyErr_WriteUnraisable"),
    *("PyExc_RuntimeError", "PyExc_StopIteration", "PyExc_SystemError", "PyUnicode_FromString", "Py_DecRef"),
)
NUMBA = (
    *("NRT_Free", "NRT_MemInfo_call_dtor", "NRT_decref", "NRT_incref", "numba_do_raise", "numba_gil_ensure"),
    *("numba_gil_release", "numba_runtime_build_excinfo_struct", "numba_unpickle"),
)


KERNEL = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 4)
"""The type of an instruction."""


class NotLoweredError(Exception):
    """Raised while a network is lowered that has no program; the ordinary step serves it."""


# (prefix, suffix) of the C interface with 64-bit integers: NumPy's own OpenBLAS, others, and Apple's Accelerate.
_NAMES = (("scipy_cblas_", "64_"), ("cblas_", "64_"), ("cblas_", "$NEWLAPACK$ILP64"))


@cache
def blas_addresses(dtype: "np.dtype[np.floating]") -> tuple[int, ...] | None:
    """The addresses of gemm, gemv and dot for this dtype; None where NumPy's BLAS has no known interface."""
    letter = {"float32": "s", "float64": "d"}.get(dtype.name)
    library = numpy_library()
    for prefix, suffix in _NAMES:
        try:
            routines = [getattr(library, f"{prefix}{letter}{name}{suffix}") for name in ("gemm", "gemv", "dot")]
        except AttributeError:
            continue
        return tuple(map(_address, routines))
    return None


def address_of(operand: Any) -> int:
    """The address of an array; a whole number is one already."""
    return operand.ctypes.data if isinstance(operand, np.ndarray) else int(operand)


def _address(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]
