"""A page of mathematics, in no language yet: headings, sentences, equations, numbers."""

from abc import ABC, abstractmethod
from typing import TypeAlias

from attrs import field, frozen

from deepbp.derivation.expressions import Math
from deepbp.typing import Array


@frozen
class Heading:
    """What the next blocks are about."""

    text: str


@frozen
class Paragraph:
    """Sentences, with formulas between the words."""

    parts: tuple[str | Math, ...]


@frozen
class Row:
    """One equation; beside it the shapes, and a few words."""

    math: Math
    shape: str = ""
    remark: str = ""


@frozen
class Equations:
    """Equations below one another."""

    rows: tuple[Row, ...]


@frozen
class Values:
    """What a formula comes to: a number or an array, in full where it is small."""

    math: Math
    array: Array = field(eq=False)
    remark: str = ""


Block: TypeAlias = Heading | Paragraph | Equations | Values


@frozen
class Document:
    """A title and blocks."""

    title: str
    blocks: tuple[Block, ...]


class Written(ABC):
    """Something that can be read: it prints itself as text, and gives itself as LaTeX and as HTML."""

    __slots__ = ()

    @abstractmethod
    def document(self) -> Document:
        """The page, in no language yet."""

    def __str__(self) -> str:
        from deepbp.derivation.text import as_text

        return as_text(self.document())

    __repr__ = __str__

    def to_latex(self, document: bool = False) -> str:
        """LaTeX, to be put into a text that uses amsmath; or, with ``document=True``, a complete document."""
        from deepbp.derivation.latex_document import as_latex

        return as_latex(self.document(), whole=document)

    def to_html(self) -> str:
        """One page that needs nothing else: formulas in MathML, no script, light and dark."""
        from deepbp.derivation.html import as_html

        return as_html(self.document())

    def _repr_html_(self) -> str:
        from deepbp.derivation.html import as_fragment

        return as_fragment(self.document())
