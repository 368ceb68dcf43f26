"""The backward pass of a formula as Python source: what forward computes and remembers, and what backward computes."""

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Self

import numpy as np
from attrs import define, field, frozen

from deepbp.formulas.algebra import (
    COMPARISONS,
    HALF,
    MINUS_ONE,
    ONE,
    TWO,
    Call,
    Name,
    Node,
    Number,
    Product,
    Sum,
    call,
    children,
    inner_first,
    multiply,
    names_of,
    negative,
    power,
    rebuilt,
    replaced,
    split,
    without,
)
from deepbp.formulas.derive import Derived
from deepbp.formulas.formula_text import _number as number_tree
from deepbp.formulas.formula_text import tree_of, unparsed
from deepbp.formulas.identities import plain
from deepbp.formulas.language import FUNCTIONS
from deepbp.formulas.values import Values

X, Y, DELTA = Name("x"), Name("y"), Name("delta")

_LONG = 56  # characters of an expression that gets a statement of its own

PLAIN: dict[str, str] = {
    "abs": "np.abs(a)",
    "batch_mean": "a.mean(axis=0)",
    "batch_size": "len(a)",
    "batch_sum": "a.sum(axis=0)",
    "cos": "np.cos(a)",
    "cosh": "np.cosh(a)",
    "erf": "erf(a)",
    "exp": "np.exp(a)",
    "expm1": "np.expm1(a)",
    "log": "np.log(a)",
    "log1p": "np.log1p(a)",
    "log_cosh": "np.logaddexp(a, -a) - math.log(2)",
    "log_row_sum_exp": "np.logaddexp.reduce(a, axis=-1, keepdims=True)",
    "log_softmax": "a - np.logaddexp.reduce(a, axis=-1, keepdims=True)",
    "maximum": "np.maximum(a, b)",
    "minimum": "np.minimum(a, b)",
    "row_max": "a.max(axis=-1, keepdims=True)",
    "row_mean": "a.mean(axis=-1, keepdims=True)",
    "row_size": "a.shape[-1]",
    "row_sum": "a.sum(axis=-1, keepdims=True)",
    "row_variance": "a.var(axis=-1, keepdims=True)",
    "sigmoid": "sigmoid(a)",
    "sign": "np.sign(a)",
    "sin": "np.sin(a)",
    "sinh": "np.sinh(a)",
    "softmax": "softmax(a)",
    "softplus": "np.logaddexp(0, a)",
    "sqrt": "np.sqrt(a)",
    "spread": "np.broadcast_to(a, b.shape)",
    "tanh": "np.tanh(a)",
    "total": "a.sum()",
    "@": "a @ b",
    "T": "a.T",
}
"""NumPy's words for the functions of the language."""


@frozen
class Passes:
    """The statements of both passes, ready for a function or a method.

    Attributes:
        forward: statements; the output is called ``y``.
        saved: the names of what forward remembers, in terms of its statements.
        backward: statements, with ``saved`` unpacked before them.
        gradients: for ``x`` and each parameter, an expression of these statements.
        remembered: the remembered expressions.
    """

    forward: tuple[str, ...]
    saved: tuple[str, ...]
    backward: tuple[str, ...]
    gradients: dict[str, str]
    remembered: tuple[Node, ...]

    @classmethod
    def of(
        cls,
        derived: Derived,
        wanted: Sequence[str],
        names: Mapping[str, str],
        words: Mapping[str, str] | None = None,
        remember: Sequence[Node] | None = None,
        grouped: bool = False,
    ) -> Self:
        """Write the passes of a derived formula for these gradients.

        Args:
            names: how the code calls parameters and constants, such as ``self.slope.value``.
            words: other words for functions of the language.
            remember: the expressions to remember, if they are given; else the smallest set.
            grouped: whether factors of one number for each row are multiplied first, which takes less time.
        """
        vocabulary = {**PLAIN, **(words or {})}
        whole = _with_roots(derived.forward)
        gradients = {name: _with_roots(derived.fastest[name]) for name in wanted}
        saved = remembered(whole, [*gradients.values()]) if remember is None else [*remember]
        if Y not in saved:
            gradients = {name: replaced(node, {Y: whole}) for name, node in gradients.items()}
        constants = {name: ast.parse(text, mode="eval").body for name, text in names.items()}
        forward = _Writer(derived.values, vocabulary, constants, "x.dtype", grouped)
        letters = {_with_roots(one.node): one.name for one in derived.quantities}
        order = [X, *letters]
        saved = sorted(saved, key=lambda node: order.index(node) if node in letters or node == X else len(order))
        forward.count(whole, *saved)
        taken: dict[Node, str] = {X: "x", Y: "y", whole: "y"}
        for node in saved:
            if node not in taken:
                taken[node] = letters.get(node) or f"s{len(taken) - 2}"
                forward.assign(node, taken[node])
        output = forward.write(whole, root=True)
        if whole == X:
            output = _filled("a.copy()", a=output)
        elif isinstance(whole, Call) and whole.function == "spread":
            output = _filled("np.array(a)", a=output)
        elif _is_truth(whole):
            output = _filled("a.astype(x.dtype)", a=output)
        forward.lines.append(f"y = {unparsed(output)}")
        backward = _Writer(derived.values, vocabulary, constants, "delta.dtype", grouped, forward.started)
        backward.known.update({node: ast.Name(taken[node]) for node in saved})
        if Y in saved:
            backward.known[whole] = backward.known[Y] = ast.Name("y")
        backward.count(*gradients.values())
        texts = {}
        for name, node in gradients.items():
            tree = backward.write(node, root=True)
            if node == DELTA:
                tree = _filled("a.copy()", a=tree)
            elif isinstance(node, Call) and node.function == "spread":
                tree = _filled("np.array(a)", a=tree)
            texts[name] = unparsed(tree)
        return cls(
            tuple(forward.lines), tuple(taken[node] for node in saved), tuple(backward.lines), texts, tuple(saved)
        )


