"""A network at a glance: its layers, their output shapes, parameters and formulas."""

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from deepbp.errors import NotBuiltError
from deepbp.formulas.printer import Symbol, TextPrinter, print_expression
from deepbp.layers.chain import Chain
from deepbp.layers.composites import Branched, Residual
from deepbp.layers.layer import Layer
from deepbp.layers.penalized import Penalized
from deepbp.typing import Shape


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
    return Summary(tuple(rows), *(sum(size[i] for size in sizes) for i in range(3)))


def _add_rows(layer: Layer[Any], prefix: str, rows: list[tuple[str, str, str, str]], seen: set[int]) -> None:
    """A row for each layer inside, and below it those that are inside that one."""
    for path, inner, shape in _inside(layer):
        nested = list(_inside(inner))
        below = {id(p) for _, one, _ in nested for p in one.parameters()}
        own = [p for p in inner.parameters() if id(p) not in below]
        fresh = [p for p in own if id(p) not in seen]
        seen.update(map(id, fresh))
        count = f"{sum(p.value.size for p in fresh):,}" if own or not nested else ""
        name, size = f"{prefix}{path} {type(inner).__name__}", "" if isinstance(inner, Chain) else str(shape)
        rows.append((name, size, count, _formula_text(inner)))
        _add_rows(inner, f"{prefix}{path}.", rows, seen)


def _inside(layer: Layer[Any]) -> Iterator[tuple[str, Layer[Any], Shape]]:
    """The layers right inside, by the paths that lead there, each as often as it is used, with their output shapes."""
    if isinstance(layer, Chain):  # which knows the shapes: a layer without parameters may stand in it at several
        for position, (inner, shape) in enumerate(zip(layer.layers, layer.shapes[1:], strict=True)):
            yield str(position), inner, shape
    elif isinstance(layer, Branched | Penalized):
        yield from ((one.name, one.layer, one.output_shape) for one in layer.inner if one.layer is not None)
    else:
        built = {path: (inner, inner.built) for path, inner in layer.named_layers().items()}
        for path, (inner, sizes) in built.items():
            if sizes is not None and not any(path.startswith(f"{other}.") for other in built):
                yield path, inner, sizes.output_shape


def _formula_text(layer: Layer[Any]) -> str:
    formula = layer.stated_formula()
    if formula is None:
        return _composed(layer)
    letters = {"x": formula.input, "y": formula.output, **formula.symbols}
    symbols = {name: Symbol(letter) for name, letter in letters.items()}
    return f"{formula.output} = {print_expression(formula.forward, symbols, TextPrinter())}"


def _composed(layer: Layer[Any]) -> str:
    """What a composite makes of the layers inside."""
    if isinstance(layer, Penalized):
        prices = (("weights", layer.weights), ("outputs", layer.outputs))
        return "y = layer(x), plus " + ", ".join(f"{price} of {name}" for name, price in prices if price is not None)
    if isinstance(layer, Residual):
        return "y = body(x) + " + ("x" if layer.shortcut is None else "shortcut(x)")
    if isinstance(layer, Branched):
        part = "fᵢ(xᵢ)" if layer.columns else "fᵢ(x)"
        merge = {"concat": f"[{part}, …]", "add": f"Σ {part}", "multiply": f"Π {part}", "mean": f"Σ {part} / n"}
        return f"y = {merge[layer.merging()]}"
    return ""
