"""The page from data to answers: its Python prints what stands below it."""

import pytest
from pages import ROOT, printed_and_shown

PAGE = ROOT / "docs" / "data.md"


@pytest.mark.filterwarnings("ignore:y. the targets")  # which the page shows on purpose
def test_code_prints_the_output_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("polars")
    for printed, shown in printed_and_shown(PAGE, monkeypatch):
        assert printed == (shown or "")
