"""The self-contained HTML page: drawing, controls, and a panel of formulas and numbers for each step."""

import os
from collections.abc import Container, Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from attrs import evolve, frozen

from deepbp.derivation.backward import backward_row, error_row, gradient_rows, output_signal
from deepbp.derivation.document import Paragraph, Row
from deepbp.derivation.explore.drawing import Place, draw, places_of
from deepbp.derivation.explore.figures import LOSS, PRINTER, TEXT, Quantity, number
from deepbp.derivation.explore.recomputation import MOST_RATES, Recomputation, recomputation
from deepbp.derivation.explore.statements import WEIGHTS, after, gradient_name, key, share_name
from deepbp.derivation.expressions import Math, with_values
from deepbp.derivation.forward import PREDICTION, equation_rows, forward_row, value_row, words_explained
from deepbp.derivation.recording import TraceStep
from deepbp.derivation.steps import (
    OperationStep,
    PenaltyStep,
    Step,
    derivative,
    error_signal,
    is_plain_descent,
    steps,
    uses_of,
)
from deepbp.derivation.trace import Trace, changes
from deepbp.formulas.javascript import literal, runtime
from deepbp.formulas.printer import Symbol
from deepbp.optimizers import SGD
from deepbp.storage.atomic import whole_file
from deepbp.typing import Shape


@frozen(eq=False)
class Half:
    """The forward or the backward half of a panel, which is one stage of the animation.

    Attributes:
        stage: position in the animation.
        direction: "forward", "backward", or empty.
        title: what a screen reader announces.
    """

    stage: int
    direction: str
    heading: str
    title: str
    rows: Sequence[Row] = ()
    quantities: Sequence[Quantity] = ()
    note: str = ""
    has_loss: bool = False

    def to_html(self, computed: Container[str] = ()) -> str:
        equations = (
            f'<div class="equation" tabindex="0" role="region" aria-label="formula">'
            f'<math displaystyle="true">{row.math.written(PRINTER)}</math></div>'
            for row in self.rows
        )
        return "\n".join(
            [
                f'<section class="half {self.direction}" data-stage="{self.stage}"'
                f' data-title="{escape(self.title, quote=True)}"{" data-loss" * self.has_loss}>',
                f"<h3>{escape(self.heading)}</h3>",
                *equations,
                f"<p>{escape(self.note)}</p>" if self.note else "",
                f'<div class="numbers">{"".join(one.to_html(computed) for one in self.quantities)}</div>',
                "</section>",
            ]
        )


@frozen(eq=False)
class Panel:
    """The panel of one column of the drawing, with the texts of its button; the update has no column."""

    title: str
    halves: Sequence[Half]
    column: int | None = None
    symbol: Symbol = LOSS
    name: str = ""
    size: str = ""

    def to_html(self, computed: Container[str] = ()) -> str:
        column = "" if self.column is None else f' data-column="{self.column}"'
        halves = "\n".join(half.to_html(computed) for half in self.halves)
        return (
            f'<article class="panel"{column}>\n<h2>{escape(self.title)}</h2>\n'
            f'<div class="halves">\n{halves}\n</div>\n</article>'
        )

    def to_button(self, place: Place) -> str:
        return (
            f'<button type="button" data-column="{self.column}" style="grid-area: {place[1] + 1} / {place[0] + 1}"'
            f' aria-label="{escape(self.title, quote=True)}">'
            f"<math>{PRINTER.symbol(self.symbol)}</math><span>{escape(self.name)}</span>"
            f"<small{' data-loss' * (self.symbol == LOSS)}>{escape(self.size)}</small></button>"
        )


def step_panel(trace: Trace, position: int, own: Step) -> Panel:
    """The panel of one step; ``own`` is the step with the parameter values before the update."""
    traced = trace.steps[position]
    step = traced.step
    halves = [_forward_half(traced, position, own), _backward_half(trace, position)]
    return Panel(_title(step), halves, position + 1, step.output, step.kind, size(step.output_shape))


def size(shape: Shape) -> str:
    """The shape of a sample as text."""
    return "×".join(map(str, shape)) or "1"


