"""The equations of a network backwards: the error signal from layer to layer, and the gradients."""

import ast
from collections.abc import Sequence
from typing import Any

from deepbp.derivation.document import Block, Equations, Heading, Paragraph, Row
from deepbp.derivation.expressions import Expression, Math, total, tree
from deepbp.derivation.forward import batch, loss_rows, shape_text
from deepbp.derivation.steps import (
    Cut,
    Join,
    Price,
    Step,
    columns_text,
    derivative,
    error_signal,
    last_signal,
    layers_in,
)
from deepbp.formulas.printer import Symbol
from deepbp.losses import Loss

OUTER_PRODUCT = ast.dump(tree("x.T @ delta"))
THROUGH_WEIGHTS = ast.dump(tree("delta @ weight.T"))


def needed(steps: Sequence[Step]) -> list[Symbol]:
    """The signals whose error signals a gradient needs, in forward order: those behind a layer that holds parameters.

    Where no layer holds any, all. The network's output, where the error signal starts, is not among them.
    """
    found: list[Symbol] = []
    for step in steps:
        if not isinstance(step, Price) and (step.parameters or any(one in found for one in step.inputs)):
            found.append(step.output)
    found = found or [steps[0].input, *(step.output for step in steps if not isinstance(step, Price))]
    return [signal for signal in found if signal != last_signal(steps)]


def error_row(steps: Sequence[Step], signal: Symbol) -> Row:
    """The error signal at one signal: what the step that uses it passes back, or the sum, where several do."""
    rows = _shares(steps, signal)
    if len(rows) == 1:
        return rows[0]
    return _sum_row(signal, rows, f"{len(rows)} ways lead on from here: their shares add")


def uses_of(steps: Sequence[Step], signal: Symbol) -> list[tuple[Step, int]]:
    """The steps that pass something back to a signal, penalties last, each with its position among their inputs."""
    found = [(step, index) for step in steps for index, taken in enumerate(step.inputs) if taken == signal]
    prices = [(step, index) for step, index in found if isinstance(step, Price) and step.penalty is not None]
    return [*((step, index) for step, index in found if not isinstance(step, Price)), *prices]


def _shares(steps: Sequence[Step], signal: Symbol) -> list[Row]:
    """What each use of a signal passes back; the columns of one cut together."""
    rows: list[Row] = []
    cuts: dict[str, list[Cut]] = {}
    for step, index in uses_of(steps, signal):
        if isinstance(step, Cut):
            cuts.setdefault(step.whole, []).append(step)
            if len(cuts[step.whole]) == len(step.layer.inner):  # type: ignore[attr-defined]  # a Branched
                rows.append(_whole_row(cuts[step.whole]))
        else:
            rows.append(backward_row(step, index))
    return rows


def _whole_row(cuts: Sequence[Cut]) -> Row:
    symbols = {f"part{i}": cut.delta for i, cut in enumerate(cuts)}
    math = Math(("delta_input", f"concat({', '.join(symbols)})"), {**symbols, "delta_input": cuts[0].delta_input})
    remark = f"side by side again, as layer {cuts[0].whole}, {cuts[0].kind}, cut them"
    return Row(math, batch(cuts[0].input_shape), remark)


def _sum_row(signal: Symbol, rows: Sequence[Row], remark: str) -> Row:
    made, letters = total((row.math.sides[1], row.math.symbols) for row in rows)
    return Row(Math(("it", made), {**letters, "it": error_signal(signal)}), rows[0].shape.split(" → ")[-1], remark)


def backward_row(step: Step, index: int = 0) -> Row:
    """What one step passes back to one of its inputs."""
    sides, symbols = step.passed_back(index)
    math = Math(("delta_input", *sides), {**symbols, "delta_input": error_signal(step.inputs[index])})
    if isinstance(step, Join | Price | Cut):
        return Row(math, batch(step.input_shapes[index]), _remark(step, index))
    formula = step.formula
    if formula is None or not formula.passed_back:
        return Row(math, shape_text("delta", "delta_input", step), f"through layer {step.place}, a black box here")
    remark = f"back through layer {step.place}, {step.kind}"
    if len(sides) > 1:
        remark = f"times the slope of layer {step.place}, {step.kind}"
    elif ast.dump(tree(sides[-1])) == THROUGH_WEIGHTS:
        remark = "moved by one layer, through the transposed weights"
    return Row(math, shape_text(sides[-1], "delta_input", step), remark)


