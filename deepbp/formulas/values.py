"""Values of expressions on sample arrays: shapes are read off them, and identities are proved on them before use."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import define, field

from deepbp.formulas.algebra import COMPARISONS, Call, Name, Node, Number, Product, Sum, children, inner_first
from deepbp.formulas.language import FUNCTIONS
from deepbp.typing import Array, Shape

_SIGNS = dict(
    zip(COMPARISONS, (np.greater, np.less, np.greater_equal, np.less_equal, np.equal, np.not_equal), strict=True)
)


def _log_softmax(u: Any) -> Any:
    below = u - u.max(axis=-1, keepdims=True)
    return below - np.log(np.exp(below).sum(axis=-1, keepdims=True))


def _log_row_sum_exp(u: Any) -> Any:
    top = u.max(axis=-1, keepdims=True)
    return top + np.log(np.exp(u - top).sum(axis=-1, keepdims=True))


def _sigmoid(u: Any) -> Any:
    e = np.exp(-np.abs(u))
    return np.where(u >= 0, 1 / (1 + e), e / (1 + e))


STABLE: dict[str, Any] = {
    "expm1": np.expm1,
    "log1p": np.log1p,
    "log_cosh": lambda u: np.abs(u) + np.log1p(np.expm1(-2 * np.abs(u)) / 2),
    "log_row_sum_exp": _log_row_sum_exp,
    "log_softmax": _log_softmax,
    "sigmoid": _sigmoid,
    "softplus": lambda u: np.maximum(u, 0) + np.log1p(np.exp(-np.abs(u))),
}
"""Functions that are not of the language, but stand for expressions of it that would overflow or lose digits."""

_FUNCTIONS: dict[str, Any] = {**FUNCTIONS, **STABLE, **_SIGNS, "@": np.matmul, "T": np.transpose, "sqrt": np.sqrt}


@define(eq=False)
class Values:
    """The values of names, and of all expressions of them that were asked for."""

    names: dict[str, Any]
    _known: dict[Node, Any] = field(factory=dict)

    def of(self, node: Node) -> Any:
        """The value of an expression: NaN and infinity where it has none, without a warning."""
        if node not in self._known:
            with np.errstate(all="ignore"):
                for one in inner_first(node):
                    if one not in self._known:
                        self._known[one] = self._value(one)
        return self._known[node]

    def shape(self, node: Node) -> Shape:
        """The shape of an expression's value, samples included."""
        return tuple(np.shape(self.of(node)))

    def of_size(self, node: Node) -> int:
        """How many numbers an expression's value has."""
        return int(np.size(self.of(node)))

    def _value(self, node: Node) -> Any:
        inside = [self._known[part] for part in children(node)]
        match node:
            case Number(value):
                return float(value)
            case Name(name):
                return np.pi if name == "pi" else self.names[name]
            case Call(function):
                return _FUNCTIONS[function](*inside)
            case Sum():
                whole = inside[0]
                for term in inside[1:]:
                    whole = np.add(whole, term)
                return whole
            case Product(coefficient):
                whole = float(coefficient)
                for base, exponent in zip(inside[::2], inside[1::2], strict=True):
                    whole = np.multiply(
                        whole, base if np.ndim(exponent) == 0 and exponent == 1 else _raised(base, exponent)
                    )
                return whole
        raise AssertionError(node)


def _raised(base: Any, exponent: Any) -> Any:
    if np.ndim(exponent) == 0 and exponent == -1:
        return np.true_divide(1.0, base)
    return np.power(np.asarray(base, dtype=float), exponent)


def agree(one: Any, other: Any, tolerance: float = 1e-9) -> bool:
    """Whether two values are the same where both are finite, relative to the largest of them, and of the same shape."""
    first, second = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    if first.shape != second.shape:
        return False
    finite = np.isfinite(first) & np.isfinite(second)
    if not finite.any():
        return first.size == 0
    difference = np.abs(first[finite] - second[finite])
    return bool((difference <= tolerance * (1 + np.abs(second[finite]).max())).all())


def sample_values(shapes: Mapping[str, Sequence[int]], seed: int = 0, positive: bool = False) -> dict[str, Array]:
    """Random numbers for names of these shapes."""
    rng = np.random.default_rng(seed)
    draws = {name: rng.standard_normal(tuple(shape)) for name, shape in shapes.items()}
    return {name: np.abs(draw) + 0.1 for name, draw in draws.items()} if positive else draws