def _forward_half(traced: TraceStep, position: int, own: Step) -> Half:
    step, made = traced.step, TEXT.symbol(traced.step.output)
    what = "a penalty, which is added to the loss" if isinstance(step, PenaltyStep) else f"of shape {step.output_shape}"
    return Half(
        stage=position + 1,
        direction="forward",
        heading="Forward",
        title=f"Forward: {_name(step)}, makes {made}, {what}",
        rows=[*equation_rows(step), _equation(step)],
        quantities=[
            *(Quantity(signal, array) for signal, array in dict(zip(step.inputs, traced.inputs, strict=True)).items()),
            *(Quantity(step.parameters[name], p.value, samples=False) for name, p in own.held.items()),
            Quantity(step.output, traced.output, samples=not isinstance(step, PenaltyStep)),
        ],
        note="This layer states no formula: it is a black box." if _is_black_box(step) else "",
    )


def _backward_half(trace: Trace, position: int) -> Half:
    traced, letters = trace.steps[position], [one.step for one in trace.steps]
    step, first = traced.step, letters[0].input
    signals = list(dict.fromkeys(step.inputs))
    shared = [signal for signal in signals if len(uses_of(letters, signal)) > 1]
    shares = [share_name(trace, position, index) for index in range(len(step.inputs))]
    rows = [*equation_rows(step, back=True), *gradient_rows([step]).values()]
    for signal in signals:
        rows.append(error_row(letters, signal) if signal in shared else backward_row(step, step.inputs.index(signal)))
    notes = [f"{TEXT.symbol(error_signal(one))} is a sum: this step passes one share of it back." for one in shared]
    if first in signals:
        passed = TEXT.symbol(error_signal(first))
        notes.append(f"No layer stands before this one: training does not need its {passed}.")
    if isinstance(step, PenaltyStep) and step.penalty is None:
        rows, notes = [], ["The layer passes the derivatives of what it adds back by itself."]
    return Half(
        stage=2 * len(trace) + 2 - position,
        direction="backward",
        heading="Backward",
        title=f"Backward: {_name(step)}, {_backward_text(step)}",
        rows=rows,
        quantities=[
            *([] if isinstance(step, PenaltyStep) else [Quantity(step.delta, traced.delta)]),
            *(
                Quantity(derivative(step.parameters[n]), g, samples=False, value=gradient_name(trace, position, n))
                for n, g in traced.gradients.items()
            ),
            *(
                Quantity(error_signal(signal), array, True, "a share" * (signal in shared), value)
                for signal, array, value in zip(step.inputs, traced.passed_back, shares, strict=True)
            ),
        ],
        note=" ".join(notes),
    )


def _backward_text(step: Step) -> str:
    """The inputs and results of the backward step in words."""
    parts = [] if isinstance(step, PenaltyStep) else [f"takes {TEXT.symbol(step.delta)}"]
    if step.inputs:
        parts.append(f"passes back {_listed(map(error_signal, dict.fromkeys(step.inputs)))}")
    finds = [f"finds {_listed(map(derivative, step.parameters.values()))}"] if step.parameters else []
    return "; it ".join([" and ".join(parts), *finds] if parts else finds)


def _name(step: Step) -> str:
    start = "the penalty of " if isinstance(step, PenaltyStep) else ""
    return f"{start}layer {step.whole if isinstance(step, OperationStep) else step.place}, {step.kind}"


def _title(step: Step) -> str:
    if isinstance(step, OperationStep):
        remark = step.operation.forward_remark() if step.is_slice else "where its branches meet"
        return f"Layer {step.whole}: {step.kind}, {remark}"
    if isinstance(step, PenaltyStep):
        what = step.penalty if step.penalty is not None else "what it adds to the loss"
        return f"Layer {step.place}: {step.kind}, {what}"
    return f"Layer {step.place}: {step.layer}"


def _is_black_box(step: Step) -> bool:
    if isinstance(step, PenaltyStep):
        return step.penalty is None or step.penalty.formula is None
    return step.formula is None and not isinstance(step, OperationStep)


def _equation(step: Step) -> Row:
    """The equation of a step; that of an activation continues with the definition of its letter."""
    row = forward_row(step)
    if step.formula is None or not step.formula.function:
        return row
    meant = Math((with_values(step.formula.forward, step.layer),), row.math.symbols)
    if row.math.written(TEXT).endswith(f"= {meant.written(TEXT)}"):
        return row  # the letter is the definition, such as tanh
    return Row(Math((*row.math.sides, *meant.sides), row.math.symbols))


