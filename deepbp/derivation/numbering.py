"""Symbols for the steps of a network: z¹ = x W¹ + b¹, a¹ = σ(z¹), z² = a¹ W² + b², and so on."""

from itertools import count
from typing import Any

from attrs import define, field

from deepbp.derivation.steps import OperationStep, PenaltyStep, Step
from deepbp.formulas.printer import Symbol
from deepbp.layers import Layer, PenaltyTerm
from deepbp.layers.observed_pass import FlatNode, flattened


def steps(network: Layer[Any]) -> list[Step]:
    """The steps of a network in forward order, each with its symbols; composite layers are taken apart.

    A weighted sum begins a new number and is called z; what is made of it is called a and carries the same number, or a
    new one where that letter is taken. Parameters carry the number of the layer that uses them first. Number 0 is left
    for what is done to the input before the first weights. Columns that are sliced off for a branch, and what branches
    are merged to, are steps of their own, called a; so is each penalty, called P.

    Raises:
        NotBuiltError: when the network's sizes are not known yet.

    >>> from deepbp import Sequential
    >>> from deepbp.derivation import steps
    >>> from deepbp.layers import Dense, Sigmoid
    >>> net = Sequential([Dense(4), Sigmoid(), Dense(1)], input_shape=3, rng=0)
    >>> [step.output.letter + step.output.number for step in steps(net)]
    ['z1', 'a1', 'z2']
    """
    numbering = _Numbering([Symbol("x")])
    return [numbering.step(node) for node in flattened(network)]


@define(eq=False)
class _Numbering:
    """Assigns letters and numbers in forward order.

    Attributes:
        signals: the symbol of the network's input, and of each output so far.
        taken: all letters and numbers in use.
        parameters: the symbols of the parameters met so far, by identity.
        number: the highest in use.
    """

    signals: list[Symbol]
    taken: set[Symbol] = field(factory=set)
    parameters: dict[int, Symbol] = field(factory=dict)
    number: int = 0

    def step(self, node: FlatNode) -> Step:
        inputs = tuple(self.signals[position] for position in node.inputs)
        if isinstance(node.operation, PenaltyTerm):
            step: Step = self._penalty(node, node.operation, inputs)
        elif node.operation is not None:
            output = self._letter("a", inputs[0])
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
        output = self._letter(letter, inputs[0], *fresh.values())
        self.parameters.update({key: Symbol(one, output.number) for key, one in fresh.items()})
        parameters = {name: self.parameters[id(p)] for name, p in held.items()}
        shapes = node.input_shapes, node.output_shape
        return Step(node.place, node.layer, inputs, output, parameters, held, *shapes, formula)

    def _penalty(self, node: FlatNode, term: PenaltyTerm, inputs: tuple[Symbol, ...]) -> Step:
        output = next(letter for k in count(1) if (letter := Symbol("P", str(k))) not in self.taken)
        self.taken.add(output)
        held = {} if term.parameter is None else {"w": term.parameter}
        letters = {name: self.parameters[id(parameter)] for name, parameter in held.items()}
        return PenaltyStep(
            node.place, node.layer, inputs, output, letters, held, node.input_shapes, (), None, term.penalty
        )

    def _letter(self, letter: str, signal: Symbol, *others: str) -> Symbol:
        """A letter that is free, with the number of the signal that it is made of where that fits."""
        wanted = (letter, *others)
        follows = (signal.number or "0") == str(self.number)
        if letter == "z" or not follows or any(Symbol(one, str(self.number)) in self.taken for one in wanted):
            self.number += 1
        self.taken.update(Symbol(one, str(self.number)) for one in wanted)
        return Symbol(letter, str(self.number))
