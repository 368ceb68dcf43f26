"""Tables of numbers in a page: a caption, and an array in full, or its measures."""

from collections.abc import Container
from html import escape
from math import isfinite

import numpy as np
from attrs import frozen

from deepbp.derivation.document import as_math
from deepbp.derivation.explore.statements import key
from deepbp.formulas.mathml import MathMLPrinter
from deepbp.formulas.printer import Symbol, TextPrinter
from deepbp.typing import Array

PRINTER, TEXT = MathMLPrinter(), TextPrinter()
LOSS = Symbol("L")

MOST_NUMBERS = 10  # arrays with more rows or columns are summarized, where no number can be changed
MOST_FIELDS = 64  # and where numbers can be changed


def figure(
    letter: str, name: str, array: Array, *, samples: bool = True, value: str = "", most: int = MOST_NUMBERS
) -> str:
    """A captioned table, one row for each sample; ``letter`` is the symbol in MathML, ``name`` as text.

    ``value`` is the name under which the page computes the array.
    """
    shape = " × ".join(map(str, array.shape))
    rows = array.reshape(len(array), -1) if samples else np.atleast_2d(array)
    if rows.ndim > 2:  # kernels, with a column for each channel of the output
        rows = rows.reshape(-1, rows.shape[-1])
    small = rows.ndim == 2 and max(rows.shape) <= most
    label = escape(f"{name}, {shape}" if small else f"{name}, {shape}, in summary", quote=True)
    named = f' data-name="{escape(value, quote=True)}"' if value else ""
    return (
        f'<figure{named}><figcaption><math displaystyle="true">{letter}</math> <span>{shape}</span></figcaption>'
        f'<div class="matrix" tabindex="0" role="region" aria-label="{label}">'
        f"{_matrix(rows) if small else _summary(array)}</div></figure>"
    )


def number(value: float, scale: float | None = None) -> str:
    """A number as text; ``scale``, the largest number of its table, decides on the notation."""
    if not isfinite(value):
        return {float("inf"): "∞", float("-inf"): "−∞"}.get(value, "NaN")
    scale = abs(value) if scale is None else scale
    if value == 0 and 0 < scale < 1e-2:
        return "0"  # an exact zero among numbers in scientific notation
    return as_math(f"{value:.4f}" if scale == 0 or 1e-2 <= scale < 1e4 else f"{value:.3e}")


def _matrix(rows: Array) -> str:
    finite = rows[np.isfinite(rows)]
    scale = float(np.abs(finite).max(initial=0))
    whole = finite.size == rows.size and scale < 1e4 and bool((finite == np.round(finite)).all())
    body = "".join(
        f"<tr>{''.join(_cell(value, _whole(value) if whole else number(value, scale)) for value in row)}</tr>"
        for row in rows.astype(np.float64).tolist()
    )
    return f"<table>{body}</table>"


def _cell(value: float, text: str) -> str:
    """A number as it is shown, with all its digits for the script."""
    exact = repr(value).replace("inf", "Infinity").replace("nan", "NaN")
    return f'<td data-value="{exact}">{text}</td>'


def _whole(value: float) -> str:
    return as_math(f"{int(value)}")


def _summary(array: Array) -> str:
    values = array.astype(np.float64)
    with np.errstate(all="ignore"):
        measures = {
            "smallest": number(float(values.min())),
            "mean": number(float(values.mean())),
            "largest": number(float(values.max())),
            "norm √Σ(·)²": number(float(np.sqrt(np.sum(values**2)))),
            "zeros": f"{np.mean(values == 0):.0%}",
        }
    rows = (f'<tr><th scope="row">{name}</th><td>{text}</td></tr>' for name, text in measures.items())
    return f'<table class="summary">{"".join(rows)}</table>'


@frozen(eq=False)
class Quantity:
    """An array with its symbol; ``samples`` states whether axis 0 holds samples, ``value`` the page's name of it."""

    symbol: Symbol
    array: Array
    samples: bool = True
    words: str = ""
    value: str = ""

    def to_html(self, computed: Container[str] = ()) -> str:
        letter, name = PRINTER.symbol(self.symbol), TEXT.symbol(self.symbol)
        if self.words:
            letter, name = f"{letter}<mtext>, {escape(self.words)}</mtext>", f"{name}, {self.words}"
        value = self.value or key(self.symbol)
        shown = {"value": value, "most": MOST_FIELDS} if value in computed else {}
        return figure(letter, name, self.array, samples=self.samples, **shown)  # type: ignore[arg-type]
