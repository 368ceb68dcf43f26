"""The printer of expressions as MathML, which browsers display without further software."""

import re
from typing import ClassVar
from xml.sax.saxutils import escape

from deepbp.formulas.printer import Printer, Symbol

_TALL = ("<mfrac", "<msqrt", "<mtable", "∑")


class MathMLPrinter(Printer):
    """Prints MathML Core, for use between <math> and </math>."""

    comma: ClassVar[str] = "<mo>,</mo>"
    transposed: ClassVar[str] = "<mo>⊤</mo>"

    def letter(self, symbol: Symbol, exponent: str = "") -> str:
        return _letter(symbol.letter, (f"<mn>{escape(symbol.number)}</mn>" if symbol.number else "") + exponent)

    def derivative(self, of: str, by: str) -> str:
        return f"<mfrac><mrow><mo>∂</mo>{of}</mrow><mrow><mo>∂</mo>{by}</mrow></mfrac>"

    def number(self, text: str) -> str:
        mantissa, _, exponent = text.partition("e")
        if exponent.lstrip("+-").isdigit():
            power = f"<msup><mn>10</mn><mn>{str(int(exponent)).replace('-', '−')}</mn></msup>"
            mantissa = mantissa.replace("-", "−")
            return power if mantissa == "1" else f"<mrow><mn>{mantissa}</mn><mo>·</mo>{power}</mrow>"
        return f"<mn>{escape(text.replace('-', '−'))}</mn>" if text[-1].isalnum() else f"<mo>{escape(text)}</mo>"

    def sign(self, text: str) -> str:
        return f"<mo>{escape(text)}</mo>" if text else "<mspace width='0.2em'></mspace>"

    def row(self, *parts: str) -> str:
        return f"<mrow>{''.join(parts)}</mrow>"

    def group(self, inner: str, left: str = "(", right: str = ")") -> str:
        stretch = "" if any(part in inner for part in _TALL) else " stretchy='false'"  # which has space around it
        return f"<mrow><mo{stretch}>{left}</mo>{inner}<mo{stretch}>{right}</mo></mrow>"

    def fraction(self, above: str, below: str) -> str:
        return f"<mfrac>{above}{below}</mfrac>"

    def power(self, base: str, exponent: str) -> str:
        return f"<msup>{base}{exponent}</msup>"

    def function(self, name: str, inner: str) -> str:
        return f"<mrow>{_letter(name)}{self.group(inner)}</mrow>"

    def total(self, inner: str, index: str) -> str:
        sign = f"<msub><mo>∑</mo><mi>{index}</mi></msub>" if index else "<mo>∑</mo>"
        return f"<mrow>{sign}{inner}</mrow>"

    def root(self, inner: str) -> str:
        return f"<msqrt>{inner}</msqrt>"


def _kind(part: str) -> str:
    """The element of a part of a subscript: of a letter, a number, or a sign."""
    return "mi" if part.isalpha() else "mn" if part.isdigit() else "mo"


def _letter(letter: str, above: str = "") -> str:
    """MathML of a name: hats are accents, primes superscripts, trailing numbers subscripts."""
    stem = letter.rstrip("′,₀₁₂₃₄₅₆₇₈₉ᵢⱼₖₜ₊₋")
    below = letter[len(stem) :].translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉ᵢⱼₖₜ₊₋", "0123456789ijkt+-", "′"))
    if letter.endswith("⁻¹"):
        return _letter(letter[:-2], "<mn>−1</mn>")
    above = "<mo>′</mo>" * letter.count("′") + above
    base = "<mover accent='true'><mi>y</mi><mo>^</mo></mover>" if stem == "ŷ" else f"<mi>{escape(stem)}</mi>"
    parts = re.findall("[0-9]+|.", below)
    signs = [f"<{kind}>{one.replace('-', '−')}</{kind}>" for one in parts for kind in (_kind(one),)]
    below = signs[0] if len(signs) == 1 else f"<mrow>{''.join(signs)}</mrow>" if signs else ""
    if below and above:
        return f"<msubsup>{base}{below}<mrow>{above}</mrow></msubsup>"
    if below:
        return f"<msub>{base}{below}</msub>"
    return f"<msup>{base}<mrow>{above}</mrow></msup>" if above else base
