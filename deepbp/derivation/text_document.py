"""A page as plain text, for a terminal."""

from textwrap import wrap

from deepbp.derivation.document import Block, Document, Equations, Heading, Paragraph, Values, cells, measures
from deepbp.formulas.printer import TextPrinter

WIDTH = 100
PRINTER = TextPrinter()


def as_text(document: Document) -> str:
    """The page, with formulas in Unicode."""
    text = f"{document.title}\n{'═' * len(document.title)}"
    before: list[str] = []
    for block in document.blocks:
        lines = [line.rstrip() for line in _lines(block)]
        together = isinstance(block, Values) and len(before) == len(lines) == 1  # single numbers, below one another
        text += ("\n" if together else "\n\n") + "\n".join(lines)
        before = lines if isinstance(block, Values) else []
    return text + "\n"


def _lines(block: Block) -> list[str]:
    match block:
        case Heading(text):
            return [text, "─" * len(text)]
        case Paragraph(parts):
            text = "".join(
                part if isinstance(part, str) else part.written(PRINTER).replace(" ", "\N{NO-BREAK SPACE}")
                for part in parts
            )
            return [line.replace("\N{NO-BREAK SPACE}", " ") for line in _wrapped(text)]
        case Equations(rows):
            written = [(row.math.written(PRINTER), row.shape, row.remark) for row in rows]
            widths = [max(len(row[column]) for row in written) for column in (0, 1)]
            return [f"    {math:<{widths[0]}}   {shape:<{widths[1]}}   {remark}" for math, shape, remark in written]
        case Values(math, array, remark):
            lines = _array(f"    {math.written(PRINTER)} = ", cells(array), measures(array), array.ndim)
            if remark:
                lines[len(lines) // 2] += f"   {remark}"
            return lines


def _wrapped(text: str) -> list[str]:
    kept = text.replace("\N{NO-BREAK SPACE}", "\x00")  # which wrap would take for a place to break
    return [
        line.replace("\x00", "\N{NO-BREAK SPACE}")
        for line in wrap(kept, WIDTH, break_long_words=False, break_on_hyphens=False)
    ]


def _array(start: str, rows: list[list[str]] | None, summary: str, axes: int) -> list[str]:
    if rows is None:
        return [start + summary]
    if axes == 0:
        return [start + rows[0][0]]
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
