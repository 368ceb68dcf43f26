"""A pen writes the parts of a formula in one language; the one for plain text is here."""

from abc import ABC, abstractmethod
from typing import ClassVar

from attrs import evolve, frozen

_SUPERSCRIPTS = str.maketrans("0123456789+-−()zxyntk", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ᶻˣʸⁿᵗᵏ")
_SUBSCRIPTS = str.maketrans("ij", "ᵢⱼ")
_BY = "∂L/∂"


@frozen
class Symbol:
    """A letter, with the number of a layer above it: W² is the second layer's W, not its square.

    ∂L/∂W is a letter, too, and so is what ends in a digit below the line, such as β₁.
    """

    letter: str
    number: str = ""


class Pen(ABC):
    """How the parts of a formula are written in one language."""

    minus: ClassVar[str] = "−"
    comma: ClassVar[str] = ", "
    transposed: ClassVar[str] = "ᵀ"  # as an exponent
    one_line: ClassVar[bool] = False  # whether fractions are written with a slash

    def symbol(self, symbol: Symbol, exponent: str = "") -> str:
        """A letter; an exponent stands behind its number."""
        if not symbol.letter.startswith(_BY):
            return self.letter(symbol, exponent)
        whole = self.derivative(self.letter(Symbol("L")), self.letter(evolve(symbol, letter=symbol.letter[len(_BY) :])))
        return self.power(self.group(whole), exponent) if exponent else whole

    @abstractmethod
    def letter(self, symbol: Symbol, exponent: str = "") -> str:
        """A letter that is not a derivative."""

    @abstractmethod
    def derivative(self, of: str, by: str) -> str:
        """∂of/∂by."""

    @abstractmethod
    def number(self, text: str) -> str:
        """A number."""

    @abstractmethod
    def sign(self, text: str) -> str:
        """An operator between two things."""

    @abstractmethod
    def row(self, *parts: str) -> str:
        """Things one after another."""

    @abstractmethod
    def group(self, inner: str, left: str = "(", right: str = ")") -> str:
        """In brackets."""

    @abstractmethod
    def fraction(self, above: str, below: str) -> str:
        """Above over below; both are written so that no brackets are needed around them."""

    @abstractmethod
    def power(self, base: str, exponent: str) -> str:
        """A base with an exponent."""

    @abstractmethod
    def function(self, name: str, inner: str) -> str:
        """A named function of something."""

    @abstractmethod
    def total(self, inner: str, index: str) -> str:
        """A sum over an index, or over everything."""

    @abstractmethod
    def root(self, inner: str) -> str:
        """A square root."""


class TextPen(Pen):
    """Unicode for a terminal."""

    one_line = True

    def letter(self, symbol: Symbol, exponent: str = "") -> str:
        return symbol.letter + symbol.number.translate(_SUPERSCRIPTS) + exponent

    def derivative(self, of: str, by: str) -> str:
        return f"∂{of}/∂{by}"

    def number(self, text: str) -> str:
        return text

    def sign(self, text: str) -> str:
        return f" {text} " if text else " "

    def row(self, *parts: str) -> str:
        return "".join(parts)

    def group(self, inner: str, left: str = "(", right: str = ")") -> str:
        return f"{left} {inner} {right}" if left == "{" else f"{left}{inner}{right}"

    def fraction(self, above: str, below: str) -> str:
        return f"{above} / {below}"

    def power(self, base: str, exponent: str) -> str:
        tight = exponent.replace(" ", "")
        raised = tight.translate(_SUPERSCRIPTS)
        if tight == self.transposed or all(a != b for a, b in zip(tight, raised, strict=True)):
            return base + raised
        return f"{base}^({exponent})"

    def function(self, name: str, inner: str) -> str:
        return f"{name}({inner})"

    def total(self, inner: str, index: str) -> str:
        return f"Σ{index.translate(_SUBSCRIPTS)} {inner}"

    def root(self, inner: str) -> str:
        return f"√{inner}" if inner.isdigit() else f"√({inner})"
