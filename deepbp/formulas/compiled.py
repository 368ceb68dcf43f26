"""Formulas as functions: the derived passes of a formula, written as Python and compiled once for its shapes."""

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Self, TypeAlias

import numpy as np
from attrs import frozen

from deepbp._validation import ones
from deepbp.errors import ConfigurationError, ShapeError
from deepbp.formulas.algebra import ZERO
from deepbp.formulas.derive import Derived
from deepbp.formulas.formula_text import check_names, check_shapes, pointed, read, read_tree
from deepbp.formulas.identities import recognized
from deepbp.formulas.language import FUNCTIONS
from deepbp.formulas.rules import NoDerivative
from deepbp.formulas.source import Passes
from deepbp.formulas.values import STABLE, Values
from deepbp.kernels import unchecked as kernels
from deepbp.kernels.blocks import LONG_BATCH, long_product
from deepbp.typing import Array, Shape

Key: TypeAlias = tuple[tuple[str, Any], ...]
"""Names with their shapes, or with their numbers."""


def row_sum(a: Array) -> Array:
    """Σ along the last axis, as a product, which is several times faster for short rows."""
    return np.asarray(a.dot(ones(a.shape[-1], a.dtype))[..., None])


def row_mean(a: Array) -> Array:
    """The mean along the last axis."""
    total = row_sum(a)
    total /= a.shape[-1]
    return total


def feature_sum(a: Array) -> Array:
    """Σ over all axes but the last."""
    rows = a.reshape(-1, a.shape[-1])
    one = ones(len(rows), rows.dtype)
    return np.asarray(one.dot(rows) if len(rows) <= LONG_BATCH else long_product(one, rows))


def batch_sum(a: Array) -> Array:
    """Σ over the samples."""
    one = ones(len(a), a.dtype)
    rows = a.reshape(len(a), -1)
    return np.asarray(one.dot(rows) if len(a) <= LONG_BATCH else long_product(one, rows)).reshape(a.shape[1:])


def feature_mean(a: Array) -> Array:
    """The mean over all axes but the last."""
    return np.asarray(feature_sum(a) / max(math.prod(a.shape[:-1]), 1))


def row_variance(a: Array) -> Array:
    """The mean square of the differences from the mean, along the last axis."""
    centred = a - row_mean(a)
    return row_mean(centred * centred)


def feature_variance(a: Array) -> Array:
    """The same over all axes but the last."""
    centred = a - feature_mean(a)
    return feature_mean(centred * centred)


_FAST = {function.__name__: function for function in (row_sum, row_mean, batch_sum, feature_sum)}
_FAST |= {"feature_mean": feature_mean}
_FAST |= {"row_variance": row_variance, "feature_variance": feature_variance}
_STABLE = {name: STABLE[name] for name in ("softplus", "log_softmax", "log_row_sum_exp", "log_cosh")}
_KERNELS = ("erf", "sigmoid", "softmax", "tanh")
WORDS = {name: f"{name}(a)" for name in (*_FAST, *_STABLE)} | {name: f"kernels.{name}(a)" for name in _KERNELS}
_NAMESPACE = {"np": np, "math": math, "kernels": kernels, "FUNCTIONS": FUNCTIONS, **_FAST, **_STABLE}


@frozen(eq=False)
class CompiledFormula:
    """The passes of a formula for arrays of certain shapes; constants and parameters follow as arguments.

    Attributes:
        forward: (x, *values) to (y, saved).
        backward: (saved, delta, *values) to the gradients of x and of each parameter.
        backward_parameters: the same without that of x.
        output_shape: of one sample.
        derived: the derivation.
        key: the arguments of ``compiled``.
    """

    forward: Callable[..., tuple[Array, Any]]
    backward: Callable[..., tuple[Array, ...]]
    backward_parameters: Callable[..., tuple[Array, ...]]
    output_shape: Shape
    derived: Derived
    key: tuple[str, Shape, Key, Key]

    def __reduce__(self) -> Any:
        return compiled, self.key  # functions made from source have no name under which a pickle finds them

    def __deepcopy__(self, memo: Any) -> Self:
        return self


def sample_size(shapes: Mapping[str, Any]) -> int:
    """A number of samples that is none of the sizes, so that no axis is taken for another."""
    sizes = {n for shape in shapes.values() for n in shape}
    return next(n for n in (3, 5, 7, 11, 13, 17, 19) if n not in sizes or n == 19)


