"""Formulas as text: reading them to the normal form, with errors that point at the place, and writing them back."""

import ast
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from deepbp.errors import ConfigurationError, DeepBPError, ShapeError, shown
from deepbp.formulas.algebra import (
    COMPARISONS,
    MINUS_ONE,
    ONE,
    PI,
    Call,
    Factors,
    Name,
    Node,
    Number,
    Product,
    Sum,
    add,
    call,
    divide,
    inner_first,
    join,
    multiply,
    negative,
    number,
    power,
    split,
    subtract,
)
from deepbp.formulas.language import FUNCTIONS

LONGEST, DEEPEST, MOST = 4000, 60, 100  # of a formula: characters, levels of nesting, and operations
_COMPARISONS: dict[type[ast.cmpop], str] = dict(
    zip((ast.Gt, ast.Lt, ast.GtE, ast.LtE, ast.Eq, ast.NotEq), COMPARISONS, strict=True)
)
_OPERATORS = {sign: kind for kind, sign in _COMPARISONS.items()}
_BINARY: dict[type[ast.operator], Any] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.Pow: np.power,
    ast.MatMult: np.matmul,
}
_SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**", ast.MatMult: "@"}

_Error = TypeVar("_Error", bound=DeepBPError)


def pointed(text: str, node: ast.expr, message: str, kind: type[_Error] = ConfigurationError) -> _Error:  # type: ignore[assignment]
    """An error that shows the formula with a caret under the place."""
    line = text.split("\n")[node.lineno - 1]
    start, end = (len(line.encode()[:column].decode()) for column in (node.col_offset, node.end_col_offset or 0))
    if node.end_lineno != node.lineno:
        end = len(line)
    return kind(f"formula: {message}\n    {line}\n    {' ' * start}{'^' * max(end - start, 1)}")


def read_tree(text: str) -> ast.expr:
    """Parse a formula to a syntax tree of the language. Raises ConfigurationError, which points at the place."""
    if not isinstance(text, str) or not text.strip():
        raise ConfigurationError(f"formula: expected an expression such as 'x * sigmoid(x)', got {shown(text)}")
    if len(text) > LONGEST:
        raise ConfigurationError(f"formula: expected at most {LONGEST} characters, got {len(text)}")
    text = text.strip()
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        message = getattr(error, "msg", str(error))
        column = max((getattr(error, "offset", None) or 1) - 1, 0)
        line = text.split("\n")[max((getattr(error, "lineno", None) or 1) - 1, 0)]
        hint = ": write ** for a power" if "^" in text else ""
        raise ConfigurationError(f"formula: {message}{hint}\n    {line}\n    {' ' * column}^") from None
    _check(tree, text, 0)
    operations = sum(isinstance(node, ast.BinOp | ast.UnaryOp | ast.Call | ast.Compare) for node in ast.walk(tree))
    if operations > MOST:  # the time of a derivation grows with their cube
        raise pointed(text, tree, f"expected at most {MOST} operations, got {operations}")
    return tree


def _check(node: ast.expr, text: str, depth: int) -> None:
    """Raise ConfigurationError for what is not of the language."""
    if depth > DEEPEST:
        raise pointed(text, node, f"expected at most {DEEPEST} levels of nesting")
    inside: Sequence[ast.expr]
    match node:
        case ast.Name():
            inside = ()
        case ast.Constant(value=int() | float() as value) if type(value) is not bool and abs(value) < 1e30:
            inside = ()
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            inside = (operand,)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            inside = (left, right)
        case ast.BinOp(op=ast.BitXor()):
            raise pointed(text, node, "^ is no power here: write **")
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            inside = (left, right)
        case ast.Attribute(value=value, attr="T"):
            inside = (value,)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            inside = arguments
        case ast.Call(func=ast.Attribute(value=ast.Name(), attr=name)) if name in FUNCTIONS:
            raise pointed(text, node.func, f"functions stand alone: write {name}(...)")
        case ast.Call(func=ast.Name(id=name)) if name not in FUNCTIONS:
            close = get_close_matches(name, FUNCTIONS, n=1)
            raise pointed(
                text,
                node.func,
                f"there is no function {name!r}"
                + (f": did you mean {close[0]}?" if close else ": there are " + ", ".join(FUNCTIONS)),
            )
        case _:
            raise pointed(text, node, f"expected numbers, names, operators and functions, got {ast.unparse(node):.60}")
    for one in inside:
        _check(one, text, depth + 1)


def check_names(text: str, tree: ast.expr, known: Iterable[str], fix: str = "") -> None:
    """Raise ConfigurationError for a name that is not known, pointing at it."""
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = [*known]
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and id(node) not in functions and node.id not in (*names, "pi"):
            close = get_close_matches(node.id, names, n=1, cutoff=0.7)
            hint = f": did you mean {close[0]}?" if close else fix.format(node.id)
            raise pointed(text.strip(), node, f"{node.id!r} is not defined{hint}")


