"""README and tour: their code prints the output shown, and the commands and files that are named exist."""

import re

import pytest
from pages import ROOT, dead_links, links_in, printed_and_shown

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "docs/tour.md"])
def test_code_prints_the_output_shown(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    for printed, shown in printed_and_shown(ROOT / page, monkeypatch):
        assert printed == (shown or "")


def test_commands_in_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`make (\w+)`", README))
    assert {"demo", "test"} <= named <= targets


def test_files_that_are_named_exist() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?!output)[\w/]+(?:\.py|/))`", contributing)
    assert len(paths) >= 10
    assert [path for path in paths if not ((ROOT / path).exists() or (ROOT / "deepbp" / path).exists())] == []
    page = ROOT / "README.md"
    assert len(links_in(README)) >= 10
    assert dead_links(page) == []
