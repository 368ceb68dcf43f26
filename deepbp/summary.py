"""The summary of a network: a table of layers, output shapes, parameters and formulas."""

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from deepbp import layers
from deepbp._plain_text import printable
from deepbp._rich import table
from deepbp.errors import NotBuiltError
from deepbp.formulas.language import in_time
from deepbp.formulas.printer import Symbol, TextPrinter, print_expression
from deepbp.layers.boundary import Built
from deepbp.layers.layer import Layer
from deepbp.layers.observed_pass import stated_graph
from deepbp.program.layout import NotLoweredError
from deepbp.program.program import Program, Slot
from deepbp.typing import Shape

HEAD = ("Layer", "Output shape", "Parameters", "Formula")


@frozen
class Summary:
    """A table that prints itself.

    Attributes:
        rows: one for each layer, as texts: name, output shape, number of parameters, formula.
        parameters, bytes: the numbers of all parameters, and the memory that these take.
        frozen: how many of the parameters training does not change.
        programs: which layers run in Python in a program, a training step in machine code, or why there is none; and
            how the last training ran, where its loss or its data made a difference.
    """

    rows: tuple[tuple[str, str, str, str], ...]
    parameters: int
    bytes: int
    frozen: int = 0
    programs: str = ""

    def __repr__(self) -> str:
        texts = [HEAD, *self.rows]
        widths = [max(len(row[column]) for row in texts) for column in range(4)]
        lines = [
            f"{layer:<{widths[0]}}  {shape:<{widths[1]}}  {count:>{widths[2]}}  {formula}".rstrip()
            for layer, shape, count, formula in texts
        ]
        lines.insert(1, "─" * max(map(len, lines)))
        return "\n".join([*lines, lines[1], self._total()])

    def _repr_html_(self) -> str:
        """The same table for a notebook."""
        return table(HEAD, self.rows, self._total(), right=[2])

    def _total(self) -> str:
        frozen = f", {self.frozen:,} of them frozen" if self.frozen else ""
        return f"Parameters: {self.parameters:,} ({self.bytes:,} bytes){frozen}"

    def __str__(self) -> str:
        return printable(repr(self))


def summarize(model: Layer[Any]) -> Summary:
    """The summary of a built model. A layer that is used again shows no parameters the second time.

    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense, Sigmoid
    >>> summary = summarize(Sequential([Dense(4), Sigmoid()], input_shape=3))
    >>> summary.parameters, summary.programs
    (16, 'all layers have instructions')
    """
    if model.built is None:
        raise NotBuiltError(f"{type(model).__name__}: its sizes are not known yet: give input_shape=...")
    rows: list[tuple[str, str, str, str]] = []
    seen: set[int] = set()
    _add_rows(model, "", rows, seen)
    parameters = model.parameters()
    sizes = [(p.value.size, p.value.nbytes, p.value.size * p.frozen) for p in parameters]
    total, in_bytes, frozen = (sum(size[i] for size in sizes) for i in range(3))
    return Summary(tuple(rows), total, in_bytes, frozen, _programs(model, model.built))


def _programs(model: Layer[Any], built: Built) -> str:
    found, trained = _programs_of_layers(model, built), built.programs
    reason = trained.removeprefix("had ")
    return found if not trained or found == reason else f"{found}; the last training {trained}"


def _programs_of_layers(model: Layer[Any], built: Built) -> str:
    program = Program(built.dtype, 2, plans=True)
    try:
        program.lower(model, Slot(program.array(built.input_shape), None))
    except (NotLoweredError, ValueError) as error:  # ValueError: sizes that differ from batch to batch
        return f"no program: {error}"
    paths = {id(layer): f"{path} {type(layer).__name__}" for path, layer in reversed(model.named_layers().items())}
    inside = [paths.get(id(layer), type(layer).__name__) for layer in program.in_python]
    found = f"in Python: {', '.join(inside)}" if inside else "all layers have instructions"
    if any(isinstance(layer, layers.BatchNorm) for layer in (model, *model.named_layers().values())):
        found += "; no program on several processes, which share the statistics of BatchNorm"
    return found


def _add_rows(layer: Layer[Any], prefix: str, rows: list[tuple[str, str, str, str]], seen: set[int]) -> None:
    """A row for each sublayer, followed by the rows of its own sublayers."""
    for path, inner, shape in _sublayers(layer):
        nested, graph = list(_sublayers(inner)), stated_graph(inner)
        below = {id(p) for _, one, _ in nested for p in one.parameters()}
        own = [p for p in inner.parameters() if id(p) not in below]
        fresh = [p for p in own if id(p) not in seen]
        seen.update(map(id, fresh))
        count = f"{sum(p.value.size for p in fresh):,}" if own or not nested else ""
        size = "" if graph is not None and graph.is_chain else str(shape)  # of a chain, its last layer shows it
        text = _formula_text(inner) or (graph.formula if graph is not None else "")
        rows.append((f"{prefix}{path} {type(inner).__name__}", size, count, text))
        _add_rows(inner, f"{prefix}{path}.", rows, seen)


def _sublayers(layer: Layer[Any]) -> Iterator[tuple[str, Layer[Any], Shape]]:
    """The paths, sublayers and output shapes of a composite: by its inner graph, a sublayer as often as it is used.

    Of a composite that states no graph, the sublayers that its fields hold, at the shapes they were built for.
    """
    if (graph := stated_graph(layer)) is not None:
        yield from ((node.name, node.layer, graph.shapes[node.name]) for node in graph.nodes if node.layer is not None)
        return
    built = {path: (inner, inner.built) for path, inner in layer.named_layers().items()}
    for path, (inner, sizes) in built.items():
        if sizes is not None and not any(path.startswith(f"{other}.") for other in built):
            yield path, inner, sizes.output_shape


def _formula_text(layer: Layer[Any]) -> str:
    formula = layer.stated_formula()
    if formula is None:
        return ""
    letters = {"x": formula.input, "y": formula.output, **formula.symbols}
    symbols = {name: Symbol(letter) for name, letter in letters.items()}
    name, expression = formula.headline
    if in_time(formula.where.values()):
        symbols["x"] = Symbol(f"{formula.input}ₜ")
    left = formula.output if name == "y" else formula.symbols.get(name, name)
    return f"{left} = {print_expression(expression, symbols, TextPrinter())}"
