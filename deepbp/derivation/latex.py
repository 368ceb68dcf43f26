"""The pen for LaTeX."""

from typing import ClassVar

from deepbp.layers.typeset import Pen, Symbol


class LatexPen(Pen):
    r"""LaTeX, for what stands between \( and \)."""

    minus = "-"
    transposed = r"\top"
    _LETTERS: ClassVar = {"δ": r"\delta", "σ": r"\sigma", "ŷ": r"\hat{y}", "η": r"\eta", "μ": r"\mu", "β": r"\beta",
                          "λ": r"\lambda", "ε": r"\epsilon", "∂": r"\partial"}  # fmt: skip
    _SIGNS: ClassVar = {"·": r"\cdot", "": r"\,", "≥": r"\ge", "≤": r"\le", "←": r"\leftarrow", "≠": r"\ne"}

    def symbol(self, symbol: Symbol) -> str:
        letter = self._LETTERS.get(symbol.letter, symbol.letter)
        if len(symbol.letter) > 1 and letter == symbol.letter:
            letter = r"\mathrm{" + letter.replace("_", r"\_") + "}"
        return f"{letter}^{{{symbol.number}}}" if symbol.number else letter

    def number(self, text: str) -> str:
        return text

    def sign(self, text: str) -> str:
        return f" {self._SIGNS.get(text, text)} "

    def row(self, *parts: str) -> str:
        return "".join(parts)

    def group(self, inner: str, left: str = "(", right: str = ")") -> str:
        return rf"\left{left}{inner}\right{right}"

    def fraction(self, above: str, below: str) -> str:
        return rf"\frac{{{above}}}{{{below}}}"

    def power(self, base: str, exponent: str) -> str:
        return f"{{{base}}}^{{{exponent}}}"

    def function(self, name: str, inner: str) -> str:
        if name == "Σ":
            return rf"\sum {inner}"
        known = {"ln": r"\ln", "max": r"\max", "min": r"\min", "tanh": r"\tanh", "σ": r"\sigma"}
        return known.get(name, rf"\mathrm{{{name}}}") + self.group(inner)

    def root(self, inner: str) -> str:
        return rf"\sqrt{{{inner}}}"
