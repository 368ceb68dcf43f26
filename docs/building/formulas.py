"""The formulas of layers, losses, optimizers and penalties as HTML, typeset from those that the package states."""

import re
from collections.abc import Iterable
from html import escape
from typing import Any

from attrs import evolve

from deepbp import Sequential
from deepbp.derivation import steps
from deepbp.derivation.backward import error_row, gradient_rows, signal_equations
from deepbp.derivation.document import Equations, Row
from deepbp.derivation.expressions import Math, with_values
from deepbp.derivation.forward import LOSS_SYMBOLS, definitions, equation_rows, forward_row
from deepbp.derivation.rendering import _html_block
from deepbp.derivation.steps import OperationStep, PenaltyStep, layers_in
from deepbp.formulas.printer import Symbol
from deepbp.layers import Layer, Penalty
from deepbp.losses import Loss
from deepbp.optimizers import Optimizer
from deepbp.typing import Shape

Section = tuple[str, list[Row]]
"""A heading, and the equations below it."""


def layer_sections(layer: Layer[Any], input_shape: Shape) -> list[Section]:
    """Forward pass, backpropagated gradient and parameter gradients; nothing for a black box."""
    found = steps(Sequential([layer], input_shape=input_shape, rng=0))
    if any(step.formula is None and not isinstance(step, OperationStep | PenaltyStep) for step in found):
        return []
    forward = [row for step in found for row in (*equation_rows(step), forward_row(step))]
    signals = [found[0].input, *(step.output for step in layers_in(found))]
    backward = signal_equations(found, signals.pop())
    for signal in reversed(signals):
        backward += [error_row(found, signal), *signal_equations(found, signal)]
    sections = [
        ("Forward pass", forward),
        ("where", definitions(found)),
        ("Backpropagated gradient", backward),
        ("Parameter gradients", list(gradient_rows(found).values())),
    ]
    return sections if len(found) > 1 else [(title, _plain(rows)) for title, rows in sections]


def _plain(rows: Iterable[Row]) -> list[Row]:
    """The rows of a layer alone: its output is y, and nothing names its place in a network."""

    def plain(symbol: Symbol) -> Symbol:
        return evolve(symbol, letter=re.sub(r"^(∂L/∂)?a(?=ₜ?$)", r"\1y", symbol.letter), number="")

    def math(given: Math) -> Math:
        return evolve(given, symbols={name: plain(symbol) for name, symbol in given.symbols.items()})

    return [Row(math(row.math), row.shape) for row in rows]


def loss_sections(loss: Loss[Any]) -> list[Section]:
    """The loss and its gradient with respect to the prediction."""
    formula = loss.stated_formula()
    if formula is None:
        return []
    symbols = {name: Symbol(letter) for name, letter in formula.symbols.items()} | LOSS_SYMBOLS | {"rows": Symbol("B")}
    value, gradient = ("loss", with_values(formula.value, loss)), ("delta", with_values(formula.delta, loss))
    return [("Loss", [Row(Math(value, symbols))]), ("Gradient", [Row(Math(gradient, symbols))])]


def optimizer_sections(optimizer: Optimizer) -> list[Section]:
    """The assignments of a step."""
    formula = optimizer.stated_formula()
    if formula is None:
        return []
    symbols = {name: Symbol(letter) for name, letter in formula.symbols.items()} | {"w": Symbol("w"), "g": Symbol("g")}
    return [("Step", [Row(Math(assignment, symbols, "←")) for assignment in formula.assignments])]


def penalty_sections(penalty: type[Penalty]) -> list[Section]:
    """The penalty and its derivative."""
    if penalty.formula is None:
        return []
    symbols = {"value": Symbol("P"), "slope": Symbol("∂P/∂w"), "strength": Symbol("λ"), "w": Symbol("w")}
    value, gradient = ("value", penalty.formula.value), ("slope", penalty.formula.gradient)
    return [("Penalty", [Row(Math(value, symbols))]), ("Gradient", [Row(Math(gradient, symbols))])]


def as_html(sections: Iterable[Section], example: str = "", remark: str = "") -> str:
    """The sections as HTML with MathML, below the example whose formulas they are; empty if there are no equations."""
    parts = [f"<p>{title}</p>\n{_html_block(Equations(tuple(rows)))}" for title, rows in sections if rows]
    if not parts:
        return ""
    opening = f"<p class='example'>Formulas of <code>{escape(example)}</code>{remark}</p>" if example else ""
    return "\n".join(["<div class='formulas'>", opening, *parts, "</div>"])
