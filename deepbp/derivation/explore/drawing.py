"""The SVG drawing of a network: a column of circles for each signal, joined by the weights, in lanes for branches."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import chain, count
from math import prod

import numpy as np
from attrs import field, frozen

from deepbp.derivation.document import as_math
from deepbp.derivation.steps import OperationStep, PenaltyStep, Step, error_signal, last_signal, steps, uses_of
from deepbp.derivation.trace import Trace
from deepbp.formulas.printer import Symbol, TextPrinter
from deepbp.typing import Array, Shape


def sources_of(steps: Sequence[Step]) -> dict[int, list[int]]:
    """The columns of the inputs of each step; the loss, in the last column, takes the prediction and the penalties."""
    column: dict[Symbol, int] = {steps[0].input: 0}
    sources: dict[int, list[int]] = {}
    for position, step in enumerate(steps, start=1):
        sources[position] = list(dict.fromkeys(column[signal] for signal in step.inputs))
        column[step.output] = position
    penalized = [column[step.output] for step in steps if isinstance(step, PenaltyStep)]
    sources[len(steps) + 1] = [column[last_signal(steps)], *penalized]
    return sources


@frozen
class Stages:
    """The stages of the animation: input, steps in forward order, loss forward and backward, steps in reverse order.

    Each part of the drawing states the stages at which the passes reach it, ``data-forward`` and ``data-backward``, and
    those at which it is highlighted, ``data-now``.
    """

    steps: Sequence[Step]

    def back(self, position: int) -> int:
        """The stage of a step's backward pass, by its position."""
        return 2 * len(self.steps) + 2 - position

    def of_layer(self, column: int) -> str:
        """The attributes of the connections of a column with those before it."""
        backward = self.back(column - 1)
        return f'data-forward="{column}" data-backward="{backward}" data-now="{column} {backward}"'

    def of_signal(self, column: int) -> str:
        """The attributes of a column. Its error signal is complete after the backward passes of all its uses."""
        steps = self.steps
        if column == len(steps) + 1:  # the loss
            return f'data-forward="{column}" data-now="{column}"'
        signal = steps[column - 1].output if column else steps[0].input
        is_added = signal == last_signal(steps) or isinstance(steps[column - 1], PenaltyStep)
        users = [self.back(len(steps))] * (is_added and column > 0)
        users += [self.back(steps.index(step)) for step, _ in uses_of(steps, signal)]
        now = " ".join(map(str, [column, *dict.fromkeys(users)]))
        return f'data-forward="{column}" data-backward="{max(users)}" data-now="{now}"'


Place = tuple[int, int]
"""The depth of a column, from the input on the left, and its lane, from the top."""


def places_of(steps: Sequence[Step]) -> list[Place]:
    """The places of all columns: each right of what it is made of, and branches in lanes of their own.

    A column takes the lane of its first source if nothing is in the way there, and otherwise the next free one. So the
    first branch of a fork goes straight on, the others below it, and the merge continues the first one.
    """
    sources = sources_of(steps)
    depths = {0: 0}
    layer = 0  # the last column that is no penalty
    for position, step in enumerate(steps, start=1):
        depths[position] = 1 + max((depths[one] for one in sources[position]), default=depths[layer])
        layer = layer if isinstance(step, PenaltyStep) else position
    depths[len(steps) + 1] = 1 + max(depths.values())
    uses: dict[int, list[int]] = {}
    for position, made_of in sources.items():
        for one in made_of:
            uses.setdefault(one, []).append(depths[position])
    lanes: dict[int, int] = {}
    taken: set[Place] = set()
    is_penalty = [position for position, step in enumerate(steps, start=1) if isinstance(step, PenaltyStep)]
    order = [0, *(p for p in sources if p not in is_penalty), *is_penalty]  # penalties below all that is there
    for position in order:
        depth = depths[position]
        wanted = [(depth + i) for i in range(max(1, min(uses.get(position, [0])) - depth))]  # up to what takes it
        start = lanes[sources[position][0]] if sources.get(position) and position not in is_penalty else 0
        free = (lane for lane in chain([start], count()) if all((one, lane) not in taken for one in wanted))
        lanes[position] = next(free)
        taken.update((one, lanes[position]) for one in wanted)
    return [(depths[position], lanes[position]) for position in range(len(steps) + 2)]


