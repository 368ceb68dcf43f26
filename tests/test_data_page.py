"""The page from data to answers: its Python prints what stands below it, and its links resolve."""

import re

import pytest
from pages import ROOT, printed_and_shown

PAGE = ROOT / "docs" / "data.md"


@pytest.mark.filterwarnings("ignore:y. the targets")  # which the page shows on purpose
def test_code_prints_the_output_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("polars")
    for printed, shown in printed_and_shown(PAGE, monkeypatch):
        assert printed == (shown or "")


def test_links_resolve() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)]+)\)", text):
        name, _, section = link.partition("#")
        target = (PAGE.parent / name).read_text(encoding="utf-8") if name else text
        titles = [title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", target, re.MULTILINE)]
        assert not section or section in titles, link
