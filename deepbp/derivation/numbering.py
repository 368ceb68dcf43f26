"""Which letter each thing in a network goes by: z¹ = x W¹ + b¹, a¹ = σ(z¹), z² = a¹ W² + b², and so on."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import attrs
from attrs import frozen

from deepbp.errors import NotBuiltError
from deepbp.layers import Chain, Formula, Layer
from deepbp.layers.typeset import Symbol
from deepbp.typing import Shape

_Shapes: TypeAlias = tuple[Shape, Shape]  # of the input and of the output


@frozen(eq=False)
class Step:
    """One layer of a built network, in forward order; a layer that is used twice makes two steps.

    Attributes:
        place: the path that leads to it, such as ``"2.1"``, as in ``named_layers()``.
        input, output: x for the network's input, then z¹, a¹, …; letters never repeat.
        delta, delta_input: the error signals ∂L/∂output and ∂L/∂input: δ¹ at z¹, and ∂L/∂a¹ at a¹.
        parameters: W¹, b¹, … by the names of the layer's fields; one that was met before keeps its letter.
        input_shape, output_shape: of one sample.
        formula: None for a black box, a layer that states no mathematics.
    """

    place: str
    layer: Layer[Any]
    input: Symbol
    output: Symbol
    delta: Symbol
    delta_input: Symbol
    parameters: dict[str, Symbol]
    input_shape: Shape
    output_shape: Shape
    formula: Formula | None

    @property
    def symbols(self) -> Mapping[str, Symbol]:
        """For the names that the formula's expressions use."""
        letters = self.formula.symbols if self.formula else {}
        known = {"x": self.input, "y": self.output, "delta": self.delta, "delta_input": self.delta_input}
        return {name: Symbol(letter) for name, letter in letters.items()} | self.parameters | known


def steps(network: Layer[Any]) -> list[Step]:
    """The network's layers one by one, chains walked into, each with its letters.

    A weighted sum begins a new number and is called z; what follows it is called a and carries the same number, or a
    new one where that letter is taken. Parameters carry the number of the layer that uses them first. Number 0 is left
    for what is done to the input before the first weights.

    Raises:
        NotBuiltError: when the network's sizes are not known yet.
    """
    if network.built is None:
        raise NotBuiltError(f"{type(network).__name__}: its sizes are not known yet: give input_shape=...")
    result: list[Step] = []
    taken: set[Symbol] = set()
    letters: dict[int, Symbol] = {}  # of the parameters met so far
    signal, number = Symbol("x"), 0
    for place, layer, shapes in _leaves(network, "", (network.built.input_shape, network.built.output_shape)):
        formula = layer.stated_formula()
        letter = "z" if formula is not None and formula.output == "z" else "a"
        names = formula.symbols if formula is not None else {}
        parameters = layer.named_parameters()
        fresh = {id(p): names.get(name, name) for name, p in parameters.items() if id(p) not in letters}
        wanted = (letter, *fresh.values())
        if letter == "z" or any(Symbol(one, str(number)) in taken for one in wanted):
            number += 1
        taken.update(Symbol(one, str(number)) for one in wanted)
        letters.update({key: Symbol(one, str(number)) for key, one in fresh.items()})
        output = Symbol(letter, str(number))
        result.append(
            Step(
                place=place,
                layer=layer,
                input=signal,
                output=output,
                delta=error_signal(output),
                delta_input=error_signal(signal),
                parameters={name: letters[id(p)] for name, p in parameters.items()},
                input_shape=shapes[0],
                output_shape=shapes[1],
                formula=formula,
            )
        )
        signal = output
    return result


def error_signal(at: Symbol) -> Symbol:
    """∂L/∂ what the symbol stands for: δ² at z², by the usual short name, and ∂L/∂a² at a²."""
    return Symbol("δ", at.number) if at.letter == "z" else derivative(at)


def derivative(by: Symbol) -> Symbol:
    """∂L/∂ what the symbol stands for, written out."""
    return attrs.evolve(by, letter=f"∂L/∂{by.letter}")


def _leaves(layer: Layer[Any], place: str, shapes: _Shapes) -> Iterator[tuple[str, Layer[Any], _Shapes]]:
    if isinstance(layer, Chain):  # which knows the shapes: a layer without parameters may stand in it at several
        for position, inner in enumerate(layer.layers):
            path = f"{place}.{position}" if place else str(position)
            yield from _leaves(inner, path, (layer.shapes[position], layer.shapes[position + 1]))
    else:
        yield place, layer, shapes