def _with_roots(node: Node) -> Node:
    """The same expression with √u as a function of its own, so that it is computed once."""
    made: dict[Node, Node] = {}
    for one in inner_first(node):
        parts = children(one)
        new = rebuilt(one, [made[part] for part in parts]) if any(made[part] is not part for part in parts) else one
        if isinstance(new, Product):
            powers = []
            for base, exponent in new.factors:
                if isinstance(exponent, Number) and exponent.value.denominator == 2 and names_of(base):
                    base, exponent = call("sqrt", base), multiply(TWO, exponent)
                powers.append(power(base, exponent))
            new = multiply(Number(new.coefficient), *powers)
        made[one] = new
    return made[node]


def remembered(forward: Node, gradients: Sequence[Node]) -> list[Node]:
    """The smallest set of arrays of the forward pass from which the gradients follow without costly functions."""
    computed = {node for node in inner_first(forward) if not isinstance(node, Number | Name)}
    found: dict[Node, None] = {}
    open_nodes = [*reversed(gradients)]
    seen: set[Node] = set()
    while open_nodes:
        node = open_nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in (X, Y):
            found[node] = None
        elif node == forward:
            found[Y] = None
        elif node in computed and "x" in names_of(node):
            found[node] = None
        else:
            open_nodes += reversed(children(node))
    kept = [*found]
    for node in sorted(found, key=lambda one: -len(inner_first(one))):
        others = {one for one in kept if one != node}
        if Y in others:
            others.add(forward)
        if node != X and _is_cheap(forward if node == Y else node, others):
            kept.remove(node)
    return kept


def _is_cheap(node: Node, available: set[Node]) -> bool:
    """Whether an expression follows from others by additions, multiplications and comparisons."""
    if node in available or not names_of(node) & {"x", "y"}:
        return True
    match node:
        case Name():
            return False
        case Call(function) if function not in (*COMPARISONS, "maximum", "minimum", "abs", "sign", "sqrt", "T"):
            return False
        case Product(_, factors) if any(e not in (ONE, TWO, MINUS_ONE) for _, e in factors):
            return False
    return all(_is_cheap(part, available) for part in children(node))


