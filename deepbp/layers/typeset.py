"""An expression set in type, by a pen that knows one language."""

import ast
from collections.abc import Mapping

from attrs import frozen

from deepbp.errors import ConfigurationError
from deepbp.layers.formula import parse
from deepbp.layers.pen import Pen, Symbol

_NAMES = {
    "batch_mean": "meanᵢ",
    "feature_mean": "meanᵢ",
    "feature_variance": "varᵢ",
    "log": "ln",
    "maximum": "max",
    "minimum": "min",
    "pi": "π",
    "row_max": "maxⱼ",
    "row_mean": "meanⱼ",
    "row_variance": "varⱼ",
    "sigmoid": "σ",
    "sign": "sgn",
}
# over everything, over the samples i (and all places in them), along each row
_SUMS = {"total": "", "batch_sum": "i", "feature_sum": "i", "row_sum": "j"}


def write(expression: str | ast.expr, symbols: Mapping[str, Symbol], pen: Pen) -> str:
    """The expression in the pen's language; a name without a symbol is written as it is.

    A tree, unlike a string, may also call functions that have a symbol, ``partial(z, w)`` for ∂z/∂w, and ``bracket``
    and ``brace``, which say how a product's parts belong together.
    """
    return _Writer(symbols, pen).write(parse(expression) if isinstance(expression, str) else expression)[0]


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and _is_number(node.operand))


_SUM, _PRODUCT, _MINUS, _POWER, _ATOM = range(5)  # how tightly things hold together


@frozen
class _Writer:
    symbols: Mapping[str, Symbol]
    pen: Pen

    def write(self, node: ast.expr) -> tuple[str, int]:
        """The text, and how tightly it holds together."""
        pen = self.pen
        match node:
            case ast.Name(id=name):
                return pen.symbol(self.symbols.get(name, Symbol(_NAMES.get(name, name)))), _ATOM
            case ast.Constant(value=value):
                return pen.number(str(value)), _ATOM
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return pen.row(pen.number(pen.minus), self._inside(operand, _PRODUCT)), _SUM
            case ast.Attribute(value=ast.Name(id=name), attr="T"):
                return pen.symbol(self.symbols.get(name, Symbol(name)), pen.transposed), _POWER
            case ast.Attribute(value=value, attr="T"):
                return pen.power(self._inside(value, _ATOM), pen.transposed), _POWER
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                sign = {"Gt": ">", "Lt": "<", "GtE": "≥", "LtE": "≤", "Eq": "=", "NotEq": "≠"}[type(op).__name__]
                inner = pen.row(self.write(left)[0], pen.sign(sign), self.write(right)[0])
                return pen.row(pen.number("𝟙"), pen.group(inner, "[", "]")), _ATOM  # 1 where it holds, else 0
            case ast.BinOp(left=left, op=op, right=right):
                return self._operation(left, op, right)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._function(name, arguments)
        raise ConfigurationError(f"formula {ast.unparse(node)!r}: cannot be set in type")

    def _inside(self, node: ast.expr, least: int) -> str:
        text, holds = self.write(node)
        return text if holds >= least else self.pen.group(text)

    def _beside(self, node: ast.expr, least: int) -> str:
        """A part of a fraction in one line; what a sum adds would otherwise seem to go on."""
        is_sum = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SUMS
        return self._inside(node, _ATOM if is_sum else least)

    def _operation(self, left: ast.expr, op: ast.operator, right: ast.expr) -> tuple[str, int]:
        pen = self.pen
        match op:
            case ast.Add() | ast.Sub():
                adds = isinstance(op, ast.Add)
                sign = pen.sign("+" if adds else pen.minus)
                return pen.row(self._inside(left, _SUM), sign, self._inside(right, _SUM if adds else _PRODUCT)), _SUM
            case ast.Mult():
                between = "" if isinstance(left, ast.Constant) and not _is_number(right) else "·"
                sign = pen.sign(between) if between or isinstance(right, ast.Name | ast.Constant | ast.Call) else ""
                return pen.row(self._inside(left, _PRODUCT), sign, self._inside(right, _PRODUCT)), _PRODUCT
            case ast.MatMult():
                return pen.row(self._inside(left, _PRODUCT), pen.sign(""), self._inside(right, _MINUS)), _PRODUCT
            case ast.Div():
                if isinstance(left, ast.UnaryOp):  # the sign stands before the whole fraction
                    return self.write(ast.UnaryOp(left.op, ast.BinOp(left.operand, op, right)))
                if pen.one_line:
                    return pen.fraction(self._beside(left, _PRODUCT), self._beside(right, _POWER)), _PRODUCT
                return pen.fraction(self.write(left)[0], self.write(right)[0]), _PRODUCT
            case ast.Pow():
                base = self._inside(left, _ATOM)
                if isinstance(left, ast.Name) and self.symbols.get(left.id, Symbol("")).number:
                    base = pen.group(base)  # the square of the second layer's a is not a²²
                return pen.power(base, self.write(right)[0]), _POWER
        raise ConfigurationError(f"formula: the operator {type(op).__name__} cannot be set in type")

    def _function(self, name: str, arguments: list[ast.expr]) -> tuple[str, int]:
        pen = self.pen
        first, *others = (self.write(argument)[0] for argument in arguments)
        match name:
            case "exp":
                return pen.power(pen.number("e"), first), _POWER
            case "total" | "row_sum" | "batch_sum" | "feature_sum":
                return pen.total(self._inside(arguments[0], _PRODUCT), _SUMS[name]), _PRODUCT
            case "sqrt":
                return pen.root(first), _ATOM
            case "abs":
                return pen.group(first, "|", "|"), _ATOM
            case "bracket":
                return pen.group(first, "[", "]"), _ATOM
            case "concat":  # columns side by side
                return pen.group(pen.row(first, *(pen.row(pen.comma, other) for other in others)), "[", "]"), _ATOM
            case "brace":
                return pen.group(first, "{", "}"), _ATOM
            case "partial":
                return pen.derivative(first, *others), _ATOM
            case "reshape":
                others = []  # the shapes stand beside the formula
        named = self.symbols[name].letter if name in self.symbols else _NAMES.get(name, name)
        return pen.function(named, pen.row(first, *(pen.row(pen.comma, other) for other in others))), _ATOM
