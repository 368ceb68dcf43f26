"""The notes' chain rule: a gradient as a product of derivatives, one for every step from a weight to the loss."""

import ast
from collections.abc import Sequence
from typing import Any

from deepbp.derivation.backward import OUTER_PRODUCT, uses_of
from deepbp.derivation.document import Block, Equations, Heading, Paragraph, Row
from deepbp.derivation.expressions import Math, tree
from deepbp.derivation.forward import LOSS_SYMBOLS, loss_rows
from deepbp.derivation.steps import Join, Price, Step
from deepbp.formulas.printer import Symbol
from deepbp.losses import Loss


def path_behind(steps: Sequence[Step], step: Step) -> list[Step]:
    """The steps that its output goes through, as long as there is only one way: to the loss, or to where it forks."""
    path: list[Step] = []
    uses = uses_of(steps, step.output)
    while len(uses) == 1 and not isinstance(uses[0][0], Price):
        path.append(uses[0][0])
        uses = uses_of(steps, path[-1].output)
    return path


def chain_rule_blocks(steps: Sequence[Step], loss: Loss[Any]) -> list[Block]:
    """For the last layer that holds weights."""
    holds = [step for step in steps if step.parameters and not isinstance(step, Price)]
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
    prices = [one for one in steps if isinstance(one, Price) and weight in one.parameters.values()]
    symbols |= {f"p{i}": price.output for i, price in enumerate(prices)}
    added = [f"partial(p{i}, w)" for i in range(len(prices))]
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
        elif isinstance(later, Join) and later.merge == "add":
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
