"""Equations of the backward pass: the chain rule, the error signal from layer to layer, parameter gradients."""

import ast
from collections.abc import Sequence
from typing import Any

from deepbp.derivation.document import Block, Equations, Heading, Paragraph, Row
from deepbp.derivation.expressions import OUTER_PRODUCT, THROUGH_WEIGHTS, Expression, Math, names_in, total, tree
from deepbp.derivation.forward import batch, equation_rows, loss_rows, shape_text
from deepbp.derivation.steps import (
    OperationStep,
    PenaltyStep,
    Step,
    derivative,
    error_signal,
    last_signal,
    layers_in,
    uses_of,
)
from deepbp.formulas.printer import Symbol
from deepbp.layers import MergeBy, SliceSteps
from deepbp.losses import Loss


def needed(steps: Sequence[Step]) -> list[Symbol]:
    """The signals whose error signals parameter gradients depend on, in forward order, without the network's output.

    These are the outputs of layers with parameters and of all later steps; without parameters, all signals.
    """
    found: list[Symbol] = []
    for step in steps:
        if not isinstance(step, PenaltyStep) and (step.parameters or any(one in found for one in step.inputs)):
            found.append(step.output)
    found = found or [steps[0].input, *(step.output for step in steps if not isinstance(step, PenaltyStep))]
    return [signal for signal in found if signal != last_signal(steps)]


def error_row(steps: Sequence[Step], signal: Symbol) -> Row:
    """The equation of the error signal at one signal: the backpropagated gradient, summed over the signal's uses."""
    rows = _shares(steps, signal)
    if len(rows) == 1:
        return rows[0]
    return _sum_row(signal, rows, f"{len(rows)} ways lead on from here: their shares add")


def _shares(steps: Sequence[Step], signal: Symbol) -> list[Row]:
    """The backpropagated gradient of each use of a signal; slices that cover the signal count as one use."""
    rows: list[Row] = []
    uses = uses_of(steps, signal)
    slices = [step for step, _ in uses if isinstance(step, OperationStep) and step.is_slice]
    for step, index in uses:
        parts = [one for one in slices if isinstance(step, OperationStep) and one.whole == step.whole]
        if step not in slices or not _cover(parts):
            rows.append(backward_row(step, index))
        elif step is parts[-1]:
            rows.append(_concat_row(parts))
    return rows


def _cover(slices: Sequence[OperationStep]) -> bool:
    """Whether these slices hold each column, or step, of their input once, in order."""
    operations = [one.operation for one in slices]
    steps = [(one.start, one.stop) for one in operations if isinstance(one, SliceSteps)]
    if steps:
        return [0, *(stop for _, stop in steps)] == [*(start for start, _ in steps), None]
    columns = [
        c for one in slices for c in range(one.input_shape[-1]) if one.operation.output_column(0, c, ()) is not None
    ]
    return columns == list(range(slices[0].input_shape[-1]))


def _concat_row(slices: Sequence[OperationStep]) -> Row:
    symbols = {f"part{i}": one.delta for i, one in enumerate(slices)}
    first = slices[0]
    math = Math(("delta_input", f"concat({', '.join(symbols)})"), {**symbols, "delta_input": first.delta_input})
    remark = f"put together again, as layer {first.whole}, {first.kind}, cut them"
    return Row(math, batch(first.input_shape), remark)


def _sum_row(signal: Symbol, rows: Sequence[Row], remark: str) -> Row:
    made, letters = total((row.math.sides[1], row.math.symbols) for row in rows)
    return Row(Math(("it", made), {**letters, "it": error_signal(signal)}), rows[0].shape.split(" → ")[-1], remark)


def backward_row(step: Step, index: int = 0) -> Row:
    """The backpropagated gradient of one step for one of its inputs."""
    sides, symbols = step.passed_back(index)
    math = Math(("delta_input", *sides), {**symbols, "delta_input": error_signal(step.inputs[index])})
    if isinstance(step, OperationStep | PenaltyStep):
        return Row(math, batch(step.input_shapes[index]), _remark(step, index))
    formula = step.formula
    if index:
        return Row(math, batch(step.input_shapes[index]), f"from layer {step.place}, which looks at this memory")
    if formula is None or not formula.passed_back:
        return Row(math, shape_text("delta", "delta_input", step), f"through layer {step.place}, a black box here")
    remark = f"back through layer {step.place}, {step.kind}"
    if len(sides) == 2:
        remark = f"times the slope of layer {step.place}, {step.kind}"
    elif ast.dump(tree(sides[-1])) == THROUGH_WEIGHTS:
        remark = "moved by one layer, through the transposed weights"
    elif {"convolve", "correlate"} & names_in(sides[-1]):
        remark = "moved by one layer, through the same kernels, laid the other way round"
    elif {"to_winners", "to_winner"} & names_in(sides[-1]):
        remark = f"to the largest number of each window of layer {step.place}, {step.kind}"
    return Row(math, shape_text(sides[-1], "delta_input", step), remark)


