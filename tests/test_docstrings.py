"""Every public name has an example in its docstring, which runs by itself and prints what stands there."""

import ast
import doctest
import inspect
import json
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deepbp import kernels
from deepbp.kernels import numpy_activations, numpy_convolution, numpy_kernels, numpy_losses

MODULES = (
    "deepbp",
    "deepbp.callbacks",
    "deepbp.derivation",
    "deepbp.errors",
    "deepbp.files",
    "deepbp.initializers",
    "deepbp.layers",
    "deepbp.losses",
    "deepbp.metrics",
    "deepbp.optimizers",
    "deepbp.optimizers.schedules",
    "deepbp.plots",
    "deepbp.processes",
    "deepbp.testing",
    "deepbp.training",
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL


def public_objects() -> Iterator[tuple[str, Any]]:
    """Every public class and function once, by the first path that leads to it."""
    seen: set[int] = set()
    for module in MODULES:
        found = import_module(module)
        for name in found.__all__:
            value = getattr(found, name)
            if (inspect.isclass(value) or inspect.isroutine(value)) and id(value) not in seen:
                seen.add(id(value))
                yield f"{module}.{name}", value


OBJECTS = dict(public_objects())


def texts() -> Iterator[tuple[str, str]]:
    """The docstrings of public classes and functions, of kernels, and of type aliases, which stand below them."""
    yield from ((name, inspect.getdoc(value) or "") for name, value in OBJECTS.items())
    yield from ((f"deepbp.kernels.{name}", inspect.getdoc(getattr(kernels, name)) or "") for name in ("use", "current"))
    for module in (numpy_kernels, numpy_activations, numpy_convolution, numpy_losses):
        for name in module.__all__:
            yield f"deepbp.kernels.{name}", inspect.getdoc(getattr(module, name)) or ""
    for file in ("typing", "optimizers/optimizer", "metrics/metric"):
        tree = ast.parse((Path(kernels.__file__).parents[1] / f"{file}.py").read_text(encoding="utf-8"))
        for line, below in pairwise(tree.body):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                text = ast.literal_eval(below.value) if isinstance(below, ast.Expr) else ""
                yield from ((alias, text) for alias in ALIASES if alias.endswith(f".{line.target.id}"))


DESCRIBED = json.loads((Path(__file__).parent / "data" / "public_interface.json").read_text(encoding="utf-8"))
ALIASES = {f"{home}.{name}" for home, names in DESCRIBED.items() for name, kind in names.items() if kind == "value"}
TEXTS = dict(texts())


def test_all_type_aliases_are_found() -> None:
    assert TEXTS.keys() >= ALIASES


@pytest.mark.parametrize("name", TEXTS)
def test_every_public_name_has_an_example_that_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_screen: None
) -> None:
    if "import pyarrow" in TEXTS[name]:
        pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)  # where examples that write files may leave them
    test = doctest.DocTestParser().get_doctest(TEXTS[name], {}, name, None, None)
    assert test.examples, f"{name} has no example"
    wrong: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=wrong.append)
    assert not wrong, "".join(wrong)


@pytest.mark.parametrize("name", OBJECTS)
def test_the_first_line_is_one_sentence(name: str) -> None:
    """What editors and ``help`` show in one line."""
    first = (inspect.getdoc(OBJECTS[name]) or "").partition("\n\n")[0]
    assert first.rstrip(":").strip(), f"{name} has no first line"
