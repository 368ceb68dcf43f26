"""The printer of expressions as LaTeX."""

import re
from typing import ClassVar

from deepbp.formulas.printer import Printer, Symbol

_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "η": "eta", "θ": "theta", "κ": "kappa", "λ": "lambda"}
_GREEK |= {"μ": "mu", "ν": "nu", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "varphi", "ω": "omega"}
_LETTERS = {letter: rf"\{name}" for letter, name in _GREEK.items()}
_LETTERS |= {"ε": r"\epsilon", "ψ": r"\psi", "Δ": r"\Delta", "Φ": r"\Phi"}
GREEK_LETTERS = {**_LETTERS}
_SIGNS = {"·": r"\cdot", "": r"\,", "≥": r"\ge", "≤": r"\le", "≠": r"\ne", "←": r"\leftarrow", "⋆": r"\star", "∗": "*"}
_FUNCTIONS = {name: rf"\{name}" for name in ("cos", "cosh", "ln", "max", "min", "sin", "tanh")}
_TALL = (r"\sum", r"\sqrt", r"\bigl")
_WIDEST = 64  # characters of a numerator that stays one, for a line can only be broken outside a fraction


class LatexPrinter(Printer):
    r"""Prints LaTeX with amsmath, for use between \( and \)."""

    minus: ClassVar[str] = "-"
    transposed: ClassVar[str] = r"\top"

    def letter(self, symbol: Symbol, exponent: str = "") -> str:
        above = re.sub("[a-z]+", r"\\mathrm{\g<0>}", symbol.number) + exponent
        return _letter(symbol.letter) + (f"^{{{above}}}" if above else "")

    def derivative(self, of: str, by: str) -> str:
        return rf"\frac{{\partial {of}}}{{\partial {by}}}"

    def number(self, text: str) -> str:
        return r"\mathbf{1}" if text == "𝟙" else as_number(text).replace(":", "{:}")

    def sign(self, text: str) -> str:
        return f" {_SIGNS.get(text, text)} "

    def row(self, *parts: str) -> str:
        return "".join(parts)

    def group(self, inner: str, left: str = "(", right: str = ")") -> str:
        left, right = (rf"\{side}" if side in "{}" else side for side in (left, right))
        if r"\frac" in inner:  # \left and \right would keep what is between them in one line
            return rf"\biggl{left}{inner}\biggr{right}"
        if any(part in inner for part in _TALL):
            return rf"\bigl{left}{inner}\bigr{right}"
        return f"{left}{inner}{right}"

    def fraction(self, above: str, below: str) -> str:
        if visible_length(above) > _WIDEST or visible_length(below) > _WIDEST:
            divisor = below if visible_length(below) == 1 else self.group(below, "[", "]")
            return f"{self.group(above, '[', ']')} / {divisor}"
        return rf"\frac{{{above}}}{{{below}}}"

    def power(self, base: str, exponent: str) -> str:
        return f"{base}^{{{exponent}}}" if base == "e" or base.endswith((")", "]")) else f"{{{base}}}^{{{exponent}}}"

    def function(self, name: str, inner: str) -> str:
        return _letter(name) + self.group(inner)

    def total(self, inner: str, index: str) -> str:
        return rf"\sum_{{{index}}} {inner}" if index else rf"\sum {inner}"

    def root(self, inner: str) -> str:
        return rf"\sqrt{{{inner}}}"


def as_number(text: str) -> str:
    """LaTeX of a number: 1e-05 is 10 to the power of −5."""
    mantissa, _, exponent = text.partition("e")
    if not exponent or not exponent.lstrip("+-").isdigit():
        return text
    power = f"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else rf"{mantissa} \cdot {power}"


def visible_length(text: str) -> int:
    """About how many characters of LaTeX are seen on paper, one below another counted once."""
    return len(
        re.sub(r"\\(?:mathrm|left|right|biggl|biggr|bigl|bigr|,)|[{}^_$ ]", "", re.sub(r"\\[a-zA-Z]+", "x", text))
    )


def _letter(letter: str) -> str:
    """LaTeX of a name: Greek letters, hats, primes, subscripts; words are upright."""
    if letter.endswith("⁻¹"):
        return f"{_letter(letter[:-2])}^{{-1}}"
    stem = letter.rstrip("′,₀₁₂₃₄₅₆₇₈₉ᵢⱼₖₜ₊₋")
    below = letter[len(stem) :].translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉ᵢⱼₖₜ₊₋", "0123456789ijkt+-", "′"))
    if len(stem) > 1 and stem[0] == "Δ":
        return rf"\Delta {_letter(letter[1:])}"
    if stem in _FUNCTIONS:
        written = _FUNCTIONS[stem]
    elif stem == "ŷ":
        written = r"\hat{y}"
    elif len(stem) > 1:
        written = r"\mathrm{" + stem.replace("_", r"\_") + "}"
    else:
        written = _LETTERS.get(stem, stem)
    return written + (f"_{{{below}}}" if below else "") + "'" * letter.count("′")
