"""Layers that run from a formula alone, with a derived backward pass."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from attrs import define, field

from deepbp._validation import as_shape
from deepbp.errors import ArgumentTypeError, ConfigurationError, ShapeError, shown
from deepbp.errors.validators import REAL, as_python_number
from deepbp.formulas.compiled import CompiledFormula, Key, compiled
from deepbp.formulas.formula_text import check_names, letters_of, read, read_tree
from deepbp.formulas.language import FUNCTIONS, Formula
from deepbp.formulas.simplify import slope_in
from deepbp.initializers import Initializer
from deepbp.layers.layer import Builder, Layer
from deepbp.parameters import Parameter
from deepbp.typing import Array, Shape, ShapeLike

RESERVED = ("x", "y", "delta", "pi", "input_shape", "output_shape")
_LETTERS = {"gain": "γ", "shift": "β", "slope": "s", "weight": "W", "bias": "b"}


Memory: TypeAlias = tuple[Any, CompiledFormula, Shape]
"""What the formula remembers, its compiled passes, and the shape of the output."""


def _other_shape(expected: Shape, delta: Array) -> ShapeError:
    return ShapeError(f"backward: expected a delta of the output's shape {expected}, got {delta.shape}")


@define(eq=False, init=False)
class FormulaLayer(Layer[Any]):
    """Layer that runs from its formula alone: y = f(x, parameters), with the backward pass derived from it.

    The formula is an expression of ``x`` (B, …) and of names that are given as arguments: an initializer makes a name a
    trainable parameter, a number a constant. It is Python with NumPy's meaning: ``@`` is the matrix product, ``*`` the
    elementwise one, ``.T`` the transpose; ``docs/derive.md`` lists its functions.

    Gradients: ``deepbp.derive`` shows the derivation step by step, and writes the layer as a class.

    Args:
        expression: the output y, with the samples along axis 0.
        names: the same as the further arguments, for names that are also arguments of this constructor.
        shapes: shapes of parameters; without one, a parameter has one number for each feature, the last axis of x.

    Raises:
        ConfigurationError: for what is not of the language, an unknown name, or a formula that has no derivative; the
            message shows the place. ShapeError: by ``build``, where an operation does not fit the shapes.

    >>> import numpy as np
    >>> from deepbp.initializers import Ones
    >>> from deepbp.layers import Builder, FormulaLayer
    >>> swish = FormulaLayer("x * sigmoid(slope * x)", slope=Ones())
    >>> _ = Builder(dtype="float64").build(swish, (2,))
    >>> y, saved = swish.forward(np.array([[0.0, 1.0]]))
    >>> y.round(4), swish.backward(saved, np.ones((1, 2))).round(4), swish.slope.grad.round(4)
    (array([[0.    , 0.7311]]), array([[0.5   , 0.9277]]), array([0.    , 0.1966]))
    """

    expression: str = field()
    names: dict[str, Any] = field(factory=dict, kw_only=True)
    shapes: dict[str, Shape] = field(factory=dict, kw_only=True)
    held: dict[str, Parameter] = field(init=False, factory=dict)
    _key: tuple[Key, Key] = field(init=False, default=((), ()))  # parameters with their shapes, and constants
    _passes: dict[Shape, CompiledFormula] = field(init=False, factory=dict)  # those of the shape it was built for

    def __init__(
        self,
        expression: str,
        *,
        names: Mapping[str, Initializer | float] | None = None,
        shapes: Mapping[str, ShapeLike] | None = None,
        **more: Initializer | float,
    ) -> None:
        given = {**(names or {}), **more}
        sizes = {name: as_shape(shape, f"FormulaLayer: shapes: {name}") for name, shape in (shapes or {}).items()}
        numbers = {name: as_python_number(value) for name, value in given.items()}
        self.__attrs_init__(expression, names=numbers, shapes=sizes)  # pyright: ignore[reportCallIssue]
        read(expression)
        for name, value in self.names.items():
            if not name.isidentifier() or name in RESERVED or name in FUNCTIONS:
                raise ConfigurationError(f"FormulaLayer: {name!r} has a meaning of its own: give another name")
            if isinstance(value, bool) or not isinstance(value, Initializer | REAL):
                raise ArgumentTypeError(
                    f"FormulaLayer: {name}: expected an initializer, such as Ones(), for a parameter, or a number, "
                    f"got {shown(value)}"
                )
        self._key = (), tuple(item for item in self.names.items() if not isinstance(item[1], Initializer))
        known = ("x", "input_shape", *self.names)
        fix = ": give it as a parameter, such as {0}=Ones(), or as a number, {0}=1.0"
        check_names(expression, read_tree(expression), known, fix)
        for name in self.shapes:
            if not isinstance(self.names.get(name), Initializer):
                raise ConfigurationError(f"FormulaLayer: shapes: {name!r} is no parameter")

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        initializers = {name: value for name, value in self.names.items() if isinstance(value, Initializer)}
        shapes = {name: self.shapes.get(name, input_shape[-1:]) for name in initializers}
        self._key = tuple(shapes.items()), self._key[1]
        passes = compiled(self.expression, input_shape, *self._key)
        self._passes = {input_shape: passes}
        self.held = {name: builder.parameter(shapes[name], value) for name, value in initializers.items()}
        return passes.output_shape

    def forward(self, x: Array) -> tuple[Array, Memory]:
        sample = x.shape[1:]
        passes = self._passes.get(sample) or compiled(self.expression, sample, *self._key)
        y, saved = passes.forward(x, *self._values()) if self.names else passes.forward(x)
        return y, (saved, passes, y.shape)

    def backward(self, saved: Memory, delta: Array) -> Array:
        remembered, passes, shape = saved
        if delta.shape != shape:
            raise _other_shape(shape, delta)
        if not self.names:
            return passes.backward(remembered, delta)[0]
        grad_input, *gradients = passes.backward(remembered, delta, *self._values())
        for parameter, gradient in zip(self.held.values(), gradients, strict=True):
            parameter.accumulate(gradient)
        return grad_input

    def backward_parameters(self, saved: Memory, delta: Array) -> None:
        remembered, passes, shape = saved
        if delta.shape != shape:
            raise _other_shape(shape, delta)
        gradients = passes.backward_parameters(remembered, delta, *self._values())
        for parameter, gradient in zip(self.held.values(), gradients, strict=True):
            parameter.accumulate(gradient)

    def _values(self) -> Sequence[Any]:
        return [*[parameter.value for parameter in self.held.values()], *[number for _, number in self._key[1]]]

    def stated_formula(self) -> Formula:
        symbols = letters_of(self.names) | {name: _LETTERS[name] for name in self.names if name in _LETTERS}
        if self.built is None:
            return Formula(self.expression, symbols=symbols)
        derived = compiled(self.expression, self.built.input_shape, *self._key).derived
        texts = {name: derived.text(name) for name in derived.gradients}
        backward = texts.pop("x")
        slope = slope_in(derived.gradients["x"], derived.values)
        if slope is None:
            return Formula(self.expression, backward=backward, gradients=texts, symbols=symbols)
        return Formula(self.expression, derivative=slope, gradients=texts, symbols=symbols)

    def formula_values(self) -> dict[str, Any]:
        """The numbers and arrays of the names in the formula."""
        return {**self.names, **{name: parameter.value for name, parameter in self.held.items()}}

    def __getattr__(self, name: str) -> Parameter:
        held = object.__getattribute__(self, "held") if name not in ("held", "names") else {}
        if name in held:
            parameter: Parameter = held[name]
            return parameter
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __repr__(self) -> str:
        parts = [repr(self.expression)]
        own = {name: value for name, value in self.names.items() if name not in ("expression", "names", "shapes")}
        parts += [f"{name}={value!r}" for name, value in own.items()]
        if rest := {name: value for name, value in self.names.items() if name not in own}:
            parts.append(f"names={rest!r}")
        if self.shapes:
            parts.append(f"shapes={self.shapes!r}")
        return f"{type(self).__name__}({', '.join(parts)})"
