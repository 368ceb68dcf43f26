"""HTML for notebooks: tables, texts and curves, in the colours of the page around them, be it light or dark."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite

WIDTH, HEIGHT = 240, 110


def escape(text: str) -> str:
    """Text in which ``<``, ``>``, ``&`` and quotes are references. Its module is large, and of no use in a console."""
    from html import escape

    return escape(text)


class ShownText(str):
    """Text that a console and a notebook show with its line breaks, where they would show the repr of a string."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return preformatted(self)


def preformatted(text: str) -> str:
    """Text with its line breaks and columns."""
    return f'<pre style="white-space:pre-wrap">{escape(text)}</pre>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], foot: str = "", right: Iterable[int] = ()) -> str:
    """A table; ``right`` are the columns of numbers, and ``foot`` is a line below it."""
    numbers = set(right)

    def line(cells: Sequence[str], tag: str) -> str:
        style = "white-space:pre;padding:0 1em 0 0;text-align:"
        sides = ["right" if i in numbers else "left" for i in range(len(cells))]
        pairs = zip(sides, cells, strict=True)
        parts = [f'<{tag} style="{style}{side}">{escape(cell)}</{tag}>' for side, cell in pairs]
        return f"<tr>{''.join(parts)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    below = f"<p>{escape(foot)}</p>" if foot else ""
    return f"<div><table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>{below}</div>"


def curves(columns: Mapping[str, Sequence[float]]) -> str:
    """Columns of numbers over their index as an SVG picture; those whose names begin with ``val_`` are dashed."""
    finite = [value for values in columns.values() for value in values if isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    lines = []
    for name, values in columns.items():
        dash = ' stroke-dasharray="4 3"' if name.startswith("val_") else ""
        step = WIDTH / max(len(values) - 1, 1)
        points = [
            f"{i * step:.1f},{HEIGHT * (high - value) / ((high - low) or 1):.1f}"
            for i, value in enumerate(values)
            if isfinite(value)  # an epoch that is not validated has none
        ]
        lines.append(f'<polyline points="{" ".join(points)}"{dash}/>')
    title = escape(", ".join(f"{name} (dashed)" if name.startswith("val_") else name for name in columns))
    return (
        f'<svg role="img" aria-label="{title}" width="{WIDTH + 70}" height="{HEIGHT + 34}" '
        f'viewBox="-60 -20 {WIDTH + 70} {HEIGHT + 34}" fill="none" stroke="currentColor" stroke-width="1.5">'
        f'<path d="M0 0V{HEIGHT}H{WIDTH}" stroke-opacity="0.4"/>{"".join(lines)}'
        f'<g fill="currentColor" stroke="none" font-family="sans-serif" font-size="11">'
        f'<text x="0" y="-8">{title}</text><text x="-6" y="10" text-anchor="end">{high:.3g}</text>'
        f'<text x="-6" y="{HEIGHT}" text-anchor="end">{low:.3g}</text></g></svg>'
    )
