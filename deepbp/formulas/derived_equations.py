"""Derivation of a formula that has equations, also in time: each gradient becomes an equation of later gradients.

A recurrence is the equations of one step. What a step takes from the one before, the rule of ``before`` sends back by
one step: the error signal of step t is what arrives from outside, plus what step t + 1 sends back.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from attrs import define, field, frozen

from deepbp.formulas.algebra import ZERO, Call, Name, Node, Sum, add, call, children, inner_first, rebuilt, replaced
from deepbp.formulas.derive import DELTA, containing, named, passed
from deepbp.formulas.formula_text import read, written
from deepbp.formulas.identities import plain, recognized
from deepbp.formulas.language import evaluate, in_time, solved
from deepbp.formulas.rules import Share
from deepbp.formulas.simplify import Simplifier
from deepbp.formulas.values import Values

ARRIVES = "the error signal arrives"
_NEIGHBOURS = {"after": "before", "before": "after"}


@frozen
class Arrival:
    """The gradient of a quantity, of x, or of a parameter: the sum of what all that use it pass back.

    Attributes:
        name: of the quantity.
        gradient: in terms of quantities and of their gradients, ``gradient_of_u1``, …
        rules: the reason of each share.
    """

    name: str
    gradient: Node
    rules: tuple[str, ...]

    @property
    def text(self) -> str:
        """The gradient in the language of formulas."""
        return written(plain(self.gradient))


@frozen
class DerivedEquations:
    """The backward pass of a formula with equations.

    Attributes:
        quantities: the names of the equations, of quantities inside them, u1, u2, …, and y, in forward order, each with
            its expression of earlier ones.
        back: the gradients of these quantities, from the last one to the first.
        results: the gradients of x and of the parameters, where they have an influence.
    """

    quantities: dict[str, Node]
    back: tuple[Arrival, ...]
    results: tuple[Arrival, ...]

    @classmethod
    def of(cls, forward: str, where: Mapping[str, str], wanted: Sequence[str], values: Mapping[str, Any]) -> Self:
        """Derive the gradients of the wanted names; values are sample arrays of all names, samples along axis 0.

        Raises:
            ConfigurationError: for what is not of the language, and for a function without a rule.
        """
        return cls(*_Equations.read(forward, where, wanted, values).made())

    def gradients(self, names: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the results, for the values of all names of the forward pass, and of ``delta``."""
        known = solved({name: written(plain(node)) for name, node in self.quantities.items()}, names)
        known = solved({gradient_name(one.name): one.text for one in self.back}, known)
        return {one.name: evaluate(one.text, known) for one in self.results}


def gradient_name(name: str) -> str:
    """The name of a quantity's gradient in the gradients of others: y's is the error signal that arrives."""
    return "delta" if name == "y" else f"gradient_of_{name}"


