"""Printers of formulas: expressions of the formula language as text, LaTeX or MathML."""

import ast
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from attrs import evolve, frozen

from deepbp.errors import ConfigurationError
from deepbp.formulas.image_functions import IMAGE_FUNCTIONS
from deepbp.formulas.language import parse

_SUPERSCRIPTS = str.maketrans("0123456789+-−()zxyntk", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ᶻˣʸⁿᵗᵏ")
_PATHS = str.maketrans("0123456789.()abcdefghijklmnoprstuvwxyz", "⁰¹²³⁴⁵⁶⁷⁸⁹·⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")
_SUBSCRIPTS = str.maketrans("ijtx", "ᵢⱼₜₓ")
_BY = "∂L/∂"


@frozen
class Symbol:
    """A letter, with the number of a layer above it: W² is the W of layer 2, not its square.

    ∂L/∂W is a letter, too, and so is what ends in a digit below the line, such as β₁.
    """

    letter: str
    number: str = ""


class Printer(ABC):
    """Base class of printers: how one output language writes the parts of a formula."""

    minus: ClassVar[str] = "−"
    comma: ClassVar[str] = ", "
    transposed: ClassVar[str] = "ᵀ"  # as an exponent
    one_line: ClassVar[bool] = False  # whether fractions are written with a slash

    def symbol(self, symbol: Symbol, exponent: str = "") -> str:
        """Write a symbol; an exponent follows the number of its layer."""
        if not symbol.letter.startswith(_BY):
            return self.letter(symbol, exponent)
        whole = self.derivative(self.letter(Symbol("L")), self.letter(evolve(symbol, letter=symbol.letter[len(_BY) :])))
        return self.power(self.group(whole), exponent) if exponent else whole

    @abstractmethod
    def letter(self, symbol: Symbol, exponent: str = "") -> str:
        """Write a symbol that is no derivative."""

    @abstractmethod
    def derivative(self, of: str, by: str) -> str:
        """∂of/∂by."""

    @abstractmethod
    def number(self, text: str) -> str:
        """Write a number."""

    @abstractmethod
    def sign(self, text: str) -> str:
        """Write a binary operator between two operands."""

    @abstractmethod
    def row(self, *parts: str) -> str:
        """Write items in a row."""

    @abstractmethod
    def group(self, inner: str, left: str = "(", right: str = ")") -> str:
        """Write parentheses."""

    @abstractmethod
    def fraction(self, above: str, below: str) -> str:
        """Write a fraction; numerator and denominator need no parentheses."""

    @abstractmethod
    def power(self, base: str, exponent: str) -> str:
        """Write a power."""

    @abstractmethod
    def function(self, name: str, inner: str) -> str:
        """Write a call of a named function."""

    @abstractmethod
    def total(self, inner: str, index: str) -> str:
        """Write a sum over an index, or over all."""

    @abstractmethod
    def root(self, inner: str) -> str:
        """Write a square root."""


class TextPrinter(Printer):
    """Prints Unicode text for terminals."""

    one_line = True

    def letter(self, symbol: Symbol, exponent: str = "") -> str:
        return symbol.letter + symbol.number.translate(_PATHS) + exponent

    def derivative(self, of: str, by: str) -> str:
        return f"∂{of}/∂{by}"

    def number(self, text: str) -> str:
        mantissa, _, exponent = text.partition("e")
        if not exponent.lstrip("+-").isdigit():
            return text
        power = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
        return power if mantissa == "1" else f"{mantissa.replace('-', self.minus)} · {power}"

    def sign(self, text: str) -> str:
        return f" {text} " if text else " "

    def row(self, *parts: str) -> str:
        return "".join(parts)

    def group(self, inner: str, left: str = "(", right: str = ")") -> str:
        return f"{left} {inner} {right}" if left == "{" else f"{left}{inner}{right}"

    def fraction(self, above: str, below: str) -> str:
        return f"{above} / {below}"

    def power(self, base: str, exponent: str) -> str:
        tight = exponent.replace(" ", "")
        raised = tight.translate(_SUPERSCRIPTS)
        if tight == self.transposed or all(a != b for a, b in zip(tight, raised, strict=True)):
            return base + raised
        return f"{base}^({exponent})"

    def function(self, name: str, inner: str) -> str:
        return f"{name}({inner})"

    def total(self, inner: str, index: str) -> str:
        return f"Σ{index.translate(_SUBSCRIPTS)} {inner}"

    def root(self, inner: str) -> str:
        return f"√{inner}" if inner.isalnum() else f"√({inner})"


_NAMES = {
    "batch_mean": "meanᵢ",
    "feature_mean": "meanᵢ",
    "feature_variance": "varᵢ",
    "from_pairs": "contract",
    "group_mean": "mean",
    "largest_piece": "maxₖ",
    "indicators": "onehot",
    "log": "ln",
    "maximum": "max",
    "minimum": "min",
    "not_later": "causal",
    "pi": "π",
    "rotate_back": "rotate⁻¹",
    "row_max": "maxⱼ",
    "row_mean": "meanⱼ",
    "block_sum": "sum",
    "over_places": "spread",
    "place_max": "max",
    "place_mean": "mean",
    "row_variance": "varⱼ",
    "to_largest": "route",
    "up_to_now": "causal",
    "to_windows": "spread",
    "to_winner": "route",
    "to_winners": "route",
    "window_max": "max",
    "window_mean": "mean",
    "sigmoid": "σ",
    "sign": "sgn",
}
# over everything, over the samples i (and all places in them), along each row
_SIZES = {"row_size": "nⱼ", "batch_size": "nᵢ", "feature_size": "nᵢ"}
_SUMS = {"total": "", "batch_sum": "i", "feature_sum": "i", "row_sum": "j", "sum_like": "i", "sum_rows": "x"}


def print_expression(expression: str | ast.expr, symbols: Mapping[str, Symbol], printer: Printer) -> str:
    """Print an expression in the printer's language; a name without a symbol is printed as it is.

    A tree, unlike a string, may also call functions that have a symbol, ``partial(z, w)`` for ∂z/∂w, and ``bracket``
    and ``brace``, which say how a product's parts belong together.
    """
    return _Writer(symbols, printer).write(parse(expression) if isinstance(expression, str) else expression)[0]


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and _is_number(node.operand))


