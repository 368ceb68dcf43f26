"""The pen for MathML, which browsers set without help."""

from xml.sax.saxutils import escape

from deepbp.layers.typeset import Pen, Symbol


class MathmlPen(Pen):
    """MathML Core, for what stands between <math> and </math>."""

    comma = "<mo>,</mo>"
    transposed = "<mo>⊤</mo>"

    def symbol(self, symbol: Symbol) -> str:
        letter = f"<mi>{escape(symbol.letter)}</mi>"
        return f"<msup>{letter}<mn>{symbol.number}</mn></msup>" if symbol.number else letter

    def number(self, text: str) -> str:
        return f"<mn>{escape(text)}</mn>" if text[-1].isalnum() else f"<mo>{escape(text)}</mo>"

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
        if name == "Σ":
            return f"<mrow><mo>∑</mo>{inner}</mrow>"
        return f"<mrow><mi>{escape(name)}</mi>{self.group(inner)}</mrow>"

    def root(self, inner: str) -> str:
        return f"<msqrt>{inner}</msqrt>"