WIDTH, APART = 60, 22  # distances between columns and between circles
MOST = 8  # circles in a column; of longer columns, the first four and the last three circles are drawn
SHOWN = 6  # samples in the words on a neuron


@frozen
class Column:
    """The column of a signal: y coordinates of circles by index; no circles for samples that are not flat."""

    position: int
    place: Place
    shape: Shape
    middle: float
    floor: float  # the lower end of the lane
    circles: Mapping[int, float] = field(init=False)

    def __attrs_post_init__(self) -> None:
        numbers, slots = list(range(self.size)), list(range(self.size))
        if self.size > MOST:
            numbers, slots = [0, 1, 2, 3, self.size - 3, self.size - 2, self.size - 1], [0, 1, 2, 3, 5, 6, 7]
        top = self.middle - APART * slots[-1] / 2
        places = [top + APART * slot for slot in slots]
        circles = dict(zip(numbers, places, strict=True)) if len(self.shape) <= 1 else {}
        object.__setattr__(self, "circles", circles)

    @property
    def x(self) -> float:
        return WIDTH * (self.place[0] + 0.5)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def extent(self) -> tuple[float, float]:
        """The y coordinates of its top and bottom."""
        ys = self.circles.values()
        return (min(ys) - 6, max(ys) + 6) if ys else (self.middle - 28, self.middle + 28)

    def draw(self, stages: str, words: Mapping[int, str]) -> str:
        top, bottom = self.extent
        body = "".join(
            f'<circle cx="{self.x:g}" cy="{y:g}" r="7" data-neuron="{i}">'
            f"<title>{escape(words.get(i, ''))}</title></circle>"
            for i, y in self.circles.items()
        )
        if not self.circles:
            body = f'<rect x="{self.x - 14:g}" y="{top - 6:g}" width="28" height="{bottom - top + 12:g}" rx="6"/>'
        elif len(self.circles) < self.size:
            dots = (self.circles[3] + self.circles[self.size - 3]) / 2
            body += f'<text x="{self.x:g}" y="{dots + 5:g}">⋮</text>'
        return f'<g class="signal" data-column="{self.position}" {stages}>{body}</g>'


def draw(trace: Trace) -> str:
    """Draw the network as an SVG element, from the input on the left to the loss on the right."""
    letters = [one.step for one in trace.steps]
    shapes = [trace.steps[0].input.shape[1:], *(one.output.shape[1:] for one in trace.steps), ()]  # of this batch
    places, sources, stages = places_of(letters), sources_of(letters), Stages(letters)
    pairs = [(one, position) for position in sources for one in sources[position]]
    roofs = _roofs_by_lane(places, pairs)
    columns: list[Column] = []
    floors, ceiling = [], 0.0
    for lane in range(1 + max(lane for _, lane in places)):
        sizes = [shape for shape, (_, own) in zip(shapes, places, strict=True) if own == lane]
        tallest = max(min(prod(shape), MOST) if len(shape) <= 1 else 3 for shape in sizes)
        above = max((-roof for (one, _), roof in roofs.items() if places[one][1] == lane), default=-4.0) + 4
        floors.append((ceiling + above + APART * (tallest - 1) / 2 + 16, ceiling + above + APART * (tallest - 1) + 32))
        ceiling = floors[-1][1]
    for position, (shape, place) in enumerate(zip(shapes, places, strict=True)):
        columns.append(Column(position, place, shape, *floors[place[1]]))
    own = [*steps(trace.network), None]  # with the parameter values of this step
    layers = "".join(
        _layer(
            step, [columns[i] for i in sources[position]], columns[position], roofs, ceiling, stages.of_layer(position)
        )
        for position, step in enumerate(own, start=1)
    )
    signals = "".join(
        column.draw(stages.of_signal(column.position) + _names(trace, column.position), neurons(trace, column.position))
        for column in columns
    )
    names = ", ".join(one.step.kind for one in trace.steps)
    label = escape(f"The network, from left to right: the input, {names}, the loss", quote=True)
    box = f"0 0 {WIDTH * (1 + max(depth for depth, _ in places))} {ceiling + 14:g}"
    return f'<svg viewBox="{box}" role="img" aria-label="{label}"><g aria-hidden="true">{layers}{signals}</g></svg>'


