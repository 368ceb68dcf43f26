"""The README: its code prints the output shown, and the commands and files it names exist."""

import re

import pytest
from pages import ROOT, printed_and_shown

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_code_prints_the_output_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    for printed, shown in printed_and_shown(ROOT / "README.md", monkeypatch):
        assert printed == shown


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
