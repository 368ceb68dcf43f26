"""The derivation of one formula's backward pass, step by step, in the layout of the notes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from attrs import frozen

from deepbp._validation import as_shape
from deepbp.derivation.document import Block, Document, Equations, Heading, Paragraph, Row
from deepbp.derivation.expressions import Math
from deepbp.derivation.formula_class import layer_class, loss_class, penalty_class
from deepbp.derivation.layer_derivation import COUNTS, LayerDerivation
from deepbp.derivation.rendering import Renderable
from deepbp.errors import ArgumentTypeError, ConfigurationError, shown
from deepbp.formulas.algebra import Name, Node, add, names_of, replaced
from deepbp.formulas.compiled import derive_formula
from deepbp.formulas.derive import DELTA, Derived, Quantity
from deepbp.formulas.formula_text import check_names, check_shapes, letters_of, read, read_tree, written
from deepbp.formulas.identities import plain
from deepbp.formulas.printer import Symbol, TextPrinter, print_expression
from deepbp.formulas.rules import Share
from deepbp.formulas.simplify import Simplifier
from deepbp.formulas.source import remembered
from deepbp.initializers import GlorotUniform, Initializer, Ones, Zeros
from deepbp.layers import Layer
from deepbp.typing import Shape, ShapeLike

Kind: TypeAlias = Literal["layer", "loss", "penalty"]


@frozen(eq=False, repr=False)
class FormulaDerivation(Renderable):
    """The derivation of a formula's backward pass: quantities, their gradients one by one, and the results.

    ``print`` renders text, ``to_latex()`` and ``to_html()`` the other formats; notebooks show the HTML. ``source()`` is
    the source of a class.

    Attributes:
        expression: as stated.
        kind: "layer", "loss" or "penalty".
        gradients: ∂L/∂x and ∂L/∂parameter by name, in the language of formulas.
        remembered: the arrays of the forward pass from which the gradients follow.

    >>> import deepbp
    >>> found = deepbp.derive("1 / (1 + exp(-x))")
    >>> found.gradients, found.remembered
    ({'x': 'delta * y * (1 - y)'}, ('y',))
    """

    expression: str
    kind: Kind
    gradients: dict[str, str]
    remembered: tuple[str, ...]
    derived: Derived
    input_shape: Shape
    shapes: dict[str, Shape]
    initializers: dict[str, str]
    constants: dict[str, float]

    def source(self, name: str = "Derived") -> str:
        """The source of a class of this name, ready to paste: a layer, a loss that is a mean, or a penalty."""
        printed = print_expression(self.expression.strip(), self._symbols(), TextPrinter())
        if self.kind == "loss":
            return loss_class(name, self.expression, printed, self.derived, self.constants)
        if self.kind == "penalty":
            return penalty_class(name, self.expression, printed, self.derived, self.constants)
        return layer_class(
            name,
            self.expression,
            printed,
            self.derived,
            self.input_shape,
            self.shapes,
            self.initializers,
            self.constants,
        )

    def document(self) -> Document:
        return Document(self._title(), tuple(self._blocks()))

    def _title(self) -> str:
        printed = print_expression(self.expression.strip(), self._symbols(), TextPrinter())
        return f"The backward pass of {self._output} = {printed}"

    @property
    def _output(self) -> str:
        return {"layer": "y", "loss": "L", "penalty": "P"}[self.kind]

    def _symbols(self) -> dict[str, Symbol]:
        names = names_of(self.derived.forward) | {"y"}
        names |= {one.name for one in self.derived.quantities}
        letters = letters_of(names) | {"delta": "δ"}
        if self.kind == "loss":
            letters |= {"prediction": "ŷ", "target": "y", "rows": "B", "classes": "C", "y": "L"}
        if self.kind == "penalty":
            letters |= {"y": "P"}
        symbols = {name: Symbol(letter) for name, letter in letters.items()}
        for one in self.derived.quantities:
            symbols[_gradient_name(one)] = Symbol(f"∂L/∂{letters[one.name]}")
        for name in self.gradients:
            symbols[f"gradient_{name}"] = Symbol(f"∂{self._output if self.kind != 'layer' else 'L'}/∂{letters[name]}")
        return symbols

    def _math(self, left: str, *sides: Node) -> Math:
        gradients: dict[Node, Node] = {one.gradient: Name(_gradient_name(one)) for one in self.derived.quantities}
        texts = (written(plain(replaced(side, gradients))) for side in sides)
        return Math((left, *texts), self._symbols())

    def _blocks(self) -> Iterable[Block]:
        derived = self.derived
        if self.kind == "layer":
            shown = [f"x (B, {', '.join(map(str, self.input_shape))})"] + [f"{n} {s}" for n, s in self.shapes.items()]
            yield Paragraph(
                (
                    f"Shapes: {', '.join(shown)}. ",
                    Math(("delta",), self._symbols()),
                    " is the error signal ∂L/∂y that arrives from the layer behind; the layer passes ∂L/∂x back.",
                )
            )
        if derived.recognized:
            yield Paragraph((f"Recognized in the formula: {', '.join(derived.recognized)}.",))
        kept = set(self.remembered)
        yield Heading("Forward, in steps")
        rows = []
        for one in derived.quantities:
            row = self._math(one.name, derived.in_steps(one.node))
            remark = "remembered" if one.name in kept else ""
            rows.append(Row(row, "", remark))
        yield Equations(tuple(rows))
        yield Heading("Backward, from the last step to the first")
        yield Equations(tuple(self._backward_rows()), unfolding=True)
        yield Heading("The result")
        yield Equations(
            tuple(Row(self._math(f"gradient_{name}", derived.gradients[name])) for name in derived.gradients)
        )
        yield Heading("What must be remembered")
        names = [print_expression(one, self._symbols(), TextPrinter()) for one in self.remembered]
        words = "From the forward pass the gradients need "
        yield Paragraph((f"{words}{_listed(names)}." if names else "Nothing of the forward pass.",))

    def _backward_rows(self) -> Iterable[Row]:
        derived = self.derived
        last = derived.quantities[-1]
        start = DELTA if self.kind == "layer" else read("1")
        if self.kind == "layer":
            yield Row(self._math(_gradient_name(last), start), "", "the error signal arrives")
        arriving: dict[Node, list[Share]] = {}
        for one in reversed(derived.quantities):
            for share in one.shares:
                arriving.setdefault(share.part, []).append(share)
        order = [*reversed(derived.quantities[:-1])]
        for one in order:
            yield self._arrival(_gradient_name(one), arriving[one.node])
        for name in derived.gradients:
            if Name(name) in arriving:
                yield self._arrival(f"gradient_{name}", arriving[Name(name)])

    def _arrival(self, left: str, shares: Sequence[Share]) -> Row:
        derived = self.derived
        simplify = Simplifier(derived.values, derived.forward)
        whole = simplify.merged(add(*(share.gradient for share in shares)))
        known: dict[Node, Node] = {one.node: Name(one.name) for one in derived.quantities}
        if self.kind != "layer":
            whole = replaced(whole, {derived.quantities[-1].gradient: read("1")})
        reasons = dict.fromkeys(share.rule for share in shares)
        remark = "; ".join(reasons)
        if len(shares) > 1:
            rules = ", ".join(dict.fromkeys(reason.partition(": ")[0] for reason in reasons))
            remark = f"{COUNTS.get(len(shares), len(shares))} ways lead here, the shares add: {rules}"
        return Row(self._math(left, replaced(whole, known)), "", remark)


_STARTS: dict[str, Initializer] = {"bias": Zeros(), "shift": Zeros(), "weight": GlorotUniform()}


def _gradient_name(quantity: Quantity) -> str:
    return f"gradient_of_{quantity.name}"


def _listed(items: Sequence[str]) -> str:
    return f"{', '.join(items[:-1])} and {items[-1]}" if len(items) > 1 else items[0]


@overload
def derive(forward: Layer[Any], *, input_shape: ShapeLike = 4) -> LayerDerivation: ...


@overload
def derive(
    forward: str,
    parameters: str | Sequence[str] | Mapping[str, Any] = (),
    *,
    constants: Mapping[str, float] | None = None,
    input_shape: ShapeLike = 4,
) -> FormulaDerivation: ...


def derive(
    forward: str | Layer[Any],
    parameters: str | Sequence[str] | Mapping[str, Any] = (),
    *,
    constants: Mapping[str, float] | None = None,
    input_shape: ShapeLike = 4,
) -> FormulaDerivation | LayerDerivation:
    """Derive the backward pass of a formula, with every step and its reason.

    The formula of a layer is an expression of ``x``, the input, and of its parameters; that of a loss one of
    ``prediction`` and ``target``; that of a penalty one of ``w``.

    Args:
        forward: such as ``"x * sigmoid(slope * x)"``; or a layer, such as a recurrent one, whose stated formula is
            derived, with one line for each quantity in it.
        parameters: the names of parameters, or a mapping from names to shapes or initializers; without a shape, a
            parameter has one number for each feature.
        constants: other names, with numbers: ``{"beta": 2.0}``.
        input_shape: the shape of one sample, for a layer; a built one has its own.

    Raises:
        ConfigurationError: for what is not of the language, an unknown name, or a formula that has no derivative.
        ShapeError: where an operation does not fit the shapes. The messages show the place.

    >>> import deepbp
    >>> found = deepbp.derive("x * sigmoid(slope * x)", parameters=["slope"])
    >>> found.gradients["slope"]
    'batch_sum(delta * x * (1 - sigmoid(slope * x)) * y)'
    >>> deepbp.derive("total((prediction - target)**2) / n").gradients
    {'prediction': '2 * (prediction - target) / n'}
    """
    if isinstance(forward, Layer):
        return LayerDerivation.of(forward, as_shape(input_shape))
    used = names_of(read(forward))
    numbers = {name: float(value) for name, value in (constants or {}).items()}
    if "prediction" in used and "x" not in used:
        return _of_loss(forward, numbers)
    if "w" in used and "x" not in used:
        return _of_penalty(forward, numbers)
    given = _as_mapping(parameters)
    shape = as_shape(input_shape)
    shapes, initializers = {}, {}
    for name, value in given.items():
        is_initializer = isinstance(value, Initializer)
        shapes[name] = shape[-1:] if value is None or is_initializer else as_shape(value, f"parameters: {name}")
        initializers[name] = repr(value if is_initializer else _STARTS.get(name, Ones()))
    derived = derive_formula(forward, shape, shapes, numbers)
    return _made(forward, "layer", derived, shape, shapes, initializers, numbers)


def _as_mapping(parameters: Any) -> dict[str, Any]:
    if isinstance(parameters, str):
        return {parameters: None}
    if isinstance(parameters, Mapping):
        return dict(parameters)
    if isinstance(parameters, Sequence) and all(isinstance(name, str) for name in parameters):
        return dict.fromkeys(parameters)
    raise ArgumentTypeError(
        f"parameters: expected names such as ['slope'], or names with shapes, got {shown(parameters)}"
    )


def _of_loss(forward: str, constants: dict[str, float]) -> FormulaDerivation:
    rng = np.random.default_rng(0)
    prediction, target = rng.uniform(0.1, 1, (2, 5, 3))
    values: dict[str, Any] = {"prediction": prediction / prediction.sum(axis=-1, keepdims=True)}
    values |= {"target": target / target.sum(axis=-1, keepdims=True), "n": 15, "rows": 5, "classes": 3, **constants}
    return _of_number(forward, "loss", "prediction", values, constants)


def _of_penalty(forward: str, constants: dict[str, float]) -> FormulaDerivation:
    values = {"w": np.random.default_rng(0).standard_normal((4, 3)), **constants}
    return _of_number(forward, "penalty", "w", values, constants)


def _of_number(
    forward: str, kind: Kind, wanted: str, values: dict[str, Any], constants: dict[str, float]
) -> FormulaDerivation:
    tree = read_tree(forward)
    check_names(forward, tree, values, ": give it a number, constants={{{0!r}: 1.0}}")
    output = check_shapes(forward, tree, values)
    if np.shape(output) != ():
        raise ConfigurationError(f"formula: expected one number, such as total(...), got shape {np.shape(output)}")
    derived = Derived.of(read(forward), (wanted,), values, upstream=read("1"))
    return _made(forward, kind, derived, (), {}, {}, constants)


def _made(
    forward: str,
    kind: Kind,
    derived: Derived,
    shape: Shape,
    shapes: dict[str, Shape],
    initializers: dict[str, str],
    constants: dict[str, float],
) -> FormulaDerivation:
    nodes = remembered(derived.forward, [*derived.gradients.values()]) if kind == "layer" else []
    names = {one.node: one.name for one in derived.quantities}
    kept = tuple(
        sorted(
            (names.get(node) or written(plain(derived.in_steps(node))) for node in nodes),
            key=lambda one: (one != "x", one),
        )
    )
    gradients = {name: derived.text(name) for name in derived.gradients}
    return FormulaDerivation(forward, kind, gradients, kept, derived, shape, shapes, initializers, constants)