def _signal(trace: Trace, position: int) -> tuple[Symbol, Array] | None:
    """The signal of a column, with its values; the loss, in the last column, and penalties are single numbers."""
    if position > len(trace) or (position and isinstance(trace.steps[position - 1].step, PenaltyStep)):
        return None
    if position == 0:
        return trace.steps[0].step.input, trace.steps[0].input
    return trace.steps[position - 1].step.output, trace.steps[position - 1].output


def _names(trace: Trace, position: int) -> str:
    """The attributes with the names of the values of a column, and of its error signal."""
    if (found := _signal(trace, position)) is None:
        return ""
    signal, error = (escape(TextPrinter().symbol(one), quote=True) for one in (found[0], error_signal(found[0])))
    return f' data-values="{signal}" data-errors="{error}"'


def neurons(trace: Trace, position: int) -> dict[int, str]:
    """For each neuron of a column, its values and error signals in words, for the first samples."""
    if (found := _signal(trace, position)) is None:
        return {}
    signal, values = found
    parts = [(signal, values), (error_signal(signal), trace.error_signals[signal])]
    rows = [(TextPrinter().symbol(symbol), array.reshape(len(array), -1)) for symbol, array in parts]
    return {i: "; ".join(f"{name}, {i}: {_listed(array[:, i])}" for name, array in rows) for i in range(values[0].size)}


def _listed(values: Array) -> str:
    more = " …" if len(values) > SHOWN else ""
    return " ".join(as_math(f"{float(value):.4g}") for value in values[:SHOWN]) + more


def _roofs_by_lane(places: Sequence[Place], pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], float]:
    """The heights of the lines over the columns of a lane, for what is in the way of a straight one."""
    found: dict[tuple[int, int], float] = {}
    for lane in {lane for _, lane in places}:
        over: dict[Place, list[tuple[int, int]]] = {}
        for one, other in pairs:
            (start, own), (end, _) = places[one], places[other]
            if own == lane and any((depth, lane) in places for depth in range(start + 1, end)):
                over[start, end] = [*over.get((start, end), []), (one, other)]
        for ends, roof in _roofs(list(over)).items():
            found |= dict.fromkeys(over[ends], roof)
    return found


def _roofs(pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], float]:
    """The heights of the lines that bypass columns: short ones low, without overlaps."""
    levels: list[list[tuple[int, int]]] = []
    for start, end in sorted(pairs, key=lambda pair: pair[1] - pair[0]):
        free = (level for level in levels if all(end <= one or start >= other for one, other in level))
        level = next(free, None)
        if level is None:
            levels.append(level := [])
        level.append((start, end))
    return {pair: -7.0 * number for number, level in enumerate(levels) for pair in level}


def _layer(
    step: Step | None,
    sources: Sequence[Column],
    column: Column,
    roofs: Mapping[tuple[int, int], float],
    floor: float,
    stages: str,
) -> str:
    """The connections of a column: lines between circles, a band if these are unknown, or a line past other columns."""
    inner, weights = "", ""
    for one in sources:
        roof = roofs.get((one.position, column.position))
        if roof is not None:
            inner += _past(one, column, roof)
        elif column.place[0] - one.place[0] > 1:
            inner += _along(one, column)
        else:
            inner += "".join(_lines(step, one, column)) or _band(one, column)
            weight = _weight(step, one, column) if step is not None else None
            weights = f' data-weight="{escape(weight[0], quote=True)}"' if weight is not None else weights
    x = column.x - WIDTH
    arrows = _arrow("there", x, floor, 14, 46) + _arrow("back", x, floor, 46, 14)  # below what lies in all lanes
    return f'<g class="layer" data-column="{column.position}" {stages}{weights}>{inner}{arrows}</g>'


