"""Mathematics that is stated once: printed in the derivation of a network, and evaluated to prove that code agrees.

An expression is Python with NumPy's meaning: ``@`` is the matrix product, ``*`` the elementwise one, ``.T`` the
transpose. It may use the functions below, and ``pi``. What the names stand for is said by the class that holds the
expression.
"""

import ast
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import field, frozen

from deepbp.errors import ConfigurationError


def _softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


FUNCTIONS: dict[str, Any] = {
    "abs": np.abs,
    "batch_mean": lambda e: np.mean(e, axis=0),  # over the samples
    "batch_sum": lambda e: np.sum(e, axis=0),  # Σ over the samples
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": np.vectorize(math.erf, otypes=[float]),  # not the kernel, which is held against it
    "exp": np.exp,
    "feature_mean": lambda e: np.mean(e, axis=tuple(range(e.ndim - 1))),  # over all axes but the last
    "feature_sum": lambda e: np.sum(e, axis=tuple(range(e.ndim - 1))),  # Σ over all axes but the last
    "feature_variance": lambda e: np.var(e, axis=tuple(range(e.ndim - 1))),  # the mean square of the differences
    "log": np.log,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "reshape": np.reshape,
    "row_max": lambda e: np.max(e, axis=-1, keepdims=True),  # along the last axis, one for each row
    "row_mean": lambda e: np.mean(e, axis=-1, keepdims=True),  # along the last axis, one for each row
    "row_sum": lambda e: np.sum(e, axis=-1, keepdims=True),  # Σ along the last axis, one for each row
    "row_variance": lambda e: np.var(e, axis=-1, keepdims=True),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "sign": np.sign,
    "sin": np.sin,
    "softmax": _softmax,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "total": np.sum,  # Σ over everything
}


def parse(expression: str) -> ast.expr:
    """The expression's tree. Raises ConfigurationError where it is not one, or calls what is not a function above."""
    try:
        tree = ast.parse(expression, mode="eval").body
    except SyntaxError as error:
        raise ConfigurationError(f"formula {expression!r}: expected a Python expression, got {error.msg}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS):
            raise ConfigurationError(f"formula {expression!r}: expected functions from {', '.join(FUNCTIONS)}")
    return tree


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """The expression's value for these names. Raises ConfigurationError for a name that stands for nothing."""
    parse(expression)
    try:
        return eval(expression, {"__builtins__": {}, "pi": math.pi, **FUNCTIONS}, dict(names))
    except NameError as error:
        raise ConfigurationError(f"formula {expression!r}: {error}; it may use {', '.join(names)}") from None


def _checked(instance: Any, attribute: Any, expression: str) -> None:
    if expression:
        parse(expression)


@frozen
class Formula:
    """The mathematics of a layer, as expressions.

    They may use ``x`` (B, …), the input; ``y``, the output; ``delta``, the error signal at the output; the names of
    the layer's fields, parameters standing for their values; and ``input_shape`` and ``output_shape``, with B in front.

    Args:
        forward: y.
        backward: the error signal passed back; for a function of each number by itself, leave it out and give
            ``derivative``, ∂y/∂x: then it is ``delta * derivative``.
        gradients: ∂L/∂parameter, for each parameter's field.
        input, output: the letters they go by: z is a weighted sum, which Dense makes and an activation takes.
        function: the letter of the function, where it has one, such as σ.
        symbols: letters for fields, such as ``{"slope": "s"}``; others go by their names.
    """

    forward: str = field(validator=_checked)
    backward: str = field(default="", kw_only=True, validator=_checked)
    derivative: str = field(default="", kw_only=True, validator=_checked)
    gradients: Mapping[str, str] = field(factory=dict, kw_only=True)
    input: str = field(default="x", kw_only=True)
    output: str = field(default="y", kw_only=True)
    function: str = field(default="", kw_only=True)
    symbols: Mapping[str, str] = field(factory=dict, kw_only=True)

    @property
    def passed_back(self) -> str:
        """The error signal passed back, also where only the derivative was stated."""
        return self.backward or (f"delta * ({self.derivative})" if self.derivative else "")


@frozen
class LossFormula:
    """The mathematics of a loss, without weights of samples.

    The expressions may use ``prediction``; ``target``, for a classifier as one-hot rows; ``n``, how many numbers a
    prediction holds; ``rows``, how many rows; ``classes``, how many numbers each row; and the names of the loss's
    fields.

    Args:
        value: L.
        delta: ∂L/∂prediction.
    """

    value: str = field(validator=_checked)
    delta: str = field(validator=_checked)
    symbols: Mapping[str, str] = field(factory=dict, kw_only=True)


@frozen
class PenaltyFormula:
    """The mathematics of a penalty, as expressions of ``w``, the numbers penalised, and of its fields.

    Args:
        value: what is added to the loss.
        gradient: its derivative by each number.
    """

    value: str = field(validator=_checked)
    gradient: str = field(validator=_checked)


@frozen
class UpdateFormula:
    """The mathematics of an optimizer's step, as assignments that are carried out in order, the last one to ``w``.

    The expressions may use ``w``, the values of a parameter; ``g``, its gradient; ``rate``, the learning rate; ``t``,
    the number of the step, from 1; the names of the state's arrays, those of the optimizer's fields, and what was
    assigned before.
    """

    assignments: tuple[tuple[str, str], ...]
    symbols: Mapping[str, str] = field(factory=dict, kw_only=True)
