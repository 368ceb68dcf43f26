"""The steps of a network: layers, operations and penalties with their symbols, equations and shapes."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, TypeAlias

import attrs
from attrs import define, field, frozen

from deepbp.derivation.expressions import Expression, Math, with_values
from deepbp.formulas.language import in_time
from deepbp.formulas.printer import Symbol
from deepbp.layers import Formula, Layer, Operation, Penalty, PenaltyTerm, SliceColumns, SliceSteps
from deepbp.layers.observed_pass import FlatNode, flattened
from deepbp.optimizers import SGD, Optimizer
from deepbp.parameters import Parameter
from deepbp.typing import Shape

Forms: TypeAlias = tuple[tuple[Expression, ...], dict[str, Symbol]]
"""Equivalent expressions, the shortest first, and the symbols of their names."""


@frozen(eq=False)
class Step:
    """One use of a layer in the forward pass of a built network, with the symbols of its equations.

    A layer that is used twice makes two steps. ``steps(network)`` and ``Derivation.steps`` list them in forward order.

    Attributes:
        place: path of the layer, as in ``named_layers()``, such as ``"2.1"``.
        inputs: symbols of the input signals: x for the network's input, then z⁰, a¹, …; several where branches meet.
        output: symbol of the output signal; each signal has its own symbol.
        parameters: symbols W⁰, b⁰, … by field name; a parameter that is used again keeps its symbol.
        held: the parameters, by the same names.
        input_shapes, output_shape: shapes of one sample.
        formula: the layer's mathematics; None for a black box.
        condition: under which the formula holds, in a few words: of a layer with a mask, or that runs per step.

    >>> from deepbp import Sequential
    >>> from deepbp.derivation import steps
    >>> from deepbp.layers import Dense, Sigmoid
    >>> last = steps(Sequential([Dense(4), Sigmoid()], input_shape=3, rng=0))[-1]
    >>> last.place, last.kind, last.output_shape
    ('1', 'Sigmoid', (4,))
    """

    place: str
    layer: Layer[Any]
    inputs: tuple[Symbol, ...]
    output: Symbol
    parameters: dict[str, Symbol]
    held: dict[str, Parameter]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    formula: Formula | None
    condition: str = attrs.field(default="", kw_only=True)

    @property
    def kind(self) -> str:
        """The name of the layer's class."""
        return type(self.layer).__name__

    @property
    def input(self) -> Symbol:
        """The input signal; the first one where branches meet."""
        return self.inputs[0]

    @property
    def input_shape(self) -> Shape:
        """The shape of one sample of ``input``."""
        return self.input_shapes[0]

    @property
    def delta(self) -> Symbol:
        """The error signal ∂L/∂output: δ¹ at z¹, and ∂L/∂a¹ at a¹."""
        return error_signal(self.output)

    @property
    def delta_input(self) -> Symbol:
        """The error signal ∂L/∂input."""
        return error_signal(self.input)

    @property
    def symbols(self) -> Mapping[str, Symbol]:
        """The symbols of all names in the formula's expressions."""
        letters = self.formula.symbols if self.formula else {}
        known = {"x": self.input, "y": self.output, "delta": self.delta, "delta_input": self.delta_input}
        known |= dict(zip(["memory"], self.inputs[1:], strict=False))
        drawn: tuple[str, ...] = ()  # of this pass, and so with the number of this step
        if self.formula is not None:
            drawn = (*self.formula.saved, *self.formula.where, *self.formula.where_back)
            if in_time(self.formula.where.values()):
                whole = self.formula.forward in self.formula.where  # y and delta have all steps, too
                known |= {
                    name: attrs.evolve(known[name], letter=f"{known[name].letter}ₜ")
                    for name in (("x", "y", "delta") if whole else ("x",))
                }
        own = {name: Symbol(letters.get(name, name), self.output.number) for name in drawn}
        return {name: Symbol(letter) for name, letter in letters.items()} | own | self.parameters | known

    def made(self) -> Forms:
        """The output as an expression; f(x), with its letter, for an activation function."""
        symbols = dict(self.symbols)
        if self.formula is None:
            names = {"x": self.input, **{f"x{i}": one for i, one in enumerate(self.inputs[1:], 1)}}
            return (f"f({', '.join(names)})",), symbols | names | {"f": Symbol(self.kind)}
        if self.formula.function:
            return ("f(x)",), symbols | {"f": Symbol(self.formula.function)}
        return (with_values(self.formula.forward, self.layer),), symbols

    def passed_back(self, index: int = 0) -> Forms:
        """The backpropagated gradient ∂L/∂input as an expression: a share of it if other steps take that input."""
        symbols, formula = dict(self.symbols), self.formula
        stated = "" if formula is None else formula.gradients.get("memory", "") if index else formula.passed_back
        if formula is None or not stated:
            return ("back(delta)",), symbols | {"back": Symbol(f"{self.kind}.backward")}
        passed = with_values(stated, self.layer)
        if formula.derivative and formula.function:
            return ("delta * prime(x)", passed), symbols | {"prime": Symbol(f"{formula.function}′")}
        return (passed,), symbols

    def equations(self, *, back: bool = False) -> list[tuple[Math, str]]:
        """The further equations of the formula, of the forward or of the backward pass, with remarks."""
        if self.formula is None:
            return []
        stated = self.formula.where_back if back else self.formula.where
        symbols = dict(self.symbols)
        return [
            (Math((name, with_values(text, self.layer)), symbols), _in_words(text) if back else "")
            for name, text in stated.items()
        ]

    def gradient(self, name: str) -> Forms:
        """The parameter gradient ∂L/∂parameter as an expression: the share of this use."""
        symbols = dict(self.symbols)
        stated = self.formula.gradients.get(name) if self.formula is not None else None
        if stated is None:
            return ("back(delta)",), symbols | {"back": Symbol(f"{self.kind}.backward")}
        return (with_values(stated, self.layer),), symbols


