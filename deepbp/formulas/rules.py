"""The rules of differentiation, backwards: what an expression's gradient passes to each of its parts.

Every rule takes the expression, its upstream gradient g, and the values from which shapes are read, and returns the
share of each part with the reason in words. What broadcasting repeated is summed; what a sum added up gets g repeated.
"""

from collections.abc import Callable, Collection, Iterator
from fractions import Fraction
from typing import TypeAlias

from attrs import frozen

from deepbp.errors import ConfigurationError
from deepbp.formulas.algebra import (
    COMPARISONS,
    MINUS_ONE,
    ONE,
    PI,
    TWO,
    ZERO,
    Call,
    Name,
    Node,
    Number,
    Product,
    Sum,
    call,
    join,
    multiply,
    negative,
    number,
    power,
    split,
    subtract,
)
from deepbp.formulas.formula_text import matrix_product, transposed
from deepbp.formulas.values import Values
from deepbp.typing import Shape


class NoDerivative(ConfigurationError):  # noqa: N818  # what is missing, as the others of deepbp's errors say
    """A function that has no rule for its arguments; ``function`` is its name."""

    def __init__(self, function: str, reason: str) -> None:
        super().__init__(f"formula: {function}: {reason}")
        self.function, self.reason = function, reason


@frozen
class Share:
    """What is passed to a part of an expression, and the rule behind it."""

    part: Node
    gradient: Node
    rule: str


Rule: TypeAlias = Callable[[Call, Node, Values], list[Node | None]]
"""Returns the gradient of each argument; None for one that has no derivative."""


def shares(node: Node, g: Node, values: Values, wanted: Collection[Node]) -> Iterator[Share]:
    """The shares of those parts of an expression that contain what is wanted; ``wanted`` has all of these parts."""
    match node:
        case Sum(terms):
            for term in terms:
                if term in wanted:
                    yield Share(
                        term,
                        summed(g, term, values),
                        _with_sum("sum rule: each term gets the same signal", g, term, values),
                    )
        case Product(coefficient, factors):
            for i, (base, exponent) in enumerate(factors):
                others = join(coefficient, (*factors[:i], *factors[i + 1 :]))
                if base in wanted:
                    rule = "power rule" if exponent != ONE else "product rule: times the other factors"
                    if not split(others)[1]:
                        rule = "power rule" if exponent != ONE else "constant factors stay"
                    if exponent == MINUS_ONE:
                        rule = "quotient rule: (1/u)′ = −1/u²"
                    slope = multiply(others, exponent, power(base, subtract(exponent, ONE)))
                    yield Share(base, summed(multiply(g, slope), base, values), _with_sum(rule, g, base, values))
                if exponent in wanted:
                    slope = multiply(node, call("log", base))
                    yield Share(exponent, summed(multiply(g, slope), exponent, values), "(aᵘ)′ = aᵘ ln a")
        case Call(function, arguments):
            if function in COMPARISONS or function in CONSTANT:
                return
            if function in ("maximum", "minimum") and len(arguments) == 2:
                yield from _extreme(node, g, values, wanted)
                return
            if function not in RULES:
                raise NoDerivative(function, "there is no rule for its derivative")
            reasons, passed = RULES[function]
            for i, (part, gradient) in enumerate(zip(arguments, passed(node, g, values), strict=False)):
                if gradient is not None and part in wanted:
                    yield Share(part, gradient, reasons if isinstance(reasons, str) else reasons[i])


CONSTANT = frozenset({"batch_size", "feature_size", "row_size", "sign", "sinusoids"})
"""Functions whose derivative is 0 wherever they have one."""


def _with_sum(rule: str, g: Node, part: Node, values: Values) -> str:
    repeated = len(values.shape(part)) < len(values.shape(g)) or values.of_size(g) > values.of_size(part)
    return f"{rule}; summed where it was repeated" if repeated and values.shape(part) else rule


def summed(g: Node, part: Node, values: Values) -> Node:
    """g, summed over what broadcasting repeated, or repeated where g itself is smaller."""
    shape, wanted = values.shape(g), values.shape(part)
    if shape == wanted:
        return g
    if _fits(shape, wanted):
        return call("spread", g, part)
    return reduced(g, shape, part, wanted)


def _fits(shape: Shape, wanted: Shape) -> bool:
    """Whether broadcasting makes an array of the wanted shape."""
    if len(shape) > len(wanted):
        return False
    return all(n in (1, m) for n, m in zip(reversed(shape), reversed(wanted), strict=False))


