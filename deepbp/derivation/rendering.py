"""Rendering of documents: plain text for a terminal, LaTeX, and HTML with MathML that needs no script."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from html import escape
from os import PathLike
from pathlib import Path
from textwrap import wrap

from deepbp._plain_text import printable
from deepbp.derivation.document import (
    Block,
    Document,
    Equations,
    Heading,
    Paragraph,
    Row,
    Values,
    as_math,
    cells,
    measures,
)
from deepbp.derivation.expressions import Math
from deepbp.derivation.paper import as_pdf, save
from deepbp.formulas.latex import GREEK_LETTERS, LatexPrinter, as_number
from deepbp.formulas.mathml import MathMLPrinter
from deepbp.formulas.printer import TextPrinter
from deepbp.typing import Array

WIDTH = 100
_WIDEST = 80  # of a formula beside which others have their remarks
_TEXT = TextPrinter()


def as_text(document: Document) -> str:
    """Render as plain text, with formulas in Unicode."""
    text = f"{document.title}\n{'═' * len(document.title)}"
    before: list[str] = []
    for block in document.blocks:
        lines = [line.rstrip() for line in _text_lines(block)]
        together = isinstance(block, Values) and len(before) == len(lines) == 1  # single numbers, below one another
        text += ("\n" if together else "\n\n") + "\n".join(lines)
        before = lines if isinstance(block, Values) else []
    return text + "\n"


def _text_lines(block: Block) -> list[str]:
    match block:
        case Heading(text):
            return [text, "─" * len(text)]
        case Paragraph(parts):
            text = "".join(
                part if isinstance(part, str) else part.written(_TEXT).replace(" ", "\N{NO-BREAK SPACE}")
                for part in parts
            )
            return [line.replace("\N{NO-BREAK SPACE}", " ") for line in _wrapped(text)]
        case Equations(rows):
            written = [(row.math.written(_TEXT), row.shape, row.remark) for row in rows]
            return list(_text_rows(written))
        case Values(math, array, remark):
            lines = _text_array(f"    {math.written(_TEXT)} = ", cells(array), measures(array), array.ndim)
            if remark:
                lines[len(lines) // 2] += f"   {remark}"
            return lines


def _text_rows(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    """Formulas with their shapes and remarks in columns; those of a long formula stand below it."""
    widths = [max((len(row[column]) for row in rows if len(row[0]) <= _WIDEST), default=0) for column in (0, 1)]
    for math, shape, remark in rows:
        if len(math) > widths[0] and (shape or remark):
            yield f"    {math}"
            math = ""
        yield f"    {math:<{widths[0]}}   {shape:<{widths[1]}}   {remark}"


def _wrapped(text: str) -> list[str]:
    kept = text.replace("\N{NO-BREAK SPACE}", "\x00")  # wrap would break at a no-break space
    return [
        line.replace("\x00", "\N{NO-BREAK SPACE}")
        for line in wrap(kept, WIDTH, break_long_words=False, break_on_hyphens=False)
    ]


def _text_array(start: str, shown: tuple[list[list[str]], int] | None, summary: str, axes: int) -> list[str]:
    if shown is None:
        return [start + summary]
    rows, power = [[as_math(text) for text in row] for row in shown[0]], shown[1]
    if axes == 0:
        return [start + as_math(f"{rows[0][0]}e{power}" if power else rows[0][0])]
    start += f"{as_math(f'1e{power}')} · " if power else ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    texts = ["  ".join(f"{text:>{width}}" for text, width in zip(row, widths, strict=True)) for row in rows]
    if len(rows) == 1:
        return [f"{start}[ {texts[0]} ]"]
    sides = [("⎡", "⎤"), *[("⎢", "⎥")] * (len(rows) - 2), ("⎣", "⎦")]
    middle = len(rows) // 2
    blank = " " * len(start)
    return [
        f"{start if line == middle else blank}{left} {text} {right}"
        for line, (text, (left, right)) in enumerate(zip(texts, sides, strict=True))
    ]


_LATEX = LatexPrinter()
_LATEX_OPENING = r"""\documentclass{article}
\usepackage[margin=25mm]{geometry}
\usepackage{amsmath}
\raggedbottom
\begin{document}
"""
_RAISED = [*zip("0123456789+-()zxyntku", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ᶻˣʸⁿᵗᵏᵘ", strict=True), (r"\top", "ᵀ")]
_LOWERED = [*zip("0123456789ijk", "₀₁₂₃₄₅₆₇₈₉ᵢⱼₖ", strict=True)]
_LATEX_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "&": r"\&", "%": r"\%", "$": r"\$",
        "#": r"\#", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": r"\(-\)", "→": r"\(\to\)",
        "×": r"\(\times\)", "½": r"\(\frac{1}{2}\)", "·": r"\(\cdot\)", "√": r"\(\surd\)", "′": r"\('\)",
        "∂": r"\(\partial\)", "Σ": r"\(\sum\)", "…": r"\ldots{}", "ŷ": r"\(\hat{y}\)", "≥": r"\(\ge\)",
        "≤": r"\(\le\)", "≠": r"\(\ne\)", "∞": r"\(\infty\)",
    }
    | {letter: rf"\({name}\)" for letter, name in GREEK_LETTERS.items()}
    | {raised: rf"\({{}}^{{{plain}}}\)" for plain, raised in _RAISED}
    | {lowered: rf"\({{}}_{{{plain}}}\)" for plain, lowered in _LOWERED}
)  # fmt: skip
# Formulas are set within a line, where TeX breaks them at operators; what does not fit beside one goes below it.
_LATEX_LINES = r"{\raggedright\binoppenalty=50\relpenalty=30\parindent=0pt\parskip=6pt plus 2pt" + "\n"
_LATEX_LINES += r"\lineskip=3pt\lineskiplimit=3pt" + "\n"
_POINTS = 430  # of a line, less the indentation
_TOGETHER = 75  # characters of shape and remark that are kept in one line


def as_latex(document: Document, *, whole: bool) -> str:
    """Render as LaTeX: a fragment that needs amsmath, or a whole document."""
    body = "\n\n".join([rf"\section*{{{escaped(document.title)}}}", *map(_latex_block, document.blocks)]) + "\n"
    return f"{_LATEX_OPENING}\n{body}\n\\end{{document}}\n" if whole else body


def escaped(text: str) -> str:
    """Escape the special characters of LaTeX."""
    return text.translate(_LATEX_ESCAPES)


def _latex_block(block: Block) -> str:
    match block:
        case Heading(text):
            return rf"\subsection*{{{escaped(text)}}}"
        case Paragraph(parts):
            return "".join(escaped(part) if isinstance(part, str) else rf"\({part.written(_LATEX)}\)" for part in parts)
        case Equations(rows):
            return _LATEX_LINES + "\n\n".join(map(_latex_row, rows)) + "\n\\par\\smallskip}"
        case Values(math, array, remark):
            return f"{_LATEX_LINES}{_latex_line(math, remark=remark, value=_latex_value(array))}\n\\par}}"


def _latex_row(row: Row) -> str:
    return _latex_line(row.math, row.shape, row.remark)


def _latex_line(math: Math, shape: str = "", remark: str = "", value: str = "") -> str:
    first, *others = (Math((side,), math.symbols).written(_LATEX) for side in math.sides)
    sides = "".join(_LATEX.sign(math.relation) + side for side in others)
    words = [rf"{{\small {escaped(shape)}}}"] * bool(shape) + [rf"{{\small\itshape {escaped(remark)}}}"] * bool(remark)
    beside = r"\quad ".join(words)
    if len(shape) + len(remark) < _TOGETHER:
        beside = rf"\mbox{{{beside}}}" if words else ""
    beside = rf"\hfill {beside}" if words else ""
    return rf"\hangindent=3em $\displaystyle {first}{sides}${f' $=$ {value}' if value else ''}{beside}"


def _latex_value(array: Array) -> str:
    shown = cells(array)
    if shown is None:
        return escaped(measures(array))
    entries, power = shown
    if array.ndim == 0:
        return f"${as_number(f'{entries[0][0]}e{power}' if power else entries[0][0])}$"
    points = sum(6 * max(map(len, column)) + 10 for column in zip(*entries, strict=True))
    size = next(
        (name for name, part in ((r"\footnotesize", 0.8), (r"\scriptsize", 0.7)) if points * part < _POINTS), r"\tiny"
    )
    signed = [any(text.startswith("-") for text in column) for column in zip(*entries, strict=True)]
    rows = r" \\ ".join(" & ".join(map(_latex_entry, row, signed)) for row in entries)
    factor = rf"{as_number(f'1e{power}')} \cdot " if power else ""
    matrix = rf"${factor}\begin{{bmatrix}} {rows} \end{{bmatrix}}$"
    return matrix if points < _POINTS else f"{{{size}{matrix}}}"


def _latex_entry(text: str, signed: bool) -> str:
    """An entry of a matrix; where others of its column have a minus, with the place of one."""
    return rf"\phantom{{-}}{text}" if signed and not text.startswith("-") else text


_MATHML = MathMLPrinter()
_HTML_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0 auto; max-width: 66rem; padding: 1rem 1.2rem 4rem; background: #fdfcf9; color: #1d1c1a;
  font: 1.05rem/1.6 Georgia, "Times New Roman", serif; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #191a1c; color: #e6e3dc; }} }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
_HTML_STYLE = """<style>
.deepbp h1 { font-size: 1.6em; line-height: 1.25; }
.deepbp h2 { font-size: 1.2em; margin: 2em 0 .5em; padding-top: .6em; border-top: 1px solid #8886; }
.deepbp p { max-width: 46rem; }
.deepbp math { font-size: 1.08em; }
.deepbp .equations { display: grid; grid-template-columns: auto auto 1fr; gap: .5em 2.2em; align-items: baseline;
  margin: .8em 0 .8em 1em; }
.deepbp .math { overflow-x: auto; overflow-y: hidden; padding: .15em 0; min-width: 0; }
.deepbp .shape { font: .82em/1.4 ui-monospace, monospace; opacity: .75; }
.deepbp .remark { font-size: .88em; font-style: italic; opacity: .8; }
.deepbp .steps { margin: .8em 0 .8em 1em; }
.deepbp .steps summary { padding: .25em 0; cursor: pointer; }
.deepbp .steps details p { margin: 0 0 .5em 1.6em; }
.deepbp .values { margin: .8em 0 .8em 1em; }
.deepbp .matrix { padding: .1em .25em; font-variant-numeric: tabular-nums;  /* brackets that need no font to stretch */
  --ink: linear-gradient(currentColor, currentColor) no-repeat; border: solid; border-width: 0 1.4px;
  background: var(--ink) 0 0 / .35em 1.4px, var(--ink) 100% 0 / .35em 1.4px, var(--ink) 0 100% / .35em 1.4px,
    var(--ink) 100% 100% / .35em 1.4px; background-origin: border-box; margin: 0 .15em; }
.deepbp mtd { padding: .12em .45em; }
.deepbp .values .remark { margin-left: 1.5em; }
@media (max-width: 760px) {
  .deepbp .equations { grid-template-columns: minmax(0, 1fr); gap: 0; margin-left: .2em; }
  .deepbp .equations > .math { margin-top: .8em; }
  .deepbp .values { margin-left: .2em; }
}
</style>"""


def as_html(document: Document) -> str:
    """Render as a complete HTML page."""
    return _HTML_PAGE.format(title=escape(document.title), body=as_fragment(document))


def as_fragment(document: Document) -> str:
    """Render as an HTML fragment with its style; colours and font are inherited from the surrounding page."""
    blocks = "\n".join(map(_html_block, document.blocks))
    return f"{_HTML_STYLE}\n<main class='deepbp'>\n<h1>{escape(document.title)}</h1>\n{blocks}\n</main>"


def _html_block(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{escape(text)}</h2>"
        case Paragraph(parts):
            return f"<p>{''.join(escape(part) if isinstance(part, str) else _html_math(part) for part in parts)}</p>"
        case Equations(rows, unfolding=True):
            return f"<div class='steps'>\n{chr(10).join(map(_html_step, rows))}\n</div>"
        case Equations(rows):
            cells_ = (
                f"<div class='math'>{_html_math(row.math, tall=True)}</div><div class='shape'>{escape(row.shape)}</div>"
                f"<div class='remark'>{escape(row.remark)}</div>"
                for row in rows
            )
            return f"<div class='equations'>\n{chr(10).join(cells_)}\n</div>"
        case Values(math, array, remark):
            shown, words = cells(array), f"<span class='remark'>{escape(remark)}</span>" if remark else ""
            if shown is None:
                text = f"<mtext>{escape(measures(array))}</mtext>"
            elif array.ndim == 0:
                text = _html_number(f"{shown[0][0][0]}e{shown[1]}" if shown[1] else shown[0][0][0])
            else:
                factor = _html_number(f"1e{shown[1]}") + _MATHML.sign("·") if shown[1] else ""
                text = factor + _html_matrix(shown[0])
            whole = _MATHML.row(math.written(_MATHML), _MATHML.sign("="), text)
            return f"<div class='values math'><math displaystyle='true'>{whole}</math> {words}</div>"


def _html_step(row: Row) -> str:
    """A step that unfolds to its reason."""
    math = f"<span class='math'>{_html_math(row.math, tall=True)}</span>"
    reason = escape(row.remark) or "as stated"
    return f"<details><summary>{math}</summary><p class='remark'>{reason}</p></details>"


def _html_math(math: Math, *, tall: bool = False) -> str:
    return f"<math{' displaystyle=' + repr('true') if tall else ''}>{math.written(_MATHML)}</math>"


def _html_matrix(rows: list[list[str]]) -> str:
    """A matrix with right-aligned numbers. MathML Core has no alignment, so invisible digits pad the short ones."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    signs = [any(text.startswith("-") for text in column) for column in zip(*rows, strict=True)]
    lines = (
        "".join(f"<mtd>{_html_padded(*cell)}</mtd>" for cell in zip(row, widths, signs, strict=True)) for row in rows
    )
    return f"<mtable class='matrix'>{''.join(f'<mtr>{line}</mtr>' for line in lines)}</mtable>"


def _html_padded(text: str, width: int, sign: bool) -> str:
    missing = width - len(text)
    unseen = "−" * (sign and missing > 0 and not text.startswith("-"))
    unseen += "0" * (missing - len(unseen))
    phantom = f"<mphantom><mn>{unseen}</mn></mphantom>" if unseen else ""
    return f"<mrow>{phantom}{_html_number(text)}</mrow>"


def _html_number(text: str) -> str:
    return _MATHML.number(text)


class Renderable(ABC):
    """Base class of what renders itself: ``print`` gives text, ``to_latex`` and ``to_html`` give these formats."""

    __slots__ = ()

    @abstractmethod
    def document(self) -> Document:
        """The content, independent of any output format."""

    def __str__(self) -> str:
        return printable(as_text(self.document()))

    def __repr__(self) -> str:
        return as_text(self.document())

    def to_latex(self, document: bool = False) -> str:
        """LaTeX for a text that uses amsmath; with ``document=True``, a complete document."""
        return as_latex(self.document(), whole=document)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the document to a file, ``.pdf``, ``.tex``, ``.html`` or ``.txt``; returns its path.

        A PDF needs one of TeX's programs: ``pdflatex``, ``lualatex``, ``xelatex`` or ``tectonic``. Raises
        ConfigurationError without one, and for another ending.
        """
        source = partial(self.to_latex, document=True)
        return save(
            path,
            {
                ".pdf": lambda: as_pdf(source()),
                ".tex": source,
                ".html": self.to_html,
                ".txt": lambda: as_text(self.document()),
            },
        )

    def to_html(self) -> str:
        """A self-contained page: formulas in MathML, no script, light and dark colours."""
        return as_html(self.document())

    def _repr_html_(self) -> str:
        return as_fragment(self.document())