_REASONS = {
    r"(after|before)\(\w+\) @ \w+\.T": "moved by one step in time, through the transposed weights",
    r"row_sum\(A \* G\)": "the whole Jacobian of softmax, one row at a time",
    r"^beside\(.*\(1 - ": "each gate its own columns, times the slope of its function",
    r"1 - tanh\(c\)\*\*2": "back through tanh, and through the forget gate of the step beside it",
    r"\* r\)$": "the same, with the reset gate in front of the candidate's part",
    r"^beside\(join_heads": "side by side again, by the product rule for each",
    r"\(1 - n\*\*2\) \*": "tanh′ = 1 − tanh², then the product rule",
    r"^d\w? (\*|@) |join_heads\(\w @": "product rule: times the other factors",
    r"@ output_weight\.T": "moved through the transposed weights, and cut into heads",
}


def _in_words(text: str) -> str:
    """The reason of an equation of the backward pass."""
    return next((words for pattern, words in _REASONS.items() if re.search(pattern, text)), "")


def error_signal(at: Symbol) -> Symbol:
    """The symbol of the error signal: δ² at z², and ∂L/∂a² at a²."""
    return Symbol("δ", at.number) if at.letter == "z" else derivative(at)


def derivative(by: Symbol) -> Symbol:
    """The symbol of the gradient, written out: ∂L/∂z²."""
    return attrs.evolve(by, letter=f"∂L/∂{by.letter}")


@frozen(eq=False)
class PenaltyStep(Step):
    """A regularization term that is added to the loss: a penalty of the parameter "w", or of an output.

    ``penalty`` is None for the ``penalty`` method of a layer, whose own backward pass includes the gradients.
    """

    penalty: Penalty | None

    @property
    def symbols(self) -> Mapping[str, Symbol]:
        return {"w": self.penalized_signal, "y": self.output, "samples": Symbol("B")}

    @property
    def penalized_signal(self) -> Symbol:
        """The symbol of the penalized parameter or output: W¹, or a¹."""
        return self.parameters.get("w") or self.inputs[0]

    def made(self) -> Forms:
        penalty = self.penalty
        if penalty is None:
            return ("f(w)",), {**self.symbols, "f": Symbol(f"{self.kind}.penalty")}
        if penalty.formula is None:
            return (self._mean("f(w)"),), {**self.symbols, "f": Symbol(type(penalty).__name__)}
        return (with_values(self._mean(penalty.formula.value), penalty),), dict(self.symbols)

    def passed_back(self, index: int = 0) -> Forms:
        return self._derivative()

    def gradient(self, name: str) -> Forms:
        return self._derivative()

    def _derivative(self) -> Forms:
        penalty = self.penalty
        assert penalty is not None, "the layer's backward pass includes these gradients"
        if penalty.formula is None:
            return (self._mean("prime(w)"),), {**self.symbols, "prime": Symbol(f"{type(penalty).__name__}′")}
        return (with_values(self._mean(penalty.formula.gradient), penalty),), dict(self.symbols)

    def _mean(self, expression: str) -> str:
        """The penalty of an output is a mean over the samples."""
        return expression if self.parameters else f"({expression}) / samples"


