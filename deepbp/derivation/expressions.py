"""Transformations of expressions before printing: substitution of values, renaming, sums, negation."""

import ast
from collections.abc import Container, Iterable, Mapping
from numbers import Real
from typing import Any

import attrs
from attrs import frozen

from deepbp.formulas.printer import Printer, Symbol, print_expression

Expression = str | ast.expr


def tree(expression: Expression) -> ast.expr:
    """Parse an expression, which may call functions that are known only by a symbol, such as f."""
    return ast.parse(expression, mode="eval").body if isinstance(expression, str) else expression


OUTER_PRODUCT = ast.dump(tree("x.T @ delta"))  # ∂L/∂W of a dense layer
THROUGH_WEIGHTS = ast.dump(tree("delta @ weight.T"))  # and ∂L/∂x


@frozen
class Math:
    """One or more expressions, joined by a relation sign: z⁰ = x W⁰."""

    sides: tuple[Expression, ...]
    symbols: Mapping[str, Symbol]
    relation: str = "="

    def written(self, printer: Printer) -> str:
        sides = [print_expression(tree(side), self.symbols, printer) for side in self.sides]
        parts = [sides[0]]
        for side in sides[1:]:
            parts += [printer.sign(self.relation), side]
        return printer.row(*parts)


def alone(symbol: Symbol) -> Math:
    """The formula that consists of one symbol."""
    return Math(("it",), {"it": symbol})


def with_values(expression: Expression, holder: Any) -> ast.expr:
    """Replace the names of numeric fields of a layer or loss by their values, and drop factors of 1.

    The formula of a loss that holds another one, in a field ``loss``, may be that of the other.
    """
    held = {"loss": holder}
    while (inner := held.get("loss")) is not None and attrs.has(type(inner)):
        held |= {"loss": None} | {a.name: getattr(inner, a.name, None) for a in attrs.fields(type(inner))}
    numbers = {name: float(v) for name, v in held.items() if isinstance(v, Real) and not isinstance(v, bool)}
    return _Values(numbers).visit(tree(expression))  # type: ignore[no-any-return]


class _Values(ast.NodeTransformer):
    def __init__(self, numbers: Mapping[str, float]) -> None:
        self.numbers = numbers

    def visit_Name(self, node: ast.Name) -> ast.expr:  # the name that ast calls
        return _constant(self.numbers[node.id]) if node.id in self.numbers else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Mult):
            if isinstance(left, ast.Constant) and isinstance(right, ast.Constant):
                return _constant(float(left.value) * float(right.value))  # type: ignore[arg-type]
            if isinstance(left, ast.Constant) and left.value == 1:
                return right  # type: ignore[no-any-return]
        return ast.BinOp(left, node.op, right)


def _constant(value: float) -> ast.Constant:
    return ast.Constant(int(value) if value.is_integer() else value)


def names_in(expression: Expression) -> set[str]:
    """All names in an expression, including those of functions."""
    return {node.id for node in ast.walk(tree(expression)) if isinstance(node, ast.Name)}


def substituted(expression: Expression, name: str, by: str) -> ast.expr:
    """Substitute an expression for a name."""

    class Substitution(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return tree(by) if node.id == name else node

    return Substitution().visit(tree(expression))  # type: ignore[no-any-return]


def with_suffix(expression: Expression, mark: int, names: Container[str]) -> ast.expr:
    """Add a suffix to these names, so that expressions of several layers can be combined without clashes."""

    class Suffixing(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return ast.Name(f"{node.id}_{mark}") if node.id in names else node

    return Suffixing().visit(tree(expression))  # type: ignore[no-any-return]


def total(parts: Iterable[tuple[Expression, Mapping[str, Symbol]]]) -> tuple[ast.expr, dict[str, Symbol]]:
    """The sum of expressions, each with its own symbols, and the joint symbols."""
    whole: ast.expr | None = None
    symbols: dict[str, Symbol] = {}
    for mark, (expression, own) in enumerate(parts):
        part = with_suffix(expression, mark, own)
        whole = part if whole is None else ast.BinOp(whole, ast.Add(), part)
        symbols.update({f"{name}_{mark}": symbol for name, symbol in own.items()})
    assert whole is not None
    return whole, symbols


def negative(expression: Expression) -> ast.expr:
    """−e; a difference absorbs the sign: −2(ŷ − y) becomes 2(y − ŷ)."""
    match tree(expression):
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return operand
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return ast.BinOp(right, ast.Sub(), left)
        case ast.BinOp(left=left, op=ast.Mult() as op, right=right) if _has_difference(right):
            return ast.BinOp(left, op, negative(right))
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right):
            return ast.BinOp(negative(left), op, right)
        case other:
            return ast.UnaryOp(ast.USub(), other)


def _has_difference(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and (
        isinstance(node.op, ast.Sub) or (isinstance(node.op, ast.Mult | ast.Div) and _has_difference(node.left))
    )
