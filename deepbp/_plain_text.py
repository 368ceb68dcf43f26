"""Plain text for outputs without the letters of mathematics, such as terminals and files in cp1252 or ASCII.

``print`` calls ``str``, so a class whose text has such letters returns ``printable(text)`` from ``__str__``. Where the
encoding of ``sys.stdout`` has all letters, that is the text itself. The command line sets ``ERRORS`` on its streams.
"""

import codecs
import re
import sys
from unicodedata import decomposition, name

ERRORS = "deepbp.plain"
"""Name of the error handler, as in ``text.encode("ascii", errors=ERRORS)``; UTF-8 has no need of it."""

_SIGNS = {
    **dict(
        zip("±·½×…′←→∂Σ∑Π", ("+/-", "*", "1/2", "x", "...", "'", "<-", "->", "d", "Sum", "Sum", "Prod"), strict=True)
    ),
    **dict(zip("−√∞≠≤≥⊤⋮✓✗λ", ("-", "sqrt", "inf", "!=", "<=", ">=", "T", ":", "ok", "FAILED", "lambda"), strict=True)),
    **dict(zip("⋆∗⌈⌉", ("corr", "conv", "ceil(", ")"), strict=True)),
    **dict(zip("⎡⎢⎣⎤⎥⎦─═–—’“”𝟙\xa0", '[[[]]]-=--\'""1 ', strict=True)),
    "\u0302": "_hat",
    "\u0303": "_tilde",
    "\u0304": "_mean",
}


def printable(text: str) -> str:
    """The text, with words for the letters that the encoding of ``sys.stdout`` does not have.

    >>> "δ₂ = xᵀ (ŷ − y)²".encode("ascii", errors=ERRORS)
    b'delta_2 = x^T (y_hat - y)^2'
    """
    encoding = getattr(sys.stdout, "encoding", None)
    return text.encode(encoding, ERRORS).decode(encoding) if encoding else text


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    words = "".join(map(_plain, error.object[error.start : error.end]))
    return re.sub(r"(?<=([\^_]).)\1", "", words), error.end  # x^-^1 is x^-1


def _plain(letter: str) -> str:
    if letter in _SIGNS or letter.isascii():
        return _SIGNS.get(letter, letter)
    kind, *codes = decomposition(letter).split() or [""]
    if kind and kind[0] != "<":
        codes, kind = [kind, *codes], ""
    if codes:
        return {"<super>": "^", "<sub>": "_"}.get(kind, "") + "".join(_plain(chr(int(code, 16))) for code in codes)
    words = name(letter, "").split()
    if words[:1] != ["GREEK"]:
        return "?"
    return words[-1].capitalize() if "CAPITAL" in words else words[-1].lower()


codecs.register_error(ERRORS, _replace)
