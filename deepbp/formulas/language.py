"""The formula language: mathematics stated once, printed in derivations, and evaluated to check the code against it.

An expression is Python with NumPy's meaning: ``@`` is the matrix product, ``*`` the elementwise one, ``.T`` the
transpose. It may use the functions below, and ``pi``; the class that holds an expression defines its variables.
"""

import ast
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from attrs import field, frozen

from deepbp.errors import ConfigurationError
from deepbp.formulas.image_functions import IMAGE_FUNCTIONS


def _softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _sinusoids(x: Any) -> Any:
    steps, features = x.shape[1:]
    pair = np.arange(features) // 2
    angle = np.arange(steps)[:, None] / 10000.0 ** (2 * pair / features)
    return np.where(np.arange(features) % 2, np.cos(angle), np.sin(angle))


def _sum_like(e: Any, x: Any) -> Any:
    """The sum over all axes along which e would be repeated to make x as large as e."""
    shape, held = np.shape(e), np.shape(x)
    longer = len(shape) - len(held)
    axes = tuple(i for i, n in enumerate(shape) if i < longer or (held[i - longer] == 1 and n != 1))
    return np.sum(e, axis=axes, keepdims=True).reshape(held) if axes or longer else e


def _pairs(x: Any, weight: Any) -> Any:
    """All products uᵢ vⱼ of the two parts of a row, as many as a weight (I, J, …) has."""
    left, right = weight.shape[:2]
    return (x[:, :left, None] * x[:, None, left : left + right]).reshape(len(x), left * right)


def _from_pairs(e: Any, x: Any, weight: Any) -> Any:
    """The gradient of both parts of a row, from that of all products: Σⱼ eᵢⱼ vⱼ beside Σᵢ eᵢⱼ uᵢ."""
    left, right = weight.shape[:2]
    each = e.reshape(len(x), left, right)
    u, v = x[:, :left], x[:, left : left + right]
    return np.concatenate([(each * v[:, None]).sum(axis=2), (each * u[:, :, None]).sum(axis=1)], axis=1)


def _largest_piece(e: Any, pieces: int) -> Any:
    """The largest of K numbers that stand K·O apart, and its place."""
    return e.reshape(len(e), pieces, -1).max(axis=1)


def _to_largest(e: Any, z: Any, pieces: int) -> Any:
    """e (B, O) at the largest of the K pieces of z (B, K·O), the first of equal ones, and 0 at the others."""
    each = z.reshape(len(z), pieces, -1)
    first = np.arange(pieces)[:, None] == each.argmax(axis=1)[:, None]
    return (first * e[:, None]).reshape(z.shape)


def _sum_rows(e: Any, x: Any, table: Any) -> Any:
    """For each row of a table, the sum of e over all places where x is its number."""
    total = np.zeros(table.shape, np.result_type(e, table))
    np.add.at(total, x.astype(int), e)
    return total


