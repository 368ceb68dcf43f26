"""Derivation of a formula's backward pass: quantities in forward order, their gradients in reverse, and the results."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from attrs import frozen

from deepbp.errors import ConfigurationError
from deepbp.formulas.algebra import (
    ONE,
    ZERO,
    Call,
    Name,
    Node,
    Number,
    Product,
    add,
    children,
    inner_first,
    names_of,
    replaced,
)
from deepbp.formulas.formula_text import written
from deepbp.formulas.identities import plain, recognized
from deepbp.formulas.rules import CONSTANT, Share, shares, summed
from deepbp.formulas.simplify import Simplifier
from deepbp.formulas.values import Values

DELTA = Name("delta")


@frozen
class Quantity:
    """A named part of the forward pass, such as u₁ = slope · x.

    Attributes:
        name: ``u1``, ``u2``, …, and ``y`` for the output.
        gradient: the name of ∂L/∂quantity in the shares.
        shares: what it passes to its parts, in terms of that name, with the rules.
    """

    name: str
    node: Node
    gradient: Name
    shares: tuple[Share, ...]


@frozen
class Derived:
    """The backward pass of a formula.

    Attributes:
        forward: the output, in normal form, with recognized functions.
        quantities: in forward order, the output last.
        gradients: ∂L/∂name, simplified, with recognized functions; 0 for a name that has no influence.
        fastest: the same in the form that takes the least time.
        recognized: what was recognized in the formula.
        values: of all expressions, for the sample arrays.
    """

    forward: Node
    quantities: tuple[Quantity, ...]
    gradients: dict[str, Node]
    fastest: dict[str, Node]
    recognized: tuple[str, ...]
    values: Values

    @classmethod
    def of(cls, stated: Node, wanted: Sequence[str], values: Mapping[str, Any], upstream: Node = DELTA) -> Self:
        """Derive the gradients of the wanted names; values are sample arrays of all names, samples along axis 0.

        ``upstream`` is the gradient of the output: 1 for a loss.
        """
        reasons: dict[str, None] = {}
        forward = recognized(stated, reasons)
        known = Values(dict(values))
        output = np.asarray(known.of(forward))
        known.names["y"] = output
        if upstream == DELTA:
            known.names["delta"] = np.random.default_rng(1).standard_normal(output.shape)
        missing = names_of(forward) - values.keys()
        if missing:
            raise ConfigurationError(f"formula: {sorted(missing)[0]!r} is not defined")
        relevant = containing(forward, [Name(name) for name in wanted])
        inside = named(forward, relevant)
        full: dict[Node, Node] = {forward: upstream}
        reached: list[tuple[Node, Name, tuple[Share, ...]]] = []
        for node in reversed(inside):
            if node not in full:
                continue
            gradient = Name(f"gradient {len(reached)}")
            known.names[gradient.name] = known.of(full[node])
            own_shares = tuple(passed(node, gradient, known, relevant, inside))
            for share in own_shares:
                own = replaced(share.gradient, {gradient: full[node]})
                full[share.part] = add(full[share.part], own) if share.part in full else own
            reached.append((node, gradient, own_shares))
        names = [*(f"u{i}" for i in range(1, len(reached))), "y"]
        quantities = tuple(Quantity(name, *one) for name, one in zip(names, reversed(reached), strict=True))
        simplify = Simplifier(known, forward)
        forms = {}
        for name in wanted:
            raw = full.get(Name(name), ZERO)
            forms[name] = [ZERO] if raw == ZERO else simplify.forms(summed(raw, Name(name), known))
        shortest = {name: simplify.shortest(found) for name, found in forms.items()}
        fastest = {name: simplify.fastest(found) for name, found in forms.items()}
        return cls(forward, quantities, shortest, fastest, tuple(reasons), known)

    def in_steps(self, node: Node) -> Node:
        """An expression in terms of the quantities inside it."""
        letters: dict[Node, Node] = {one.node: Name(one.name) for one in self.quantities}
        letters.pop(node, None)
        return replaced(node, letters)

    def text(self, name: str) -> str:
        """∂L/∂name in the words of the language."""
        return written(plain(self.gradients[name]))


_TOLD = frozenset({"after", "before", "nth", "part", "rotate"})
_REARRANGED = _TOLD | {"rows", "join_heads", "not_later", "split_heads", "turned"}
"""Functions that only move numbers, and need no name for what they make; those whose rule is told nevertheless."""


def containing(forward: Node, wanted: Sequence[Node]) -> set[Node]:
    """All parts that contain one of the wanted names."""
    found: set[Node] = set()
    for node in inner_first(forward):
        is_constant = isinstance(node, Call) and node.function in CONSTANT
        if node in wanted or (not is_constant and any(part in found for part in children(node))):
            found.add(node)
    return found


def named(forward: Node, relevant: set[Node]) -> list[Node]:
    """The parts that are quantities of their own, in forward order: all but names and multiples of them."""
    found = []
    for node in inner_first(forward):
        if node not in relevant:
            continue
        if node == forward or not _is_simple(node, relevant):
            found.append(node)
    return found if forward in found else [*found, forward]


def _is_simple(node: Node, relevant: set[Node]) -> bool:
    """Whether it is a name, the power of a name, or something times a constant."""
    match node:
        case Name() | Number():
            return True
        case Call("T", (inner,)):
            return _is_simple(inner, relevant)
        case Call(function) if function in _REARRANGED:
            return True
        case Product(_, factors):
            changing = [(base, exponent) for base, exponent in factors if base in relevant or exponent in relevant]
            if len(changing) != 1:
                return False
            base, exponent = changing[0]
            return exponent == ONE or (isinstance(exponent, Number) and isinstance(base, Name))
    return False


def passed(node: Node, g: Node, values: Values, relevant: set[Node], named: Sequence[Node]) -> list[Share]:
    """The shares of the quantities and names inside a quantity, passed on through its simple parts."""
    found: list[Share] = []
    open_shares = [*shares(node, g, values, relevant)]
    while open_shares:
        share = open_shares.pop(0)
        if share.part in named or isinstance(share.part, Name):
            found.append(share)
        else:
            inner = shares(share.part, share.gradient, values, relevant)
            again = isinstance(share.part, Call) and share.part.function in _TOLD
            open_shares += [
                Share(one.part, one.gradient, f"{share.rule}; {one.rule}" if again else share.rule) for one in inner
            ]
    return found
