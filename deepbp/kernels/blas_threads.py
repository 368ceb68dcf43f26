"""The threads of NumPy's BLAS: products to which a second thread brings nothing run on one.

A product of a few million multiplications is no faster on two threads than on one. But each of its threads waits for
the others, so that on a machine with other work to do a step takes many times as long: the system may run one of them
long after the rest. While a batch of a small network is learned, OpenBLAS therefore has one thread. That holds for the
whole process, as long as it lasts, and the number is what it was when it ends.

The environment variable DEEPBP_LIMIT_THREADS=0 leaves the BLAS as it is.
"""

import ctypes
import importlib
import os
from contextlib import AbstractContextManager, suppress
from functools import cache
from threading import Lock
from typing import Any

import numpy as np

from deepbp.typing import Array

FEWEST, MOST = 2**18, 15_000_000
"""Multiplications of a product: up to the first, OpenBLAS itself uses one thread; from the second on, two pay."""

_NAMES = (("scipy_openblas_", "64_"), ("openblas_", "64_"), ("openblas_", ""))


@cache
def numpy_library() -> ctypes.CDLL | None:
    """The library of NumPy, through which that is found which it is linked to."""
    core = "numpy._core" if hasattr(np, "_core") else "numpy.core"
    try:
        return ctypes.CDLL(importlib.import_module(f"{core}._multiarray_umath").__file__)
    except (ImportError, OSError):
        return None


class _OneThread:
    """While any thread of Python is in it, the BLAS has one thread."""

    def __init__(self, read: Any, write: Any) -> None:
        self._read, self._write, self._lock = read, write, Lock()
        self._inside, self._before = 0, 1

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = self._read()
                if self._before > 1:
                    self._write(1)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._before > 1 and self._read() == 1:  # else somebody has set another number
                self._write(self._before)


@cache
def _functions() -> tuple[Any, Any] | None:
    """Those that read and write the number of threads of OpenBLAS; None of another BLAS."""
    library = numpy_library()
    for prefix, suffix in _NAMES if library is not None else ():
        with suppress(AttributeError):
            return tuple(getattr(library, f"{prefix}{verb}_num_threads{suffix}") for verb in ("get", "set"))
    return None


def threads() -> int:
    """The number of threads that NumPy's BLAS has now; 0 if it does not say.

    >>> threads() >= 0
    True
    """
    functions = _functions()
    return 0 if functions is None else int(functions[0]())


@cache
def one_thread() -> AbstractContextManager[object] | None:
    """A context in which the BLAS has one thread; None where it is to be left as it is, or does not let itself be set.

    >>> one_thread() is one_thread()
    True
    """
    functions = None if os.environ.get("DEEPBP_LIMIT_THREADS") == "0" else _functions()
    return None if functions is None else _OneThread(*functions)


def threads_for(x: Array, largest: int) -> AbstractContextManager[object] | None:
    """A context in which products of a batch with matrices of at most so many numbers have one thread.

    None where the BLAS decides itself: entering a context that does nothing would take a tenth of a small step.

    >>> threads_for(np.zeros((4, 3)), 3 * 4) is None
    True
    """
    return one_thread() if FEWEST < _rows(x) * largest < MOST else None


def _rows(x: Array) -> int:
    """Those of a product: the samples, and the steps or places of each; any whole number may be an id."""
    return x.size if x.dtype.kind in "iu" or x.ndim < 2 else x.size // max(1, x.shape[-1])
