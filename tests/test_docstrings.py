"""Every public name has an example in its docstring, which runs by itself and prints what stands there."""

import doctest
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.parametrize("name", OBJECTS)
def test_every_public_name_has_an_example_that_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_screen: None
) -> None:
    monkeypatch.chdir(tmp_path)  # where examples that write files may leave them
    text = inspect.getdoc(OBJECTS[name]) or ""
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert test.examples, f"{name} has no example"
    wrong: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=wrong.append)
    assert not wrong, "".join(wrong)


@pytest.mark.parametrize("name", OBJECTS)
def test_the_first_line_is_one_sentence(name: str) -> None:
    """What editors and ``help`` show in one line."""
    first = (inspect.getdoc(OBJECTS[name]) or "").partition("\n\n")[0]
    assert first.rstrip(":").strip(), f"{name} has no first line"
