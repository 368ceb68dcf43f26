"""Statements of a page: values by name, as expressions that Python evaluates and JavaScript carries out."""

import ast
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from attrs import frozen

from deepbp.derivation.expressions import Expression, names_in, tree
from deepbp.derivation.steps import derivative, error_signal, uses_of
from deepbp.derivation.trace import Trace
from deepbp.errors import ConfigurationError
from deepbp.formulas.formula_text import read, written
from deepbp.formulas.identities import recognized
from deepbp.formulas.javascript import javascript, literal
from deepbp.formulas.language import FUNCTIONS
from deepbp.formulas.printer import Symbol, TextPrinter
from deepbp.formulas.values import STABLE

TARGET, LOSS, RATE, COUNT = "y", "L", "η", "t"
"""Names of values that every page has: the targets, the loss, the learning rate, and the number of the step."""

WEIGHTS, RATES = "weights of the samples", "learning rates"
"""Names of values that some pages have: one weight for each sample, and the rates of a schedule."""

_OWN = {
    "one_hot": lambda labels, classes: np.eye(classes)[labels],
    "concat": lambda *parts: np.concatenate(parts, axis=-1),
    "steps": lambda a, start, stop=None: a[:, start:stop],
    "into_steps": lambda d, start, x: np.concatenate([0 * x[:, :start], d, 0 * x[:, start + d.shape[1] :]], axis=1),
}
_KNOWN: dict[str, Any] = {"__builtins__": {}, "pi": np.pi, **FUNCTIONS, **STABLE, **_OWN}


@frozen
class Statement:
    """A value by its name, as an expression of other values, and of numbers and shapes."""

    name: str
    expression: ast.expr
    names: Mapping[str, str]
    literals: Mapping[str, Any]

    def value(self, known: Mapping[str, Any]) -> Any:
        """The value in Python."""
        local = {**self.literals, **{own: known[name] for own, name in self.names.items()}}
        with np.errstate(all="ignore"):
            return eval(ast.unparse(self.expression), _KNOWN, local)  # of the formula language, which was parsed

    def source(self) -> str:
        """The assignment in JavaScript."""
        names = {own: f"v[{literal(name)}]" for own, name in self.names.items()}
        names |= {own: literal(value) for own, value in self.literals.items()}
        return f"v[{literal(self.name)}] = {javascript(self.expression, names)};"


@frozen
class Equations:
    """Equations in time, which are solved from zeros: after n rounds the first n steps are right."""

    statements: tuple[Statement, ...]
    rounds: int


Line: TypeAlias = Statement | Equations


_TEXT = TextPrinter()


def key(symbol: Symbol) -> str:
    """The name of a symbol's value: the symbol as text, which stands for one thing only."""
    return _TEXT.symbol(symbol)


def after(symbol: Symbol) -> str:
    """The name of a parameter after the update."""
    return f"{key(symbol)} after"


def share_name(trace: Trace, position: int, index: int) -> str:
    """The name of what a step passes back to one of its inputs; of the error signal itself if it is all of it."""
    letters = [one.step for one in trace.steps]
    signal = letters[position].inputs[index]
    whole = key(error_signal(signal))
    alone = len(uses_of(letters, signal)) == 1 and signal != trace.last_signal
    return whole if alone else f"{whole} from {position}.{index}"


def gradient_name(trace: Trace, position: int, name: str) -> str:
    """The name of a parameter's gradient; that of the share of a step if other steps use the parameter, too."""
    symbol = trace.steps[position].step.parameters[name]
    whole = key(derivative(symbol))
    uses = sum(symbol in one.step.parameters.values() for one in trace.steps)
    return whole if uses == 1 else f"{whole} from {position}"


def variables(expression: ast.expr) -> set[str]:
    """The names that are not called; the number of rows has that of a function."""
    called = {node.func for node in ast.walk(expression) if isinstance(node, ast.Call)}
    found = [node for node in ast.walk(expression) if isinstance(node, ast.Name) and node not in called]
    return {node.id for node in found} - {"pi"}


def weighted(expression: str) -> str:
    """The value of a loss with a weight for each sample: in each sum over everything, a sample's share times it."""

    class Weighting(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.expr:
            made = ast.Call(node.func, [self.visit(one) for one in node.args], [])
            if isinstance(node.func, ast.Name) and node.func.id == "total":
                made.args = [ast.BinOp(ast.Name("sample_weight"), ast.Mult(), made.args[0])]
            return made

    return ast.unparse(Weighting().visit(tree(expression)))


def stable(expression: Expression) -> ast.expr:
    """The expression; in a form that neither overflows nor loses digits, if there is one."""
    if not isinstance(expression, str):
        return expression
    try:
        text = written(recognized(read(expression)))
    except (ConfigurationError, AssertionError, KeyError):
        return tree(expression)
    return tree(text) if names_in(text) & STABLE.keys() else tree(expression)
