"""The page on scikit-learn: its Python prints what stands below it."""

import pytest
from pages import ROOT, printed_and_shown

pytest.importorskip("sklearn", minversion="1.6")
pytest.importorskip("polars")


def test_code_prints_the_output_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for printed, shown in printed_and_shown(ROOT / "docs" / "scikit_learn.md", monkeypatch):
        assert printed == (shown or "")
