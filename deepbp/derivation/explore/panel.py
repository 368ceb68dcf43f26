"""A panel of the page: what is to be seen of one layer, in halves for the way forward and the way back."""

from collections.abc import Sequence
from html import escape

from attrs import frozen

from deepbp.derivation.document import Row
from deepbp.derivation.explore.figures import figure
from deepbp.derivation.mathml import MathmlPen
from deepbp.layers.pen import Symbol, TextPen
from deepbp.typing import Array

PEN, TEXT = MathmlPen(), TextPen()
LOSS = Symbol("L")


@frozen(eq=False)
class Quantity:
    """An array and the letter it goes by, with words; ``samples`` says whether these stand along axis 0."""

    symbol: Symbol
    array: Array
    samples: bool = True
    words: str = ""

    def to_html(self) -> str:
        letter, name = PEN.symbol(self.symbol), TEXT.symbol(self.symbol)
        if self.words:
            letter, name = f"{letter}<mtext>, {escape(self.words)}</mtext>", f"{name}, {self.words}"
        return figure(letter, name, self.array, samples=self.samples)


@frozen(eq=False)
class Half:
    """One stage of the step.

    Attributes:
        stage: its number in the order in which the step is played.
        direction: forward, backward, or neither.
        title: what happens, as it is announced.
    """

    stage: int
    direction: str
    heading: str
    title: str
    rows: Sequence[Row] = ()
    quantities: Sequence[Quantity] = ()
    note: str = ""

    def to_html(self) -> str:
        equations = (
            f'<div class="equation" tabindex="0" role="region" aria-label="formula">'
            f'<math displaystyle="true">{row.math.written(PEN)}</math></div>'
            for row in self.rows
        )
        return "\n".join(
            [
                f'<section class="half {self.direction}" data-stage="{self.stage}"'
                f' data-title="{escape(self.title, quote=True)}">',
                f"<h3>{escape(self.heading)}</h3>",
                *equations,
                f"<p>{escape(self.note)}</p>" if self.note else "",
                f'<div class="numbers">{"".join(quantity.to_html() for quantity in self.quantities)}</div>',
                "</section>",
            ]
        )


@frozen(eq=False)
class Panel:
    """The halves of one column of the drawing, and what its button says; the last panel has no column."""

    title: str
    halves: Sequence[Half]
    column: int | None = None
    symbol: Symbol = LOSS
    name: str = ""
    size: str = ""

    def to_html(self) -> str:
        column = "" if self.column is None else f' data-column="{self.column}"'
        halves = "\n".join(half.to_html() for half in self.halves)
        return (
            f'<article class="panel"{column}>\n<h2>{escape(self.title)}</h2>\n'
            f'<div class="halves">\n{halves}\n</div>\n</article>'
        )

    def to_button(self) -> str:
        return (
            f'<button type="button" data-column="{self.column}" aria-label="{escape(self.title, quote=True)}">'
            f"<math>{PEN.symbol(self.symbol)}</math><span>{escape(self.name)}</span>"
            f"<small>{escape(self.size)}</small></button>"
        )