def _begins_with_number(node: ast.expr) -> bool:
    """Whether a digit would stand first: after 0.9, 1 where a comparison holds would read as 0.91."""
    return _is_number(node) or isinstance(node, ast.Compare)


_SUM, _PRODUCT, _MINUS, _POWER, _ATOM = range(5)  # how tightly things hold together


@frozen
class _Writer:
    symbols: Mapping[str, Symbol]
    printer: Printer

    def write(self, node: ast.expr) -> tuple[str, int]:
        """The printed text, and its operator precedence."""
        printer = self.printer
        match node:
            case ast.Name(id=name):
                return printer.symbol(self.symbols.get(name, Symbol(_NAMES.get(name, name)))), _ATOM
            case ast.Constant(value=value):
                return printer.number(str(value)), _ATOM
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return printer.row(printer.number(printer.minus), self._inside(operand, _PRODUCT)), _SUM
            case ast.Call(func=ast.Name(id="rows"), args=[argument]):
                return self.write(argument)
            case ast.Attribute(value=ast.Call(func=ast.Name(id="rows"), args=[argument]), attr="T"):
                return self.write(ast.Attribute(argument, "T"))
            case ast.Attribute(value=ast.Name(id=name), attr="T"):
                return printer.symbol(self.symbols.get(name, Symbol(name)), printer.transposed), _POWER
            case ast.Attribute(value=value, attr="T"):
                return printer.power(self._inside(value, _ATOM), printer.transposed), _POWER
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                sign = {"Gt": ">", "Lt": "<", "GtE": "≥", "LtE": "≤", "Eq": "=", "NotEq": "≠"}[type(op).__name__]
                inner = printer.row(self.write(left)[0], printer.sign(sign), self.write(right)[0])
                return printer.row(
                    printer.number("𝟙"), printer.group(inner, "[", "]")
                ), _ATOM  # 1 where it holds, else 0
            case ast.BinOp(left=left, op=op, right=right):
                return self._operation(left, op, right)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._function(name, arguments)
        raise ConfigurationError(f"formula {ast.unparse(node)!r}: cannot be set in type")

    def _inside(self, node: ast.expr, least: int) -> str:
        text, holds = self.write(node)
        return text if holds >= least else self.printer.group(text)

    def _beside(self, node: ast.expr, least: int) -> str:
        """A numerator or denominator in one line, with parentheses around a sum, whose extent would be unclear."""
        is_sum = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SUMS
        return self._inside(node, _ATOM if is_sum else least)

    def _operation(self, left: ast.expr, op: ast.operator, right: ast.expr) -> tuple[str, int]:
        printer = self.printer
        match op:
            case ast.Add() | ast.Sub():
                adds = isinstance(op, ast.Add)
                sign = printer.sign("+" if adds else printer.minus)
                return printer.row(
                    self._inside(left, _SUM), sign, self._inside(right, _SUM if adds else _PRODUCT)
                ), _SUM
            case ast.Mult():
                between = "" if isinstance(left, ast.Constant) and not _begins_with_number(right) else "·"
                sign = printer.sign(between) if between or isinstance(right, ast.Name | ast.Constant | ast.Call) else ""
                return printer.row(self._inside(left, _PRODUCT), sign, self._inside(right, _PRODUCT)), _PRODUCT
            case ast.MatMult():
                return printer.row(
                    self._inside(left, _PRODUCT), printer.sign(""), self._inside(right, _MINUS)
                ), _PRODUCT
            case ast.Div():
                if isinstance(left, ast.UnaryOp):  # the sign stands before the whole fraction
                    return self.write(ast.UnaryOp(left.op, ast.BinOp(left.operand, op, right)))
                if printer.one_line:
                    return printer.fraction(self._beside(left, _PRODUCT), self._beside(right, _POWER)), _PRODUCT
                return printer.fraction(self.write(left)[0], self.write(right)[0]), _PRODUCT
            case ast.Pow():
                base = self._inside(left, _ATOM)
                if isinstance(left, ast.Name) and self.symbols.get(left.id, Symbol("")).number:
                    base = printer.group(base)  # the square of the second layer's a is not a²²
                return printer.power(base, self.write(right)[0]), _POWER
        raise ConfigurationError(f"formula: the operator {type(op).__name__} cannot be set in type")

    def _function(self, name: str, arguments: list[ast.expr]) -> tuple[str, int]:
        printer = self.printer
        if name in _SIZES:
            return printer.symbol(Symbol(_SIZES[name])), _ATOM
        if name in ("spread", "shaped_like", "split_heads", "join_heads"):  # these go without saying
            return self.write(arguments[0])
        if name in ("before", "after") and isinstance(arguments[0], ast.Name):
            symbol = self.symbols.get(arguments[0].id, Symbol(arguments[0].id))
            step = "ₜ₋₁" if name == "before" else "ₜ₊₁"
            return printer.symbol(evolve(symbol, letter=symbol.letter.rstrip("ₜ") + step)), _ATOM
        if name == "first" and isinstance(arguments[0], ast.Name):
            symbol = self.symbols.get(arguments[0].id, Symbol(arguments[0].id))
            if symbol.letter.endswith("ₜ"):
                return printer.symbol(evolve(symbol, letter=symbol.letter[:-1] + "₁")), _ATOM
        if name in ("at_first", "at_last"):  # 1 at this step, else 0
            step = printer.row(
                printer.letter(Symbol("t")),
                printer.sign("="),
                printer.number("1") if name == "at_first" else printer.letter(Symbol("T")),
            )
            here = printer.row(printer.number("𝟙"), printer.group(step, "[", "]"))
            return printer.row(here, printer.sign("·"), self._inside(arguments[0], _PRODUCT)), _PRODUCT
        if name == "applied" and isinstance(arguments[0], ast.Name):
            return self._function(arguments[0].id, arguments[1:])
        if name == "nth":  # one of the states that a recurrence begins with
            symbol = self.symbols.get(ast.unparse(arguments[0]), Symbol(ast.unparse(arguments[0])))
            return printer.row(printer.symbol(symbol), printer.group(self.write(arguments[1])[0], "[", "]")), _ATOM
        first, *others = (self.write(argument)[0] for argument in arguments)
        match name:
            case "part":
                count = ast.literal_eval(arguments[1]) + 1
                return printer.row(first, printer.group(printer.number(str(count)), "[", "]")), _ATOM
            case "turned":
                return self.write(ast.Attribute(arguments[0], "T"))
            case "step_products":
                product = ast.BinOp(ast.Attribute(arguments[0], "T"), ast.MatMult(), arguments[1])
                return printer.total(self.write(product)[0], "t"), _PRODUCT
            case "exp":
                return printer.power(printer.number("e"), first), _POWER
            case "total" | "row_sum" | "batch_sum" | "feature_sum" | "sum_like" | "sum_rows":
                return printer.total(self._inside(arguments[0], _PRODUCT), _SUMS[name]), _PRODUCT
            case "sqrt":
                return printer.root(first), _ATOM
            case "abs":
                return printer.group(first, "|", "|"), _ATOM
            case "bracket":
                return printer.group(first, "[", "]"), _ATOM
            case "concat" | "beside":  # columns side by side
                return printer.group(
                    printer.row(first, *(printer.row(printer.comma, other) for other in others)), "[", "]"
                ), _ATOM
            case "columns":
                places = printer.number(":".join(ast.unparse(one) for one in arguments[1:]))
                return printer.row(self._inside(arguments[0], _ATOM), printer.group(places, "[", "]")), _ATOM
            case "into_columns":  # 0 in the columns before, if there are any, and in those behind
                zero, comma = printer.number("0"), printer.comma
                before = [] if ast.unparse(arguments[1]) == "0" else [zero, comma]
                return printer.group(printer.row(*before, first, comma, zero), "[", "]"), _ATOM
            case "stack":  # rows below one another
                below = (printer.row(printer.sign(";"), other) for other in others)
                return (
                    printer.group(printer.row(first, *below), "[", "]") if others else first
                ), _ATOM if others else _SUM
            case "brace":
                return printer.group(first, "{", "}"), _ATOM
            case "partial":
                return printer.derivative(first, *others), _ATOM
            case "take":
                return printer.row(first, printer.group(others[0], "[", "]")), _ATOM
            case "correlate" | "correlate_samples" | "convolve":
                sign = printer.sign("∗" if name == "convolve" else "⋆")
                factors = (self._inside(argument, _PRODUCT) for argument in arguments[:2])
                return printer.row(next(factors), sign, next(factors)), _PRODUCT
            case "from_pairs" | "to_largest":
                others = others[:1]  # the weights, and the number of pieces, stand beside the formula
            case "reshape" | "group_mean" | "largest_piece" | "pairs":
                others = []  # sizes and shapes do, too
            case _ if name in IMAGE_FUNCTIONS:
                others = []  # sizes and shapes stand beside the formula
        named = self.symbols[name].letter if name in self.symbols else _NAMES.get(name, name)
        return printer.function(
            named, printer.row(first, *(printer.row(printer.comma, other) for other in others))
        ), _ATOM
