"""The self-contained HTML page: drawing, controls, and a panel of formulas and numbers for each step."""

import os
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from math import isfinite
from pathlib import Path
from string import Template

import numpy as np
from attrs import frozen

from deepbp.derivation.backward import backward_row, error_row, gradient_rows, output_signal
from deepbp.derivation.document import Row
from deepbp.derivation.explore.drawing import draw
from deepbp.derivation.expressions import Math, with_values
from deepbp.derivation.forward import PREDICTION, forward_row, value_row
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
from deepbp.formulas.mathml import MathMLPrinter
from deepbp.formulas.printer import Symbol, TextPrinter
from deepbp.storage.atomic import whole_file
from deepbp.typing import Array, Shape

MOST_NUMBERS = 10  # arrays with more rows or columns are summarized


def figure(letter: str, name: str, array: Array, *, samples: bool = True) -> str:
    """A captioned table, one row for each sample; ``letter`` is the symbol in MathML, ``name`` as text."""
    shape = " × ".join(map(str, array.shape))
    rows = array.reshape(len(array), -1) if samples else np.atleast_2d(array)
    small = rows.ndim == 2 and max(rows.shape) <= MOST_NUMBERS
    label = escape(f"{name}, {shape}" if small else f"{name}, {shape}, in summary", quote=True)
    return (
        f'<figure><figcaption><math displaystyle="true">{letter}</math> <span>{shape}</span></figcaption>'
        f'<div class="matrix" tabindex="0" role="region" aria-label="{label}">'
        f"{_matrix(rows) if small else _summary(array)}</div></figure>"
    )


def number(value: float, scale: float | None = None) -> str:
    """A number as text; ``scale``, the largest number of its table, decides on the notation."""
    if not isfinite(value):
        return {float("inf"): "∞", float("-inf"): "−∞"}.get(value, "NaN")
    scale = abs(value) if scale is None else scale
    if value == 0 and 0 < scale < 1e-2:
        return "0"  # an exact zero among numbers in scientific notation
    return (f"{value:.4f}" if scale == 0 or 1e-2 <= scale < 1e4 else f"{value:.3e}").replace("-", "−")


def _matrix(rows: Array) -> str:
    finite = rows[np.isfinite(rows)]
    scale = float(np.abs(finite).max(initial=0))
    whole = finite.size == rows.size and scale < 1e4 and bool((finite == np.round(finite)).all())
    body = "".join(
        f"<tr>{''.join(f'<td>{_whole(value) if whole else number(value, scale)}</td>' for value in row)}</tr>"
        for row in rows.astype(np.float64).tolist()
    )
    return f"<table>{body}</table>"


def _whole(value: float) -> str:
    return f"{int(value)}".replace("-", "−")


def _summary(array: Array) -> str:
    values = array.astype(np.float64)
    with np.errstate(all="ignore"):
        measures = {
            "smallest": number(float(values.min())),
            "mean": number(float(values.mean())),
            "largest": number(float(values.max())),
            "norm √Σ(·)²": number(float(np.sqrt(np.sum(values**2)))),
            "zeros": f"{np.mean(values == 0):.0%}",
        }
    rows = (f'<tr><th scope="row">{name}</th><td>{text}</td></tr>' for name, text in measures.items())
    return f'<table class="summary">{"".join(rows)}</table>'


PRINTER, TEXT = MathMLPrinter(), TextPrinter()
LOSS = Symbol("L")


