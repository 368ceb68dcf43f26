"""Comparison of stated gradients with those that the rules of differentiation derive from the stated formula."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from attrs import define, evolve

from deepbp.errors import DeepBPError
from deepbp.formulas.algebra import ONE, Node, Sum, join, multiply, split
from deepbp.formulas.derive import DELTA, Derived
from deepbp.formulas.formula_text import node_of, read, written
from deepbp.formulas.identities import plain
from deepbp.formulas.language import parse
from deepbp.formulas.values import Values, agree
from deepbp.testing.check import CheckFailure
from deepbp.typing import Array

__tracebackhide__ = True  # pytest shows no frames of this module


@define(eq=False)
class Rules:
    """What the rules derive from a formula, for the values of its names; nothing where a rule is missing."""

    forward: str
    wanted: Sequence[str]
    names: Mapping[str, Any]
    upstream: Node = DELTA

    @cached_property
    def derived(self) -> Derived | None:
        """The derivation; None if there is none."""
        try:
            found = Derived.of(read(self.forward), self.wanted, self.names, self.upstream)
        except (DeepBPError, KeyError, TypeError, ValueError):
            return None
        return evolve(found, values=Values({**found.values.names, **self.names}))

    def explain(self, name: str, stated: str) -> str:
        """A sentence on where a stated gradient and the derived one part; "" if they do not, or nothing is known."""
        if self.derived is None or name not in self.derived.gradients:
            return ""
        values, right = self.derived.values, self.derived.gradients[name]
        try:
            own = node_of(parse(stated))
            if agree(values.of(own), values.of(right), 1e-9):
                return ""
            missing, wrong = differing_terms(right, own, values)
        except Exception:
            return ""
        text = f"\nthe rules derive {self.derived.text(name)}"
        if missing and wrong:
            return f"{text}: they have the term {_listed(missing)}, where the formula states {_listed(wrong)}"
        if missing:
            return f"{text}: the formula lacks the term {_listed(missing)}"
        return f"{text}: the formula's term {_listed(wrong)} does not occur" if wrong else text

    def expect(self, what: str, name: str, computed: Array, by: str) -> None:
        """Raise CheckFailure if the code computes something else than what the rules derive."""
        if self.derived is None or name not in self.derived.gradients:
            return
        value = np.broadcast_to(self.derived.values.of(self.derived.gradients[name]), computed.shape)
        if not agree(computed, value, 1e-7):
            raise CheckFailure(
                f"formula: {what}: {by} does not give what the rules derive from {self.forward!r}: "
                f"{self.derived.text(name)}"
            )


def differing_terms(one: Node, other: Node, values: Values) -> tuple[list[Node], list[Node]]:
    """The terms of each of two sums that have no equal in the other one, once products are multiplied out."""
    left, right = _expanded(one), _expanded(other)
    for term in [*left]:
        equal = next((same for same in right if agree(values.of(term), values.of(same), 1e-9)), None)
        if equal is not None:
            left.remove(term)
            right.remove(equal)
    return left, right


def _expanded(node: Node, most: int = 12) -> list[Node]:
    """The terms of a sum, and of a product with a sum, up to a number of terms."""
    if isinstance(node, Sum):
        return [part for term in node.terms for part in _expanded(term, most)][:most]
    coefficient, factors = split(node)
    for i, (base, exponent) in enumerate(factors):
        if isinstance(base, Sum) and exponent == ONE:
            rest = join(coefficient, (*factors[:i], *factors[i + 1 :]))
            return [part for term in base.terms for part in _expanded(multiply(rest, term), most)][:most]
    return [node]


def _listed(terms: Sequence[Node]) -> str:
    return " and ".join(written(plain(term)) for term in terms)
