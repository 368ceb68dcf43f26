"""The steps of backpropagation through a network, as equations."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import attrs
from attrs import frozen

from deepbp.derivation.expressions import Expression, with_values
from deepbp.formulas.printer import Symbol
from deepbp.layers import Formula, Layer, Penalty
from deepbp.layers.merging import Merge
from deepbp.parameters import Parameter
from deepbp.typing import Shape

Forms: TypeAlias = tuple[tuple[Expression, ...], dict[str, Symbol]]
"""Expressions of one thing, the shortest first, and the letters for their names."""


@frozen(eq=False)
class Step:
    """One layer of a built network, in forward order; a layer that is used twice makes two steps.

    Attributes:
        place: the path that leads to it, such as ``"2.1"``, as in ``named_layers()``.
        inputs: the signals that go in: x for the network's input, then z¹, a¹, …; one of them, but where branches meet.
        output: the signal that comes out; letters never repeat.
        parameters: W¹, b¹, … by the names of the layer's fields; one that was met before keeps its letter.
        held: the parameters themselves, by the same names.
        input_shapes, output_shape: of one sample.
        formula: None for a black box, a layer that states no mathematics.
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

    @property
    def kind(self) -> str:
        """The layer's class."""
        return type(self.layer).__name__

    @property
    def input(self) -> Symbol:
        """The signal that goes in, the first of them where there are several."""
        return self.inputs[0]

    @property
    def input_shape(self) -> Shape:
        """Of one sample of ``input``."""
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
        """For the names that the formula's expressions use."""
        letters = self.formula.symbols if self.formula else {}
        known = {"x": self.input, "y": self.output, "delta": self.delta, "delta_input": self.delta_input}
        return {name: Symbol(letter) for name, letter in letters.items()} | self.parameters | known

    def made(self) -> Forms:
        """The output; an activation is written with its letter."""
        symbols = dict(self.symbols)
        if self.formula is None:
            return ("f(x)",), symbols | {"f": Symbol(self.kind)}
        if self.formula.function:
            return ("f(x)",), symbols | {"f": Symbol(self.formula.function)}
        return (with_values(self.formula.forward, self.layer),), symbols

    def passed_back(self, index: int = 0) -> Forms:
        """What it passes back to one of its inputs: ∂L/∂input, or a share of it, where others use that signal, too."""
        symbols, formula = dict(self.symbols), self.formula
        if formula is None or not formula.passed_back:
            return ("back(delta)",), symbols | {"back": Symbol(f"{self.kind}.backward")}
        passed = with_values(formula.passed_back, self.layer)
        if formula.derivative and formula.function:
            return ("delta * prime(x)", passed), symbols | {"prime": Symbol(f"{formula.function}′")}
        return (passed,), symbols

    def gradient(self, name: str) -> Forms:
        """∂L/∂parameter, or this use's share of it."""
        symbols = dict(self.symbols)
        stated = self.formula.gradients.get(name) if self.formula is not None else None
        if stated is None:
            return ("back(delta)",), symbols | {"back": Symbol(f"{self.kind}.backward")}
        return (with_values(stated, self.layer),), symbols


def error_signal(at: Symbol) -> Symbol:
    """∂L/∂ what the symbol stands for: δ² at z², by the usual short name, and ∂L/∂a² at a²."""
    return Symbol("δ", at.number) if at.letter == "z" else derivative(at)


def derivative(by: Symbol) -> Symbol:
    """∂L/∂ what the symbol stands for, written out."""
    return attrs.evolve(by, letter=f"∂L/∂{by.letter}")


@frozen(eq=False)
class PenaltyStep(Step):
    """A number that is added to the loss: a penalty of the parameter "w", or of outputs.

    ``penalty`` is None where a layer adds something by itself, whose gradients are then in what that layer passes back.
    """

    penalty: Penalty | None

    @property
    def symbols(self) -> Mapping[str, Symbol]:
        return {"w": self.penalized_signal, "y": self.output, "samples": Symbol("B")}

    @property
    def penalized_signal(self) -> Symbol:
        """What is penalised: W¹, or a¹."""
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
        assert penalty is not None, "such a layer passes its own back"
        if penalty.formula is None:
            return (self._mean("prime(w)"),), {**self.symbols, "prime": Symbol(f"{type(penalty).__name__}′")}
        return (with_values(self._mean(penalty.formula.gradient), penalty),), dict(self.symbols)

    def _mean(self, expression: str) -> str:
        """Of outputs, the mean over the samples."""
        return expression if self.parameters else f"({expression}) / samples"


def layers_in(steps: Sequence[Step]) -> list[Step]:
    """Without the penalties: what makes signals."""
    return [step for step in steps if not isinstance(step, PenaltyStep)]


def last_signal(steps: Sequence[Step]) -> Symbol:
    """The network's output."""
    return layers_in(steps)[-1].output


@frozen(eq=False)
class SliceStep(Step):
    """Columns of a signal, which go into a branch of their own; ``whole`` is the place of the layer that cuts it."""

    columns: slice
    whole: str

    def made(self) -> Forms:
        return (f"columns(x, {self.columns.start}, {self.columns.stop})",), dict(self.symbols)

    def passed_back(self, index: int = 0) -> Forms:
        return ("delta",), dict(self.symbols)


@frozen(eq=False)
class MergeStep(Step):
    """Where branches meet."""

    merge: Merge

    @property
    def symbols(self) -> Mapping[str, Symbol]:
        signals = {f"x{i}": signal for i, signal in enumerate(self.inputs)}
        return {**signals, "y": self.output, "delta": self.delta}

    def made(self) -> Forms:
        names = [f"x{i}" for i in range(len(self.inputs))]
        match self.merge:
            case "concat":
                made = f"concat({', '.join(names)})"
            case "multiply":
                made = " * ".join(names)
            case "add":
                made = " + ".join(names)
            case "mean":
                made = f"({' + '.join(names)}) / {len(names)}"
        return (made,), dict(self.symbols)

    def passed_back(self, index: int = 0) -> Forms:
        match self.merge:
            case "concat":
                passed = f"columns(delta, {self.start(index)}, {self.start(index + 1)})"
            case "multiply":
                passed = " * ".join(["delta", *(f"x{i}" for i in range(len(self.inputs)) if i != index)])
            case "add":
                passed = "delta"
            case "mean":
                passed = f"delta / {len(self.inputs)}"
        return (passed,), dict(self.symbols)

    def start(self, index: int) -> int:
        """The first column of the output that comes from this branch, where they stand side by side."""
        return sum(shape[-1] for shape in self.input_shapes[:index])


def columns_text(start: int, stop: int) -> str:
    """Columns, as they are counted from 0."""
    return f"column {start}" if stop == start + 1 else f"columns {start} to {stop - 1}"
