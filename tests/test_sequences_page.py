"""The page on sequences: its code prints the output shown, and its links resolve."""

import re

import pytest
from pages import ROOT, printed_and_shown

PAGE = ROOT / "docs" / "sequences.md"


def test_code_prints_the_output_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for printed, shown in printed_and_shown(PAGE, monkeypatch):
        assert printed == (shown or "")


def test_links_resolve() -> None:
    text = PAGE.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 2
    for link in links:
        name, _, section = link.partition("#")
        target = (PAGE.parent / name).read_text(encoding="utf-8") if name else text
        titles = [title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", target, re.MULTILINE)]
        assert not section or section in titles, link
