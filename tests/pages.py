"""Markdown pages: execution of their Python code, and links that lead nowhere."""

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n"
    r"(?:\n(?:</td></tr>\n</table>\n\n)?```text\n(?P<shown>.*?)^```\n)?",  # below the table of code side by side
    re.MULTILINE | re.DOTALL,
)


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


def dead_links(page: Path) -> list[str]:
    """The relative links of a page to files that do not exist, or to sections that their page lacks."""
    return [link for link in links_in(page.read_text(encoding="utf-8")) if not _leads_somewhere(page, link)]


def links_in(text: str) -> list[str]:
    """The targets of links and pictures in the text, outside of code, that are no web addresses."""
    prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in link]


def sections_in(text: str) -> set[str]:
    """The anchors of the headings in a page, as code hosts and Sphinx name them."""
    code_free = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", code_free, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _leads_somewhere(page: Path, link: str) -> bool:
    name, _, section = link.partition("#")
    target = page.parent / name if name else page
    if not target.exists():
        return False
    return not section or section in sections_in(target.read_text(encoding="utf-8"))
