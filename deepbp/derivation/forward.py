"""Equations of the forward pass and of the loss."""

import ast
from collections.abc import Iterable, Sequence
from typing import Any

from deepbp.derivation.document import Block, Equations, Heading, Paragraph, Row
from deepbp.derivation.expressions import Expression, Math, alone, names_in, substituted, tree, with_values
from deepbp.derivation.steps import OperationStep, PenaltyStep, Step, last_signal, layers_in
from deepbp.formulas.language import Formula, in_time
from deepbp.formulas.printer import Symbol, TextPrinter
from deepbp.losses import Loss
from deepbp.typing import AnySize, Shape

PREDICTION = Symbol("ŷ")
LOSS_SYMBOLS = {
    "prediction": PREDICTION,
    "target": Symbol("y"),
    "classes": Symbol("C"),
    "loss": Symbol("L"),
    "delta": Symbol("∂L/∂ŷ"),
}


def forward_row(step: Step, *, again: bool = False) -> Row:
    """The equation of one step, such as z⁰ = x W⁰ + b⁰, with shapes; an activation appears as its letter, such as σ."""
    sides, symbols = step.made()
    math = Math(("y", *sides), symbols)
    if isinstance(step, OperationStep | PenaltyStep):
        return Row(math, "" if isinstance(step, PenaltyStep) else batch(step.output_shape), _remark(step))
    remark = f"layer {step.place}, {step.layer}{', used again' if again else ''}"
    remark = ", ".join(filter(None, [remark, step.condition]))
    if step.formula is None:
        return Row(math, shape_text("x", "y", step), f"{remark}: a black box, no formula is stated")
    if step.formula.function:
        return Row(math, batch(step.output_shape), remark)
    return Row(math, shape_text(sides[-1], "y", step), remark)


def equation_rows(step: Step, *, back: bool = False) -> list[Row]:
    """The further equations of a step, such as those of the gates of an LSTM."""
    return [Row(math, "", remark) for math, remark in step.equations(back=back)]


def _remark(step: OperationStep | PenaltyStep) -> str:
    if isinstance(step, OperationStep):
        return f"layer {step.whole}, {step.kind}: {step.operation.forward_remark()}"
    start = f"layer {step.place}, {step.kind}"
    if step.penalty is None:
        return f"{start} adds to the loss: a black box, no formula is stated"
    return f"{start}: {step.penalty} of its {'weights' if step.parameters else 'outputs'}"


def definitions(steps: Iterable[Step]) -> list[Row]:
    """The definition of each activation function and of its derivative, without repetitions."""
    rows: dict[str, Row] = {}
    for step in steps:
        formula = step.formula
        if formula is None or not formula.function:
            continue
        letters = {"x": Symbol(formula.input), "f": Symbol(formula.function), "prime": Symbol(f"{formula.function}′")}
        symbols = {**step.symbols, **letters}
        pairs = [("f(x)", formula.forward)] + [("prime(x)", formula.derivative)] * bool(formula.derivative)
        for left, right in pairs:
            math = Math((left, with_values(substituted(right, "y", "f(x)"), step.layer)), symbols)
            remark = "" if left == "f(x)" else "its derivative, written with the output" * ("y" in names_in(right))
            rows.setdefault(math.written(TextPrinter()), Row(math, "", remark or type(step.layer).__name__))
    stated = (text.split(" = ") for text in rows)  # tanh(z) = tanh(z) would explain nothing
    return [row for (left, right), row in zip(stated, rows.values(), strict=True) if left != right]


def forward_blocks(steps: Sequence[Step]) -> list[Block]:
    """The equations of all steps, and the definitions of the activation functions."""
    seen: set[int] = set()
    rows = []
    for step in steps:
        rows += [*equation_rows(step), forward_row(step, again=id(step.layer) in seen)]
        seen.add(id(step.layer))
    rows.append(Row(Math(("prediction", "y"), {**LOSS_SYMBOLS, "y": last_signal(steps)}), "", "the prediction"))
    blocks: list[Block] = [Heading("Forward"), Equations(tuple(rows))]
    if meanings := definitions(steps):
        blocks += [Paragraph(("where",)), Equations(tuple(meanings))]
    return blocks


