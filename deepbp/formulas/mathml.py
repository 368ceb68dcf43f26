"""The printer of expressions as MathML, which browsers display without further software."""

from typing import ClassVar
from xml.sax.saxutils import escape

from deepbp.formulas.printer import Printer, Symbol


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
        return f"<mrow><mo>{left}</mo>{inner}<mo>{right}</mo></mrow>"

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


def _letter(letter: str, above: str = "") -> str:
    """MathML of a name: hats are accents, primes superscripts, trailing numbers subscripts."""
    stem = letter.rstrip("′,₀₁₂₃₄₅₆₇₈₉ᵢⱼₖₜ₊₋")
    below = letter[len(stem) :].translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉ᵢⱼₖₜ₊₋", "0123456789ijkt+-", "′"))
    if letter.endswith("⁻¹"):
        return _letter(letter[:-2], "<mn>−1</mn>")
    above = "<mo>′</mo>" * letter.count("′") + above
    base = "<mover accent='true'><mi>y</mi><mo>^</mo></mover>" if stem == "ŷ" else f"<mi>{escape(stem)}</mi>"
    kind = "mi" if below.isalpha() else "mn"
    if below and above:
        return f"<msubsup>{base}<{kind}>{below}</{kind}><mrow>{above}</mrow></msubsup>"
    if below:
        return f"<msub>{base}<{kind}>{below}</{kind}></msub>"
    return f"<msup>{base}<mrow>{above}</mrow></msup>" if above else base
