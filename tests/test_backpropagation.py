"""The derivation: its code prints the output shown, every number is computed, and formulas can be typeset."""

import re

import pytest
from pages import ROOT, printed_and_shown

PAGE = ROOT / "docs" / "backpropagation.md"
TEXT = PAGE.read_text(encoding="utf-8")
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
MATH = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$", re.DOTALL)


def test_code_prints_the_output_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for printed, shown in printed_and_shown(PAGE, monkeypatch):
        assert printed == shown


def test_every_number_is_printed_by_code() -> None:
    """Whatever has a decimal point was computed: it stands in a block whose text is held against what was printed."""
    assert re.findall(r"\d\.\d+", PROSE) == []
    assert len(re.findall(r"\d\.\d+", TEXT)) > 60


def formulas() -> list[str]:
    return [display or inline for display, inline in MATH.findall(PROSE)]


def test_every_formula_is_closed() -> None:
    assert PROSE.count("$$") % 2 == 0
    assert PROSE.replace("$$", "").count("$") % 2 == 0
    assert len(formulas()) > 80
    assert [formula for formula in formulas() if formula.count("{") != formula.count("}")] == []
    for left, right in (("(", ")"), ("[", "]"), (r"\lbrace", r"\rbrace")):
        assert [formula for formula in formulas() if formula.count(left) != formula.count(right)] == []


def test_formulas_use_commands_that_markdown_renderers_preserve() -> None:
    """A backslash before punctuation is taken away by some before the formula is set."""
    assert [formula for formula in formulas() if re.search(r"\\[^A-Za-z]", formula)] == []


def test_formulas_can_be_typeset() -> None:
    """By matplotlib's typesetter, which refuses unknown commands; line breaks and a few spellings are put aside."""
    mathtext = pytest.importorskip("matplotlib.mathtext")
    parser = mathtext.MathTextParser("path")
    spellings = {r"\lbrace": r"\{", r"\rbrace": r"\}", r"\bigl": "", r"\bigr": ""}
    spellings |= {r"\Bigl": "", r"\Bigr": "", r"\top": "T"}
    for formula in formulas():
        for one, other in spellings.items():
            formula = formula.replace(one, other)
        parser.parse(f"${' '.join(formula.split())}$")


def test_the_derivation_of_one_neuron_two_layers_and_any_number_is_there() -> None:
    squeezed = " ".join(TEXT.split())
    for formula in (
        r"\frac{\partial z}{\partial w} \cdot \frac{\partial a}{\partial z} \cdot \frac{\partial L}{\partial a}",
        r"\frac{\partial L}{\partial W} = x^\top \delta",
        r"\delta^1 = \delta^2 (W^2)^\top \cdot a^1 (1 - a^1)",
        r"\delta^k = \delta^{k+1} (W^{k+1})^\top \cdot f_k'(z^k)",
    ):
        assert formula in squeezed
