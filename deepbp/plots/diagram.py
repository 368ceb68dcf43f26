"""The diagram of a network: a box for each layer, a frame around each composite, arrows with the shapes of samples."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from deepbp.errors import ArgumentTypeError, NotBuiltError, shown
from deepbp.layers import InnerGraph, Layer, Node, Operation
from deepbp.layers.observed_pass import stated_graph
from deepbp.plots.canvas import axes_for
from deepbp.typing import Shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# All in inches.
_WIDTH = 5.0  # of a diagram without branches
_ARROW, _BUS = 0.34, 0.5  # heights of a straight arrow, and of lines that fork or meet
_HEAD, _MARGIN = 0.34, 0.16  # of a frame: its title, and the space below and beside its content
_GAP = 0.2  # between branches
_LETTER, _SMALL_LETTER = 0.085, 0.066  # widths at 10 and at 8 points
_TRAINED, _PLAIN, _MERGED = "#d6e8f3", "#f2f2f2", "white"


def network_diagram(net: Layer[Any], *, ax: "Axes | None" = None) -> "Axes":
    """Draw each layer as a box with its parameters, blue where it has any, and the shapes of samples on the arrows.

    Layers made of layers are framed, with their branches side by side; one that states no ``inner_graph`` is a box. A
    layer that is used again has a dashed border and names the place of its first use, whose parameters it shares. In
    axes of yours the text shrinks with the boxes: give long networks tall ones.

    Raises:
        NotBuiltError: when the sizes are not known yet.

    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense, Residual, Tanh
    >>> from deepbp.plots import network_diagram
    >>> net = Sequential([Dense(8), Residual([Dense(8), Tanh()])], input_shape=3, rng=0)
    >>> ax = network_diagram(net)
    >>> [text.get_text() for text in ax.texts if "Dense" in text.get_text()]
    ['0 Dense', '1.body.0 Dense']
    """
    if not isinstance(net, Layer):
        raise ArgumentTypeError(f"network_diagram: expected a network or a layer, got {shown(net)}")
    if net.built is None:
        raise NotBuiltError("network_diagram: the sizes are not known yet: give input_shape=..., or call build or fit")
    graph, layout = stated_graph(net), _Layout()
    shapes = net.built.input_shape, net.built.output_shape
    content = layout.rows(graph, "") if graph is not None and graph.is_chain else layout.item(net, "")
    width, height = max(_WIDTH, content.width + 0.1), content.height + 2 * _ARROW
    given, ax = ax, axes_for(ax, (width + 0.2, height + 0.2))
    ax.set(xlim=(-width / 2, width / 2), ylim=(-height, 0), aspect="equal")
    ax.set_axis_off()
    scale = 1.0
    if given is not None:  # text shrinks with the boxes
        window = ax.get_window_extent()
        scale = min(1.0, window.width / width / ax.figure.dpi, window.height / height / ax.figure.dpi)
    pen = _Pen(ax, scale)
    pen.arrow(0, 0, -_ARROW, shapes[0])
    content.draw(pen, 0, -_ARROW, width - 0.1)
    pen.arrow(0, -_ARROW - content.height, -height, shapes[1])
    return ax


@define(eq=False)
class _Pen:
    """Lines, boxes and texts in matplotlib axes."""

    ax: "Axes"
    scale: float

    def arrow(self, x: float, top: float, bottom: float, shape: Shape | None = None) -> None:
        style = {"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9 * self.scale}
        self.ax.annotate("", (x, bottom), (x, top), arrowprops=style)
        if shape is not None:
            self.shape(x, (top + bottom) / 2, shape)

    def shape(self, x: float, y: float, shape: Shape) -> None:
        self.text(x + 0.1, y, str(shape), 8, "0.3", "left")

    def line(self, *points: tuple[float, float]) -> None:
        self.ax.plot(*zip(*points, strict=True), color="0.3", linewidth=1)

    def rectangle(self, x: float, top: float, width: float, height: float, fill: str, dashed: bool) -> None:
        from matplotlib.patches import FancyBboxPatch

        box = FancyBboxPatch((x - width / 2, top - height), width, height, "round,pad=0,rounding_size=0.06")
        box.set(facecolor=fill, edgecolor="0.4", linewidth=0.8, linestyle="--" if dashed else "-")
        self.ax.add_patch(box)

    def text(self, x: float, y: float, text: str, points: int, color: str, align: str = "center") -> None:
        # Titles of narrow frames cross the line in the middle: they get a white background.
        cleared = None if align == "center" else {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        style = {"fontsize": points * self.scale, "color": color, "ha": align, "va": "center", "bbox": cleared}
        self.ax.text(x, y, text, style)


@frozen(eq=False)
class _Box:
    """The box of a layer or of an operation.

    Attributes:
        note: the second line; the short one stands in where the box is too narrow for it.
        is_again: whether the layer was drawn before.
        stretches: whether it takes all the width there is.
    """

    title: str
    note: str = ""
    short_note: str = ""
    fill: str = _PLAIN
    is_again: bool = False
    stretches: bool = True

    @property
    def width(self) -> float:
        return max(len(self.title) * _LETTER, min(len(self.note) * _SMALL_LETTER, 3.0)) + 0.2

    @property
    def height(self) -> float:
        return 0.5 if self.note else 0.32

    def draw(self, pen: _Pen, x: float, top: float, width: float) -> None:
        pen.rectangle(x, top, width if self.stretches else self.width, self.height, self.fill, self.is_again)
        pen.text(x, top - (0.17 if self.note else self.height / 2), self.title, 10, "black")
        if self.note:
            fits = len(self.note) * _SMALL_LETTER <= width
            pen.text(x, top - 0.36, self.note if fits else self.short_note, 8, "0.3")


@frozen(eq=False)
class _Rows:
    """Layout of a composite's inner graph: signals in rows, each in a slot, with arrows from row to row.

    Attributes:
        rows: the names of the signals in each row, from left to right; the first row is the input "x" alone. A signal
            that passes a row, because a later one takes it, has a slot there, too.
        sources: for each slot of a row but the first, the names of the signals that go in.
        items: what is drawn in a slot, by the signal's name, for the row in which the signal is computed.
        columns: the widths of the slots of each row; rows whose slots continue one another share them.
    """

    graph: InnerGraph
    rows: Sequence[Sequence[str]]
    sources: Mapping[tuple[int, str], Sequence[str]]
    items: Mapping[tuple[int, str], "_Box | _Frame"]
    columns: Sequence[Sequence[float]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        columns = [[self._slot_width(row, name) for name in names] for row, names in enumerate(self.rows)]
        for row in range(2, len(columns)):
            if self._is_straight(row):
                columns[row] = list(map(max, columns[row - 1], columns[row]))
        for row in range(len(columns) - 1, 1, -1):
            if self._is_straight(row):
                columns[row - 1] = columns[row]
        object.__setattr__(self, "columns", columns)

    @property
    def width(self) -> float:
        return max(sum(row) + _GAP * (len(row) - 1) for row in self.columns)

    @property
    def height(self) -> float:
        rows = range(1, len(self.rows))
        return sum(self._row_height(row) + self._gap(row) for row in rows)

    def draw(self, pen: _Pen, x: float, top: float, width: float) -> None:
        places = {"x": x}
        for row in range(1, len(self.rows)):
            before, places, widths = places, *self._places(row, x, width)
            if gap := self._gap(row):
                self._connect(pen, row, before, places, top, top - gap)
            top -= gap
            bottom = top - self._row_height(row)
            for name in self.rows[row]:
                end = top
                if (item := self.items.get((row, name))) is not None:
                    item.draw(pen, places[name], top, widths[name])
                    end -= item.height
                if end > bottom:
                    pen.line((places[name], end), (places[name], bottom))
            top = bottom

    def _places(self, row: int, x: float, width: float) -> tuple[dict[str, float], dict[str, float]]:
        """The middles and widths of a row's slots; columns with boxes or frames share the remaining space."""
        names, columns = self.rows[row], self.columns[row]
        rows = [one for one in range(1, len(self.rows)) if self.columns[one] is columns]
        wide = [any((one, self.rows[one][i]) in self.items for one in rows) for i in range(len(names))]
        rest = width - sum(columns) - _GAP * (len(columns) - 1)
        widths = [column + rest * is_wide / max(sum(wide), 1) for column, is_wide in zip(columns, wide, strict=True)]
        lefts = [x - width / 2 + sum(widths[:i]) + _GAP * i for i in range(len(names))]
        places = {name: left + one / 2 for name, left, one in zip(names, lefts, widths, strict=True)}
        return places, dict(zip(names, widths, strict=True))

    def _connect(
        self, pen: _Pen, row: int, before: Mapping[str, float], places: Mapping[str, float], top: float, bottom: float
    ) -> None:
        """Connect a row with the one above: by straight arrows, or by a horizontal line for each signal."""
        for number, source in enumerate(self.rows[row - 1]):
            targets = [name for name in self.rows[row] if source in self.sources[row, name]]
            level = top - (0.2 + 0.1 * number)
            for name in targets:
                start, end = before[source], places[name]
                merges, drawn = len(self.sources[row, name]) > 1, (row, name) in self.items
                if not self._is_straight(row):
                    offset = self._entry(row, name, source)
                    end += offset
                    pen.line((start, top), (start, level), (end, level), (end, level - 0.02))
                    label = (start, top - 0.09) if merges else (end, bottom + 0.15)
                    start_of_arrow = level
                else:
                    label, start_of_arrow = (end, (top + bottom) / 2), top
                if drawn:
                    pen.arrow(end, start_of_arrow, bottom)
                    pen.shape(*label, self.graph.shapes[source])
                else:
                    pen.line((end, start_of_arrow), (end, bottom))

    def _entry(self, row: int, name: str, source: str) -> float:
        """The offset of an input's arrow from the middle of the slot, so that several arrows do not coincide."""
        sources = self.sources[row, name]
        return 0.12 * (sources.index(source) - (len(sources) - 1) / 2)

    def _slot_width(self, row: int, name: str) -> float:
        item = self.items.get((row, name))
        label = 2 * (0.1 + _SMALL_LETTER * len(str(self.graph.shapes[name])))
        return label if item is None else max(item.width, label)

    def _row_height(self, row: int) -> float:
        return max((item.height for (one, _), item in self.items.items() if one == row), default=0.0)

    def _is_straight(self, row: int) -> bool:
        """Whether each slot takes the signal of the slot above it, and no other."""
        slots = [self.sources[row, name] for name in self.rows[row]]
        return [list(one) for one in slots] == [[name] for name in self.rows[row - 1]]

    def _gap(self, row: int) -> float:
        if self._is_straight(row):
            return 0.0 if row == 1 else _ARROW  # the arrow to the composite leads to its first layer, too
        return _BUS + 0.1 * (len(self.rows[row - 1]) - 1)


