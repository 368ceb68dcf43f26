"""Execution of the Python code in Markdown pages, and comparison with the output shown."""

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<shown>.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def printed_and_shown(page: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str | None]]:
    """Run the page's blocks in order, in one module: what each prints, and the ``text`` block that stands below it."""
    text = page.read_text(encoding="utf-8")
    name = f"page_{page.stem.lower()}"
    module = ModuleType(name)  # a module, for classes of a reader, too, can be pickled
    monkeypatch.setitem(sys.modules, name, module)
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) == text.count("```python") > 0
    for block in blocks:
        line = text[: block.start("code")].count("\n")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile("\n" * line + block["code"], str(page), "exec"), module.__dict__)
        yield printed.getvalue(), block["shown"]
