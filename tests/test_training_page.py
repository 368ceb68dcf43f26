"""The page on training: its Python prints what stands below it, and its links lead somewhere."""

import re

import pytest
from pages import ROOT, printed_and_shown

PAGE = ROOT / "docs" / "training.md"


def test_python_on_the_page_prints_what_stands_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for printed, shown in printed_and_shown(PAGE, monkeypatch):
        assert printed == (shown or "")


def test_links_lead_somewhere() -> None:
    text = PAGE.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 5
    for link in links:
        name, _, section = link.partition("#")
        target = (PAGE.parent / name).read_text(encoding="utf-8") if name else text
        titles = [title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", target, re.MULTILINE)]
        assert not section or section in titles, link
