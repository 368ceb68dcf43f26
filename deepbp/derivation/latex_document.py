"""A page as LaTeX."""

from deepbp.derivation.document import Block, Document, Equations, Heading, Paragraph, Row, Values, cells, measures
from deepbp.derivation.expressions import Math
from deepbp.formulas.latex import LatexPrinter

PRINTER = LatexPrinter()
_OPENING = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[margin=25mm]{geometry}
\usepackage{amsmath}
\allowdisplaybreaks
\begin{document}
"""
_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "&": r"\&", "%": r"\%", "$": r"\$",
        "#": r"\#", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": r"\(-\)", "→": r"\(\to\)",
        "×": r"\(\times\)", "½": r"\(\frac{1}{2}\)",
    }
)  # fmt: skip


def as_latex(document: Document, *, whole: bool) -> str:
    """A fragment that needs amsmath, or a whole document."""
    body = "\n\n".join([rf"\section*{{{escaped(document.title)}}}", *map(_block, document.blocks)]) + "\n"
    return f"{_OPENING}\n{body}\n\\end{{document}}\n" if whole else body


def escaped(text: str) -> str:
    """Words, with the characters that mean something to LaTeX made harmless."""
    return text.translate(_ESCAPES)


def _block(block: Block) -> str:
    match block:
        case Heading(text):
            return rf"\subsection*{{{escaped(text)}}}"
        case Paragraph(parts):
            return "".join(
                escaped(part) if isinstance(part, str) else rf"\({part.written(PRINTER)}\)" for part in parts
            )
        case Equations(rows):
            return "\\begin{align*}\n" + " \\\\\n".join(map(_row, rows)) + "\n\\end{align*}"
        case Values(math, array, remark):
            shown = cells(array)
            if shown is None:
                value = rf"\text{{{escaped(measures(array))}}}"
            elif array.ndim == 0:
                value = shown[0][0]
            else:
                value = r"\begin{bmatrix} " + r" \\ ".join(" & ".join(row) for row in shown) + r" \end{bmatrix}"
            beside = rf" \quad \text{{{escaped(remark)}}}" if remark else ""
            return f"\\[\n{math.written(PRINTER)} = {value}{beside}\n\\]"


def _row(row: Row) -> str:
    words = [escaped(part) for part in (row.shape, row.remark) if part]
    return _aligned(row.math) + "".join(rf" && \text{{{part}}}" for part in words)


def _aligned(math: Math) -> str:
    first, *others = (Math((side,), math.symbols).written(PRINTER) for side in math.sides)
    return f"{first} &" + "".join(PRINTER.sign(math.relation) + side for side in others)
