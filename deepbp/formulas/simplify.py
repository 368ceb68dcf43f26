"""Simplification of derived expressions, as a person writes them: common factors collected, written with the output.

Nothing is done that a check on the sample values does not confirm, and no form replaces one that stays finite for
numbers of ±10⁴ by one that does not.
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

from attrs import frozen

from deepbp.formulas.algebra import (
    ONE,
    ZERO,
    Call,
    Name,
    Node,
    Number,
    Product,
    Sum,
    add,
    call,
    children,
    inner_first,
    join,
    multiply,
    names_of,
    power,
    rebuilt,
    split,
    subtract,
    without,
)
from deepbp.formulas.formula_text import written
from deepbp.formulas.identities import plain, recognized
from deepbp.formulas.values import Values, agree

_MEANS = {"row": ("row_sum", "row_size", "row_mean"), "feature": ("feature_sum", "feature_size", "feature_mean")}
_MEANS["batch"] = ("batch_sum", "batch_size", "batch_mean")
_REDUCTIONS = ("row_sum", "row_mean", "feature_sum", "feature_mean", "batch_sum", "batch_mean", "total", "group_mean")


@frozen
class Simplifier:
    """Simplifies expressions of one formula, whose output is ``output``."""

    values: Values
    output: Node

    def forms(self, node: Node) -> list[Node]:
        """Forms of an expression, all of them equal to it on the sample values."""
        reference = self.values.of(node)
        collected = self.collected(self.merged(node))
        forms = [node, self.merged(collected), self.merged(self.collected(recognized(collected)))]
        for first, second in ((self.with_output, self.collected), (self.collected, self.with_output)):
            form = second(first(self.merged(node)))
            forms.append(self.merged(form))
            forms.append(self.merged(second(first(recognized(form)))))
        forms = [self._everywhere(form, _ordered) for form in forms]
        right = [form for form in forms if agree(self.values.of(form), reference)]
        return list(dict.fromkeys(right or [node]))

    def shortest(self, forms: Sequence[Node]) -> Node:
        """The form that a person would write."""
        return min(forms, key=lambda form: (len(written(plain(form))), self.remembered(form)))

    def fastest(self, forms: Sequence[Node]) -> Node:
        """The form with the fewest operations beyond those of the forward pass, with functions that lose no digits."""
        done = {*inner_first(self.output), Name("y")}
        return min(
            dict.fromkeys(map(recognized, forms)),
            key=lambda form: (sum(_cost(one) for one in _undone(form, done)), self.remembered(form)),
        )

    def remembered(self, node: Node) -> float:
        """How many arrays of the forward pass an expression mentions; the output exists anyway."""
        used = names_of(node)
        return ("x" in used) + 0.9 * ("y" in used)

    def merged(self, node: Node) -> Node:
        """Constants taken out of sums, sums divided by their length as means, repetition left to broadcasting."""
        return self._everywhere(node, self._merge)

    def _everywhere(self, node: Node, change: Callable[[Node], Node]) -> Node:
        made: dict[Node, Node] = {}
        for one in inner_first(node):
            parts = children(one)
            new = rebuilt(one, [made[p] for p in parts]) if any(made[p] is not p for p in parts) else one
            made[one] = change(new)
        return made[node]

    def _merge(self, node: Node) -> Node:
        match node:
            case Call(("row_size" | "feature_size" | "batch_size") as function, (inner,)):
                return self._size(function, inner)
            case Call(
                ("row_sum" | "feature_sum" | "batch_sum" | "total") as function, (Call("spread", (inner, whole)),)
            ):
                return self._sum_of_repeated(function, inner, whole, node)
            case Call(function, (inner, *others)) if function in _REDUCTIONS:
                return self._out_of_reduction(function, inner, others, node)
            case Call("spread", (inner, whole)) if self.values.shape(inner) == self.values.shape(whole):
                return inner
            case Call("spread", (Call("spread", (inner, _)), whole)):
                return call("spread", inner, whole)
            case Call("spread", (inner, whole)):
                return self._number_outside(inner, whole, node)
            case Product():
                return self._means(self._unrepeated(node))
            case Sum(terms):
                return self._sum_unrepeated(terms, node)
        return node

    def _size(self, function: str, inner: Node) -> Node:
        x = Name("x")
        if inner != x and "x" in self.values.names:
            shapes = self.values.shape(inner), self.values.shape(x)
            same = {
                "row_size": shapes[0][-1:] == shapes[1][-1:],
                "batch_size": shapes[0][:1] == shapes[1][:1],
                "feature_size": shapes[0][:-1] == shapes[1][:-1],
            }
            if same[function]:
                return call(function, x)
        return call(function, inner)

    def _sum_of_repeated(self, function: str, inner: Node, whole: Node, node: Node) -> Node:
        """Σ of a number repeated n times is n times it."""
        shape, wanted = self.values.shape(inner), self.values.shape(whole)
        if function == "row_sum" and shape[-1:] == (1,) and shape[:-1] == wanted[:-1]:
            return multiply(self._size("row_size", whole), inner)
        return node

    def _number_outside(self, inner: Node, whole: Node, node: Node) -> Node:
        coefficient, factors = split(inner)
        constants = [p for p in factors if self.values.shape(p[0]) == () and self.values.shape(p[1]) == ()]
        if (coefficient == 1 and not constants) or not factors or len(constants) == len(factors):
            return node
        rest = tuple(p for p in factors if p not in constants)
        return multiply(join(coefficient, tuple(constants)), call("spread", join(Fraction(1), rest), whole))

    def _out_of_reduction(self, function: str, inner: Node, others: list[Node], node: Node) -> Node:
        """Σ c h = c Σ h, for a number c, and for what is the same along the axes of the sum."""
        coefficient, factors = split(inner)
        outside = [pair for pair in factors if self._is_constant(function, pair, others)]
        if coefficient == 1 and not outside:
            return node
        if len(outside) == len(factors):
            return node
        rest = join(Fraction(1), tuple(pair for pair in factors if pair not in outside))
        if self.values.shape(rest) != self.values.shape(inner):
            return node  # what is repeated in the sum would be summed once
        front = join(coefficient, tuple(outside)) if outside else Number(coefficient)
        return multiply(front, call(function, rest, *others))

    def _is_constant(self, function: str, pair: tuple[Node, Node], others: list[Node]) -> bool:
        shape = self.values.shape(power(*pair))
        if all(n == 1 for n in shape) and len(shape) == 0:
            return True
        match function:
            case "row_sum" | "row_mean":
                return shape[-1] == 1
            case "batch_sum" | "batch_mean":
                return len(shape) == 1 and len(self.values.shape(Name("x"))) == 2 if "x" in self.values.names else False
            case "feature_sum" | "feature_mean":
                return len(shape) == 1
            case "group_mean":
                return _within_groups(pair[0], others[0]) and isinstance(pair[1], Number)
        return False

    def _means(self, node: Node) -> Node:
        """Σ h / n as mean h."""
        coefficient, factors = split(node)
        for total, size, mean in _MEANS.values():
            for i, (base, exponent) in enumerate(factors):
                if not (isinstance(base, Call) and base.function == total and exponent == ONE):
                    continue
                others = join(coefficient, (*factors[:i], *factors[i + 1 :]))
                flat = total == "batch_sum" and len(self.values.shape(base.arguments[0])) == 2
                for divisor, average in ((size, mean), *[("feature_size", "feature_mean")] * flat):
                    below = power(self._size(divisor, base.arguments[0]), Number(Fraction(-1)))
                    rest = without(others, below)
                    if rest is not None:
                        return self._means(multiply(rest, call(average, base.arguments[0])))
        return node

    def _unrepeated(self, node: Node) -> Node:
        """Repetition inside a product is left to broadcasting, where another factor has the whole shape."""
        coefficient, factors = split(node)
        for i, (base, exponent) in enumerate(factors):
            match base, exponent:
                case Call("spread", (inner, whole)), Number():
                    others = [self.values.shape(power(*pair)) for pair in (*factors[:i], *factors[i + 1 :])]
                    if self.values.shape(whole) in others or not self.values.shape(inner):
                        made = multiply(join(coefficient, (*factors[:i], *factors[i + 1 :])), power(inner, exponent))
                        if self.values.shape(made) == self.values.shape(node):
                            return self._unrepeated(made)
        return node

    def _sum_unrepeated(self, terms: Iterable[Node], node: Node) -> Node:
        parts = [*terms]
        for i, term in enumerate(parts):
            coefficient, factors = split(term)
            for j, (base, exponent) in enumerate(factors):
                if not (isinstance(base, Call) and base.function == "spread" and exponent == ONE):
                    continue
                bare = multiply(join(coefficient, (*factors[:j], *factors[j + 1 :])), base.arguments[0])
                made = add(*parts[:i], bare, *parts[i + 1 :])
                if self.values.shape(made) == self.values.shape(node):
                    return self._sum_unrepeated(made.terms, made) if isinstance(made, Sum) else made
        return node

    def collected(self, node: Node) -> Node:
        """Common factors collected: δ a + δ b as δ (a + b)."""
        return self._everywhere(node, factored)

    def with_output(self, node: Node) -> Node:
        """The output, where it occurs as a part, as y."""
        y, output = Name("y"), self.output
        if isinstance(output, Number | Name):
            return node

        def change(one: Node) -> Node:
            if one == output:
                return y
            if (
                isinstance(one, Call)
                and one.function in (">", "<")
                and one.arguments in _same_sign(output, one.function)
            ):
                return call(one.function, y, one.arguments[1])
            if isinstance(one, Product) and isinstance(output, Product | Call):
                if isinstance(output, Product) and len(output.factors) == 1:
                    return one
                if (rest := without(one, output)) is not None and isinstance(output, Product):
                    return multiply(rest, y)
            if isinstance(one, Sum) and isinstance(output, Sum) and (rest := without(one, output)) is not None:
                return add(rest, y)
            return one

        return self._everywhere(node, change)


_COSTS = {"erf": 20, "sigmoid": 15, "softmax": 15, "exp": 4, "expm1": 4, "tanh": 5, "log": 4, "sin": 5, "cos": 5}


def _cost(node: Node) -> int:
    """About how many operations an expression is, without its parts."""
    match node:
        case Call(function):
            return _COSTS.get(function, 2)
        case Sum(terms):
            return len(terms) - 1
        case Product(_, factors):
            return len(factors)
    return 0


def _undone(form: Node, done: set[Node]) -> list[Node]:
    """The parts of an expression that are not done yet, each once."""
    found: dict[Node, None] = {}
    open_nodes = [form]
    while open_nodes:
        node = open_nodes.pop()
        if node not in done and node not in found:
            found[node] = None
            open_nodes += children(node)
    return [*found]


def _same_sign(output: Node, sign: str) -> list[tuple[Node, ...]]:
    """Comparisons of u with a limit b that hold exactly where they hold for the output: max(u, b) > b where u > b."""
    found: list[tuple[Node, ...]] = []
    match output:
        case Call("maximum", (u, limit)) if sign == ">":
            found.append((u, limit))
        case Call("minimum", (u, limit)) if sign == "<":
            found.append((u, limit))
        case Call("minimum", (Call("maximum", (u, limit)), top)) if sign == ">":
            if isinstance(limit, Number) and isinstance(top, Number) and limit.value < top.value:
                found.append((u, limit))
    return found


def _within_groups(node: Node, groups: Node) -> bool:
    """Whether an expression is the same for all numbers of a group: made of means over the group, and of numbers."""
    match node:
        case Call("group_mean", (_, other)):
            return other == groups
        case Number():
            return True
        case Name(name):
            return name in ("pi", "epsilon")
    return bool(children(node)) and all(_within_groups(part, groups) for part in children(node))


def factored(node: Node) -> Node:
    """A sum with its common factors in front."""
    if not isinstance(node, Sum):
        return node
    node = _over_one_denominator(node)
    if not isinstance(node, Sum):
        return node
    pairs = [split(term) for term in node.terms]
    common: dict[Node, Node] = {}
    for base, _ in pairs[0][1]:
        held = [dict(factors).get(base) for _, factors in pairs]
        if (shared := _shared_exponent(held)) is not None:
            common[base] = shared
    sizes = {abs(coefficient) for coefficient, _ in pairs}
    size = sizes.pop() if len(sizes) == 1 else Fraction(1)
    if not common and size == 1:
        return node
    front = multiply(*(power(base, exponent) for base, exponent in common.items()))
    rest = []
    for coefficient, factors in pairs:
        powers = ((b, subtract(e, common[b]) if b in common else e) for b, e in factors)
        rest.append(multiply(Number(coefficient / size), *(power(b, e) for b, e in powers)))
    return multiply(front, Number(size), add(*rest))


def _over_one_denominator(node: Sum) -> Node:
    """1 − a / (1 + a) as 1 / (1 + a), where that is shorter."""
    powers = [dict(split(term)[1]) for term in node.terms]
    for base in dict.fromkeys(base for held in powers for base in held if isinstance(base, Sum)):
        exponents = [held.get(base, ZERO) for held in powers]
        if not all(isinstance(one, Number) for one in exponents):
            continue
        least = min(one.value for one in exponents if isinstance(one, Number))
        if least >= 0:
            continue
        above: list[Node] = []
        for term in node.terms:
            raised = multiply(term, power(base, Number(-least)))
            coefficient, factors = split(raised)
            if factors == ((base, ONE),):
                above += [multiply(Number(coefficient), part) for part in base.terms]
            else:
                above.append(raised)
        whole = add(*above)
        if not isinstance(whole, Sum) or len(whole.terms) < len(node.terms):
            return multiply(whole, power(base, Number(least)))
    return node


def _ordered(node: Node) -> Node:
    """A sum of shares of a gradient with the shortest one first."""
    if isinstance(node, Sum) and "delta" in names_of(node):
        return Sum(tuple(sorted(node.terms, key=lambda term: len(inner_first(term)))))
    return node


def _shared_exponent(held: list[Node | None]) -> Node | None:
    if any(one is None for one in held):
        return None
    numbers = [one.value for one in held if isinstance(one, Number)]
    if len(numbers) == len(held):
        if all(v > 0 for v in numbers):
            return Number(min(numbers))
        return Number(max(numbers)) if all(v < 0 for v in numbers) else None
    return held[0] if all(one == held[0] for one in held) else None


def slope_in(gradient: Node, values: Values) -> str | None:
    """The text of f′, where a gradient is δ · f′ with an f′ of each number alone; None where it is not."""
    delta = Name("delta")
    rest = without(gradient, delta)
    if rest is None or delta in inner_first(rest):
        return None
    mixing = [node for node in inner_first(rest) if isinstance(node, Call) and node.function in _MIXING]
    return None if mixing or values.shape(gradient) != values.shape(delta) else written(plain(rest))


_MIXING = {*_REDUCTIONS, "@", "T", "row_max", "softmax", "log_softmax", "log_row_sum_exp", "reshape", "spread"}
_MIXING |= {"row_variance", "feature_variance", "sum_like", "rows"}