def reduced(g: Node, shape: Shape, part: Node, wanted: Shape) -> Node:
    """The sum of g over the axes that the wanted shape lacks, in the plainest words."""
    if not wanted:
        return call("total", g)
    if len(wanted) == len(shape) and wanted == (*shape[:-1], 1):
        return call("row_sum", g)
    if wanted == shape[-1:]:
        return call("batch_sum" if len(shape) == 2 else "feature_sum", g)
    if wanted == shape[1:]:
        return call("batch_sum", g)
    return call("sum_like", g, part)


def _elementwise(slope: Callable[[Call, Node], Node]) -> Rule:
    """The rule of a function of single numbers: g · f′."""
    return lambda node, g, values: [multiply(g, slope(node, node.arguments[0]))]


def _repeating(factor: Callable[[Node], Node]) -> Rule:
    """The rule of a sum or mean: each number gets the same signal."""
    return lambda node, g, values: [summed(multiply(g, factor(node.arguments[0])), node.arguments[0], values)]


def _variance(mean: str, size: str) -> Rule:
    def rule(node: Call, g: Node, values: Values) -> list[Node | None]:
        (u,) = node.arguments
        return [multiply(TWO, g, subtract(u, call(mean, u)), power(call(size, u), MINUS_ONE))]

    return rule


def _extreme(node: Call, g: Node, values: Values, wanted: Collection[Node]) -> Iterator[Share]:
    """The signal goes to the larger one. Of a tie with a constant it goes nowhere, as in ReLU′(0) = 0.

    Where a formula has both max(u, c) and min(u, c), or max(−u, −c), exactly one of them passes the signal: a function
    that is smooth in spite of them, such as the ELU, keeps its derivative at c.
    """
    is_max = node.function == "maximum"
    rule = "max passes the signal to the larger one" if is_max else "min passes the signal to the smaller one"
    one, other = node.arguments
    both = one in wanted and other in wanted
    mirrored = {call("maximum", one, other), call("maximum", other, one)} if not is_max else set()
    if any(split(part)[0] < 0 for part in (one, other) if part in wanted):
        minus = negative(one), negative(other)
        mirrored |= {call(node.function, *minus), call(node.function, *reversed(minus))}
    paired = not mirrored.isdisjoint(wanted)
    signs = (">", "<=") if is_max else ("<", ">=")
    for part, rest, sign in ((one, other, signs[0]), (other, one, signs[1])):
        if part not in wanted:
            continue
        strict = signs[0] if not both else sign
        condition = call(sign, one, other) if both else call(f"{strict}{'=' * paired}", part, rest)
        yield Share(part, summed(multiply(g, condition), part, values), _with_sum(rule, g, part, values))


def _matrix_rule(node: Call, g: Node, values: Values) -> list[Node | None]:
    one, other = node.arguments
    shapes = values.shape(one), values.shape(other)
    if any(len(shape) != 2 for shape in shapes):
        if len(shapes[0]) == len(shapes[1]) and shapes[0][:-2] == shapes[1][:-2]:  # a matrix for each sample and head
            return [call("@", g, _turned(other)), call("@", _turned(one), g)]
        if len(shapes[0]) > 2 and len(shapes[1]) == 2:  # rows of many places: as one long matrix
            return [
                matrix_product(g, transposed(other)),
                matrix_product(transposed(call("rows", one)), call("rows", g)),
            ]
        raise NoDerivative("@", f"expected matrices to derive a product, got shapes {shapes[0]} and {shapes[1]}")
    return [matrix_product(g, transposed(other)), matrix_product(transposed(one), g)]


def _turned(node: Node) -> Node:
    match node:
        case Call("turned", (inner,)):
            return inner
        case Call("@", (one, other)):
            return call("@", _turned(other), _turned(one))
    return call("turned", node)


def _moved_in_time(back: str, edge: str) -> Rule:
    """What a step takes from the one beside it sends its signal there; at the edge, to the state that stands there."""

    def rule(node: Call, g: Node, values: Values) -> list[Node | None]:
        return [call(back, g), *(summed(call(edge, g), outside, values) for outside in node.arguments[1:])]

    return rule


