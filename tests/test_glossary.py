"""The glossary: rows are complete, name objects that exist, and pages link to it."""

import re
from functools import reduce
from importlib import import_module
from typing import Any

import attrs
import pytest
from pages import ROOT

PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
LINES = [line for line in PAGE.splitlines() if re.match(r"\| (?!term \|)", line)]
ROWS = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in LINES]
TERMS = [row[0] for row in ROWS]


def resolve(path: str) -> Any:
    """The object that a dotted path in the package leads to; a field of an attrs class is one of its attributes."""

    def follow(value: Any, name: str) -> Any:
        if isinstance(value, type) and attrs.has(value) and name in attrs.fields_dict(value):
            return attrs.fields_dict(value)[name]
        return getattr(value, name)

    module, _, rest = path.partition(".")
    if module[0].islower():
        return reduce(follow, rest.split("."), import_module(f"deepbp.{module}"))
    return reduce(follow, path.split("."), import_module("deepbp"))


@pytest.mark.parametrize("row", ROWS, ids=TERMS)
def test_a_row_is_complete_and_names_something_that_exists(row: list[str]) -> None:
    assert len(row) == 5
    assert all(row)
    assert row[1].endswith(".")
    name = re.fullmatch(r"`([\w.]+)`", row[4])
    assert name is not None
    assert resolve(name[1]) is not None


def test_every_term_is_explained_once() -> None:
    assert len(TERMS) == len(set(TERMS)) >= 40


def test_a_name_that_does_not_exist_is_noticed() -> None:
    for path in ("layers.Dens", "Trainer.stepp", "layers.Dense.wait"):
        with pytest.raises(AttributeError):
            resolve(path)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"docs/{n}.md" for n in ("extending", "training"))])
def test_pages_link_to_the_glossary(page: str) -> None:
    assert re.search(r"\]\((docs/)?glossary\.md\)", (ROOT / page).read_text(encoding="utf-8"))


def test_the_notes_own_words_stand_beside_the_terms() -> None:
    also = " ".join(row[2] for row in ROWS)
    assert {word for word in ("error signal", "moved by one layer", "d₁", "layer1") if word not in also} == set()
