"""The page on sequences: its code prints the output shown."""

import pytest
from pages import ROOT, printed_and_shown

PAGE = ROOT / "docs" / "sequences.md"


def test_code_prints_the_output_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for printed, shown in printed_and_shown(PAGE, monkeypatch):
        assert printed == (shown or "")
