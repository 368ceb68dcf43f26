"""The SVG drawing of a network: a column for each signal, joined by the weights."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import prod

import numpy as np
from attrs import field, frozen

from deepbp.derivation.steps import OperationStep, PenaltyStep, Step, last_signal, steps, uses_of
from deepbp.derivation.trace import Trace
from deepbp.formulas.printer import Symbol
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


WIDTH, APART = 60, 22  # distances between columns and between circles
MOST = 8  # circles in a column; of longer columns, the first four and the last three circles are drawn


@frozen
class Column:
    """The column of a signal: y coordinates of circles by index; no circles for samples that are not flat."""

    position: int
    shape: Shape
    middle: float
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
        return WIDTH * (self.position + 0.5)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def extent(self) -> tuple[float, float]:
        """The y coordinates of its top and bottom."""
        ys = self.circles.values()
        return (min(ys) - 6, max(ys) + 6) if ys else (self.middle - 28, self.middle + 28)

    def before(self) -> "Column":
        """A column of the same shape one place to the left."""
        return Column(self.position - 1, self.shape, self.middle)

    def draw(self, stages: str) -> str:
        top, bottom = self.extent
        body = "".join(f'<circle cx="{self.x:g}" cy="{y:g}" r="7"/>' for y in self.circles.values())
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
    tallest = max(min(prod(shape), MOST) if len(shape) <= 1 else 3 for shape in shapes)
    middle = APART * (tallest - 1) / 2 + 16
    columns = [Column(position, shape, middle) for position, shape in enumerate(shapes)]
    own = [*steps(trace.network), None]  # with the parameter values of this step
    sources, stages = sources_of(letters), Stages(letters)
    roofs = _roofs([(i, position) for position in sources for i in sources[position] if position - i > 1])
    layers = "".join(
        _layer(step, [columns[i] for i in sources[position]], columns[position], roofs, stages.of_layer(position))
        for position, step in enumerate(own, start=1)
    )
    signals = "".join(column.draw(stages.of_signal(column.position)) for column in columns)
    names = ", ".join(one.step.kind for one in trace.steps)
    label = escape(f"The network, from left to right: the input, {names}, the loss", quote=True)
    top = min((roof - 4 for roof in roofs.values()), default=0.0)
    box = f"0 {top:g} {WIDTH * len(columns)} {2 * middle + 16 - top:g}"
    return f'<svg viewBox="{box}" role="img" aria-label="{label}"><g aria-hidden="true">{layers}{signals}</g></svg>'


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
    step: Step | None, sources: Sequence[Column], column: Column, roofs: Mapping[tuple[int, int], float], stages: str
) -> str:
    """The connections of a column: lines between circles, a band if these are unknown, or a line past other columns."""
    inner = ""
    for one in sources:
        roof = roofs.get((one.position, column.position))
        if roof is None:
            inner += "".join(_lines(step, one, column)) or _band(one, column)
        else:
            inner += _past(one, column, roof)
    arrows = _arrow("there", column.before(), 14, 46) + _arrow("back", column.before(), 46, 14)
    return f'<g class="layer" data-column="{column.position}" {stages}>{inner}{arrows}</g>'


def _band(one: Column, other: Column) -> str:
    left, right = one.extent, other.extent
    corners = [(one.x, left[0]), (other.x, right[0]), (other.x, right[1]), (one.x, left[1])]
    return f'<polygon points="{" ".join(f"{x:g},{y:g}" for x, y in corners)}"/>'


def _past(one: Column, other: Column, roof: float) -> str:
    """A line over the columns between two columns, next to their middles, which adjacent columns use."""
    start, end = one.x + 4, other.x - 4
    up, down = f"M{start:g} {one.extent[0]:g}V{roof + 8:g}", f"V{other.extent[0]:g}"
    over = f"Q{start:g} {roof:g} {start + 8:g} {roof:g}H{end - 8:g}Q{end:g} {roof:g} {end:g} {roof + 8:g}"
    return f'<path class="past" d="{up}{over}{down}"/>'


def _lines(step: Step | None, one: Column, other: Column) -> Iterator[str]:
    """Lines whose width shows the weight, dashed if negative. The loss (``step`` is None) is joined with all."""
    weight = None if step is None else _weight(step, one, other)
    each_its_own = step is not None and step.formula is not None and bool(step.formula.derivative)
    each_its_own = each_its_own or (isinstance(step, OperationStep) and step.operation.is_elementwise)
    largest = 1.0 if weight is None else float(np.abs(weight).max()) or 1.0
    for i, start in one.circles.items():
        for j, end in other.circles.items():
            ends = f'x1="{one.x:g}" y1="{start:g}" x2="{other.x:g}" y2="{end:g}"'
            if weight is not None:
                sign = "negative" if weight[i, j] < 0 else "positive"
                width = 0.4 + 2.6 * abs(float(weight[i, j])) / largest
                yield f'<line {ends} class="{sign}" stroke-width="{width:.2f}"/>'
            elif step is None or (each_its_own and i == j):
                yield f"<line {ends}/>"


def _arrow(kind: str, column: Column, start: float, end: float) -> str:
    """An arrow below the layer that shows the direction of the pass."""
    y, wing = 2 * column.middle + 6, 6 if start < end else -6
    start, end = (column.x + place for place in (start, end))
    head = f"M{end - wing:g} {y - 5:g}L{end:g} {y:g}L{end - wing:g} {y + 5:g}"
    return f'<path class="arrow {kind}" d="M{start:g} {y:g}L{end:g} {y:g}{head}"/>'


def _weight(step: Step, one: Column, other: Column) -> Array | None:
    """The weight matrix of a layer, if it joins all inputs with all outputs."""
    for name, parameter in step.layer.named_parameters().items():
        joins = step.formula is not None and f"x @ {name}" in step.formula.forward
        if joins and parameter.value.shape == (one.size, other.size) and np.isfinite(parameter.value).all():
            return parameter.value
    return None