def loss_symbols(steps: Iterable[Step], loss: Loss[Any]) -> dict[str, Symbol]:
    """The letters of a loss. What counts the samples is B, unless places or missing targets make it another number."""
    shape, missing = layers_in(list(steps))[-1].output_shape, loss._takes_missing()
    counts = {"rows": "B" if len(shape) <= 1 and not missing else "R"}
    counts["n"] = "B" if shape in ((), (1,)) and not missing else "n"
    return LOSS_SYMBOLS | {name: Symbol(letter) for name, letter in counts.items()}


def loss_rows(steps: Iterable[Step], loss: Loss[Any]) -> tuple[Row, Row]:
    """The equations of L and of ∂L/∂ŷ."""
    letters = loss_symbols(steps, loss)
    formula = loss.stated_formula()
    if formula is None:
        symbols = {**letters, "f": Symbol(type(loss).__name__), "back": Symbol(f"{type(loss).__name__}.backward")}
        return (
            Row(Math(("loss", "f(prediction, target)"), symbols), "", f"{loss}: a black box, no formula is stated"),
            Row(Math(("delta", "back(prediction, target)"), symbols), "", "the error signal that enters at the output"),
        )
    value, delta = (with_values(expression, loss) for expression in (formula.value, formula.delta))
    symbols = {name: Symbol(letter) for name, letter in formula.symbols.items()} | letters
    return (
        Row(Math(("loss", value), symbols), "", str(loss)),
        Row(Math(("delta", delta), symbols), "", "the error signal that enters at the output"),
    )


def value_row(steps: Sequence[Step], loss: Loss[Any]) -> Row:
    """The equation of L, including the penalties."""
    row = loss_rows(steps, loss)[0]
    penalties = {
        f"penalty{i}": step.output for i, step in enumerate(step for step in steps if isinstance(step, PenaltyStep))
    }
    value = tree(row.math.sides[1])
    for name in penalties:
        value = ast.BinOp(value, ast.Add(), ast.Name(name))
    remark = f"{row.remark}, and the penalties" if penalties else row.remark
    return Row(Math((row.math.sides[0], value), {**row.math.symbols, **penalties}), "", remark)


def loss_blocks(steps: Sequence[Step], loss: Loss[Any]) -> list[Block]:
    """The section on the loss: L, ∂L/∂ŷ, and the counts that they divide by."""
    rows = (value_row(steps, loss), loss_rows(steps, loss)[1])
    used, letters = names_in(rows[0].math.sides[1]), loss_symbols(steps, loss)
    *places, size = sizes_text(layers_in(steps)[-1].output_shape or (1,))
    row = "".join(f" · {one}" for one in places)
    counts = {
        "n": f" counts the numbers of the prediction: B{row} · {size}.",
        "rows": f" counts the rows of the prediction: B{row}.",
        "classes": " counts the classes.",
    }
    counts = {name: text for name, text in counts.items() if letters[name] != Symbol("B")}
    if loss._takes_missing():
        counts |= {name: f"{text[:-1]}, without missing targets." for name, text in counts.items()}
    if "columns" in used:
        part, placed = Math(("columns(u, 2, 5)",), {}), Math(("into_columns(u, 2, 5, x)",), {})
        words: list[str | Math] = [part, " is columns 2 to 4 of u, counted from 0; ", placed]
        words.append(" has u in such columns, as many as u has, and 0 in all others")
        if "indicators" in used:
            words += ["; ", Math(("indicators(u, 3)",), {}), " has 1 in the column of each class, and 0 in the others"]
        rows_of_columns = [Paragraph((*words, "."))]
    else:
        rows_of_columns = []
    notes = (Paragraph((alone(letters[name]), counts[name])) for name in counts if name in used)
    return [Heading("The loss"), Equations(rows), *notes, *rows_of_columns]


