"""Algebra of formulas: expressions in a normal form, in which equal ones are equal, and merged as a person merges them.

A sum keeps its terms in the order in which they came, a product its factors with their exponents; like terms and
factors are collected at once. No product of sums is expanded, so nothing is computed in a worse way than it was stated.
"""

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import cached_property
from typing import TypeAlias

from attrs import field, frozen

LARGEST = 10**30  # a number beyond it is not computed here


@frozen(eq=False)
class Node:
    """Base class of expressions; ``key`` is equal for equal ones."""

    @cached_property
    def key(self) -> tuple[object, ...]:
        return (type(self).__name__, *self._key())

    @cached_property
    def _hash(self) -> int:
        return hash(self.key)

    def _key(self) -> tuple[object, ...]:
        raise NotImplementedError

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Node) and self._hash == other._hash and self.key == other.key)


@frozen(eq=False)
class Number(Node):
    """A rational number: 0.1 is 1/10."""

    value: Fraction

    def _key(self) -> tuple[object, ...]:
        return (self.value,)


@frozen(eq=False)
class Name(Node):
    """A variable, or the constant ``pi``."""

    name: str

    def _key(self) -> tuple[object, ...]:
        return (self.name,)


@frozen(eq=False)
class Call(Node):
    """A function of the language; comparisons are the functions ``>`` and so on, ``@`` and ``.T`` are functions too."""

    function: str
    arguments: tuple[Node, ...]

    def _key(self) -> tuple[object, ...]:
        return (self.function, self.arguments)


Factors: TypeAlias = tuple[tuple[Node, Node], ...]
"""Bases with their exponents."""


@frozen(eq=False)
class Product(Node):
    """A coefficient times powers of different bases, none of which is a number that could be computed."""

    coefficient: Fraction
    factors: Factors

    def _key(self) -> tuple[object, ...]:
        return (self.coefficient, frozenset(self.factors))


@frozen(eq=False)
class Sum(Node):
    """Two or more terms, no two of which are multiples of each other."""

    terms: tuple[Node, ...] = field()

    def _key(self) -> tuple[object, ...]:
        return (frozenset(self.terms),)


COMPARISONS = (">", "<", ">=", "<=", "==", "!=")
ZERO, ONE, MINUS_ONE, TWO, HALF = (Number(Fraction(v)) for v in (0, 1, -1, 2, "1/2"))
PI = Name("pi")


def number(value: float | str | Fraction) -> Number:
    """A number of which the decimal form counts: 0.1 is 1/10."""
    return Number(
        value if isinstance(value, Fraction) else Fraction(repr(value) if isinstance(value, float) else value)
    )


def call(function: str, *arguments: Node) -> Node:
    """A call of a function, by its name."""
    return Call(function, arguments)


def split(node: Node) -> tuple[Fraction, Factors]:
    """The coefficient and the factors of any expression."""
    match node:
        case Number(value):
            return value, ()
        case Product(coefficient, factors):
            return coefficient, factors
    return Fraction(1), ((node, ONE),)


def join(coefficient: Fraction, factors: Factors) -> Node:
    """The inverse of ``split``."""
    if coefficient == 0 or not factors:
        return Number(coefficient)
    if coefficient == 1 and len(factors) == 1 and factors[0][1] == ONE:
        return factors[0][0]
    return Product(coefficient, factors)


def add(*nodes: Node) -> Node:
    """The sum, with like terms collected: 2a + a is 3a."""
    collected: dict[Node, Fraction] = {}
    constant = Fraction(0)
    place: int | None = None  # of the constant, among the terms
    for term in _flat_terms(nodes):
        coefficient, factors = split(term)
        if not factors:
            place = len(collected) if place is None else place
            constant += coefficient
        else:
            core = join(Fraction(1), factors)
            collected[core] = collected.get(core, Fraction(0)) + coefficient
    terms = [multiply(Number(c), core) if c else None for core, c in collected.items()]
    if constant:
        terms.insert(place or 0, Number(constant))
    kept = tuple(term for term in terms if term is not None)
    return Sum(kept) if len(kept) > 1 else kept[0] if kept else ZERO


