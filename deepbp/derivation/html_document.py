"""A page as HTML with MathML: one file, which needs no script and nothing from the network."""

from html import escape

from deepbp.derivation.document import Block, Document, Equations, Heading, Paragraph, Values, cells, measures
from deepbp.derivation.expressions import Math
from deepbp.formulas.mathml import MathMLPrinter

PRINTER = MathMLPrinter()
_PAGE = """<!DOCTYPE html>
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
_STYLE = """<style>
.deepbp h1 { font-size: 1.6em; line-height: 1.25; }
.deepbp h2 { font-size: 1.2em; margin: 2em 0 .5em; padding-top: .6em; border-top: 1px solid #8886; }
.deepbp p { max-width: 46rem; }
.deepbp math { font-size: 1.08em; }
.deepbp .equations { display: grid; grid-template-columns: auto auto 1fr; gap: .5em 2.2em; align-items: baseline;
  margin: .8em 0 .8em 1em; }
.deepbp .math { overflow-x: auto; overflow-y: hidden; padding: .15em 0; min-width: 0; }
.deepbp .shape { font: .82em/1.4 ui-monospace, monospace; opacity: .75; }
.deepbp .remark { font-size: .88em; font-style: italic; opacity: .8; }
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
    """A whole page."""
    return _PAGE.format(title=escape(document.title), body=as_fragment(document))


def as_fragment(document: Document) -> str:
    """The page's content with its own style, which takes colours and font from what stands around it."""
    blocks = "\n".join(map(_block, document.blocks))
    return f"{_STYLE}\n<main class='deepbp'>\n<h1>{escape(document.title)}</h1>\n{blocks}\n</main>"


def _block(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{escape(text)}</h2>"
        case Paragraph(parts):
            return f"<p>{''.join(escape(part) if isinstance(part, str) else _math(part) for part in parts)}</p>"
        case Equations(rows):
            cells_ = (
                f"<div class='math'>{_math(row.math, tall=True)}</div><div class='shape'>{escape(row.shape)}</div>"
                f"<div class='remark'>{escape(row.remark)}</div>"
                for row in rows
            )
            return f"<div class='equations'>\n{chr(10).join(cells_)}\n</div>"
        case Values(math, array, remark):
            shown, words = cells(array), f"<span class='remark'>{escape(remark)}</span>" if remark else ""
            if shown is None:
                text = f"<mtext>{escape(measures(array))}</mtext>"
            elif array.ndim == 0:
                text = _number(shown[0][0])
            else:
                text = _matrix(shown)
            whole = PRINTER.row(math.written(PRINTER), PRINTER.sign("="), text)
            return f"<div class='values math'><math displaystyle='true'>{whole}</math> {words}</div>"


def _math(math: Math, *, tall: bool = False) -> str:
    return f"<math{' displaystyle=' + repr('true') if tall else ''}>{math.written(PRINTER)}</math>"


def _matrix(rows: list[list[str]]) -> str:
    """Numbers aligned at the right: MathML Core does not do it, so what a number is short of stands there unseen."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    signs = [any(text.startswith("-") for text in column) for column in zip(*rows, strict=True)]
    lines = ("".join(f"<mtd>{_padded(*cell)}</mtd>" for cell in zip(row, widths, signs, strict=True)) for row in rows)
    return f"<mtable class='matrix'>{''.join(f'<mtr>{line}</mtr>' for line in lines)}</mtable>"


def _padded(text: str, width: int, sign: bool) -> str:
    missing = width - len(text)
    unseen = "−" * (sign and missing > 0 and not text.startswith("-"))
    unseen += "0" * (missing - len(unseen))
    phantom = f"<mphantom><mn>{unseen}</mn></mphantom>" if unseen else ""
    return f"<mrow>{phantom}{_number(text)}</mrow>"


def _number(text: str) -> str:
    return f"<mn>{text.replace('-', '−')}</mn>"
