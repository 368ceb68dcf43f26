"""The README's Python runs, prints exactly what stands below it, and names only what exists."""

import contextlib
import io
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<printed>.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def test_python_in_the_readme_prints_what_stands_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    page = ModuleType("readme")  # a module, for classes of a reader, too, can be pickled
    monkeypatch.setitem(sys.modules, "readme", page)
    blocks = list(BLOCK.finditer(README))
    assert len(blocks) == README.count("```python")
    for block in blocks:
        assert block["printed"] is not None, f"nothing to hold the code against:\n{block['code']}"
        line = README[: block.start("code")].count("\n")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile("\n" * line + block["code"], "README.md", "exec"), page.__dict__)
        assert printed.getvalue() == block["printed"]


def test_commands_in_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`make (\w+)`", README))
    assert {"demo", "test"} <= named <= targets


def test_files_in_the_readme_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    paths = re.findall(r"`([\w/]+(?:\.py|/))`", README)
    assert len(links) >= 3
    assert len(paths) >= 10
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert [path for path in paths if not (ROOT / "deepbp" / path).exists()] == []