def layers_in(steps: Sequence[Step]) -> list[Step]:
    """The steps without the penalties."""
    return [step for step in steps if not isinstance(step, PenaltyStep)]


def last_signal(steps: Sequence[Step]) -> Symbol:
    """The symbol of the network's output."""
    return layers_in(steps)[-1].output


@frozen(eq=False)
class OperationStep(Step):
    """A step without a layer of its own: columns that are sliced off for a branch, or branches that are merged.

    ``whole`` is the place of the composite layer that states it, and ``layer`` that composite.
    """

    operation: Operation
    whole: str

    @property
    def symbols(self) -> Mapping[str, Symbol]:
        return {**dict(zip(self.names, self.inputs, strict=True)), "y": self.output, "delta": self.delta}

    @property
    def is_slice(self) -> bool:
        """Whether it takes columns, or steps, of a signal."""
        return isinstance(self.operation, SliceColumns | SliceSteps)

    @property
    def names(self) -> list[str]:
        """What the operation's formulas call the inputs."""
        return self.operation.names(len(self.inputs))

    def made(self) -> Forms:
        if formula := self.operation.forward_formula(self.input_shapes):
            return (formula,), dict(self.symbols)
        return (f"f({', '.join(self.names)})",), {**self.symbols, "f": Symbol(type(self.operation).__name__)}

    def passed_back(self, index: int = 0) -> Forms:
        if formula := self.operation.backward_formula(index, self.input_shapes):
            return (formula,), dict(self.symbols)
        return ("back(delta)",), {**self.symbols, "back": Symbol(f"{type(self.operation).__name__}.backward")}


def uses_of(steps: Sequence[Step], signal: Symbol) -> list[tuple[Step, int]]:
    """The steps that take a signal, penalties last, each with the position of the signal among its inputs."""
    found = [(step, index) for step in steps for index, taken in enumerate(step.inputs) if taken == signal]
    penalties = [(step, index) for step, index in found if isinstance(step, PenaltyStep) and step.penalty is not None]
    return [*((step, index) for step, index in found if not isinstance(step, PenaltyStep)), *penalties]


def steps(network: Layer[Any]) -> list[Step]:
    """The steps of a network in forward order, each with its symbols; composite layers are taken apart.

    A weighted sum is called z, and what else a layer makes a; the number above is the layer's index in ``net.layers``,
    as are those of its parameters. Within layers of layers it is the path, in which names are cut to one letter or left
    out: ``"2.body.0"`` is 2.0. Columns that are sliced off for a branch, and what branches are merged to, are steps of
    their own, called a; so is each penalty, called P. A second use of one layer is marked (2).

    Raises:
        NotBuiltError: when the network's sizes are not known yet.

    >>> from deepbp import Sequential
    >>> from deepbp.derivation import steps
    >>> from deepbp.layers import Dense, Sigmoid
    >>> net = Sequential([Dense(4), Sigmoid(), Dense(1)], input_shape=3, rng=0)
    >>> [step.output.letter + step.output.number for step in steps(net)]
    ['z0', 'a1', 'z2']
    """
    nodes = list(flattened(network))
    numbering = _Numbering(short_paths(node.place for node in nodes if node.is_signal), [Symbol("x")])
    return [numbering.step(node) for node in nodes]