def _remark(step: Join | Price | Cut, index: int) -> str:
    if isinstance(step, Price):
        return f"the penalty of layer {step.place}, {step.penalty}"
    if isinstance(step, Cut):
        return f"{columns_text(step.columns.start, step.columns.stop)} of it"
    words = {
        "concat": columns_text(step.start(index), step.start(index + 1)),
        "multiply": "times the other factors",
        "add": "a sum hands it on to each of its terms",
        "mean": "to each its share of the mean",
    }
    return f"back through layer {step.place}, {step.kind}: {words[step.merge]}"


def output_signal(steps: Sequence[Step], loss: Loss[Any]) -> Row:
    """The error signal at the output, where it starts; a penalty of the output adds to it."""
    last = last_signal(steps)
    row, prices = loss_rows(loss)[1], _shares(steps, last)
    math = Math(row.math.sides, {**row.math.symbols, "delta": error_signal(last)})
    start = Row(math, batch(layers_in(steps)[-1].output_shape), "from the loss")
    return _sum_row(last, [start, *prices], "from the loss, and from the penalty") if prices else start


def backward_blocks(steps: Sequence[Step], loss: Loss[Any]) -> list[Block]:
    """The error signal from the output to the first layer that holds parameters."""
    rows = [output_signal(steps, loss), *(error_row(steps, signal) for signal in reversed(needed(steps)))]
    text = "The error signal tells how the loss changes when a number changes: "
    numbered = next((step for step in reversed(steps) if step.delta.letter == "δ"), None)
    parts: tuple[str | Math, ...] = (text.replace(": ", "."),)
    if numbered is not None:
        meaning = Math(("delta", "partial(L, y)"), {**numbered.symbols, "L": Symbol("L")})
        parts = (text, meaning, " at a weighted sum. It starts at the output and goes back, layer by layer.")
    blocks: list[Block] = [Heading("Backward: the error signal"), Paragraph(parts), Equations(tuple(rows))]
    if any(isinstance(step, Join) for step in steps):
        words = "Where a signal goes into several branches, it changes the loss through each of them, and what they "
        blocks.insert(2, Paragraph((words + "pass back is added: that is the chain rule for several paths.",)))
    return blocks


def gradient_rows(steps: Sequence[Step]) -> dict[Symbol, Row]:
    """∂L/∂parameter of every parameter, by its letter; of several uses the shares add, and penalties theirs."""
    uses: dict[Symbol, list[tuple[Step, str]]] = {}
    for step in steps:
        for name, symbol in step.parameters.items():
            uses.setdefault(symbol, []).append((step, name))
    return {symbol: _gradient_row(symbol, found) for symbol, found in uses.items()}


def _gradient_row(symbol: Symbol, uses: Sequence[tuple[Step, str]]) -> Row:
    shares: list[tuple[Expression, dict[str, Symbol]]] = []
    remarks = []
    for step, name in uses:
        (made,), symbols = step.gradient(name)
        if isinstance(step, Price):
            remarks.append(f"{'and ' if shares else ''}from the penalty of layer {step.place}, {step.penalty}")
        elif "back" in symbols:
            remarks.append(f"from layer {step.place}, a black box here")
        shares.append((made, symbols))
    step, name = uses[0]
    shape = str(step.held[name].value.shape)
    if step.formula is not None and name in step.formula.gradients:
        shape = shape_text(step.formula.gradients[name], name, step)
    layers = sum(not isinstance(one, Price) for one, _ in uses)
    if layers > 1:
        remarks.append(f"layer {step.place} is used {layers} times: the shares add")
    if step.held[name].frozen:
        remarks.append("frozen: it stays as it is")
    made, letters = total(shares)
    return Row(Math(("gradient", made), {**letters, "gradient": derivative(symbol)}), shape, "; ".join(remarks))
