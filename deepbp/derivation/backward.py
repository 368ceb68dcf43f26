"""The equations of a network backwards: the chain rule, the error signal from layer to layer, the gradients."""

import ast
from collections.abc import Sequence
from typing import Any

from deepbp.derivation.document import Block, Equations, Heading, Paragraph, Row
from deepbp.derivation.expressions import Math, total, tree, with_values
from deepbp.derivation.forward import LOSS_SYMBOLS, loss_rows, shape_text, shapes
from deepbp.derivation.numbering import Step, derivative
from deepbp.layers.typeset import Symbol
from deepbp.losses import Loss

OUTER_PRODUCT = ast.dump(tree("x.T @ delta"))
THROUGH_WEIGHTS = ast.dump(tree("delta @ weight.T"))


def needed(steps: Sequence[Step]) -> Sequence[Step]:
    """The steps whose input needs an error signal: those behind the first that holds parameters."""
    return steps[first_trained(steps) + 1 :]


def first_trained(steps: Sequence[Step]) -> int:
    """The position of the first step that holds parameters; −1 where none does."""
    return next((i for i, step in enumerate(steps) if step.parameters), -1)


def backward_row(step: Step) -> Row:
    """The error signal passed back by one layer."""
    symbols, formula = dict(step.symbols), step.formula
    if formula is None or not formula.passed_back:
        symbols["back"] = Symbol(f"{type(step.layer).__name__}.backward")
        remark = f"through layer {step.place}, a black box here"
        return Row(Math(("delta_input", "back(delta)"), symbols), shape_text("delta", "delta_input", step), remark)
    passed = with_values(formula.passed_back, step.layer)
    sides: tuple[str | ast.expr, ...] = ("delta_input", passed)
    remark = f"back through layer {step.place}, {type(step.layer).__name__}"
    if formula.derivative and formula.function:
        symbols["prime"] = Symbol(f"{formula.function}′")
        sides = ("delta_input", "delta * prime(x)", passed)
        remark = f"times the slope of layer {step.place}, {type(step.layer).__name__}"
    elif ast.dump(tree(passed)) == THROUGH_WEIGHTS:
        remark = "moved by one layer, through the transposed weights"
    return Row(Math(sides, symbols), shape_text(passed, "delta_input", step), remark)


def output_signal(steps: Sequence[Step], loss: Loss[Any]) -> Row:
    """The error signal at the output, where it starts."""
    row = loss_rows(loss)[1]
    symbols = {**row.math.symbols, "delta": steps[-1].delta}
    return Row(Math(row.math.sides, symbols), shapes(steps[-1])["delta"], "from the loss")


def backward_blocks(steps: Sequence[Step], loss: Loss[Any]) -> list[Block]:
    """The error signal from the output to the first layer that holds parameters."""
    rows = [output_signal(steps, loss), *map(backward_row, reversed(needed(steps)))]
    text = "The error signal tells how the loss changes when a number changes: "
    numbered = next((step for step in reversed(steps) if step.delta.letter == "δ"), None)
    parts: tuple[str | Math, ...] = (text.replace(": ", "."),)
    if numbered is not None:
        meaning = Math(("delta", "partial(L, y)"), {**numbered.symbols, "L": Symbol("L")})
        parts = (text, meaning, " at a weighted sum. It starts at the output and goes back, layer by layer.")
    return [Heading("Backward: the error signal"), Paragraph(parts), Equations(tuple(rows))]


def gradient_rows(steps: Sequence[Step]) -> dict[Symbol, Row]:
    """∂L/∂parameter of every parameter, by its letter; of several uses the shares add."""
    uses: dict[Symbol, list[tuple[Step, str]]] = {}
    for step in steps:
        for name, symbol in step.parameters.items():
            uses.setdefault(symbol, []).append((step, name))
    return {symbol: _gradient_row(symbol, found) for symbol, found in uses.items()}


def _gradient_row(symbol: Symbol, uses: Sequence[tuple[Step, str]]) -> Row:
    shares, remarks = [], []
    for step, name in uses:
        symbols = dict(step.symbols)
        stated = step.formula.gradients.get(name) if step.formula is not None else None
        if stated is None:
            symbols["back"] = Symbol(f"{type(step.layer).__name__}.backward")
            remarks.append(f"from layer {step.place}, a black box here")
        shares.append((with_values(stated or "back(delta)", step.layer), symbols))
    step, name = uses[0]
    shape = shapes(step)[name]
    if step.formula is not None and name in step.formula.gradients:
        shape = shape_text(step.formula.gradients[name], name, step)
    if len(uses) > 1:
        remarks.append(f"layer {step.place} is used {len(uses)} times: the shares add")
    made, letters = total(shares)
    return Row(Math(("gradient", made), {**letters, "gradient": derivative(symbol)}), shape, "; ".join(remarks))


def chain_rule_blocks(steps: Sequence[Step], loss: Loss[Any]) -> list[Block]:
    """The notes' chain rule, for the last layer that holds weights: one factor for every step to the loss."""
    position = next((i for i in reversed(range(len(steps))) if steps[i].parameters), None)
    if position is None:
        return []
    step, behind = steps[position], steps[position + 1 :]
    name, weight = next(iter(step.parameters.items()))
    symbols = {"w": weight, "L": Symbol("L"), "y": step.output}
    factors = ["partial(y, w)"]
    for i, later in enumerate(behind):
        symbols |= {f"x{i}": later.input, f"y{i}": later.output}
        factors.append(f"partial(y{i}, x{i})")
    symbols["last"] = steps[-1].output
    rule = Math(("partial(L, w)", " * ".join([*factors, "partial(L, last)"])), symbols)
    rows = [Row(rule, "", "how the weights change the loss")]
    rows.append(Row(Math(("partial(L, last)", loss_rows(loss)[1].math.sides[1]), {**LOSS_SYMBOLS, **symbols}), "", ""))
    for i, later in reversed(list(enumerate(behind))):
        if later.formula is not None and later.formula.function and later.formula.derivative:
            named = {**symbols, "prime": Symbol(f"{later.formula.function}′")}
            rows.append(Row(Math((f"partial(y{i}, x{i})", f"prime(x{i})"), named)))
    if step.formula is not None and ast.dump(tree(step.formula.gradients.get(name, "0"))) == OUTER_PRODUCT:
        rows.append(Row(Math(("partial(y, w)", "x"), {**symbols, "x": step.input})))
    blocks: list[Block] = [Heading("The chain rule"), Equations(tuple(rows))]
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
