"""The page on exports: its Python prints what stands below it; so does that for PyTorch and JAX, where they are."""

import contextlib
import io
import re

import pytest
from pages import ROOT, printed_and_shown

for package in ("onnx", "onnxruntime", "skl2onnx", "sklearn"):
    pytest.importorskip(package)
PAGE = ROOT / "docs" / "exports.md"
BLOCK = re.compile(r"^```py\n(?P<code>.*?)^```\n\n```text\n(?P<shown>.*?)^```\n", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.filterwarnings("ignore:::skl2onnx")


def test_code_prints_the_output_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for printed, shown in printed_and_shown(PAGE, monkeypatch):
        assert printed == (shown or "")


def test_code_for_pytorch_and_jax_prints_the_output_shown() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    text = PAGE.read_text(encoding="utf-8")
    first = re.search(r"^```python\n(.*?)^path = ", text, re.MULTILINE | re.DOTALL)
    assert first is not None
    names: dict[str, object] = {}
    exec(first[1].replace("from deepbp.onnx import export\n", ""), names)
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) == text.count("```py\n") == 2
    for block in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(block["code"], names)
        assert printed.getvalue() == block["shown"]
