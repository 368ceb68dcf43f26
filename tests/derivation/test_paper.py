"""Derivations on paper: files in each format, numbers set as numbers, and LaTeX that fits its page."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from branched import branched_nets, data
from nets import X, Y, notes_net, rich_data, rich_net

import deepbp
from deepbp import Sequential
from deepbp.derivation import paper
from deepbp.derivation.rendering import Renderable
from deepbp.errors import ConfigurationError
from deepbp.formulas.latex import LatexPrinter
from deepbp.formulas.mathml import MathMLPrinter
from deepbp.formulas.printer import Printer, TextPrinter, print_expression
from deepbp.layers import (
    GELU,
    BatchNorm,
    Bilinear,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GroupNorm,
    LayerNorm,
    Maxout,
    Mish,
    Parallel,
    PReLU,
    Residual,
    RMSNorm,
    Tanh,
)
from deepbp.losses import Quantile, SoftmaxFocal, SumSquaredError
from deepbp.optimizers import SGD, AdamW

LAYERS = [Dense(4), LayerNorm(), GELU("tanh"), RMSNorm(), BatchNorm(), GroupNorm(2), Mish(), Maxout(3), PReLU()]
BRANCHES = [Parallel([Dense(8), [Dense(8), Tanh()]], merge="concat"), Residual([Dense(16), GELU(), Dropout(0.1)])]
NORMAL = "gain * (x - row_mean(x)) / sqrt(row_variance(x) + epsilon) + shift"


def pages() -> dict[str, Renderable]:
    return {
        "notes": notes_net().derivation(SumSquaredError()),
        "numbers": notes_net().trace(X, Y, SumSquaredError(), optimizer=SGD(1.0)),
        "rich": rich_net("float32").trace(*rich_data(), SumSquaredError()),
        "why": rich_net().trace(*rich_data(), SumSquaredError()).explain("1.weight", (1, 2)),
        "layers": Sequential([*LAYERS, Dense(2)], input_shape=3, rng=0).derivation(Quantile(0.9), AdamW(0.01)),
        "branches": Sequential([*BRANCHES, Dense(3)], input_shape=4, rng=0).derivation(SoftmaxFocal()),
        "formula": deepbp.derive(NORMAL, ["gain", "shift"], constants={"epsilon": 1e-5}),
    }


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs TeX")
@pytest.mark.parametrize("name", pages())
def test_a_page_fits_on_paper(name: str, tmp_path: Path) -> None:
    (tmp_path / "page.tex").write_text(pages()[name].to_latex(document=True), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-no-shell-escape", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, [line for line in log.splitlines() if line.startswith("!")]
    assert max(map(float, re.findall(r"Overfull \\hbox \((\d+\.?\d*)pt", log)), default=0) < 5  # a millimetre or two


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs TeX")
def test_no_branch_is_led_off_the_paper(tmp_path: Path) -> None:
    """All networks with branches, and one with all else, as one document."""
    rest = [
        Embedding(7, 3),
        Flatten(),
        LayerNorm(),
        Residual([Dense(12), Dropout(0.1)]),
        GroupNorm(1),
        Bilinear(2, sizes=(6, 6)),
    ]
    found: list[Renderable] = [Sequential(rest, input_shape=4, rng=0).derivation(SoftmaxFocal())]
    for net in branched_nets().values():
        found += [net.derivation(SumSquaredError()), net.trace(*data(), SumSquaredError(), optimizer=SGD(0.1))]
    opening, _, _ = found[0].to_latex(document=True).partition("\\begin{document}")
    bodies = "\n".join(one.to_latex() for one in found)
    (tmp_path / "page.tex").write_text(f"{opening}\\begin{{document}}\n{bodies}\n\\end{{document}}", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-no-shell-escape", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, [line for line in log.splitlines() if line.startswith("!")]
    assert max(map(float, re.findall(r"Overfull \\hbox \((\d+\.?\d*)pt", log)), default=0) < 5


@pytest.mark.skipif(not any(map(shutil.which, paper.PROGRAMS)), reason="needs TeX")
def test_a_pdf_is_written(tmp_path: Path) -> None:
    path = deepbp.derive("tanh(x)").save(tmp_path / "page.pdf")
    assert path.read_bytes().startswith(b"%PDF")


def test_other_files_need_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = deepbp.derive("tanh(x)")
    for ending, start in ((".tex", "\\documentclass"), (".html", "<!DOCTYPE html>"), (".txt", "The backward pass")):
        assert found.save(str(tmp_path / f"page{ending}")).read_text(encoding="utf-8").startswith(start)
    with pytest.raises(ConfigurationError, match=r"expected a file \.pdf, \.tex, \.html or \.txt, got '\.doc'"):
        found.save(tmp_path / "page.doc")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigurationError, match="none is installed"):
        found.save(tmp_path / "page.pdf")


def test_a_program_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "pdflatex"
    program.write_text("#!/bin/sh\necho '! Undefined control sequence.'\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(program))
    with pytest.raises(ConfigurationError, match="pdflatex failed: ! Undefined control sequence"):
        deepbp.derive("tanh(x)").save(tmp_path / "page.pdf")


@pytest.mark.parametrize(
    ("printer", "number", "product", "condition"),
    [
        (TextPrinter(), "10⁻⁵", "2.5 · 10⁻⁷ x", "0.9 · 𝟙[x > 0]"),
        (LatexPrinter(), "10^{-5}", r"2.5 \cdot 10^{-7} \, x", r"0.9 \cdot \mathbf{1}[x > 0]"),
    ],
    ids=["text", "latex"],
)
def test_numbers_are_set_as_numbers(printer: Printer, number: str, product: str, condition: str) -> None:
    assert print_expression("1e-05", {}, printer) == number
    assert print_expression("2.5e-07 * x", {}, printer) == product
    assert print_expression("0.9 * (x > 0)", {}, printer) == condition
    assert "<msup><mn>10</mn><mn>−5</mn></msup>" in print_expression("1e-05", {}, MathMLPrinter())


def test_long_fractions_are_written_in_a_line_that_can_be_broken() -> None:
    long = " + ".join(f"sin({k} * x)" for k in range(12))
    assert r"\frac" not in print_expression(f"({long}) / y", {}, LatexPrinter())
    assert r"\left" not in print_expression(f"(1 + x / y) * ({long})", {}, LatexPrinter())