@cache
def _template(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _filled(template: str, **parts: ast.expr) -> ast.expr:
    """A template with expressions in the place of its letters."""

    class Filling(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return parts.get(node.id, node)

    return Filling().visit(ast.parse(template, mode="eval").body)  # type: ignore[no-any-return]


@define
class _Writer:
    """Writes expressions as Python, with a statement for each that is used twice."""

    values: Values
    words: Mapping[str, str]
    constants: Mapping[str, ast.expr]
    dtype: str
    grouped: bool
    started: int = 0
    lines: list[str] = field(factory=list)
    known: dict[Node, ast.expr] = field(factory=dict)
    uses: Counter[Node] = field(factory=Counter)

    def count(self, *roots: Node) -> None:
        """Count how often each expression is used by these and their parts, without those that are known."""
        open_nodes = [*roots]
        while open_nodes:
            node = open_nodes.pop()
            self.uses[node] += 1
            if self.uses[node] == 1 and node not in self.known:
                match node:
                    case Product(_, factors):
                        open_nodes += [base for base, _ in factors] + [
                            e for _, e in factors if not isinstance(e, Number)
                        ]
                    case Call("spread", (inner, _)):
                        open_nodes.append(inner)
                    case _:
                        open_nodes += children(node)

    def assign(self, node: Node, name: str) -> None:
        """Write a statement that gives an expression a name."""
        self.lines.append(f"{name} = {unparsed(self._expression(node))}")
        self.known[node] = ast.Name(name)

    def write(self, node: Node, root: bool = False) -> ast.expr:
        """An expression, with statements before it for what is long, or used more than once."""
        if node in self.known:
            return self.known[node]
        expression = self._expression(node)
        once = root or isinstance(node, Name | Number) or self._is_constant(node)
        if once or (self.uses[node] < 2 and len(ast.unparse(expression)) < _LONG):
            return expression
        self.started += 1
        self.lines.append(f"v{self.started} = {unparsed(expression)}")
        self.known[node] = ast.Name(f"v{self.started}")
        return self.known[node]

    def _is_constant(self, node: Node) -> bool:
        return not names_of(node) & {"x", "y", "delta"} and self.values.shape(node) == ()

    def _expression(self, node: Node) -> ast.expr:
        match node:
            case Number(value):
                return number_tree(value)
            case Name(name):
                return _template("math.pi") if name == "pi" else self.constants.get(name, ast.Name(name))
            case Call(function, (one, other)) if function in COMPARISONS:
                compared = tree_of(Call(function, (X, Y)))
                assert isinstance(compared, ast.Compare)
                return ast.Compare(self.write(one), compared.ops, [self.write(other)])
            case Call(function, arguments):
                return self._call(function, arguments)
            case Sum(terms):
                return self._sum(terms)
            case Product():
                return self._product(node)
        raise AssertionError(node)

    def _is_number(self, node: Node) -> bool:
        """Whether an expression is a number of Python's: made of numbers and constants, without arrays."""
        return not any(isinstance(self.values.names[name], np.ndarray) for name in names_of(node))

    def _call(self, function: str, arguments: Sequence[Node]) -> ast.expr:
        if all(map(self._is_number, arguments)):  # NumPy's functions would make it a float64, which spreads
            if not names_of(*arguments):
                return ast.Constant(float(self.values.of(Call(function, tuple(arguments)))))
            value = ast.Call(_filled(f"FUNCTIONS[{function!r}]"), [self.write(one) for one in arguments], [])
            return _filled("float(a)", a=value) if function in FUNCTIONS else self._stable_number(function, arguments)
        axes = len(self.values.shape(arguments[0]))
        if function in ("feature_sum", "feature_mean", "feature_variance") and function not in self.words:
            over = "0" if axes == 2 else f"({', '.join(map(str, range(axes - 1)))},)"
            method = {"sum": "sum", "mean": "mean", "variance": "var"}[function.partition("_")[2]]
            return _filled(f"a.{method}(axis={over})", a=self._array(arguments[0]))
        if function == "feature_size":
            return _filled("a.size // a.shape[-1]" if axes != 2 else "len(a)", a=self.write(arguments[0]))
        if function == "spread":
            return _filled(self.words[function], a=self._array(arguments[0]), b=self.write(arguments[1]))
        written = [self._array(one) if self.values.shape(one) else self.write(one) for one in arguments]
        if function not in self.words:
            return ast.Call(_filled(f"FUNCTIONS[{function!r}]"), written, [])
        return _filled(self.words[function], **dict(zip("abc", written, strict=False)))

    def _stable_number(self, function: str, arguments: Sequence[Node]) -> ast.expr:
        inside = plain(Call(function, tuple(arguments)))
        assert not isinstance(inside, Call) or inside.function in FUNCTIONS
        return self.write(inside)

    def _array(self, node: Node) -> ast.expr:
        """An expression that is not of truth values."""
        written = self.write(node)
        return _filled(f"a.astype({self.dtype})", a=written) if _is_truth(node) else written

    def _sum(self, terms: Sequence[Node]) -> ast.expr:
        positive = next((i for i, term in enumerate(terms) if split(term)[0] > 0), None)
        ordered = [*terms] if positive is None else [terms[positive], *terms[:positive], *terms[positive + 1 :]]
        whole = self._array(ordered[0])
        for term in ordered[1:]:
            if split(term)[0] < 0:
                whole = ast.BinOp(whole, ast.Sub(), self._array(negative(term)))
            else:
                whole = ast.BinOp(whole, ast.Add(), self._array(term))
        return whole

    def _product(self, node: Product) -> ast.expr:
        """Numbers first, then arrays, then conditions, whose truth values an array before them makes numbers."""
        for part, name in self.known.items():
            if isinstance(part, Product) and len(part.factors) > 1 and (rest := without(node, part)) is not None:
                if (
                    isinstance(rest, Product)
                    and len(rest.factors) == 1
                    and rest.coefficient == 1
                    and not _is_truth(rest)
                ):
                    base, exponent = rest.factors[0]
                    if exponent == MINUS_ONE:
                        return ast.BinOp(name, ast.Div(), self.write(base))
                if isinstance(rest, Name | Call | Sum):
                    return ast.BinOp(name, ast.Mult(), self.write(rest))
        numerator, denominator = node.coefficient.numerator, node.coefficient.denominator
        if 10**400 % denominator == 0 and denominator > 64:
            scalars: list[ast.expr] = [number_tree(abs(node.coefficient))]
            below_scalars: list[ast.expr] = []
        else:
            scalars = [ast.Constant(abs(numerator))] if abs(numerator) != 1 else []
            below_scalars = [ast.Constant(denominator)] if denominator != 1 else []
        arrays: list[ast.expr] = []
        below: list[ast.expr] = []
        small: list[ast.expr] = []  # of one number for each row
        below_small: list[ast.expr] = []
        wide = self.values.shape(node) if self.grouped else ()
        conditions: list[ast.expr] = []
        roots: list[ast.expr] = []
        below_roots: list[ast.expr] = []
        for base, exponent in node.factors:
            is_below = isinstance(exponent, Number) and exponent.value < 0
            written = self._power(base, negative(exponent) if is_below else exponent)
            if self._is_constant(base) and self._is_constant(exponent):
                scalar_roots = below_roots if is_below else roots
                if abs(exponent.value) == HALF.value if isinstance(exponent, Number) else False:
                    scalar_roots.append(self.write(base))
                else:
                    (below_scalars if is_below else scalars).append(written)
            elif isinstance(base, Call) and base.function in COMPARISONS:
                conditions.append(written)
            elif wide and wide[-1] > 1 and self.values.shape(base) == (*wide[:-1], 1):
                (below_small if is_below else small).append(written)
            else:
                (below if is_below else arrays).append(written)
        if below_small and arrays:  # a product takes less time than a quotient
            arrays.append(ast.BinOp(_chain(small or [ast.Constant(1)]), ast.Div(), _chain(below_small)))
        else:
            arrays, below = [*arrays, *small], [*below, *below_small]
        for under_root in (roots, below_roots):
            under_root.sort(key=lambda one: not _is_number(one))
        if roots and below_roots:
            scalars.append(_filled("math.sqrt(a / b)", a=_chain(roots), b=_chain(below_roots)))
        elif roots or below_roots:
            (scalars if roots else below_scalars).append(_filled("math.sqrt(a)", a=_chain(roots or below_roots)))
        if self.grouped and below_scalars and arrays:
            scalars, below_scalars = [*scalars, ast.BinOp(ast.Constant(1), ast.Div(), _chain(below_scalars))], []
        if conditions and not arrays and not below:
            conditions[0] = _filled(f"a.astype({self.dtype})", a=conditions[0])
        above = [*scalars, *arrays, *conditions] or [ast.Constant(1)]
        if node.coefficient < 0:
            above[0] = ast.Constant(-above[0].value) if _is_number(above[0]) else ast.UnaryOp(ast.USub(), above[0])  # type: ignore[attr-defined]
        whole = _chain(above)
        under = [*below_scalars, *below]
        return ast.BinOp(whole, ast.Div(), _chain(under)) if under else whole

    def _power(self, base: Node, exponent: Node) -> ast.expr:
        if exponent == ONE:
            return self.write(base)
        constant = self._is_constant(base)
        if exponent == HALF:
            return _filled("math.sqrt(a)" if constant else "np.sqrt(a)", a=self.write(base))
        written = self.write(base)
        if exponent == TWO and isinstance(written, ast.Name):
            return ast.BinOp(written, ast.Mult(), written)
        return ast.BinOp(written, ast.Pow(), self.write(exponent))


def _is_number(tree: ast.expr) -> bool:
    return isinstance(tree, ast.Constant) and not isinstance(tree.value, bool)


def _chain(factors: Sequence[ast.expr]) -> ast.expr:
    whole = factors[0]
    for factor in factors[1:]:
        whole = ast.BinOp(whole, ast.Mult(), factor)
    return whole


def _is_truth(node: Node) -> bool:
    return isinstance(node, Call) and node.function in COMPARISONS
