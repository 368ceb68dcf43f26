"""The examples of the exports print what stands below them."""

import doctest
import inspect
from pathlib import Path
from typing import Any

import pytest

deepbp_onnx = pytest.importorskip("deepbp.onnx")
pytest.importorskip("skl2onnx")
pytest.importorskip("sklearn")


@pytest.mark.filterwarnings("ignore:::skl2onnx")
@pytest.mark.parametrize("name", deepbp_onnx.__all__)
def test_the_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text: Any = inspect.getdoc(getattr(deepbp_onnx, name))
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert test.examples
    wrong: list[str] = []
    doctest.DocTestRunner().run(test, out=wrong.append)
    assert not wrong, "".join(wrong)