def _band(one: Column, other: Column) -> str:
    left, right = one.extent, other.extent
    corners = [(one.x, left[0]), (other.x, right[0]), (other.x, right[1]), (one.x, left[1])]
    return f'<polygon points="{" ".join(f"{x:g},{y:g}" for x, y in corners)}"/>'


def _along(one: Column, other: Column) -> str:
    """A line that stays in the lane of its column until it has come close, and then turns to the other lane."""
    turn = other.x - WIDTH
    curve = f"C{turn + 30:g} {one.middle:g} {other.x - 30:g} {other.middle:g} {other.x:g} {other.middle:g}"
    return f'<path class="past" d="M{one.x:g} {one.middle:g}H{turn:g}{curve}"/>'


def _past(one: Column, other: Column, roof: float) -> str:
    """A line over the columns between two columns, next to their middles, which adjacent columns use."""
    level = 2 * one.middle - one.floor + roof
    start, end = one.x + 4, other.x - 4
    down = other.extent[0] if other.middle >= one.middle or other.extent[1] > level else other.extent[1]
    over = f"Q{start:g} {level:g} {start + 8:g} {level:g}H{end - 8:g}Q{end:g} {level:g} {end:g} {level + 8:g}"
    return f'<path class="past" d="M{start:g} {one.extent[0]:g}V{level + 8:g}{over}V{down:g}"/>'


def _lines(step: Step | None, one: Column, other: Column) -> Iterator[str]:
    """Lines whose width shows the weight, dashed if negative. The loss (``step`` is None) is joined with all."""
    found = None if step is None else _weight(step, one, other)
    weight = None if found is None else found[1]
    each_its_own = step is not None and step.formula is not None and bool(step.formula.derivative)
    each_its_own = each_its_own or (isinstance(step, OperationStep) and step.operation.is_elementwise)
    largest = 1.0 if weight is None else float(np.abs(weight).max()) or 1.0
    for i, start in one.circles.items():
        for j, end in other.circles.items():
            ends = f'x1="{one.x:g}" y1="{start:g}" x2="{other.x:g}" y2="{end:g}"'
            if weight is not None:
                sign = "negative" if weight[i, j] < 0 else "positive"
                width = 0.4 + 2.6 * abs(float(weight[i, j])) / largest
                place = i * weight.shape[1] + j
                yield f'<line {ends} class="{sign}" stroke-width="{width:.2f}" data-at="{place}"/>'
            elif step is None or (each_its_own and i == j):
                yield f"<line {ends}/>"


def _arrow(kind: str, x: float, y: float, start: float, end: float) -> str:
    """An arrow below the layer that shows the direction of the pass."""
    y, wing = y + 3, 6 if start < end else -6
    start, end = x + start, x + end
    head = f"M{end - wing:g} {y - 5:g}L{end:g} {y:g}L{end - wing:g} {y + 5:g}"
    return f'<path class="arrow {kind}" d="M{start:g} {y:g}L{end:g} {y:g}{head}"/>'


def _weight(step: Step, one: Column, other: Column) -> tuple[str, Array] | None:
    """The weight matrix of a layer, with its symbol as text, if it joins all inputs with all outputs."""
    for name, parameter in step.layer.named_parameters().items():
        joins = step.formula is not None and f"x @ {name}" in step.formula.forward
        if joins and parameter.value.shape == (one.size, other.size) and np.isfinite(parameter.value).all():
            return TextPrinter().symbol(step.parameters[name]), parameter.value
    return None