def derive_formula(
    expression: str, input_shape: Shape, shapes: Mapping[str, Shape], constants: Mapping[str, Any]
) -> Derived:
    """Derive the gradients of x and of each parameter.

    Raises:
        ConfigurationError: for what is not of the language, for an unknown name, and for a formula without derivative.
        ShapeError: where an operation does not fit the shapes. Each message points at the place in the formula.
    """
    tree = read_tree(expression)
    known = ("x", "input_shape", *shapes, *constants)
    check_names(expression, tree, known, ": give it as a parameter, such as {0}=Ones(), or as a number, {0}=1.0")
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for name in ("x", *shapes):
        if name not in used:
            raise ConfigurationError(f"formula: {expression!r} does not use {name}")
    size = sample_size({"x": input_shape, **shapes})
    rng = np.random.default_rng(0)
    values: dict[str, Any] = {"x": rng.standard_normal((size, *input_shape)), "input_shape": (size, *input_shape)}
    values |= {name: rng.standard_normal(shape) for name, shape in shapes.items()} | dict(constants)
    output = check_shapes(expression, tree, values)
    if np.shape(output)[:1] != (size,):
        raise pointed(
            expression.strip(),
            tree,
            f"expected an output (B, …), samples along axis 0, got shape {np.shape(output)} for {size} samples",
            ShapeError,
        )
    if not _keeps_shapes(expression, values, np.shape(output)):
        message = (
            "parts of the formula cancel, as in x - x, and leave a number where an array is needed: leave them out"
        )
        raise pointed(expression.strip(), tree, message)
    try:
        derived = Derived.of(read(expression), ("x", *shapes), values)
    except NoDerivative as error:
        raise pointed(expression.strip(), _place(tree, error.function), f"{error.function}: {error.reason}") from None
    for name, gradient in derived.gradients.items():
        if gradient == ZERO:
            place = next(node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name)
            message = f"{name} enters only where the derivative is 0 everywhere, as in a comparison or a sign"
            raise pointed(expression.strip(), place, message)
    return derived


def _keeps_shapes(expression: str, values: Mapping[str, Any], shape: Shape) -> bool:
    """Whether the normal form can be evaluated, with the shape of the stated expression."""
    try:
        return Values(dict(values)).shape(recognized(read(expression))) == shape
    except (ValueError, TypeError, AttributeError, IndexError):
        return False


def _place(tree: ast.expr, function: str) -> ast.expr:
    """The first place where a function is used."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name == function:
                return node
            case ast.BinOp(op=ast.MatMult()) if function == "@":
                return node
    return tree


@lru_cache(maxsize=256)
def compiled(expression: str, input_shape: Shape, shapes: Key, constants: Key) -> CompiledFormula:
    """Derive and compile a formula; the errors are those of ``derive_formula``."""
    derived = derive_formula(expression, input_shape, dict(shapes), dict(constants))
    names = [name for name, _ in (*shapes, *constants)]
    local = {name: f"{name}_" for name in names}  # no name of the formula hides one of the code
    wanted = ("x", *dict(shapes))
    passes = Passes.of(derived, wanted, local, WORDS, grouped=True)
    arguments = "".join(f", {one}" for one in local.values())
    remembered = _listed(passes.saved) or "x"
    functions = {"forward": _function("forward", f"x{arguments}", [*passes.forward, f"return y, {remembered}"])}
    for name, own in (("backward", wanted), ("backward_parameters", wanted[1:])):
        part = passes if own == wanted else Passes.of(derived, own, local, WORDS, passes.remembered, grouped=True)
        opening = [f"{remembered} = saved"] if passes.saved else []
        results = _listed([part.gradients[one] for one in own], always=True)
        functions[name] = _function(name, f"saved, delta{arguments}", [*opening, *part.backward, f"return {results}"])
    output_shape = derived.values.shape(derived.forward)[1:]
    key = expression, input_shape, shapes, constants
    return CompiledFormula(output_shape=output_shape, derived=derived, key=key, **functions)


def _listed(items: Sequence[str], always: bool = False) -> str:
    """A tuple as source; a single item alone, unless a tuple is needed."""
    if len(items) == 1 and not always:
        return items[0]
    return f"({', '.join(items)},)" if items else "()" if always else ""


def _function(name: str, arguments: str, lines: Sequence[str]) -> Any:
    """Compile a function whose statements are made of an expression of the language alone."""
    namespace = dict(_NAMESPACE)
    exec("\n    ".join([f"def {name}({arguments}):", *lines]), namespace)
    return namespace[name]