def _flat_terms(nodes: Iterable[Node]) -> Iterable[Node]:
    for node in nodes:
        match node:
            case Sum(terms):
                yield from terms
            case Product(coefficient, ((Sum(terms), exponent),)) if exponent == ONE and abs(coefficient) == 1:
                yield from (multiply(Number(coefficient), term) for term in terms)
            case _:
                yield node


def multiply(*nodes: Node) -> Node:
    """The product, with equal bases collected: a · a is a², and a / a is 1."""
    coefficient, powers = Fraction(1), dict[Node, Node]()
    for node in nodes:
        own, factors = split(node)
        coefficient *= own
        for base, exponent in factors:
            powers[base] = add(powers[base], exponent) if base in powers else exponent
    if coefficient == 0:
        return ZERO
    done: dict[Node, Node] = {}
    for base, exponent in powers.items():
        if exponent == ZERO:
            continue
        match base, exponent:
            case Call(function), Number(value) if function in COMPARISONS and value > 1:
                exponent = ONE  # 1 where it holds, else 0
            case Call("exp", (inner,)), Number(value) if value != 1:
                base, exponent = call("exp", multiply(exponent, inner)), ONE
            case Number(value), Number(times) if not _too_large(value, times):  # 2^(3/2) = 2 · √2, and 1/2 · √2 = 1/√2
                whole = int(times)
                coefficient *= value**whole
                times -= whole
                if times == 0:
                    continue
                if _divides(value, coefficient.denominator) and times > 0:
                    coefficient, times = coefficient * value, times - 1
                elif _divides(value, coefficient.numerator) and times < 0:
                    coefficient, times = coefficient / value, times + 1
                exponent = Number(times)
        if isinstance(base, Call) and base.function == "exp" and exponent == ONE:
            opposite = call("exp", negative(base.arguments[0]))
            if done.get(opposite) == ONE:
                del done[opposite]
                continue
        if base in done:
            done[base] = add(done[base], exponent)
        else:
            done[base] = exponent
    return join(coefficient, tuple(done.items()))


def _divides(value: Fraction, number: int) -> bool:
    return value.denominator == 1 and value > 1 and number % value.numerator == 0


def power(base: Node, exponent: Node) -> Node:
    """The power. Only what holds for all numbers is done: √(x²) stays, it is |x| and not x."""
    if exponent == ONE:
        return base
    if exponent == ZERO:
        return ONE
    if not isinstance(exponent, Number):
        return join(Fraction(1), ((base, exponent),))
    times = exponent.value
    whole = times.denominator == 1
    coefficient, factors = split(base)
    if not factors:
        return _number_power(coefficient, exponent)
    if whole and not _too_large(coefficient, times):
        raised = (join(Fraction(1), ((b, multiply(e, exponent)),)) for b, e in factors)
        return multiply(Number(coefficient**times.numerator), *raised)
    outside: list[Node] = []
    inside: list[Node] = []
    if coefficient > 0 and coefficient != 1:
        outside.append(_number_power(coefficient, exponent))
    elif coefficient != 1:
        inside.append(Number(coefficient))
    for b, e in factors:
        constant = b == PI or (isinstance(b, Number) and b.value > 0)
        fractional = isinstance(e, Number) and e.value.denominator != 1
        if constant or (fractional and len(factors) == 1 and coefficient == 1):
            outside.append(multiply(join(Fraction(1), ((b, multiply(e, exponent)),))))
        else:
            inside.append(join(Fraction(1), ((b, e),)))
    if inside:
        rest = multiply(*inside)
        outside.append(Product(Fraction(1), ((rest, exponent),)))
    return multiply(*outside)


def _number_power(value: Fraction, exponent: Number) -> Node:
    times = exponent.value
    if value == 0 or _too_large(value, times):
        return Product(Fraction(1), ((Number(value), exponent),))
    if times.denominator == 1:
        return Number(value**times.numerator)
    if value < 0:
        return Product(Fraction(1), ((Number(value), exponent),))
    above, below = (_root(part, times) for part in (value.numerator, value.denominator))
    return multiply(above, Number(1 / below.value) if isinstance(below, Number) else _inverse(below))