def _remark(step: OperationStep | PenaltyStep, index: int) -> str:
    if isinstance(step, PenaltyStep):
        return f"the penalty of layer {step.place}, {step.penalty}"
    remark = step.operation.backward_remark(index, step.input_shapes)
    return remark if step.is_slice else f"back through layer {step.place}, {step.kind}: {remark}"


def output_signal(steps: Sequence[Step], loss: Loss[Any]) -> Row:
    """The error signal at the network's output: the gradient of the loss, plus that of a penalty of the output."""
    last = last_signal(steps)
    row, penalties = loss_rows(steps, loss)[1], _shares(steps, last)
    math = Math(row.math.sides, {**row.math.symbols, "delta": error_signal(last)})
    start = Row(math, batch(layers_in(steps)[-1].output_shape), "from the loss")
    return _sum_row(last, [start, *penalties], "from the loss, and from the penalty") if penalties else start


def signal_equations(steps: Sequence[Step], signal: Symbol) -> list[Row]:
    """The further equations of the step whose output is this signal, which need its error signal."""
    return [row for step in steps if step.output == signal for row in equation_rows(step, back=True)]


def backward_blocks(steps: Sequence[Step], loss: Loss[Any]) -> list[Block]:
    """The section on the error signal, from the output back to the first layer with parameters."""
    rows = [output_signal(steps, loss), *signal_equations(steps, last_signal(steps))]
    for signal in reversed(needed(steps)):
        rows += [error_row(steps, signal), *signal_equations(steps, signal)]
    text = "The error signal tells how the loss changes when a number changes: "
    numbered = next((step for step in reversed(steps) if step.delta.letter == "δ"), None)
    parts: tuple[str | Math, ...] = (text.replace(": ", "."),)
    if numbered is not None:
        meaning = Math(("delta", "partial(L, y)"), {**numbered.symbols, "L": Symbol("L")})
        parts = (text, meaning, " at a weighted sum. It starts at the output and goes back, layer by layer.")
    blocks: list[Block] = [Heading("Backward: the error signal"), Paragraph(parts), Equations(tuple(rows))]
    if any(isinstance(step, OperationStep) for step in steps):
        words = "Where a signal goes into several branches, it changes the loss through each of them, and what they "
        blocks.insert(2, Paragraph((words + "pass back is added: that is the chain rule for several paths.",)))
    return blocks


def gradient_rows(steps: Sequence[Step]) -> dict[Symbol, Row]:
    """The equation of ∂L/∂parameter by symbol: the sum over the uses of the parameter, plus its penalties."""
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
    """The steps after this one as far as there is a single path: up to the loss, or to the first fork."""
    path: list[Step] = []
    uses = uses_of(steps, step.output)
    while len(uses) == 1 and not isinstance(uses[0][0], PenaltyStep):
        path.append(uses[0][0])
        uses = uses_of(steps, path[-1].output)
    return path


def chain_rule_blocks(steps: Sequence[Step], loss: Loss[Any]) -> list[Block]:
    """The section on the chain rule, for the last layer with weights: one factor for each step up to the loss."""
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
        sides = (f"partial(L, {here})", loss_rows(steps, loss)[1].math.sides[1])
        rows.append(Row(Math(sides, {**loss_rows(steps, loss)[1].math.symbols, **symbols})))
    for i, later in reversed(list(enumerate(behind, start=1))):
        if later.formula is not None and later.formula.function and later.formula.derivative:
            named = {**symbols, "prime": Symbol(f"{later.formula.function}′")}
            rows.append(Row(Math((f"partial(y{i}, y{i - 1})", f"prime(y{i - 1})"), named)))
        elif isinstance(later, OperationStep) and later.operation == MergeBy("add"):
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