def sums_explained(expressions: Iterable[Expression]) -> list[Block]:
    """The meaning of the sum and mean signs that occur in these expressions."""
    words = {
        "total": " adds over everything",
        "batch_sum": " over the samples",
        "feature_sum": " over the samples, and over the places in them",
        "row_sum": " along each row",
        "sum_rows": " over all places that hold the number of a row, one sum for each row",
        "batch_mean": " is the mean over the samples",
        "feature_mean": " is the mean over the samples, and over the places in them",
        "feature_variance": " is the variance over them, a mean of squares",
        "row_mean": " is the mean along each row",
        "row_variance": " is the variance along each row, a mean of squares",
        "group_mean": " is the mean over the group of each number",
        "row_max": " is the largest of each row",
    }
    found = {name for e in expressions for name in names_in(e)} & words.keys()
    if "feature_sum" in found:
        found -= {"batch_sum"}  # the same sign, for samples that have places and for those that do not
    if not found - {"total"}:
        return []
    parts: list[str | Math] = ["Sums: "]
    for name in (name for name in words if name in found):
        parts += [Math((f"{name}(it)",), {"it": Symbol("u")}), words[name], ", "]
    return [Paragraph((*parts[:-1], "."))]


def words_explained(formulas: Sequence[Formula]) -> list[Block]:
    """The meaning of the signs in equations in time, and of parts, that occur in these formulas."""
    blocks: list[Block] = []
    texts = [" ".join([one.forward, *one.where.values()]) for one in formulas]
    moving = [text for text in texts if in_time([text])]
    if moving:
        h = {"h": Symbol("hₜ")}
        parts: list[str | Math] = ["The letter t counts the steps, from 1 to T: "]
        for word, words in (("before", "before, and"), ("after", "after, and")):
            if any(f"{word}(" in text for text in moving):
                edge = "before the first one" if word == "before" else "behind the last one"
                held = any("nth(initial" in text for text in moving)
                state = f"{edge} to a row of the initial states, which are learned" if held else f"is 0 {edge}"
                parts += [Math((f"{word}(h)",), h), f" belongs to the step {words} {state}", "; "]
        blocks.append(Paragraph((*parts[:-1], ".")))
    if any("part(" in text for text in texts):
        piece, beside = Math(("part(u, 1, 3)",), {}), Math(("beside(u, v)",), {})
        words = " is the second of the equal parts of its columns, and "
        blocks.append(Paragraph((piece, words, beside, " has the columns of both side by side.")))
    if any("not_later(" in text for text in texts):
        words = " leaves out the columns of later steps, which do not count."
        blocks.append(Paragraph((Math(("not_later(u)",), {}), words)))
    if any("rotate(" in text for text in texts):
        words = " turns pairs of numbers of each head by the angle of their step, and "
        back = Math(("rotate_back(u)",), {})
        blocks.append(Paragraph((Math(("rotate(u)",), {}), words, back, " turns them back.")))
    return blocks


def batch(shape: Shape) -> str:
    """The shape of an array of B samples as text; T is a size that may differ from batch to batch."""
    return f"({', '.join(('B', *sizes_text(shape)))}{',' if not shape else ''})"


def sizes_text(shape: Shape) -> list[str]:
    """The sizes of a sample as text; of images (H, W, C), the unknown ones are H and W."""
    letters = ["H", "W", "C"] if len(shape) == 3 else ["T"] * len(shape)
    return [letter if type(size) is AnySize else str(size) for letter, size in zip(letters, shape, strict=True)]


def shape_text(expression: Expression, result: str, step: Step) -> str:
    """The shapes of an equation: (B, 3)(3, 4) → (B, 4) for a matrix product, input → output where they differ."""
    known = shapes(step)
    for node in ast.walk(tree(expression)):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            factors = [_factor_shape(side, known) for side in (node.left, node.right)]
            if all(factors):
                return f"{''.join(factors)} → {known[result]}"
    if step.input_shape != step.output_shape and result in ("y", "delta_input"):
        before, after = (known[name] for name in (("x", "y") if result == "y" else ("y", "x")))
        return f"{before} → {after}"
    return known[result]


def shapes(step: Step) -> dict[str, str]:
    """The shapes of all arrays that a step's expressions name."""
    samples = {
        "x": step.input_shape,
        "y": step.output_shape,
        "delta": step.output_shape,
        "delta_input": step.input_shape,
    }
    held = {name: str(p.value.shape) for name, p in step.held.items()}
    return held | {name: batch(shape) for name, shape in samples.items()}


def _factor_shape(node: ast.expr, known: dict[str, str]) -> str:
    match node:
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.Attribute(value=ast.Name(id=name), attr="T") if name in known:
            return f"({', '.join(reversed(known[name].strip('()').split(', ')))})"
    return ""
