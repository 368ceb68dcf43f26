"""The page on files: its Python prints what stands below it, and what it says of limits and PyTorch is so."""

import pytest
from pages import ROOT, printed_and_shown

from deepbp.files.objects import MOST_OBJECTS
from deepbp.files.weights import TRANSLATIONS
from deepbp.storage import LIMIT
from deepbp.storage.json_codec import DEEPEST, LONGEST, MOST_VALUES

PAGE = ROOT / "docs" / "files.md"


def test_code_prints_the_output_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for printed, shown in printed_and_shown(PAGE, monkeypatch):
        assert printed == (shown or "")


def test_limits_on_the_page_are_those_of_the_code() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"more than {LONGEST // 2**20} MiB, {MOST_VALUES:,} values or {DEEPEST} levels" in text
    assert f"{LIMIT // 2**30} GiB unless another is given" in text
    assert f"more than {MOST_OBJECTS:,} layers and parts" in text


def test_the_page_lists_every_layer_with_weight_conversion() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Weights from PyTorch")[2].partition("\n## ")[0]
    for layer in TRANSLATIONS:
        assert f"`{layer.__name__}`" in section
