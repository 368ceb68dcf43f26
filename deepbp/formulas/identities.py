"""Identities between expressions, each proved on random numbers before its first use.

Recognized functions are accurate where the stated expression overflows or loses digits: 1 / (1 + e⁻ˣ) is the sigmoid.
"""

import ast
from collections.abc import Iterator
from fractions import Fraction
from functools import cache

import numpy as np
from attrs import frozen

from deepbp.errors import ConfigurationError
from deepbp.formulas.algebra import (
    MINUS_ONE,
    ONE,
    Call,
    Name,
    Node,
    Number,
    Product,
    Sum,
    add,
    children,
    inner_first,
    multiply,
    power,
    rebuilt,
    replaced,
    without,
)
from deepbp.formulas.formula_text import node_of
from deepbp.formulas.values import Values, agree


@frozen
class Identity:
    """left = right, for all numbers and arrays u; ``reason`` names it in a derivation."""

    left: Node
    right: Node
    reason: str

    @classmethod
    def of(cls, left: str, right: str, reason: str) -> "Identity":
        """Read both sides, and prove them equal on random numbers. Raises ConfigurationError if they differ."""
        one, other = (node_of(ast.parse(side, mode="eval").body) for side in (left, right))
        made = cls(one, other, reason)
        rng = np.random.default_rng(0)
        for scale in (0.3, 1.0, 4.0):
            values = Values({"u": scale * rng.standard_normal((7, 5))})
            if not agree(values.of(made.left), values.of(made.right)):
                raise ConfigurationError(f"identity: {left} and {right} differ")
        return made


_RECOGNIZED = (
    ("1 / (1 + exp(-u))", "sigmoid(u)", "the sigmoid"),
    ("exp(u) * sigmoid(-u)", "sigmoid(u)", "the sigmoid"),
    ("exp(u) / row_sum(exp(u))", "softmax(u)", "the softmax"),
    ("exp(u - row_max(u)) / row_sum(exp(u - row_max(u)))", "softmax(u)", "the softmax"),
    ("u - log(row_sum(exp(u)))", "log_softmax(u)", "the log-softmax"),
    ("u - log_row_sum_exp(u)", "log_softmax(u)", "the log-softmax"),
    ("log(softmax(u))", "log_softmax(u)", "the log-softmax"),
    ("exp(log_softmax(u))", "softmax(u)", "the softmax"),
    ("log(row_sum(exp(u)))", "log_row_sum_exp(u)", "log-sum-exp"),
    ("log(1 + exp(u))", "softplus(u)", "softplus"),
    ("1 - exp(-softplus(u))", "sigmoid(u)", "the sigmoid"),
    ("log(sigmoid(u))", "-softplus(-u)", "log-sigmoid"),
    ("(exp(u) - exp(-u)) / (exp(u) + exp(-u))", "tanh(u)", "the hyperbolic tangent"),
    ("expm1(u) * sigmoid(-u)", "tanh(u / 2)", "the hyperbolic tangent"),
    ("log(cosh(u))", "log_cosh(u)", "ln cosh"),
    ("exp(u) - 1", "expm1(u)", "eᵘ − 1"),
    ("u * sign(u)", "abs(u)", "the absolute value"),
    ("sqrt(u**2)", "abs(u)", "the absolute value"),
)
_PLAIN = (
    ("softplus(u)", "log(1 + exp(u))"),
    ("log_softmax(u)", "u - log(row_sum(exp(u)))"),
    ("log_row_sum_exp(u)", "log(row_sum(exp(u)))"),
    ("log_cosh(u)", "log(cosh(u))"),
    ("expm1(u)", "exp(u) - 1"),
    ("log1p(u)", "log(1 + u)"),
)


@cache
def recognized_identities() -> tuple[Identity, ...]:
    """The identities that make an expression stable, proved."""
    return tuple(Identity.of(*one) for one in _RECOGNIZED)


@cache
def _plain_identities() -> tuple[Identity, ...]:
    return tuple(Identity.of(left, right, "") for left, right in _PLAIN)


def recognized(node: Node, reasons: dict[str, None] | None = None) -> Node:
    """The same expression with the functions that it spells out."""
    return _rewritten(node, recognized_identities(), reasons)


def plain(node: Node) -> Node:
    """The same expression without functions that are not of the language."""
    return _rewritten(node, _plain_identities(), None)


def _rewritten(node: Node, identities: tuple[Identity, ...], reasons: dict[str, None] | None) -> Node:
    made: dict[Node, Node] = {}
    for one in inner_first(node):
        parts = children(one)
        new = rebuilt(one, [made[part] for part in parts]) if any(made[part] is not part for part in parts) else one
        for _ in range(8):  # an identity may make another one apply
            changed = next(((i, found) for i in identities if (found := apply(i, new)) is not None), None)
            if changed is None:
                break
            new = changed[1]
            if reasons is not None:
                reasons[changed[0].reason] = None
        made[one] = new
    return made[node]


def apply(identity: Identity, node: Node) -> Node | None:
    """The expression with the right side in place of the left one; None if it does not contain it at its top."""
    for binding in dict.fromkeys(_bindings(identity.left, node)):
        left = replaced(identity.left, {_U: binding})
        if isinstance(left, Call):
            if left == node:
                return replaced(identity.right, {_U: binding})
            continue
        if isinstance(left, Sum) and isinstance(node, Sum):
            for sign in (ONE, MINUS_ONE):
                rest = without(node, add(*(multiply(sign, term) for term in left.terms)))
                if rest is not None:
                    return add(rest, multiply(sign, replaced(identity.right, {_U: binding})))
        if isinstance(left, Product) and isinstance(node, Product):
            for times in _powers(left, node):
                rest = without(node, power(left, Number(Fraction(times))))
                if rest is not None:
                    return multiply(rest, power(replaced(identity.right, {_U: binding}), Number(Fraction(times))))
    return None


def _powers(left: Product, node: Product) -> Iterator[int]:
    yield from (3, 2, 1, -1, -2)


_U = Name("u")


def _bindings(pattern: Node, node: Node) -> Iterator[Node]:
    """What u may be so that the pattern is the expression, or some of its terms or factors: to be tried."""
    match pattern, node:
        case Name("u"), _:
            yield node
        case Product(coefficient, ((Name("u"), exponent),)), _ if exponent == ONE:
            yield multiply(Number(1 / coefficient), node)
        case Call(function, arguments), Call(other, given) if function == other:
            for part, value in zip(arguments, given, strict=False):
                yield from _bindings(part, value)
        case Sum(terms), Sum(others):
            for term in _telling(terms):
                for other_term in others:
                    yield from _bindings(term, other_term)
                    yield from _bindings(term, multiply(Number(Fraction(-1)), other_term))
        case Product(_, factors), Product(_, others):
            for base in _telling([base for base, _ in factors]):
                for other_base, _ in others:
                    yield from _bindings(base, other_base)


def _telling(parts: list[Node] | tuple[Node, ...]) -> list[Node]:
    """The part of a pattern that is most particular."""
    inside = [part for part in parts if _U in inner_first(part)]
    return sorted(inside, key=lambda part: -len(inner_first(part)))[:1]