def _listed(symbols: Iterable[Symbol]) -> str:
    return " and ".join(map(TEXT.symbol, symbols))


TARGET = Symbol("y")


def panels(trace: Trace) -> list[Panel]:
    """All panels, in the order of the stages: forward, loss, backward, update."""
    own = steps(trace.network)  # with the parameter values of this step
    layers = [step_panel(trace, position, one) for position, one in enumerate(own)]
    update = [_update(trace)] if any(one.parameters for one in own) else []
    return [_input(trace), *layers, _loss(trace), *update]


def _input(trace: Trace) -> Panel:
    first = trace.steps[0].step
    half = Half(
        stage=0,
        direction="forward",
        heading="Forward",
        title=f"Forward: the input {TEXT.symbol(first.input)}, samples of shape {first.input_shape}",
        quantities=[Quantity(first.input, trace.steps[0].input)],
        note="The samples, one in each row. The first layer takes them as they are.",
    )
    return Panel("The input", [half], 0, first.input, "input", size(first.input_shape))


def _loss(trace: Trace) -> Panel:
    done, value = [one.step for one in trace.steps], number(trace.loss)
    output = trace.last_signal
    delta, penalties = error_signal(output), [one for one in trace.steps if isinstance(one.step, PenaltyStep)]
    letters = {"prediction": PREDICTION, "output": output}
    weights = trace.data.sample_weight
    forward = Half(
        stage=len(trace) + 1,
        direction="forward",
        heading="Forward",
        title=f"Forward: the loss, {type(trace.loss_function).__name__}, is {value}",
        rows=[
            Row(Math(("prediction", "output"), letters)),
            value_row(done, trace.loss_function),
        ],
        has_loss=True,
        note="" if weights is None else "Each sample’s share of the loss is multiplied by the sample’s weight.",
        quantities=[
            Quantity(LOSS, np.asarray(trace.loss), samples=False),
            Quantity(PREDICTION, trace.prediction, value=key(output)),
            Quantity(TARGET, np.asarray(trace.target)),
            *([] if weights is None else [Quantity(Symbol("w"), weights, words=WEIGHTS, value=WEIGHTS)]),
            *(Quantity(one.step.output, one.output, samples=False) for one in penalties),
        ],
    )
    backward = Half(
        stage=len(trace) + 2,
        direction="backward",
        heading="Backward",
        title=f"Backward: the error signal starts with {TEXT.symbol(delta)}",
        rows=[output_signal(done, trace.loss_function)],
        quantities=[Quantity(delta, trace.error_signals[output])],
        note="" if weights is None else "What the loss passes back is multiplied by the weights of the samples.",
    )
    return Panel(f"The loss: {trace.loss_function}", [forward, backward], len(trace) + 1, LOSS, "loss", value)


def _update(trace: Trace) -> Panel:
    """The last panel: the update, with its numbers if the trace has an optimizer."""
    parameters = {symbol: None for one in reversed(trace.steps) for symbol in one.step.parameters.values()}
    optimizer, held = trace.optimizer, trace.network.named_parameters()
    quantities = []
    for name, symbol, change in changes(trace) if trace.updated else ():
        quantities.append(Quantity(change, trace.updated[name] - held[name].value, samples=False, words="the change"))
        new = Quantity(symbol, trace.updated[name], samples=False, words="after the update", value=after(symbol))
        quantities.append(new)
    descent = optimizer is None or is_plain_descent(optimizer)
    how = "This is gradient descent with the learning rate η; other optimizers make more of the same gradients."
    schedule = f" η follows the schedule from step to step, up to step {MOST_RATES}." * callable(
        getattr(optimizer, "learning_rate", None)
    )
    note = "Only now do the parameters change, for all gradients belong to the values of the way forward. "
    half = Half(
        stage=2 * len(trace) + 3,
        direction="",
        heading="Every gradient is known",
        title="The update: every gradient is known, and each parameter takes a step against its own",
        rows=[
            Row(Math(("w", "w - rate * g"), {"w": symbol, "rate": Symbol("η"), "g": derivative(symbol)}, "←"))
            for symbol in parameters
            if descent
        ],
        quantities=quantities,
        note=note + (how if optimizer is None else f"The optimizer is {optimizer}; this is its first step.") + schedule,
    )
    return Panel("The update", [half])


