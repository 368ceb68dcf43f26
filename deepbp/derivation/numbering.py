"""Which letter each thing in a network goes by: z¹ = x W¹ + b¹, a¹ = σ(z¹), z² = a¹ W² + b², and so on."""

from itertools import count
from typing import Any

from attrs import define, field

from deepbp.derivation.steps import MergeStep, PenaltyStep, SliceStep, Step
from deepbp.errors import NotBuiltError
from deepbp.formulas.printer import Symbol
from deepbp.layers import Chain, Layer, Penalized
from deepbp.layers.composites import Branched
from deepbp.parameters import Parameter
from deepbp.typing import Shape


def steps(network: Layer[Any]) -> list[Step]:
    """The network's layers one by one, chains and branches walked into, each with its letters.

    A weighted sum begins a new number and is called z; what is made of it is called a and carries the same number, or a
    new one where that letter is taken. Parameters carry the number of the layer that uses them first. Number 0 is left
    for what is done to the input before the first weights. Columns that are cut for a branch, and what branches are
    merged to, are steps of their own, called a; so is each penalty, called P.

    Raises:
        NotBuiltError: when the network's sizes are not known yet.
    """
    if network.built is None:
        raise NotBuiltError(f"{type(network).__name__}: its sizes are not known yet: give input_shape=...")
    walk = _Walk()
    walk.through(network, "", network.built.input_shape, network.built.output_shape, Symbol("x"))
    return walk.steps


@define(eq=False)
class _Walk:
    """Goes through a network in forward order and hands out letters."""

    steps: list[Step] = field(factory=list)
    taken: set[Symbol] = field(factory=set)
    letters: dict[int, Symbol] = field(factory=dict)  # of the parameters met so far
    number: int = 0

    def through(self, layer: Layer[Any], place: str, before: Shape, after: Shape, signal: Symbol) -> Symbol:
        """Through one layer; returns the signal that it makes."""
        runs = type(layer).forward  # a subclass may do something else with what it holds: then it is a black box
        if isinstance(layer, Chain) and runs is Chain.forward:
            for position, inner in enumerate(layer.layers):  # the chain knows the shapes, which may differ between uses
                shapes = layer.shapes[position], layer.shapes[position + 1]
                signal = self.through(inner, _path(place, str(position)), *shapes, signal)
            return signal
        if isinstance(layer, Branched) and runs is Branched.forward:
            return self._branches(layer, place, signal)
        if isinstance(layer, Penalized) and runs is Penalized.forward:
            return self._penalized(layer, place, signal)
        output = self._layer(layer, place, before, after, signal)
        if layer.has_penalty():
            self._penalty(layer, place, None, output, after)
        return output

    def _layer(self, layer: Layer[Any], place: str, before: Shape, after: Shape, signal: Symbol) -> Symbol:
        formula = layer.stated_formula()
        letter = "z" if formula is not None and formula.output == "z" else "a"
        names = formula.symbols if formula is not None else {}
        held = layer.named_parameters()
        fresh = {id(p): names.get(name, name) for name, p in held.items() if id(p) not in self.letters}
        output = self._letter(letter, signal, *fresh.values())
        self.letters.update({key: Symbol(one, output.number) for key, one in fresh.items()})
        parameters = {name: self.letters[id(p)] for name, p in held.items()}
        self.steps.append(Step(place, layer, (signal,), output, parameters, held, (before,), after, formula))
        return output

    def _branches(self, layer: Branched, place: str, signal: Symbol) -> Symbol:
        ends, before = [], layer.inner[0].input_shape
        if layer.columns:
            before = (*before[:-1], layer.columns[-1].stop)
        for position, one in enumerate(layer.inner):
            start = signal
            if layer.columns:
                start, columns = self._letter("a", signal), layer.columns[position]
                path, width = _path(place, f"columns.{position}"), one.input_shape
                self.steps.append(
                    SliceStep(path, layer, (signal,), start, {}, {}, (before,), width, None, columns, place)
                )
            if one.layer is not None:
                start = self.through(one.layer, _path(place, one.name), one.input_shape, one.output_shape, start)
            ends.append(start)
        output, shapes = self._letter("a", ends[0]), tuple(one.output_shape for one in layer.inner)
        after = layer.output_shape(shapes)
        self.steps.append(MergeStep(place, layer, tuple(ends), output, {}, {}, shapes, after, None, layer.merging()))
        return output

    def _penalized(self, layer: Penalized, place: str, signal: Symbol) -> Symbol:
        inner = layer.inner[0]
        assert inner.layer is not None
        output = self.through(inner.layer, _path(place, inner.name), inner.input_shape, inner.output_shape, signal)
        for parameter in layer.penalized_parameters():
            self._penalty(layer, place, layer.weights, parameter)
        if layer.outputs is not None:
            self._penalty(layer, place, layer.outputs, output, inner.output_shape)
        return output

    def _penalty(self, layer: Layer[Any], place: str, penalty: Any, of: Symbol | Parameter, shape: Shape = ()) -> None:
        output = next(letter for k in count(1) if (letter := Symbol("P", str(k))) not in self.taken)
        self.taken.add(output)
        if isinstance(of, Parameter):
            letters, held = {"w": self.letters[id(of)]}, {"w": of}
            self.steps.append(PenaltyStep(place, layer, (), output, letters, held, (), (), None, penalty))
        else:
            self.steps.append(PenaltyStep(place, layer, (of,), output, {}, {}, (shape,), (), None, penalty))

    def _letter(self, letter: str, signal: Symbol, *others: str) -> Symbol:
        """A letter that is free, with the number of the signal that it is made of where that fits."""
        wanted = (letter, *others)
        follows = (signal.number or "0") == str(self.number)
        if letter == "z" or not follows or any(Symbol(one, str(self.number)) in self.taken for one in wanted):
            self.number += 1
        self.taken.update(Symbol(one, str(self.number)) for one in wanted)
        return Symbol(letter, str(self.number))


def _path(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
