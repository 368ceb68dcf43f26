"""Which form of the kernels serves, and when that is decided."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from forms import needs_numba

from deepbp import kernels
from deepbp.errors import ConfigurationError
from deepbp.kernels import numpy_kernels


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    before = kernels.current()
    yield
    kernels.use("numba" if before == "numba" else "numpy")


def run(code: str, **environment: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    return result.stdout.strip()


@pytest.mark.parametrize("form", ["numpy", pytest.param("numba", marks=needs_numba)])
def test_use_switches_every_kernel(form: str) -> None:
    assert kernels.use(form) == form == kernels.current()  # type: ignore[arg-type]
    for name in numpy_kernels.__all__:
        module = getattr(kernels, name).__module__
        assert module.startswith((f"deepbp.kernels.{form}_", "deepbp.kernels.numpy_")), name
    assert kernels.relu.__module__ == f"deepbp.kernels.{form}_kernels"
    assert kernels.adam.__module__ == f"deepbp.kernels.{form}_updates"


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="expected 'numpy' or 'numba', got 'cuda'"):
        kernels.use("cuda")  # type: ignore[arg-type]


def test_an_unknown_kernel_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_kernel"):
        kernels.no_such_kernel  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("form", ["numpy", pytest.param("numba", marks=needs_numba)])
def test_the_environment_decides(form: str) -> None:
    assert run("from deepbp import kernels; print(kernels.current())", DEEPBP_KERNELS=form) == form


@needs_numba
def test_numba_is_the_choice_where_it_is_installed() -> None:
    assert run("from deepbp import kernels; print(kernels.current())") == "numba"


def test_without_numba_the_numpy_form_serves_and_asking_for_numba_names_the_fix() -> None:
    hide = "import sys; sys.modules['numba'] = None\nfrom importlib import util; find = util.find_spec\n"
    hide += "util.find_spec = lambda name, *rest: None if name == 'numba' else find(name, *rest)\n"
    assert run(hide + "from deepbp import kernels; print(kernels.current())") == "numpy"
    asked = hide + "from deepbp import kernels\ntry: kernels.use('numba')\nexcept ValueError as error: print(error)"
    assert "pip install 'deepbp[fast]'" in run(asked)


def test_importing_loads_no_form() -> None:
    forms = "('numba', 'deepbp.kernels.numpy_kernels', 'deepbp.kernels.numba_kernels')"
    code = f"import sys; import deepbp.sequential; print([m for m in sys.modules if m.startswith({forms})])"
    assert run(code) == "[]"
