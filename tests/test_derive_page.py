"""The page on derivations: its Python prints what stands below it, and it lists the functions of the language."""

import re

import pytest
from pages import ROOT, printed_and_shown

from deepbp.formulas.language import FUNCTIONS

PAGE = ROOT / "docs" / "derive.md"


def test_code_prints_the_output_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for printed, shown in printed_and_shown(PAGE, monkeypatch):
        assert printed.rstrip("\n") == (shown or "").rstrip("\n")


def test_every_function_on_the_page_is_one() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("| functions |")[2].partition("\n## ")[0]
    named = re.findall(r"`(\w+)`", section)
    assert len(named) > 20
    assert [name for name in named if name not in FUNCTIONS] == []