def page(trace: Trace) -> str:
    """Render the page. It loads nothing from outside; without JavaScript, it shows all panels at once."""
    letters, made = [one.step for one in trace.steps], recomputation(trace)
    if isinstance(made, Recomputation) and trace.optimizer is None:
        updated = {name: np.asarray(made.values[after(symbol)]) for name, symbol, _ in changes(trace)}
        trace = evolve(trace, optimizer=SGD(1.0), updated=updated)
    computed = made.values.keys() if isinstance(made, Recomputation) else ()
    every, places = panels(trace), places_of(letters)
    layers = sum(not isinstance(step, OperationStep | PenaltyStep) for step in letters)
    return Template(_part("page.html")).substitute(
        style=_part("style.css"),
        script=_script(made),
        memory=_memory(made),
        controls=_part("controls.html") if isinstance(made, Recomputation) else "",
        about=f"<p>{escape(made)}</p>" if isinstance(made, str) else _part("taken.html") + _drawn(trace),
        drawing=draw(trace),
        columns=1 + max(depth for depth, _ in places),
        buttons="".join(panel.to_button(places[panel.column]) for panel in every if panel.column is not None),
        panels="\n".join(panel.to_html(computed) for panel in every),
        last=max(half.stage for panel in every for half in panel.halves),
        samples="1 sample" if len(trace.data) == 1 else f"{len(trace.data):,} samples",
        more=_more(letters),
        layers="1 layer" if layers == 1 else f"{layers:,} layers",
    )


def _script(made: Recomputation | str) -> str:
    """The player; with the statements of the step, and the functions in them, where its numbers can be changed."""
    if isinstance(made, str):
        return _part("script.js")
    compute = f"function compute(v) {{\n{made.source()}\nreturn v;\n}}"
    return "\n".join([_part("script.js"), runtime().replace('"use strict";\n', ""), compute, _part("explorer.js")])


def _memory(made: Recomputation | str) -> str:
    """The inputs of the step, as they are before the first change."""
    if isinstance(made, str):
        return ""
    held = {"editable": made.editable, "kept": made.kept, "state": made.state(), "losses": []}
    return f'<script type="application/json" id="memory">{literal(held)}</script>\n'


_Path: Any = type(Path())


class ExplorerPage(_Path):  # type: ignore[misc]
    """The path of a page, which a notebook shows as the page itself."""

    def _repr_html_(self) -> str:
        page = escape(self.read_text(encoding="utf-8"), quote=True)
        return f'<iframe srcdoc="{page}" title="explorer" style="width:100%;height:44em;border:0"></iframe>'


def write_page(trace: Trace, path: str | os.PathLike[str]) -> Path:
    """Write the page to a file, atomically: an older file is replaced only by a complete page."""
    with whole_file(path) as file:
        file.write(page(trace))
    written: Path = ExplorerPage(path)
    return written


def _drawn(trace: Trace) -> str:
    """What the page computes without: new random numbers."""
    random = [one.step.kind for one in trace.steps if one.drawn]
    words = f"What {' and '.join(dict.fromkeys(random))} drew at random stays as it is, also in further steps."
    return f"<p>{words}</p>" if random else ""


def _more(steps: Sequence[Step]) -> str:
    """Notes on the notation of branches and penalties, of steps in time and parts, if there are any."""
    words = ""
    if any(isinstance(step, OperationStep) for step in steps):
        words += "\nSquare brackets set columns side by side. A line over the drawing leads past what lies between."
    if any(isinstance(step, PenaltyStep) for step in steps):
        words += "\nP is a penalty, which is added to the loss; B counts the samples."
    for block in words_explained([step.formula for step in steps if step.formula is not None]):
        assert isinstance(block, Paragraph)
        words += "\n" + "".join(
            escape(part) if isinstance(part, str) else f"<math>{part.written(PRINTER)}</math>" for part in block.parts
        )
    return words


def _part(name: str) -> str:
    return files("deepbp.derivation.explore").joinpath(name).read_text(encoding="utf-8")