def _group_mean(e: Any, groups: int) -> Any:
    """The mean over each sample's group of features, and over its places, in the place of each number."""
    cut = e.reshape(len(e), -1, groups, e.shape[-1] // groups)
    return np.broadcast_to(cut.mean(axis=(1, 3), keepdims=True), cut.shape).reshape(e.shape)


class _Zero:
    """Zeros of any shape: what an array in time is taken to be before its equations are solved."""

    __array_ufunc__ = None  # so that an array leaves the operation to this class

    @property
    def T(self) -> Any:  # noqa: N802  # as of an array
        return self

    def __mul__(self, other: Any) -> Any:
        return self

    def __add__(self, other: Any) -> Any:
        return other

    def __rsub__(self, other: Any) -> Any:
        return other

    def __neg__(self) -> Any:
        return self

    __rmul__ = __matmul__ = __rmatmul__ = __truediv__ = __mul__
    __radd__ = __add__


ANY_ZEROS = _Zero()


def _moved(e: Any, steps: int, outside: Any = 0) -> Any:
    """e (B, T, …), one step later or earlier; where there is no such step, zeros, or a state (U,) of all samples."""
    if e is ANY_ZEROS:
        return e
    moved = np.empty_like(e)
    if steps > 0:
        moved[:, 1:], moved[:, :1] = e[:, :-1], outside
    else:
        moved[:, :-1], moved[:, -1:] = e[:, 1:], outside
    return moved


def _rotated(e: Any, direction: int = 1) -> Any:
    """Pairs of numbers of the heads e (B, H, T, D), turned by the angle of their step."""
    steps, half = e.shape[2], e.shape[3] // 2
    angles = direction * np.arange(steps)[:, None] / 10000.0 ** (np.arange(half) / half)
    a, b = e[..., :half], e[..., half:]
    return np.concatenate([a * np.cos(angles) - b * np.sin(angles), a * np.sin(angles) + b * np.cos(angles)], axis=-1)


def _at_step(delta: Any, h: Any, step: int) -> Any:
    """Zeros like h (B, T, …), but for one step."""
    whole = np.zeros_like(h)
    whole[:, step] = delta
    return whole


def _part(e: Any, k: int, count: int) -> Any:
    """Part number k of so many equal parts of the last axis."""
    return e if e is ANY_ZEROS else np.split(e, int(count), axis=-1)[int(k)]


def _split_heads(e: Any, heads: int) -> Any:
    return e.reshape(*e.shape[:2], int(heads), e.shape[2] // int(heads)).swapaxes(1, 2)


def _join_heads(e: Any) -> Any:
    return e.swapaxes(1, 2).reshape(e.shape[0], e.shape[2], -1)


def _into_columns(e: Any, start: int, stop: int, x: Any) -> Any:
    """Zeros like x, but for these columns."""
    whole = np.zeros(np.shape(x), np.asarray(e).dtype)
    whole[..., int(start) : int(stop)] = e
    return whole


FUNCTIONS: dict[str, Any] = {
    "abs": np.abs,
    "after": lambda e, outside=0: _moved(e, -1, outside),  # of each step, the one after it
    "applied": lambda f, x: f(x),  # of a function that is no word of the language
    "at_first": lambda delta, h: _at_step(delta, h, 0),
    "at_last": lambda delta, h: _at_step(delta, h, -1),
    "batch_mean": lambda e: np.mean(e, axis=0),  # over the samples
    "batch_size": len,
    "batch_sum": lambda e: np.sum(e, axis=0),  # Σ over the samples
    "before": lambda e, outside=0: _moved(e, 1, outside),  # of each step, the one before it; before the first, a state
    "beside": lambda *parts: np.concatenate(np.broadcast_arrays(*parts), axis=-1),
    "columns": lambda e, start, stop: np.asarray(e)[..., int(start) : int(stop)],
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": np.vectorize(math.erf, otypes=[float]),  # not the kernel, which is held against it
    "exp": np.exp,
    "feature_mean": lambda e: np.mean(e, axis=tuple(range(e.ndim - 1))),  # over all axes but the last
    "feature_size": lambda e: math.prod(np.shape(e)[:-1]),  # what feature_mean divides by
    "feature_sum": lambda e: np.sum(e, axis=tuple(range(e.ndim - 1))),  # Σ over all axes but the last
    "feature_variance": lambda e: np.var(e, axis=tuple(range(e.ndim - 1))),  # the mean square of the differences
    "first": lambda e: e[:, 0],
    "from_pairs": _from_pairs,
    "group_mean": _group_mean,
    "indicators": lambda column, classes: (column == np.arange(int(classes))) * 1.0,  # one-hot rows of a column (…, 1)
    "into_columns": _into_columns,
    "join_heads": _join_heads,  # printed as e itself
    "largest_piece": _largest_piece,
    "last": lambda e: e[:, -1],
    "log": np.log,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "not_later": lambda s: np.where(np.tri(*s.shape[-2:]) > 0, s, -np.inf),  # rows see no later columns
    "nth": lambda e, k: e[int(k)],  # number k along axis 0
    "pairs": _pairs,
    "part": _part,
    "reshape": np.reshape,
    "rotate": _rotated,  # pairs of numbers of each head, by the angle of their step
    "rotate_back": lambda e: _rotated(e, -1),
    "row_max": lambda e: np.max(e, axis=-1, keepdims=True),  # along the last axis, one for each row
    "row_mean": lambda e: np.mean(e, axis=-1, keepdims=True),  # along the last axis, one for each row
    "row_size": lambda e: np.shape(e)[-1],  # the numbers in a row
    "row_sum": lambda e: np.sum(e, axis=-1, keepdims=True),  # Σ along the last axis, one for each row
    "row_variance": lambda e: np.var(e, axis=-1, keepdims=True),
    "rows": lambda e: e.reshape(-1, e.shape[-1]),  # of the last axis, one below the other: printed as e itself
    "shaped_like": lambda e, x: e.reshape(np.shape(x)),  # printed as e itself
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "sign": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sinusoids": _sinusoids,  # sin and cos of the position, for samples (T, F)
    "softmax": _softmax,
    "split_heads": _split_heads,  # (B, T, H·D) as (B, H, T, D): printed as e itself
    "spread": lambda e, x: np.broadcast_to(e, np.shape(x)),  # repeated to the shape of x
    "sqrt": np.sqrt,
    "stack": lambda *parts: np.stack(np.broadcast_arrays(*parts)),  # along a new axis 0
    "step_products": lambda a, b: a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1]),  # Σ over samples and steps
    "sum_like": _sum_like,
    "sum_rows": _sum_rows,
    "take": lambda table, x: table[x.astype(int)],  # the rows of a table
    "tanh": np.tanh,
    "to_largest": _to_largest,
    "total": np.sum,  # Σ over everything
    "turned": lambda e: np.swapaxes(e, -1, -2),  # the last two axes: printed as a transpose
    "up_to_now": np.tril,  # of what rows and columns of steps have, that of columns that are not later
}
FUNCTIONS = dict(sorted({**FUNCTIONS, **IMAGE_FUNCTIONS}.items()))


