"""The printer of expressions as JavaScript, for pages that compute; ``arrays.js`` has the functions of the language."""

import ast
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from deepbp.errors import ConfigurationError

_OPERATORS: dict[type, str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.MatMult: "matmul",
    ast.Pow: "power",
    ast.USub: "negative",
    ast.Gt: "greater",
    ast.Lt: "less",
    ast.GtE: "greater_equal",
    ast.LtE: "less_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
}


@cache
def runtime() -> str:
    """The source of the object ``formulas``, whose methods are the functions of the language."""
    return files("deepbp.formulas").joinpath("arrays.js").read_text(encoding="utf-8")


@cache
def functions() -> frozenset[str]:
    """The names of the functions in ``arrays.js``."""
    exported = runtime().rpartition("return {")[2].partition("}")[0]
    return frozenset(re.findall(r"\w+", exported))


def javascript(tree: ast.expr, names: Mapping[str, str]) -> str:
    """An expression of the language as JavaScript; ``names`` has the JavaScript of its variables.

    Raises:
        ConfigurationError: for a function that ``arrays.js`` lacks.

    >>> import ast
    >>> from deepbp.formulas.javascript import javascript
    >>> javascript(ast.parse("x @ w + tanh(2 * x)", mode="eval").body, {"x": "v.x", "w": "v.w"})
    'formulas.add(formulas.matmul(v.x, v.w), formulas.tanh(formulas.multiply(2, v.x)))'
    """

    def call(function: str, *arguments: ast.expr) -> str:
        if function not in functions():
            raise ConfigurationError(f"javascript: the function {function} has no form in JavaScript")
        return f"formulas.{function}({', '.join(map(write, arguments))})"

    def write(node: ast.expr) -> str:
        match node:
            case ast.Name(id=name) if name in names:
                return names[name]
            case ast.Name(id="pi"):
                return "Math.PI"
            case ast.Constant(value=value):
                return literal(value)
            case ast.Tuple(elts=elements):
                return f"[{', '.join(map(write, elements))}]"
            case ast.UnaryOp(op=op, operand=operand):
                return call(_OPERATORS[type(op)], operand)
            case ast.BinOp(left=left, op=op, right=right):
                return call(_OPERATORS[type(op)], left, right)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return call(_OPERATORS[type(op)], left, right)
            case ast.Attribute(value=value, attr="T"):
                return call("transposed", value)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return call(name, *arguments)
        raise ConfigurationError(f"javascript: {ast.unparse(node)!r} has no form in JavaScript")

    return write(tree)


def literal(value: Any) -> str:
    """A number, a text, or a tuple of them in JavaScript. A page may have it: no tag can begin in it."""
    return json.dumps(value).replace("<", "\\u003c")