def short_paths(places: Iterable[str]) -> dict[str, str]:
    """The places of layers as numbers above letters, and those of the layers around them.

    Names become initials, or nothing where a layer holds one other layer or list and makes no signal besides.

    >>> short_paths(["0", "1.body.0", "1", "2.layer", "3.body", "3.shortcut"])["1.body.0"]
    '1.0'
    """
    paths = {tuple(filter(None, place.split("."))) for place in places}
    inside: dict[tuple[str, ...], set[str]] = {}  # the next parts of all that lies in a layer
    for path in paths:
        for i, part in enumerate(path):
            inside.setdefault(path[:i], set()).add(part)

    def short(path: tuple[str, ...]) -> Iterator[str]:
        for i, part in enumerate(path):
            beside = inside[path[:i]] - {part}
            holds_alone = path[:i] not in paths or "".join(path[i + 1 : i + 2]).isdigit()
            if part.isdigit():
                yield part
            elif beside or not holds_alone:
                cuts = (part[:k] for k in range(1, len(part)))
                yield next((cut for cut in cuts if not any(other.startswith(cut) for other in beside)), part)

    around = {path[:i] for path in paths for i in range(len(path) + 1)}
    return {".".join(path): ".".join(short(path)) for path in around}


@define(eq=False)
class _Numbering:
    """Assigns letters and numbers in forward order.

    Attributes:
        paths: what stands above the letters of a layer, by place.
        signals: the symbol of the network's input, and of each output so far.
        parameters: the symbols of the parameters met so far, by identity.
    """

    paths: Mapping[str, str]
    signals: list[Symbol]
    parameters: dict[int, Symbol] = field(factory=dict)

    def step(self, node: FlatNode) -> Step:
        inputs = tuple(self.signals[position] for position in node.inputs)
        if isinstance(node.operation, PenaltyTerm):
            step: Step = self._penalty(node, node.operation, inputs)
        elif node.operation is not None:
            output = self._output("a", node)
            shapes = node.input_shapes, node.output_shape
            step = OperationStep(
                node.place, node.layer, inputs, output, {}, {}, *shapes, None, node.operation, node.whole
            )
        else:
            step = self._layer(node, inputs)
        self.signals.append(step.output)
        return step

    def _layer(self, node: FlatNode, inputs: tuple[Symbol, ...]) -> Step:
        formula = node.layer.stated_formula()
        letter = "z" if formula is not None and formula.output == "z" else "a"
        names = formula.symbols if formula is not None else {}
        held = node.layer.named_parameters()
        fresh = {id(p): names.get(name, name) for name, p in held.items() if id(p) not in self.parameters}
        output = self._output(letter, node)
        self.parameters.update({key: Symbol(one, output.number) for key, one in fresh.items()})
        parameters = {name: self.parameters[id(p)] for name, p in held.items()}
        shapes = node.input_shapes, node.output_shape
        masked = node.context is not None and node.context.mask is not None and not node.layer.stepwise
        conditions = ["without the padding"] * masked + ["each step alone"] * bool(node.steps)
        condition = ", ".join(conditions)
        return Step(node.place, node.layer, inputs, output, parameters, held, *shapes, formula, condition=condition)

    def _penalty(self, node: FlatNode, term: PenaltyTerm, inputs: tuple[Symbol, ...]) -> Step:
        output = self._output("P", node)
        held = {} if term.parameter is None else {"w": term.parameter}
        letters = {name: self.parameters[id(parameter)] for name, parameter in held.items()}
        return PenaltyStep(
            node.place, node.layer, inputs, output, letters, held, node.input_shapes, (), None, term.penalty
        )

    def _output(self, letter: str, node: FlatNode) -> Symbol:
        """The letter with the layer's number; a further output of the same layer is counted behind it."""
        number = self.paths[node.place]
        uses = (Symbol(letter, f"{number}({k})" if k > 1 else number) for k in count(1))
        return next(symbol for symbol in uses if symbol not in self.signals)


def is_plain_descent(optimizer: Optimizer | None) -> bool:
    """Whether the update is the notes' step 6: gradient descent with a number as its rate, and nothing else."""
    plain = isinstance(optimizer, SGD) and not (optimizer.momentum or optimizer.weight_decay)
    return plain and not callable(getattr(optimizer, "learning_rate", None))
