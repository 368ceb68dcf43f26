"""mypy --strict and pyright accept what users write, and complain about mistakes."""

import shutil
from pathlib import Path

import pytest
from checkers import Finding, mypy, pyright

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    folder = tmp_path_factory.mktemp("snippets")
    for name in ("accepted.py", "refused.py"):
        shutil.copy(HERE / name, folder)
    return [*mypy(folder), *pyright(folder)]


def test_what_users_write_is_accepted(findings: list[Finding]) -> None:
    assert [str(one) for one in findings if one.file == "accepted.py"] == []


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_mistakes_are_found(findings: list[Finding], checker: str) -> None:
    lines = (HERE / "refused.py").read_text(encoding="utf-8").splitlines()
    wrong = {number for number, line in enumerate(lines, start=1) if line.endswith("# error")}
    found = {one.line for one in findings if one.file == "refused.py" and one.checker == checker}
    assert len(wrong) > 40
    assert [lines[number - 1] for number in sorted(wrong ^ found)] == []
