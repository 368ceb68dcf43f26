"""The equations of a network backwards: the error signal from layer to layer, and the gradients."""

import ast
from collections.abc import Sequence
from typing import Any

from deepbp.derivation.document import Block, Equations, Heading, Paragraph, Row
from deepbp.derivation.expressions import Expression, Math, total, tree
from deepbp.derivation.forward import LOSS_SYMBOLS, batch, loss_rows, shape_text
from deepbp.derivation.steps import (
    MergeStep,
    PenaltyStep,
    SliceStep,
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
        if not isinstance(step, PenaltyStep) and (step.parameters or any(one in found for one in step.inputs)):
            found.append(step.output)
    found = found or [steps[0].input, *(step.output for step in steps if not isinstance(step, PenaltyStep))]
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
    penalties = [(step, index) for step, index in found if isinstance(step, PenaltyStep) and step.penalty is not None]
    return [*((step, index) for step, index in found if not isinstance(step, PenaltyStep)), *penalties]


def _shares(steps: Sequence[Step], signal: Symbol) -> list[Row]:
    """What each use of a signal passes back; the columns of one cut together."""
    rows: list[Row] = []
    cuts: dict[str, list[SliceStep]] = {}
    for step, index in uses_of(steps, signal):
        if isinstance(step, SliceStep):
            cuts.setdefault(step.whole, []).append(step)
            if len(cuts[step.whole]) == len(step.layer.inner):  # type: ignore[attr-defined]  # a Branched
                rows.append(_whole_row(cuts[step.whole]))
        else:
            rows.append(backward_row(step, index))
    return rows


def _whole_row(cuts: Sequence[SliceStep]) -> Row:
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
    if isinstance(step, MergeStep | PenaltyStep | SliceStep):
        return Row(math, batch(step.input_shapes[index]), _remark(step, index))
    formula = step.formula
    if formula is None or not formula.passed_back:
        return Row(math, shape_text("delta", "delta_input", step), f"through layer {step.place}, a black box here")
    remark = f"back through layer {step.place}, {step.kind}"
    if len(sides) == 2:
        remark = f"times the slope of layer {step.place}, {step.kind}"
    elif ast.dump(tree(sides[-1])) == THROUGH_WEIGHTS:
        remark = "moved by one layer, through the transposed weights"
    return Row(math, shape_text(sides[-1], "delta_input", step), remark)


def _remark(step: MergeStep | PenaltyStep | SliceStep, index: int) -> str:
    if isinstance(step, PenaltyStep):
        return f"the penalty of layer {step.place}, {step.penalty}"
    if isinstance(step, SliceStep):
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
    row, penalties = loss_rows(loss)[1], _shares(steps, last)
    math = Math(row.math.sides, {**row.math.symbols, "delta": error_signal(last)})
    start = Row(math, batch(layers_in(steps)[-1].output_shape), "from the loss")
    return _sum_row(last, [start, *penalties], "from the loss, and from the penalty") if penalties else start


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
    if any(isinstance(step, MergeStep) for step in steps):
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
        if isinstance(step, PenaltyStep):
            remarks.append(f"{'and ' if shares else ''}from the penalty of layer {step.place}, {step.penalty}")
        elif "back" in symbols:
            remarks.append(f"from layer {step.place}, a black box here")
        shares.append((made, symbols))
    step, name = uses[0]
    shape = str(step.held[name].value.shape)
    if step.formula is not None and name in step.formula.gradients:
        shape = shape_text(step.formula.gradients[name], name, step)
    layers = sum(not isinstance(one, PenaltyStep) for one, _ in uses)
    if layers > 1:
        remarks.append(f"layer {step.place} is used {layers} times: the shares add")
    if step.held[name].frozen:
        remarks.append("frozen: it stays as it is")
    made, letters = total(shares)
    return Row(Math(("gradient", made), {**letters, "gradient": derivative(symbol)}), shape, "; ".join(remarks))


def path_behind(steps: Sequence[Step], step: Step) -> list[Step]:
    """The steps that its output goes through, as long as there is only one way: to the loss, or to where it forks."""
    path: list[Step] = []
    uses = uses_of(steps, step.output)
    while len(uses) == 1 and not isinstance(uses[0][0], PenaltyStep):
        path.append(uses[0][0])
        uses = uses_of(steps, path[-1].output)
    return path


def chain_rule_blocks(steps: Sequence[Step], loss: Loss[Any]) -> list[Block]:
    """For the last layer that holds weights."""
    holds = [step for step in steps if step.parameters and not isinstance(step, PenaltyStep)]
    if not holds:
        return []
    step = holds[-1]
    behind = path_behind(steps, step)
    name, weight = next(iter(step.parameters.items()))
    symbols = {"w": weight, "L": Symbol("L"), "y": step.output, "y0": step.output}
    factors = ["partial(y, w)"]
    for i, later in enumerate(behind, start=1):
        symbols[f"y{i}"] = later.output
        factors.append(f"partial(y{i}, y{i - 1})")
    here = f"y{len(behind)}"
    penalties = [one for one in steps if isinstance(one, PenaltyStep) and weight in one.parameters.values()]
    symbols |= {f"p{i}": price.output for i, price in enumerate(penalties)}
    added = [f"partial(p{i}, w)" for i in range(len(penalties))]
    whole = " + ".join([" * ".join([*factors, f"partial(L, {here})"]), *added])
    again = ", by their last use" if sum(weight in one.parameters.values() for one in holds) > 1 else ""
    rows = [Row(Math(("partial(L, w)", whole), symbols), "", f"how the weights change the loss{again}")]
    forks = bool(uses_of(steps, symbols[here]))
    if not forks:
        sides = (f"partial(L, {here})", loss_rows(loss)[1].math.sides[1])
        rows.append(Row(Math(sides, {**LOSS_SYMBOLS, **loss_rows(loss)[1].math.symbols, **symbols})))
    for i, later in reversed(list(enumerate(behind, start=1))):
        if later.formula is not None and later.formula.function and later.formula.derivative:
            named = {**symbols, "prime": Symbol(f"{later.formula.function}′")}
            rows.append(Row(Math((f"partial(y{i}, y{i - 1})", f"prime(y{i - 1})"), named)))
        elif isinstance(later, MergeStep) and later.merge == "add":
            rows.append(Row(Math((f"partial(y{i}, y{i - 1})", "1"), symbols), "", "for a term of a sum"))
    if step.formula is not None and ast.dump(tree(step.formula.gradients.get(name, "0"))) == OUTER_PRODUCT:
        rows.append(Row(Math(("partial(y, w)", "x"), {**symbols, "x": step.input})))
    blocks: list[Block] = [Heading("The chain rule"), Equations(tuple(rows))]
    if forks:
        signal = Math((here,), symbols)
        words = " several ways lead to the loss, and what comes back along them is added."
        blocks.append(Paragraph(("From ", signal, words)))
    if len(rows) > 2:
        blocks.append(
            Paragraph(
                (
                    "For one neuron these factors are numbers. For a layer and a batch of samples they are matrices, "
                    "and below they stand in the order, and transposed, in which the products add over the right "
                    "index.",
                )
            )
        )
    return blocks
