"""The printer of expressions as LaTeX."""

from typing import ClassVar

from deepbp.formulas.printer import Printer, Symbol

_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "η": "eta", "θ": "theta", "κ": "kappa", "λ": "lambda"}
_GREEK |= {"μ": "mu", "ν": "nu", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "varphi", "ω": "omega"}
_LETTERS = {letter: rf"\{name}" for letter, name in _GREEK.items()}
_LETTERS |= {"ε": r"\epsilon", "ψ": r"\psi", "Δ": r"\Delta", "Φ": r"\Phi"}
_SIGNS = {"·": r"\cdot", "": r"\,", "≥": r"\ge", "≤": r"\le", "≠": r"\ne", "←": r"\leftarrow", "⋆": r"\star", "∗": "*"}
_FUNCTIONS = {name: rf"\{name}" for name in ("cos", "cosh", "ln", "max", "min", "sin", "tanh")}
_TALL = (r"\frac", r"\sum", r"\sqrt")


class LatexPrinter(Printer):
    r"""Prints LaTeX with amsmath, for use between \( and \)."""

    minus: ClassVar[str] = "-"
    transposed: ClassVar[str] = r"\top"

    def letter(self, symbol: Symbol, exponent: str = "") -> str:
        above = symbol.number + exponent
        return _letter(symbol.letter) + (f"^{{{above}}}" if above else "")

    def derivative(self, of: str, by: str) -> str:
        return rf"\frac{{\partial {of}}}{{\partial {by}}}"

    def number(self, text: str) -> str:
        return r"\mathbf{1}" if text == "𝟙" else text

    def sign(self, text: str) -> str:
        return f" {_SIGNS.get(text, text)} "

    def row(self, *parts: str) -> str:
        return "".join(parts)

    def group(self, inner: str, left: str = "(", right: str = ")") -> str:
        left, right = (rf"\{side}" if side in "{}" else side for side in (left, right))
        if any(part in inner for part in _TALL):
            return rf"\left{left}{inner}\right{right}"
        return f"{left}{inner}{right}"

    def fraction(self, above: str, below: str) -> str:
        return rf"\frac{{{above}}}{{{below}}}"

    def power(self, base: str, exponent: str) -> str:
        return f"{base}^{{{exponent}}}" if base == "e" or base.endswith((")", "]")) else f"{{{base}}}^{{{exponent}}}"

    def function(self, name: str, inner: str) -> str:
        return _letter(name) + self.group(inner)

    def total(self, inner: str, index: str) -> str:
        return rf"\sum_{{{index}}} {inner}" if index else rf"\sum {inner}"

    def root(self, inner: str) -> str:
        return rf"\sqrt{{{inner}}}"


def _letter(letter: str) -> str:
    """LaTeX of a name: Greek letters, hats, primes, subscripts; words are upright."""
    stem = letter.rstrip("′,₀₁₂₃₄₅₆₇₈₉ᵢⱼₜ₊₋")
    below = letter[len(stem) :].translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉ᵢⱼₜ₊₋", "0123456789ijt+-", "′"))
    if stem in _FUNCTIONS:
        written = _FUNCTIONS[stem]
    elif stem == "ŷ":
        written = r"\hat{y}"
    elif len(stem) > 1:
        written = r"\mathrm{" + stem.replace("_", r"\_") + "}"
    else:
        written = _LETTERS.get(stem, stem)
    return written + (f"_{{{below}}}" if below else "") + "'" * letter.count("′")