def check_shapes(text: str, tree: ast.expr, values: Mapping[str, Any]) -> Any:
    """Evaluate a tree step by step; raises ShapeError, which points at the operation that does not fit."""
    text = text.strip()

    def value(node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=constant):
                return constant
            case ast.Name(id=name):
                return np.pi if name == "pi" else values[name]
            case ast.UnaryOp(op=op, operand=operand):
                inner = value(operand)
                return -inner if isinstance(op, ast.USub) else inner
            case ast.Attribute(value=inner):
                return np.asarray(value(inner)).T
            case ast.BinOp(left=left, op=op, right=right):
                sides = value(left), value(right)
                return _applied(node, _BINARY[type(op)], sides, _SIGNS[type(op)])
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                sides = value(left), value(right)
                return _applied(node, getattr(np, _NUMPY_COMPARISONS[type(op)]), sides, _COMPARISONS[type(op)])
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return _applied(node, FUNCTIONS[name], tuple(map(value, arguments)), name)
        raise AssertionError(ast.dump(node))

    def _applied(node: ast.expr, function: Any, arguments: tuple[Any, ...], sign: str) -> Any:
        try:
            return function(*arguments)
        except TypeError as error:
            raise pointed(text, node, f"{sign} does not take {len(arguments)} arguments: {error}") from None
        except Exception as error:
            shapes = " and ".join(str(np.shape(one)) for one in arguments)
            raise pointed(text, node, f"{sign} does not fit shapes {shapes}: {error}", ShapeError) from None

    with np.errstate(all="ignore"):
        return value(tree)


_NUMPY_COMPARISONS = {
    ast.Gt: "greater",
    ast.Lt: "less",
    ast.GtE: "greater_equal",
    ast.LtE: "less_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
}


def node_of(tree: ast.expr) -> Node:
    """The normal form of a syntax tree of the language."""
    match tree:
        case ast.Constant(value=int() | float() as value):
            return number(value)
        case ast.Name(id=name):
            return Name(name)
        case ast.UnaryOp(op=op, operand=operand):
            inner = node_of(operand)
            return negative(inner) if isinstance(op, ast.USub) else inner
        case ast.Attribute(value=value):
            return transposed(node_of(value))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return call(_COMPARISONS[type(op)], node_of(left), node_of(right))
        case ast.BinOp(left=left, op=op, right=right):
            one, other = node_of(left), node_of(right)
            match op:
                case ast.Add():
                    return add(one, other)
                case ast.Sub():
                    return subtract(one, other)
                case ast.Mult():
                    return multiply(one, other)
                case ast.Div():
                    return divide(one, other)
                case ast.Pow():
                    return power(one, other)
                case ast.MatMult():
                    return matrix_product(one, other)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            if name == "sqrt":
                return power(node_of(arguments[0]), Number(Fraction(1, 2)))
            return call(name, *map(node_of, arguments))
    raise ConfigurationError(f"formula: {ast.unparse(tree)!r} is not of the language")


def read(text: str) -> Node:
    """The normal form of a formula. Raises ConfigurationError, which points at the place, for what is none."""
    tree = read_tree(text)
    node = node_of(tree)
    for one in inner_first(node):
        for base, exponent in split(one)[1]:
            if isinstance(base, Number) and isinstance(exponent, Number) and exponent.value.denominator == 1:
                raise pointed(text.strip(), tree, f"the number {base.value} ** {exponent.value} is too large")
    return node


def transposed(node: Node) -> Node:
    """The transpose; of a transpose, and of a product of matrices, written without a sign around it."""
    match node:
        case Call("T", (inner,)):
            return inner
        case Call("@", (one, other)):
            return matrix_product(transposed(other), transposed(one))
    return call("T", node)


def matrix_product(one: Node, other: Node) -> Node:
    """The matrix product, with numbers in front of it."""
    (first, left), (second, right) = split(one), split(other)
    product = call("@", join(Fraction(1), left), join(Fraction(1), right))
    return multiply(Number(first * second), product) if left and right else call("@", one, other)


# Writing

_GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eta": "η", "kappa": "κ", "mu": "μ"}
_GREEK |= {"nu": "ν", "omega": "ω", "rho": "ρ", "sigma": "σ", "tau": "τ", "theta": "θ"}


def letters_of(names: Iterable[str]) -> dict[str, str]:
    """The letters of names: Greek ones where they are spelled out, and subscripts for numbers."""
    letters = {}
    for name in names:
        stem = name.rstrip("0123456789")
        below = name[len(stem) :].translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
        letters[name] = _GREEK.get(stem, stem) + below
    return letters


def written(node: Node) -> str:
    """The expression as text of the language, as a person writes it."""
    return unparsed(tree_of(node))


def unparsed(tree: ast.expr) -> str:
    """The text of a tree, with powers as they are written by hand: x**2."""
    return ast.unparse(tree).replace(" ** ", "**")


