"""Both forms of the kernels; without Numba there is one, and the tests of the fused form are skipped."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

from deepbp.kernels import numpy_kernels as plain

fused: Any = import_module("deepbp.kernels.numba_kernels") if find_spec("numba") else None
needs_numba = pytest.mark.skipif(fused is None, reason="the fused kernels need Numba: pip install 'deepbp[fast]'")
in_both_forms = pytest.mark.parametrize(
    "form", [pytest.param(plain, id="plain"), pytest.param(fused, id="fused", marks=needs_numba)]
)