@define
class _Equations:
    """Equations while they are taken apart.

    Attributes:
        nodes: the expression of each equation, the output last.
        inner: the quantities inside them, with the equation that each is in.
        moving: what is another array at each step.
        arriving: the shares of each quantity and name.
    """

    nodes: dict[str, Node]
    last: str
    wanted: Sequence[str]
    values: Values
    are_in_time: bool
    relevant: set[Node] = field(factory=set)
    inner: dict[Node, str] = field(factory=dict)
    moving: set[Name] = field(factory=set)
    arriving: dict[Node, list[Share]] = field(factory=dict)

    @classmethod
    def read(cls, forward: str, where: Mapping[str, str], wanted: Sequence[str], values: Mapping[str, Any]) -> Self:
        known, output = Values(solved(where, values)), recognized(read(forward))
        nodes = {name: recognized(read(text)) for name, text in where.items()}
        last = output.name if isinstance(output, Name) and output.name in nodes else "y"
        if last == "y":
            nodes["y"] = output
        known.names["y"] = np.asarray(known.of(output))
        known.names["delta"] = np.random.default_rng(1).standard_normal(known.names["y"].shape)
        made = cls(nodes, last, wanted, known, in_time(where.values()))
        made.relevant = {Name(name) for name in nodes}
        for name, node in nodes.items():
            made.relevant |= containing(node, [Name(one) for one in (*wanted, *nodes)])
            for part in named(node, made.relevant):
                if part != node:
                    made.inner.setdefault(part, name)
        return made

    def made(self) -> tuple[dict[str, Node], tuple[Arrival, ...], tuple[Arrival, ...]]:
        order: list[Node] = []  # in forward order: the equations by name, what is inside them by itself
        for name in self.nodes:
            order += [*(part for part, equation in self.inner.items() if equation == name), Name(name)]
        self.moving = {Name("x"), *(Name(name) for name in self.nodes), *map(self._gradient, order)}
        self._pass_back()
        order = [one for one in order if one in self.arriving or one == Name(self.last)]
        gradients = {one: self._sum(one) for one in order if one in self.arriving}
        same: dict[Node, Node] = {
            self._gradient(one): gradients.pop(one)
            for one in reversed(order)
            if one in self.inner and one in gradients and gradients[one] in self.moving
        }  # the only share of a term is the signal of the sum: one name for both is enough
        kept = [one for one in order if not isinstance(one, Name) and one in gradients]
        taken = {name[0] for name in (*self.nodes, *self.wanted)}
        letter = next((one for one in "uvwsq" if one not in taken), "part")
        letters = {one: f"{letter}{i}" for i, one in enumerate(kept, start=1)}
        names = {
            one: one.name if isinstance(one, Name) else letters[one]
            for one in order
            if one not in self.inner or one in letters
        }
        shown: dict[Node, Node] = {node: Name(name) for name, node in self.nodes.items() if not isinstance(node, Name)}
        shown |= {one: Name(name) for one, name in letters.items()}
        signals = {self._gradient(one): Name(gradient_name(name)) for one, name in names.items()}

        def renamed(node: Node, own: Node | None = None) -> Node:
            while any(one in same for one in inner_first(node)):
                node = replaced(node, same)
            return replaced(node, {one: name for one, name in shown.items() if one != own} | signals)

        quantities = {}
        for one, name in names.items():
            node = self.nodes[name] if isinstance(one, Name) else one
            quantities[name] = renamed(node, node)
        arrivals = [
            Arrival(names[one], renamed(gradients[one]), self._rules(one))
            for one in reversed(order)
            if one in gradients
        ]
        results = [
            Arrival(name, renamed(self._sum(Name(name))), self._rules(Name(name)))
            for name in self.wanted
            if Name(name) in self.arriving
        ]
        return quantities, tuple(arrivals), tuple(results)

    def _gradient(self, one: Node) -> Name:
        return DELTA if one == Name("y") else Name(f"gradient {written(one)}")

    def _pass_back(self) -> None:
        """Collect the shares of everything that the output depends on, each quantity's once, also in a circle."""
        if self.last != "y":
            self.arriving[Name(self.last)] = [Share(Name(self.last), DELTA, ARRIVES)]
        todo: list[Node] = [Name(self.last)]
        done: set[Node] = set()
        rng = np.random.default_rng(2)
        while todo:
            one = todo.pop()
            if one in done:
                continue
            done.add(one)
            node = self.nodes[one.name] if isinstance(one, Name) else one
            gradient = self._gradient(one)
            if gradient != DELTA:
                self.values.names[gradient.name] = rng.standard_normal(self.values.shape(node))
            own = passed(node, gradient, self.values, self.relevant, list(self.inner))
            for share in [Share(node, gradient, "passed on as it is")] if isinstance(node, Name) else own:
                self.arriving.setdefault(share.part, []).append(share)
                if share.part in self.inner or (isinstance(share.part, Name) and share.part.name in self.nodes):
                    todo.append(share.part)

    def _rules(self, one: Node) -> tuple[str, ...]:
        return tuple(share.rule for share in self.arriving[one])

    def _sum(self, one: Node) -> Node:
        whole = _side_by_side(add(*(share.gradient for share in self.arriving[one])))
        if not self.are_in_time:
            whole = Simplifier(self.values, self.nodes[self.last]).merged(whole)
        return _everywhere(_everywhere(whole, self._moved_inside), self._over_steps)

    def _moved_inside(self, node: Node) -> Node:
        """Another step of an expression, as the expression of that step's arrays: every term has a signal as factor."""
        match node:
            case Call("after" | "before" as word, (inner,)) if not isinstance(inner, Name):
                held: dict[Node, Node] = {name: call(word, name) for name in self.moving}
                back = _NEIGHBOURS[word]
                calls = (one for one in inner_first(inner) if isinstance(one, Call) and one.function == back)
                return replaced(inner, held | {one: one.arguments[0] for one in calls})
            case Call("first" | "last" as word, (inner,)) if not isinstance(inner, Name):
                moved: dict[Node, Node] = {name: call(word, name) for name in self.moving}
                return replaced(inner, moved)
        return node

    def _over_steps(self, node: Node) -> Node:
        """A product over samples and steps by its own name, which is printed as a sum over the steps."""
        match node:
            case Call("@", (Call("T", (Call("rows", (one,)),)), Call("rows", (other,)))):
                return call("step_products", one, other)
        return node


def _everywhere(node: Node, change: Callable[[Node], Node]) -> Node:
    made: dict[Node, Node] = {}
    for one in inner_first(node):
        parts = [made[part] for part in children(one)]
        made[one] = change(rebuilt(one, parts) if parts else one)
    return made[node]


def _side_by_side(node: Node) -> Node:
    """The sum of signals for the parts of one array, as the array of these signals."""
    if not isinstance(node, Sum):
        return node
    rest: list[Node] = []
    built: dict[tuple[str, int], list[Node]] = {}
    for term in node.terms:
        if isinstance(term, Call) and term.function in ("beside", "stack"):
            held = built.setdefault((term.function, len(term.arguments)), [ZERO] * len(term.arguments))
            held[:] = [add(one, other) for one, other in zip(held, term.arguments, strict=True)]
        else:
            rest.append(term)
    return add(*rest, *(call(function, *parts) for (function, _), parts in built.items()))
