"""Mutation testing: mutations are valid, differ from the original in one line, and leave the original unchanged."""

import ast
import tomllib
from pathlib import Path

import mutants
import pytest

SOURCE = """
def clipped(x: int = 3, *, rng=None) -> float:
    \"\"\"Text with 7.\"\"\"
    if x >= 0.5 and not rng:
        raise ValueError(f"{x + 1}")
    return default_rng(4) + x
"""
EXPECTED = {
    "def clipped(x: int=4, *, rng=None) -> float:",
    "if x >= 0.5 or not rng:",
    "if x > 0.5 and (not rng):",
    "if x >= 15.0 and (not rng):",
    "if x >= 0.5 and rng:",
    "if True:",
    "if False:",
    "removed",
    "return default_rng(4) - x",
}


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    path = tmp_path / "example.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def test_all_mutations_of_a_function(example: Path) -> None:
    """Every operator, number, condition and raise once; no annotation, text, error message or seed."""
    found = list(mutants.mutations(example))
    assert {mutation.after for mutation in found} == EXPECTED
    assert len(found) == len(EXPECTED)


def test_a_mutation_changes_one_line(example: Path) -> None:
    original = ast.unparse(ast.parse(SOURCE)).splitlines()
    for mutation in mutants.mutations(example):
        changed = mutation.source.splitlines()
        assert sum(one != other for one, other in zip(original, changed, strict=True)) == 1
        compile(mutation.source, "mutated", "exec")


def test_parts_and_their_tests_exist() -> None:
    parts = tomllib.loads((mutants.ROOT / "pyproject.toml").read_text())["tool"]["mutants"]
    for part, stages in parts.items():
        paths = [part, *(path.removeprefix("--ignore=") for tests in stages for path in tests)]
        assert [path for path in paths if not (mutants.ROOT / path).exists()] == []


def test_a_mutation_that_no_test_notices_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module.py").write_text("def same(x):\n    return x + 0\n", encoding="utf-8")
    (tmp_path / "test_module.py").write_text(
        "from module import same\n\ndef test_zero():\n    assert same(0) == 0\n", encoding="utf-8"
    )
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    monkeypatch.setattr(mutants, "COPIED", ("module.py", "test_module.py"))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # which import much
    results = mutants.run_all(list(mutants.mutations(tmp_path / "module.py")), [["test_module.py"]], jobs=1)
    assert {mutation.after: result for mutation, result in results} == {
        "return x - 0": "survived",
        "return x + 1": "killed",
    }