def _among(build: str) -> Rule:
    """The rule of one of several equal parts: the signal at its place, and 0 at the others."""

    def rule(node: Call, g: Node, values: Values) -> list[Node | None]:
        whole, k, *count = node.arguments
        size = count[0] if count else Number(Fraction(values.shape(whole)[0]))
        assert isinstance(k, Number)
        assert isinstance(size, Number)
        return [call(build, *(g if i == k.value else ZERO for i in range(int(size.value))))]

    return rule


def _largest(node: Call, g: Node, values: Values) -> list[Node | None]:
    (u,) = node.arguments
    return [multiply(g, call("==", u, node))]


def _softmax(node: Call, g: Node, values: Values) -> list[Node | None]:
    return [multiply(node, subtract(g, call("row_sum", multiply(g, node))))]


def _log_softmax(node: Call, g: Node, values: Values) -> list[Node | None]:
    return [subtract(g, multiply(call("exp", node), call("row_sum", g)))]


def _image_rule(backward: str) -> Rule:
    """The rule of a function whose way back is another one, of the signal and the same arguments."""
    return lambda node, g, values: [call(backward, g, *node.arguments)]


RULES: dict[str, tuple[str | tuple[str, str], Rule]] = {
    "@": (
        (
            "a product with weights is passed back through the transposed ones",
            "product rule for matrices: the left factor, transposed, times the signal",
        ),
        _matrix_rule,
    ),
    "T": ("transposed back", lambda node, g, values: [transposed(g)]),
    "abs": ("|u|′ = sgn u", _elementwise(lambda node, u: call("sign", u))),
    "after": (
        (
            "moved by one step in time: what the step before sends back",
            "the last step sends it to the state that it began with",
        ),
        _moved_in_time("before", "last"),
    ),
    "batch_mean": (
        "a mean passes each of its numbers the same share",
        _repeating(lambda u: power(call("batch_size", u), MINUS_ONE)),
    ),
    "batch_sum": ("a sum passes each of its numbers the same signal", _repeating(lambda u: ONE)),
    "before": (
        (
            "moved by one step in time: what the step after sends back",
            "the first step sends it to the state that it began with",
        ),
        _moved_in_time("after", "first"),
    ),
    "columns": (
        "other columns get nothing",
        lambda node, g, values: [call("into_columns", g, *node.arguments[1:], node.arguments[0])],
    ),
    "cos": ("cos′ = −sin", _elementwise(lambda node, u: negative(call("sin", u)))),
    "cosh": ("cosh′ = sinh", _elementwise(lambda node, u: call("sinh", u))),
    "erf": (
        "erf′(u) = 2/√π · e^(−u²)",
        _elementwise(
            lambda node, u: multiply(TWO, power(PI, Number(Fraction(-1, 2))), call("exp", negative(power(u, TWO))))
        ),
    ),
    "exp": ("(eᵘ)′ = eᵘ, its output", _elementwise(lambda node, u: node)),
    "expm1": ("(eᵘ)′ = eᵘ", _elementwise(lambda node, u: call("exp", u))),
    "feature_mean": (
        "a mean passes each of its numbers the same share",
        _repeating(lambda u: power(call("feature_size", u), MINUS_ONE)),
    ),
    "feature_sum": ("a sum passes each of its numbers the same signal", _repeating(lambda u: ONE)),
    "feature_variance": ("var′ = 2 (u − mean) / n", _variance("feature_mean", "feature_size")),
    "first": ("to the first step alone", lambda node, g, values: [call("at_first", g, *node.arguments)]),
    "group_mean": (
        "a mean passes each of its numbers the same share",
        lambda node, g, values: [call("group_mean", g, node.arguments[1])],
    ),
    "join_heads": (
        "cut into heads again",
        lambda node, g, values: [call("split_heads", g, number(values.shape(node.arguments[0])[1]))],
    ),
    "largest_piece": (
        "the maximum passes the signal to the largest piece",
        lambda node, g, values: [call("to_largest", g, *node.arguments)],
    ),
    "last": ("to the last step alone", lambda node, g, values: [call("at_last", g, *node.arguments)]),
    "log": ("(ln u)′ = 1/u", _elementwise(lambda node, u: power(u, MINUS_ONE))),
    "log_cosh": ("(ln cosh u)′ = tanh u", _elementwise(lambda node, u: call("tanh", u))),
    "log_row_sum_exp": (
        "(ln Σ eᵘ)′ = softmax(u)",
        lambda node, g, values: [multiply(g, call("softmax", node.arguments[0]))],
    ),
    "log_softmax": ("ln softmax: δ − softmax(u) · Σ δ", _log_softmax),
    "not_later": (
        "later columns do not count, and get nothing",
        lambda node, g, values: [call("up_to_now", g)],
    ),
    "nth": ("each state its own signal", _among("stack")),
    "pairs": (
        "product rule: of a product of two parts, each gets the other one",
        lambda node, g, values: [call("from_pairs", g, *node.arguments)],
    ),
    "part": ("each part its own signal", _among("beside")),
    "reshape": ("reshaped back", lambda node, g, values: [call("reshape", g, _shape_name(node.arguments[0]))]),
    "rotate": ("turned back", lambda node, g, values: [call("rotate_back", g)]),
    "row_max": ("the maximum passes the signal to the largest number", _largest),
    "row_mean": (
        "a mean passes each of its numbers the same share",
        _repeating(lambda u: power(call("row_size", u), MINUS_ONE)),
    ),
    "rows": ("in the shape that it had", lambda node, g, values: [call("shaped_like", g, node.arguments[0])]),
    "row_sum": ("a sum passes each of its numbers the same signal", _repeating(lambda u: ONE)),
    "row_variance": ("var′ = 2 (u − mean) / n", _variance("row_mean", "row_size")),
    "sigmoid": (
        "σ′ = σ (1 − σ), written with its output",
        _elementwise(lambda node, u: multiply(node, subtract(ONE, node))),
    ),
    "sin": ("sin′ = cos", _elementwise(lambda node, u: call("cos", u))),
    "sinh": ("sinh′ = cosh", _elementwise(lambda node, u: call("cosh", u))),
    "softmax": ("softmax: each output depends on all of the row", _softmax),
    "softplus": ("(ln(1 + eᵘ))′ = σ(u)", _elementwise(lambda node, u: subtract(ONE, call("exp", negative(node))))),
    "split_heads": ("put side by side again", lambda node, g, values: [call("join_heads", g)]),
    "spread": (
        "what was repeated is summed",
        lambda node, g, values: [summed(g, node.arguments[0], values)],
    ),
    "sum_like": (
        "a sum passes each of its numbers the same signal",
        lambda node, g, values: [call("spread", g, node.arguments[0])],
    ),
    "take": (
        "each row gets the sum over the places where it is taken",
        lambda node, g, values: [call("sum_rows", g, node.arguments[1], node.arguments[0])],
    ),
    "tanh": (
        "tanh′ = 1 − tanh², written with its output",
        _elementwise(lambda node, u: subtract(ONE, power(node, TWO))),
    ),
    "total": ("a sum passes each of its numbers the same signal", _repeating(lambda u: ONE)),
    "turned": ("transposed back", lambda node, g, values: [_turned(g)]),
    # Of images: functions of the language whose ways back are functions of the language, too.
    "convolve": (
        (
            "moved through a convolution: the same kernels, laid the other way round",
            "of each number of the kernels: what it was laid on, times the signal",
        ),
        lambda node, g, values: [
            call("correlate", g, node.arguments[1], *node.arguments[3:]),
            call("correlate_samples", g, *node.arguments[:2], *node.arguments[3:]),
        ],
    ),
    "correlate": (
        (
            "moved through a convolution: the same kernels, laid the other way round",
            "of each number of the kernels: what it was laid on, times the signal",
        ),
        lambda node, g, values: [
            call("convolve", g, node.arguments[1], _shape_name(node.arguments[0]), *node.arguments[2:]),
            call("correlate_samples", node.arguments[0], g, *node.arguments[1:]),
        ],
    ),
    "pad": ("cut off again", lambda node, g, values: [call("crop", g, node.arguments[1])]),
    "place_max": ("the maximum passes the signal to the largest number", _image_rule("to_winner")),
    "place_mean": ("a mean passes each of its numbers the same share", _image_rule("over_places")),
    "upsample": ("what was repeated is summed", lambda node, g, values: [call("block_sum", g, node.arguments[1])]),
    "window_max": ("the maximum of a window passes the signal to the largest number", _image_rule("to_winners")),
    "window_mean": ("the mean of a window passes each number the same share", _image_rule("to_windows")),
}
"""For each function of the language, the reason in words, or that of each argument, and the rule."""


def _shape_name(node: Node) -> Node:
    if node == Name("x"):
        return Name("input_shape")
    raise NoDerivative("reshape", "expected x itself to derive it")
