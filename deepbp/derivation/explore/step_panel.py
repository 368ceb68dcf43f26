"""The panel of one step: a layer, a cut, branches that meet, or a penalty, on the way forward and on the way back."""

from collections.abc import Iterable

from deepbp.derivation.backward import backward_row, error_row, gradient_rows, uses_of
from deepbp.derivation.branches import Cut, Join, columns_text
from deepbp.derivation.document import Row
from deepbp.derivation.explore.panel import TEXT, Half, Panel, Quantity
from deepbp.derivation.expressions import Math, with_values
from deepbp.derivation.forward import forward_row
from deepbp.derivation.price import Price
from deepbp.derivation.running import TraceStep
from deepbp.derivation.step import Step, derivative, error_signal
from deepbp.derivation.trace import Trace
from deepbp.layers.pen import Symbol
from deepbp.typing import Shape


def step_panel(trace: Trace, position: int, own: Step) -> Panel:
    """``own`` is the step with the parameters as they were."""
    traced = trace.steps[position]
    step = traced.step
    halves = [_way_forward(traced, position, own), _way_back(trace, position)]
    return Panel(_title(step), halves, position + 1, step.output, step.kind, size(step.output_shape))


def size(shape: Shape) -> str:
    """Of a sample."""
    return "×".join(map(str, shape)) or "1"


def _way_forward(traced: TraceStep, position: int, own: Step) -> Half:
    step, made = traced.step, TEXT.symbol(traced.step.output)
    what = "a penalty, which is added to the loss" if isinstance(step, Price) else f"of shape {step.output_shape}"
    return Half(
        stage=position + 1,
        direction="forward",
        heading="Forward",
        title=f"Forward: {_name(step)}, makes {made}, {what}",
        rows=[_equation(step)],
        quantities=[
            *(Quantity(signal, array) for signal, array in dict(zip(step.inputs, traced.inputs, strict=True)).items()),
            *(Quantity(step.parameters[name], p.value, samples=False) for name, p in own.held.items()),
            Quantity(step.output, traced.output, samples=not isinstance(step, Price)),
        ],
        note="This layer states no formula: it is a black box." if _is_black_box(step) else "",
    )


def _way_back(trace: Trace, position: int) -> Half:
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
    if isinstance(step, Price) and step.penalty is None:
        rows, notes = [], ["The layer passes the derivatives of what it adds back by itself."]
    return Half(
        stage=2 * len(trace) + 2 - position,
        direction="backward",
        heading="Backward",
        title=f"Backward: {_name(step)}, {_does(step)}",
        rows=rows,
        quantities=[
            *([] if isinstance(step, Price) else [Quantity(step.delta, traced.delta)]),
            *(Quantity(derivative(step.parameters[n]), g, samples=False) for n, g in traced.gradients.items()),
            *(
                Quantity(error_signal(signal), array, words="a share" * (signal in shared))
                for signal, array in zip(step.inputs, traced.passed_back, strict=True)
            ),
        ],
        note=" ".join(notes),
    )


def _does(step: Step) -> str:
    """What it does on the way back."""
    parts = [] if isinstance(step, Price) else [f"takes {TEXT.symbol(step.delta)}"]
    if step.inputs:
        parts.append(f"passes back {_listed(map(error_signal, dict.fromkeys(step.inputs)))}")
    finds = [f"finds {_listed(map(derivative, step.parameters.values()))}"] if step.parameters else []
    return "; it ".join([" and ".join(parts), *finds] if parts else finds)


def _name(step: Step) -> str:
    start = "the penalty of " if isinstance(step, Price) else ""
    return f"{start}layer {step.whole if isinstance(step, Cut) else step.place}, {step.kind}"


def _title(step: Step) -> str:
    if isinstance(step, Cut):
        return f"Layer {step.whole}: {step.kind}, {columns_text(step.columns.start, step.columns.stop)}"
    if isinstance(step, Join):
        return f"Layer {step.place}: {step.kind}, where its branches meet"
    if isinstance(step, Price):
        what = step.penalty if step.penalty is not None else "what it adds to the loss"
        return f"Layer {step.place}: {step.kind}, {what}"
    return f"Layer {step.place}: {step.layer}"


def _is_black_box(step: Step) -> bool:
    if isinstance(step, Price):
        return step.penalty is None or step.penalty.formula is None
    return step.formula is None and not isinstance(step, Cut | Join)


def _equation(step: Step) -> Row:
    """An activation's letter and what it means, in one line."""
    row = forward_row(step)
    if step.formula is None or not step.formula.function:
        return row
    meant = Math((with_values(step.formula.forward, step.layer),), row.math.symbols)
    if row.math.written(TEXT).endswith(f"= {meant.written(TEXT)}"):
        return row  # a letter that stands for itself, such as tanh
    return Row(Math((*row.math.sides, *meant.sides), row.math.symbols))


def _listed(symbols: Iterable[Symbol]) -> str:
    return " and ".join(map(TEXT.symbol, symbols))
