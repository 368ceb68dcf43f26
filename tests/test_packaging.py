"""Metadata and contents of what is published; ``make release-check`` builds it and tries it out."""

import re
import shutil
import subprocess
import tomllib
from typing import Any

import pytest
from pages import ROOT

import deepbp

CONFIGURATION: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = CONFIGURATION["project"]
HATCH = CONFIGURATION["tool"]["hatch"]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_sdist_has_all_that_is_tracked() -> None:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no repository")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    top = {f"/{path.partition('/')[0]}" for path in tracked.splitlines()}
    assert top - {"/.ci", "/pyproject.toml"} == set(HATCH["build"]["targets"]["sdist"]["include"])


def test_all_is_every_extra_and_each_python_has_a_classifier() -> None:
    extras = PROJECT["optional-dependencies"]
    (everything,) = extras["all"]
    assert everything == f"deepbp[{','.join(sorted(extras.keys() - {'all', 'examples'}))}]"
    named = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)]
    assert named[0] == PROJECT["requires-python"].removeprefix(">=")
    assert named == [f"3.{minor}" for minor in range(11, 11 + len(named))]


def test_an_index_page_has_no_link_that_leads_nowhere() -> None:
    page = README
    for rule in HATCH["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        page = re.sub(rule["pattern"], rule["replacement"], page)
    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", README), "relative links, in the repository"
    assert re.findall(r"!?\[[^\]]*\]\((?!https?:|#)[^)]*\)", page) == []
    assert "| A tour, Gallery |" in page
    code = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
    assert code.findall(page) == code.findall(README)


def test_the_readme_is_short_and_begins_with_pip() -> None:
    assert README.count("\n") <= 200
    assert README.index("pip install deepbp") < README.index("\n## ")
    assert len(re.findall(r"!\[.*?\]\((.*?)\)", README)) == 1


def test_the_citation_names_this_version_and_its_authors() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {deepbp.__version__}\n" in citation
    assert [f"name: {author['name']}" for author in PROJECT["authors"]] == re.findall(r"name: .*", citation)
