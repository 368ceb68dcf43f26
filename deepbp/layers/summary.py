"""A network at a glance: its layers, their output shapes, parameters and formulas."""

from typing import Any

from attrs import frozen

from deepbp.errors import NotBuiltError
from deepbp.layers.chain import Chain
from deepbp.layers.layer import Layer
from deepbp.layers.typeset import Symbol, TextPen, write


@frozen
class Summary:
    """A table that prints itself. ``rows`` hold (layer, output shape, parameters, formula)."""

    rows: tuple[tuple[str, str, str, str], ...]
    parameters: int
    bytes: int
    frozen: int = 0  # of the parameters

    def __repr__(self) -> str:
        table = [("Layer", "Output shape", "Parameters", "Formula"), *self.rows]
        widths = [max(len(row[column]) for row in table) for column in range(4)]
        lines = [
            f"{layer:<{widths[0]}}  {shape:<{widths[1]}}  {count:>{widths[2]}}  {formula}".rstrip()
            for layer, shape, count, formula in table
        ]
        lines.insert(1, "─" * max(map(len, lines)))
        frozen = f", {self.frozen:,} of them frozen" if self.frozen else ""
        return "\n".join([*lines, lines[1], f"Parameters: {self.parameters:,} ({self.bytes:,} bytes){frozen}"])


def summarize(model: Layer[Any]) -> Summary:
    """The summary of a built model. A layer that is used again shows no parameters the second time."""
    if model.built is None:
        raise NotBuiltError(f"{type(model).__name__}: its sizes are not known yet: give input_shape=...")
    rows: list[tuple[str, str, str, str]] = []
    seen: set[int] = set()
    _add_rows(model, "", rows, seen)
    parameters = model.parameters()
    sizes = [(p.value.size, p.value.nbytes, p.value.size * p.frozen) for p in parameters]
    return Summary(tuple(rows), *(sum(column) for column in zip(*sizes, strict=True)))


def _add_rows(layer: Layer[Any], prefix: str, rows: list[tuple[str, str, str, str]], seen: set[int]) -> None:
    if isinstance(layer, Chain):
        for position, (inner, shape) in enumerate(zip(layer.layers, layer.shapes[1:], strict=True)):
            name = f"{prefix}{position} {type(inner).__name__}"
            if isinstance(inner, Chain):
                rows.append((name, "", "", ""))
                _add_rows(inner, f"{prefix}{position}.", rows, seen)
            else:
                fresh = [p for p in inner.parameters() if id(p) not in seen]
                seen.update(map(id, fresh))
                rows.append((name, str(shape), f"{sum(p.value.size for p in fresh):,}", _formula_text(inner)))


def _formula_text(layer: Layer[Any]) -> str:
    formula = layer.stated_formula()
    if formula is None:
        return ""
    letters = {"x": formula.input, "y": formula.output, **formula.symbols}
    symbols = {name: Symbol(letter) for name, letter in letters.items()}
    return f"{formula.output} = {write(formula.forward, symbols, TextPen())}"