@frozen(eq=False)
class _Frame:
    """A composite layer with its content."""

    title: str
    remark: str
    is_again: bool
    content: _Rows

    @property
    def width(self) -> float:
        title = 0.3 + _SMALL_LETTER * (len(self.title) + len(self.remark)) + 0.2
        return max(self.content.width + 2 * _MARGIN, title)

    @property
    def height(self) -> float:
        return _HEAD + self.content.height + _MARGIN

    def draw(self, pen: _Pen, x: float, top: float, width: float) -> None:
        bottom = top - self.height
        pen.line((x, top), (x, top - _HEAD))
        self.content.draw(pen, x, top - _HEAD, width - 2 * _MARGIN)
        pen.line((x, bottom + _MARGIN), (x, bottom))
        pen.rectangle(x, top, width, self.height, "none", self.is_again)
        pen.text(x - width / 2 + 0.1, top - _HEAD / 2, self.title, 8, "0.3", "left")
        if self.remark:
            pen.text(x + width / 2 - 0.1, top - _HEAD / 2, self.remark, 8, "0.3", "right")


@define(eq=False)
class _Layout:
    """Builds boxes and frames in forward order, and records the place of each layer's first use."""

    first_places: dict[int, str] = field(factory=dict)

    def item(self, layer: Layer[Any], place: str) -> _Box | _Frame:
        first = self.first_places.setdefault(id(layer), place)
        again = "" if first == place else f"the layer of {first}, used again"
        title = f"{place} {type(layer).__name__}".lstrip()
        if (graph := stated_graph(layer)) is not None:
            return _Frame(title, again or graph.formula, bool(again), self.rows(graph, place))
        parameters = layer.named_parameters()
        if not parameters:
            return _Box(f"{title}, {again}" if again else title, is_again=bool(again))
        listed = ", ".join(f"{name} {parameter.value.shape}" for name, parameter in parameters.items())
        count = f"{sum(parameter.value.size for parameter in parameters.values()):,} parameters"
        note = again or (f"{listed}: {count}" if len(listed) < 50 else f"{len(parameters)} arrays: {count}")
        return _Box(title, note, again or count, _TRAINED, bool(again))

    def rows(self, graph: InnerGraph, place: str) -> _Rows:
        """Assign rows: a node is one row below the last of its inputs."""
        nodes = {node.name: node for node in graph.nodes if node.is_signal}
        row_of, last_use = {"x": 0}, dict.fromkeys(("x", *nodes), 0)
        for name, node in nodes.items():
            row_of[name] = 1 + max(row_of[one] for one in node.sources)
            for one in node.sources:
                last_use[one] = max(last_use[one], row_of[name])
        depth = row_of[graph.output.name]
        slots = [[n for n in last_use if row_of[n] == row or row_of[n] < row < last_use[n]] for row in range(depth + 1)]
        sources = {
            (row, name): nodes[name].sources if row_of[name] == row else (name,)
            for row, names in enumerate(slots)
            for name in names
            if row
        }
        items = {(row_of[name], name): self._node(node, graph, place) for name, node in nodes.items()}
        return _Rows(graph, list(_ordered(slots, sources))[::-1], sources, items)

    def _node(self, node: Node, graph: InnerGraph, place: str) -> _Box | _Frame:
        if isinstance(node.operation, Operation):
            return _Box(node.operation.label(), fill=_MERGED, stretches=False)
        return self.item(node.operation, f"{place}.{graph.path(node)}".strip("."))


def _ordered(
    slots: Sequence[Sequence[str]], sources: Mapping[tuple[int, str], Sequence[str]]
) -> Iterator[Sequence[str]]:
    """The rows from the last to the first, sorted so that a slot is near the slots that take its signal."""
    below: list[str] = []
    for row in range(len(slots) - 1, -1, -1):
        wanted: dict[str, list[float]] = {name: [] for name in slots[row]}
        for position, taker in enumerate(below):
            inputs = sources[row + 1, taker]
            for index, name in enumerate(inputs):
                wanted[name].append(position + index / len(inputs))
        below = sorted(slots[row], key=lambda name: sum(wanted[name]) / max(len(wanted[name]), 1))
        yield below