@frozen(eq=False)
class Quantity:
    """An array with its symbol; ``samples`` states whether axis 0 holds samples."""

    symbol: Symbol
    array: Array
    samples: bool = True
    words: str = ""

    def to_html(self) -> str:
        letter, name = PRINTER.symbol(self.symbol), TEXT.symbol(self.symbol)
        if self.words:
            letter, name = f"{letter}<mtext>, {escape(self.words)}</mtext>", f"{name}, {self.words}"
        return figure(letter, name, self.array, samples=self.samples)


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

    def to_html(self) -> str:
        equations = (
            f'<div class="equation" tabindex="0" role="region" aria-label="formula">'
            f'<math displaystyle="true">{row.math.written(PRINTER)}</math></div>'
            for row in self.rows
        )
        return "\n".join(
            [
                f'<section class="half {self.direction}" data-stage="{self.stage}"'
                f' data-title="{escape(self.title, quote=True)}">',
                f"<h3>{escape(self.heading)}</h3>",
                *equations,
                f"<p>{escape(self.note)}</p>" if self.note else "",
                f'<div class="numbers">{"".join(quantity.to_html() for quantity in self.quantities)}</div>',
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

    def to_html(self) -> str:
        column = "" if self.column is None else f' data-column="{self.column}"'
        halves = "\n".join(half.to_html() for half in self.halves)
        return (
            f'<article class="panel"{column}>\n<h2>{escape(self.title)}</h2>\n'
            f'<div class="halves">\n{halves}\n</div>\n</article>'
        )

    def to_button(self) -> str:
        return (
            f'<button type="button" data-column="{self.column}" aria-label="{escape(self.title, quote=True)}">'
            f"<math>{PRINTER.symbol(self.symbol)}</math><span>{escape(self.name)}</span>"
            f"<small>{escape(self.size)}</small></button>"
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
        rows=[_equation(step)],
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
    rows = list(gradient_rows([step]).values())
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
            *(Quantity(derivative(step.parameters[n]), g, samples=False) for n, g in traced.gradients.items()),
            *(
                Quantity(error_signal(signal), array, words="a share" * (signal in shared))
                for signal, array in zip(step.inputs, traced.passed_back, strict=True)
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
    letters = {"prediction": PREDICTION, "output": output, "loss": LOSS, "value": Symbol(value)}
    forward = Half(
        stage=len(trace) + 1,
        direction="forward",
        heading="Forward",
        title=f"Forward: the loss, {type(trace.loss_function).__name__}, is {value}",
        rows=[
            Row(Math(("prediction", "output"), letters)),
            value_row(done, trace.loss_function),
            Row(Math(("loss", "value"), letters)),
        ],
        quantities=[
            Quantity(PREDICTION, trace.prediction),
            Quantity(TARGET, np.asarray(trace.target)),
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
    )
    return Panel(f"The loss: {trace.loss_function}", [forward, backward], len(trace) + 1, LOSS, "loss", value)


def _update(trace: Trace) -> Panel:
    """The last panel: the update, with its numbers if the trace has an optimizer."""
    parameters = {symbol: None for one in reversed(trace.steps) for symbol in one.step.parameters.values()}
    optimizer, held = trace.optimizer, trace.network.named_parameters()
    quantities = []
    for name, symbol, change in changes(trace) if trace.updated else ():
        quantities.append(Quantity(change, trace.updated[name] - held[name].value, samples=False, words="the change"))
        quantities.append(Quantity(symbol, trace.updated[name], samples=False, words="after the update"))
    descent = optimizer is None or is_plain_descent(optimizer)
    how = "This is gradient descent with the learning rate η; other optimizers make more of the same gradients."
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
        note=note + (how if optimizer is None else f"The optimizer is {optimizer}; this is its first step."),
    )
    return Panel("The update", [half])


def page(trace: Trace) -> str:
    """Render the page. It loads nothing from outside; without JavaScript, it shows all panels at once."""
    every, letters = panels(trace), [one.step for one in trace.steps]
    layers = sum(not isinstance(step, OperationStep | PenaltyStep) for step in letters)
    return Template(_part("page.html")).substitute(
        style=_part("style.css"),
        script=_part("script.js"),
        drawing=draw(trace),
        columns=len(trace) + 2,
        buttons="".join(panel.to_button() for panel in every if panel.column is not None),
        panels="\n".join(panel.to_html() for panel in every),
        last=max(half.stage for panel in every for half in panel.halves),
        samples="1 sample" if len(trace.data) == 1 else f"{len(trace.data):,} samples",
        more=_more(letters),
        layers="1 layer" if layers == 1 else f"{layers:,} layers",
    )


def write_page(trace: Trace, path: str | os.PathLike[str]) -> Path:
    """Write the page to a file, atomically: an older file is replaced only by a complete page."""
    with whole_file(path) as file:
        file.write(page(trace))
    return Path(path)


def _more(steps: Sequence[Step]) -> str:
    """Notes on the notation of branches and penalties, if there are any."""
    words = ""
    if any(isinstance(step, OperationStep) for step in steps):
        words += "\nSquare brackets set columns side by side. A line over the drawing leads past what lies between."
    if any(isinstance(step, PenaltyStep) for step in steps):
        words += "\nP is a penalty, which is added to the loss; B counts the samples."
    return words


def _part(name: str) -> str:
    return files("deepbp.derivation.explore").joinpath(name).read_text(encoding="utf-8")