def tree_of(node: Node) -> ast.expr:
    """The expression as a syntax tree, as a person writes it: b − a for −(a − b), a / b for a · b⁻¹, √ for ^½."""
    match node:
        case Number(value):
            return _number(value)
        case Name(name):
            return ast.Name(name)
        case Call("T", (inner,)):
            return ast.Attribute(tree_of(inner), "T")
        case Call("@", (one, other)):
            return ast.BinOp(tree_of(one), ast.MatMult(), tree_of(other))
        case Call(function, (one, other)) if function in COMPARISONS:
            return ast.Compare(tree_of(one), [_OPERATORS[function]()], [tree_of(other)])
        case Call(function, arguments):
            return ast.Call(ast.Name(function), [tree_of(one) for one in arguments], [])
        case Sum(terms):
            return _sum(terms)
        case Product(coefficient, factors):
            return _product(coefficient, factors)
    raise AssertionError(node)


def _number(value: Fraction) -> ast.expr:
    if value < 0:
        return ast.UnaryOp(ast.USub(), _number(-value))
    if value.denominator == 1:
        return ast.Constant(int(value))
    if 10**400 % value.denominator == 0:  # a decimal number
        return ast.Constant(float(value))
    return ast.BinOp(ast.Constant(value.numerator), ast.Div(), ast.Constant(value.denominator))


def _sum(terms: Sequence[Node]) -> ast.expr:
    """The first positive term comes first."""
    positive = next((i for i, term in enumerate(terms) if not _is_negative(term)), None)
    ordered = [*terms] if positive is None else [terms[positive], *terms[:positive], *terms[positive + 1 :]]
    whole = tree_of(ordered[0])
    for term in ordered[1:]:
        if _is_negative(term):
            whole = ast.BinOp(whole, ast.Sub(), tree_of(negative(term)))
        else:
            whole = ast.BinOp(whole, ast.Add(), tree_of(term))
    return whole


def _is_negative(term: Node) -> bool:
    return split(term)[0] < 0


def _flipped(coefficient: Fraction, factors: Factors) -> tuple[Fraction, Factors] | None:
    """−(a − b) as (b − a), for the last difference among the factors."""
    if coefficient >= 0:
        return None
    for i, (base, exponent) in reversed([*enumerate(factors)]):
        if exponent in (ONE, MINUS_ONE) and isinstance(base, Sum) and any(split(term)[0] < 0 for term in base.terms):
            other = add(*(negative(term) for term in base.terms))
            return -coefficient, (*factors[:i], (other, exponent), *factors[i + 1 :])
    return None


def _product(coefficient: Fraction, factors: Factors) -> ast.expr:
    coefficient, factors = _flipped(coefficient, factors) or (coefficient, factors)
    if coefficient < 0:
        inner = tree_of(join(-coefficient, factors))
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Div):  # −a / b
            return ast.BinOp(ast.UnaryOp(ast.USub(), inner.left), inner.op, inner.right)
        return ast.UnaryOp(ast.USub(), inner)
    above: list[ast.expr] = []
    below: list[ast.expr] = []
    roots_above: list[Node] = []  # constants under a root
    roots_below: list[Node] = []
    numerator, denominator = _as_fraction(coefficient)
    for base, exponent in sorted(
        factors, key=lambda pair: isinstance(pair[0], Call) and pair[0].function in COMPARISONS
    ):
        constant = base == PI or isinstance(base, Number)
        is_below = (isinstance(exponent, Number) and exponent.value < 0) or split(exponent)[0] < 0
        size = negative(exponent) if is_below else exponent
        if constant and size == Number(Fraction(1, 2)):
            (roots_below if is_below else roots_above).append(base)
        elif constant and not is_below:
            above.insert(0, _power(base, size))
        elif base == PI:
            below.insert(0, _power(base, size))
        else:
            (below if is_below else above).append(_power(base, size))
    if roots_above:
        above.insert(0, _root(divide(multiply(*roots_above), multiply(*roots_below))))
    elif roots_below:
        below.insert(0, _root(multiply(*roots_below)))
    if numerator != 1 or not above:
        above.insert(0, _number(numerator))
    if denominator != 1:
        below.insert(0, _number(denominator))
    whole = _times(above)
    if below:
        whole = ast.BinOp(whole, ast.Div(), _times(below))
    return whole


def _as_fraction(coefficient: Fraction) -> tuple[Fraction, Fraction]:
    """Numerator and denominator; a decimal such as 0.134145 stays one."""
    if coefficient.denominator > 64:
        return coefficient, Fraction(1)
    return Fraction(coefficient.numerator), Fraction(coefficient.denominator)


def _times(factors: Sequence[ast.expr]) -> ast.expr:
    whole = factors[0]
    for factor in factors[1:]:
        whole = ast.BinOp(whole, ast.Mult(), factor)
    return whole


def _power(base: Node, exponent: Node) -> ast.expr:
    if exponent == ONE:
        return tree_of(base)
    if exponent == Number(Fraction(1, 2)):
        return _root(base)
    if isinstance(exponent, Number) and exponent.value.denominator != 1:
        above, below = exponent.value.numerator, exponent.value.denominator
        return ast.BinOp(tree_of(base), ast.Pow(), ast.BinOp(ast.Constant(above), ast.Div(), ast.Constant(below)))
    return ast.BinOp(tree_of(base), ast.Pow(), tree_of(exponent))


def _root(node: Node) -> ast.expr:
    return ast.Call(ast.Name("sqrt"), [tree_of(node)], [])