def _inverse(node: Node) -> Node:
    coefficient, factors = split(node)
    return join(1 / coefficient, tuple((b, multiply(MINUS_ONE, e)) for b, e in factors))


def _root(value: int, times: Fraction) -> Node:
    """value^times, as a number where it is one: √4 is 2."""
    if value == 1:
        return ONE
    if times.denominator == 2 and math.isqrt(value) ** 2 == value:
        return Number(Fraction(math.isqrt(value)) ** times.numerator)
    return multiply(Product(Fraction(1), ((Number(Fraction(value)), Number(times)),)))


def _too_large(value: Fraction, times: Fraction) -> bool:
    size = max(abs(value.numerator), value.denominator)
    return abs(times) > 64 or size ** int(abs(times) + 1) > LARGEST


def negative(node: Node) -> Node:
    """−node."""
    return multiply(MINUS_ONE, node)


def subtract(one: Node, other: Node) -> Node:
    """one − other."""
    return add(one, negative(other))


def divide(above: Node, below: Node) -> Node:
    """above / below."""
    return multiply(above, power(below, MINUS_ONE))


def children(node: Node) -> tuple[Node, ...]:
    """The expressions directly inside, exponents included."""
    match node:
        case Call(_, arguments):
            return arguments
        case Sum(terms):
            return terms
        case Product(_, factors):
            return tuple(part for pair in factors for part in pair)
    return ()


def rebuilt(node: Node, parts: Iterable[Node]) -> Node:
    """The same expression with other parts inside, in normal form."""
    inside = list(parts)
    match node:
        case Call(function):
            return Call(function, tuple(inside))
        case Sum():
            return add(*inside)
        case Product(coefficient):
            pairs = zip(inside[::2], inside[1::2], strict=True)
            return multiply(Number(coefficient), *(power(base, exponent) for base, exponent in pairs))
    return node


def inner_first(*roots: Node) -> list[Node]:
    """All expressions inside, each once, after those inside it."""
    seen: set[Node] = set()
    ordered: list[Node] = []
    open_nodes = [(root, False) for root in reversed(roots)]
    while open_nodes:
        node, done = open_nodes.pop()
        if done:
            ordered.append(node)
        elif node not in seen:
            seen.add(node)
            open_nodes.append((node, True))
            open_nodes += [(part, False) for part in reversed(children(node)) if part not in seen]
    return ordered


def names_of(*nodes: Node) -> set[str]:
    """The names of all variables."""
    return {node.name for node in inner_first(*nodes) if isinstance(node, Name)} - {"pi"}


def replaced(node: Node, by: Mapping[Node, Node]) -> Node:
    """Replace whole expressions by others, the outermost first."""
    made: dict[Node, Node] = {}
    open_nodes = [node]
    while open_nodes:
        one = open_nodes[-1]
        if one in made:
            open_nodes.pop()
        elif one in by:
            made[one] = by[one]
        elif missing := [part for part in children(one) if part not in made]:
            open_nodes += missing
        else:
            parts = children(one)
            made[one] = rebuilt(one, (made[part] for part in parts)) if any(made[p] is not p for p in parts) else one
    return made[node]


def without(node: Node, part: Node) -> Node | None:
    """What is left of a sum without the terms of ``part``, of a product without its factors; None if it lacks one.

    ``node`` is then ``part`` plus, or times, what is left.
    """
    if isinstance(part, Sum):
        if not isinstance(node, Sum):
            return None
        terms = dict.fromkeys(node.terms)
        if any(term not in terms for term in part.terms):
            return None
        inside = set(part.terms)
        return add(*(term for term in node.terms if term not in inside))
    coefficient, factors = split(node)
    own, needed = split(part)
    powers = dict(factors)
    for base, exponent in needed:
        held = powers.get(base)
        if held is None:
            return None
        if isinstance(held, Number) and isinstance(exponent, Number):
            if held.value * exponent.value <= 0 or abs(held.value) < abs(exponent.value):
                return None
        elif held != exponent:
            return None
        powers[base] = subtract(held, exponent)
    return multiply(Number(coefficient / own), *(power(b, e) for b, e in powers.items()))