def parse(expression: str) -> ast.expr:
    """Parse an expression to a syntax tree. Raises ConfigurationError for anything else."""
    try:
        tree = ast.parse(expression, mode="eval").body
    except SyntaxError as error:
        raise ConfigurationError(f"formula {expression!r}: expected a Python expression, got {error.msg}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS):
            raise ConfigurationError(f"formula {expression!r}: expected functions from {', '.join(FUNCTIONS)}")
    return tree


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """Evaluate an expression for these variables. Raises ConfigurationError for an undefined name."""
    parse(expression)
    try:
        return eval(expression, {"__builtins__": {}, "pi": math.pi, **FUNCTIONS}, dict(names))
    except NameError as error:
        raise ConfigurationError(f"formula {expression!r}: {error}; it may use {', '.join(names)}") from None


def solved(equations: Mapping[str, str], names: Mapping[str, Any]) -> dict[str, Any]:
    """The names together with the solutions of equations, each of which may use those before it.

    Equations in time use ``before(h)`` or ``after(h)`` of each other. They are evaluated once for each step, from
    zeros: after n times the first, or the last, n steps are right.
    """
    known = {**names, **dict.fromkeys(equations, ANY_ZEROS)}
    steps = names["x"].shape[1] if in_time(equations.values()) else 0
    for _ in range(1 + steps):
        for name, expression in equations.items():
            known[name] = evaluate(expression, known)
    return known


def renamed(expression: str, by: Mapping[str, str]) -> str:
    """The expression with others in place of some of its names.

    >>> from deepbp.formulas.language import renamed
    >>> renamed("exp(a) * b", {"a": "x - y", "b": "2"})
    'exp(x - y) * 2'
    """

    class Renaming(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return ast.parse(by[node.id], mode="eval").body if node.id in by else node

        def visit_Call(self, node: ast.Call) -> ast.expr:  # whose function may have the name of a number: rows
            return ast.Call(node.func, [self.visit(one) for one in node.args], [])

    return ast.unparse(Renaming().visit(parse(expression))).replace(" ** ", "**")


def in_time(expressions: Iterable[str]) -> bool:
    """Whether expressions use other steps than their own."""
    return any(f"{word}(" in one for one in expressions for word in ("before", "after"))


_BACK_IN_TIME = {"before": "after", "after": "before", "last": "first", "first": "last"}
_BACK_IN_TIME |= {"at_last": "at_first", "at_first": "at_last"}


def reversed_in_time(expression: str) -> str:
    """The expression for steps in reverse order."""
    words = "|".join(_BACK_IN_TIME)
    return re.sub(rf"\b({words})\(", lambda found: f"{_BACK_IN_TIME[found[1]]}(", expression)


def _equations_checked(instance: Any, attribute: Any, equations: Mapping[str, str]) -> None:
    for expression in equations.values():
        parse(expression)


def _checked(instance: Any, attribute: Any, expression: str) -> None:
    if expression:
        parse(expression)


@frozen
class Formula:
    """The formula of a layer, as expressions.

    They may use ``x`` (B, …), the input; ``y``, the output; ``delta``, the upstream gradient; the names of the layer's
    fields, with parameters standing for their values; and ``input_shape`` and ``output_shape``, with B in front.

    Args:
        forward: the output y.
        backward: the backpropagated gradient; for an elementwise function give ``derivative``, ∂y/∂x, instead: the
            gradient is then ``delta * derivative``.
        gradients: ∂L/∂parameter, for each parameter's field; ∂L/∂memory, for a layer that looks at a ``memory``.
        input, output: the letters of input and output: z for a pre-activation.
        function: the symbol of the function, such as σ, if it has one.
        symbols: symbols of fields, such as ``{"slope": "s"}``; other fields keep their names.
        where: equations for further names, in order, which ``forward`` uses; those with ``before(h)``, the step before,
            are equations in time, and solved from the first step to the last.
        where_back: further equations for ``backward`` and ``gradients``, with ``after(d)``, the step after.
        saved: names of the arrays that ``forward`` saves, in order, if the formula uses them: a random mask.
        inference: the output of ``predict``, where that is another one than the output of ``forward``.

    >>> from deepbp.layers import Formula
    >>> Formula("maximum(x, 0)", derivative="y > 0", function="ReLU").passed_back
    'delta * (y > 0)'
    """

    forward: str = field(validator=_checked)
    backward: str = field(default="", kw_only=True, validator=_checked)
    derivative: str = field(default="", kw_only=True, validator=_checked)
    gradients: Mapping[str, str] = field(factory=dict, kw_only=True)
    input: str = field(default="x", kw_only=True)
    output: str = field(default="y", kw_only=True)
    function: str = field(default="", kw_only=True)
    symbols: Mapping[str, str] = field(factory=dict, kw_only=True)
    saved: tuple[str, ...] = field(default=(), kw_only=True)
    where: Mapping[str, str] = field(factory=dict, kw_only=True, validator=_equations_checked)
    where_back: Mapping[str, str] = field(factory=dict, kw_only=True, validator=_equations_checked)
    inference: str = field(default="", kw_only=True, validator=_checked)

    @property
    def headline(self) -> tuple[str, str]:
        """The name and the expression that say most: where the output is a part of one of the equations, that one."""
        inner = re.fullmatch(r"(?:last|first)\((\w+)\)|(\w+)", self.forward)
        name = (inner[1] or inner[2]) if inner else ""
        return (name, self.where[name]) if name in self.where else ("y", self.forward)

    @property
    def passed_back(self) -> str:
        """The backpropagated gradient, also if only the derivative was given."""
        return self.backward or (f"delta * ({self.derivative})" if self.derivative else "")


@frozen
class LossFormula:
    """The formula of a loss, without sample weights.

    The expressions may use ``prediction``; ``target``, one-hot rows for a classifier; ``n``, the number of predicted
    numbers; ``rows``, the number of rows; ``classes``, the size of a row; and the names of the loss's fields.

    Args:
        value: L.
        delta: ∂L/∂prediction.

    >>> from deepbp.layers import LossFormula
    >>> LossFormula("total((prediction - target)**2)", "2 * (prediction - target)").delta
    '2 * (prediction - target)'
    """

    value: str = field(validator=_checked)
    delta: str = field(validator=_checked)
    symbols: Mapping[str, str] = field(factory=dict, kw_only=True)


@frozen
class PenaltyFormula:
    """The formula of a penalty, as expressions of ``w``, the penalized numbers, and of the penalty's fields.

    Args:
        value: the term added to the loss.
        gradient: its derivative by each number.

    >>> from deepbp.layers import PenaltyFormula
    >>> PenaltyFormula("strength * total(w**2)", "2 * strength * w").gradient
    '2 * strength * w'
    """

    value: str = field(validator=_checked)
    gradient: str = field(validator=_checked)


@frozen
class UpdateFormula:
    """The formula of an optimizer's step: assignments, carried out in order, the last one to ``w``.

    The expressions may use ``w``, the values of a parameter; ``g``, its gradient; ``rate``, the learning rate; ``t``,
    the number of the step, from 1; the names of the state's arrays and of the optimizer's fields; and earlier
    assignments.

    >>> from deepbp.layers import UpdateFormula
    >>> UpdateFormula((("velocity", "momentum * velocity + g"), ("w", "w - rate * velocity"))).assignments[-1]
    ('w', 'w - rate * velocity')
    """

    assignments: tuple[tuple[str, str], ...]
    symbols: Mapping[str, str] = field(factory=dict, kw_only=True)
