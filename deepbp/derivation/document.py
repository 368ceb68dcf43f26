"""Documents as blocks, independent of an output format, and the formatting of the numbers in them."""

from math import floor, log10
from typing import TypeAlias

import numpy as np
from attrs import field, frozen

from deepbp.derivation.expressions import Math
from deepbp.formulas.printer import TextPrinter
from deepbp.typing import Array


@frozen
class Heading:
    """The heading of the blocks that follow."""

    text: str


@frozen
class Paragraph:
    """Text with inline formulas."""

    parts: tuple[str | Math, ...]


@frozen
class Row:
    """One equation, with the shapes of its arrays and a remark."""

    math: Math
    shape: str = ""
    remark: str = ""


@frozen
class Equations:
    """Displayed equations, aligned in columns; on a page in HTML, the remarks of ``unfolding`` ones open on a click."""

    rows: tuple[Row, ...]
    unfolding: bool = False


@frozen
class Values:
    """The value of a formula: a number or an array, shown in full if it is small, otherwise by its statistics."""

    math: Math
    array: Array = field(eq=False)
    remark: str = ""


Block: TypeAlias = Heading | Paragraph | Equations | Values


@frozen
class Document:
    """A title and blocks."""

    title: str
    blocks: tuple[Block, ...]


LARGEST = 6  # a matrix with more rows or columns is summarized
_DIGITS = {"float32": 6, "float64": 9}


def cells(array: Array) -> tuple[list[list[str]], int] | None:
    """The entries of a small array as rows of text with one number of decimals; None if it must be summarized.

    The second result is the exponent of a power of ten by which all of them are multiplied, if they are large or small.
    """
    array = np.asarray(array)
    if array.ndim > 2 or max(array.shape, default=1) > LARGEST or array.size == 0:
        return None
    matrix = np.atleast_2d(array)
    if matrix.dtype.kind != "f":
        return [[str(entry) for entry in row] for row in matrix.tolist()], 0
    digits = _DIGITS.get(str(matrix.dtype), 6)
    if array.ndim == 0:
        mantissa, _, exponent = format(float(array), f".{digits}g").partition("e")
        return [[mantissa]], int(exponent or 0)
    matrix, power = matrix.astype(np.float64), 0
    largest = float(np.abs(matrix[np.isfinite(matrix)]).max(initial=0))
    if largest != 0 and not 10 ** -(digits // 2) <= largest < 1e6:
        power, digits = max(floor(log10(largest)), -300), digits - 3
        matrix, largest = matrix / 10.0**power, 1.0
    style = f".{max(1, digits - max(0, floor(log10(largest or 1))))}f"
    texts = [[format(float(entry), style) for entry in row] for row in matrix]
    while style[-1] == "f" and all(text.endswith("0") or "." not in text for row in texts for text in row):
        texts = [[text[:-1] if "." in text else text for text in row] for row in texts]
        if all("." not in text or text.endswith(".") for row in texts for text in row):
            texts = [[text.rstrip(".") for text in row] for row in texts]
            break
    return [["0" if text.strip("-0.") == "" else text for text in row] for row in texts], power


def measures(array: Array) -> str:
    """The summary of a large array in one line: shape, norm, range, share of zeros."""
    array = np.asarray(array)
    shape = " × ".join(map(str, array.shape))
    if array.size == 0:
        return f"{shape}, empty"
    if array.dtype.kind != "f":
        return f"{shape}, from {as_math(str(array.min()))} to {as_math(str(array.max()))}"
    wide = array.astype(np.float64)
    with np.errstate(all="ignore"):
        norm = float(np.linalg.norm(wide))
    zeros = float((array == 0).mean())
    share = f", {zeros:.0%} zeros" if zeros >= 0.005 else ""
    size, least, most = (as_math(f"{value:.4g}") for value in (norm, wide.min(), wide.max()))
    return f"{shape}, norm {size}, from {least} to {most}{share}"


def as_math(number: str) -> str:
    """A number as people write it: −2.5 · 10⁻³ for -2.5e-03."""
    return TextPrinter().number(number).replace("-", "−")
