"""The derivation of a layer's backward pass from the formula that it states, one line for each quantity."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from attrs import frozen

from deepbp.derivation.document import Block, Document, Equations, Heading, Paragraph, Row
from deepbp.derivation.expressions import Math
from deepbp.derivation.forward import batch, words_explained
from deepbp.derivation.rendering import Renderable
from deepbp.errors import ConfigurationError
from deepbp.formulas.algebra import Node
from deepbp.formulas.compiled import sample_size
from deepbp.formulas.derived_equations import Arrival, DerivedEquations, gradient_name
from deepbp.formulas.formula_text import letters_of, written
from deepbp.formulas.identities import plain
from deepbp.formulas.language import Formula, in_time
from deepbp.formulas.printer import Symbol
from deepbp.formulas.rules import RULES
from deepbp.layers import Builder, Layer
from deepbp.testing.comparisons import values_of_fields
from deepbp.typing import AnySize, Shape

COUNTS = {2: "two", 3: "three", 4: "four"}


@frozen(eq=False, repr=False)
class LayerDerivation(Renderable):
    """The derivation of a layer's backward pass: its quantities, their gradients one by one, those of its parameters.

    ``print`` renders text, ``to_latex()`` and ``to_html()`` the other formats; notebooks show the HTML.

    Attributes:
        layer: built, with random parameters.
        formula: as the layer states it.
        derived: the equations of both passes.

    >>> import deepbp
    >>> from deepbp.layers import SimpleRNN
    >>> found = deepbp.derive(SimpleRNN(2, return_sequences=True), input_shape=(4, 3))
    >>> {one.name: one.text for one in found.derived.back}["h"]
    'delta + after(gradient_of_u1) @ recurrent_weight.T'
    """

    layer: Layer[Any]
    formula: Formula
    derived: DerivedEquations

    @classmethod
    def of(cls, layer: Layer[Any], input_shape: Shape) -> "LayerDerivation":
        """Derive the backward pass of a layer for samples of this shape, that of a built layer if it has one.

        Raises:
            ConfigurationError: for a layer without a formula, such as one that is made of layers.
        """
        layer = deepcopy(layer)
        if layer.built is None:
            builder = Builder(rng=0, dtype="float64")
            builder.memory_shape = input_shape
            builder.build(layer, input_shape)
        formula = layer.stated_formula()
        if formula is None:
            raise ConfigurationError(f"{layer}: states no formula: derive the layers inside it, or derive('...') one")
        names = sample_names(layer, formula)
        wanted = ("x", *(["memory"] if layer.takes_memory else []), *layer.named_parameters())
        return cls(layer, formula, DerivedEquations.of(formula.forward, formula.where, wanted, names))

    def document(self) -> Document:
        return Document(f"The backward pass of {self.layer}", tuple(self._blocks()))

    def _symbols(self) -> dict[str, Symbol]:
        given = self.formula.symbols
        every = self.formula.forward in self.formula.where
        names = {"x", "y", "delta", *self.derived.quantities, *self.layer.named_parameters(), "memory", *given}
        letters = {**letters_of(names), "delta": "δ", **{name: given[name] for name in names if name in given}}
        if in_time(self.formula.where.values()):
            moving = [name for name in self.derived.quantities if name != "y" and not letters[name].endswith("ₜ")]
            letters |= {name: _at_step(letters[name]) for name in moving}
            letters |= {name: f"{letters[name]}ₜ" for name in (("x", "y", "delta") if every else ("x",))}
        symbols = {name: Symbol(letter) for name, letter in letters.items()}
        back = {gradient_name(name): Symbol(f"∂L/∂{letters[name]}") for name in self.derived.quantities if name != "y"}
        results = {
            f"result_{one.name}": Symbol(f"∂L/∂{letters.get(one.name, one.name)}") for one in self.derived.results
        }
        return symbols | back | results

    def _math(self, left: str, right: Node) -> Math:
        return Math((left, written(plain(right))), self._symbols())

    def _blocks(self) -> Iterable[Block]:
        built, derived = self.layer.built, self.derived
        assert built is not None
        shapes = [f"x {batch(built.input_shape)}", f"y {batch(built.output_shape)}"]
        shapes += [f"{self._symbols()[n].letter} {p.value.shape}" for n, p in self.layer.named_parameters().items()]
        yield Paragraph(
            (
                f"Shapes: {', '.join(shapes)}. ",
                Math(("delta",), self._symbols()),
                " is the error signal ∂L/∂y that arrives from the layer behind; the layer passes ∂L/∂x back.",
            )
        )
        yield from words_explained([self.formula])
        yield Heading("Forward, in steps")
        yield Equations(tuple(Row(self._math(name, node)) for name, node in derived.quantities.items()))
        if derived.back:
            yield Heading("Backward, from the last step to the first")
            yield Equations(tuple(self._row(gradient_name(one.name), one) for one in derived.back), unfolding=True)
        yield Heading("What is passed back, and the gradients of the parameters")
        yield Equations(tuple(self._row(f"result_{one.name}", one) for one in derived.results), unfolding=True)
        if self.layer.surrogate_gradient:
            passed = Math(("result_x", self.formula.passed_back), self._symbols())
            yield Paragraph(("The layer passes something else back on purpose: ", passed, "."))

    def _row(self, left: str, one: Arrival) -> Row:
        return Row(self._math(left, one.gradient), "", reason(one.rules))


def reason(rules: Sequence[str]) -> str:
    """The reasons of shares in a line: what is the same for all is said once."""
    if len(rules) == 1:
        return rules[0]
    first = [rule.rpartition("; ") for rule in rules]
    ends = {end for _, _, end in first}
    if len(ends) == 1 and all(start for start, _, _ in first) and ends <= {RULES[name][0] for name in ("nth", "part")}:
        starts = dict.fromkeys(start.partition(":")[0].partition(",")[0] for start, _, _ in first)
        return f"{ends.pop()}: {', '.join(reversed(starts))}"
    short = dict.fromkeys("; ".join(part.partition(": ")[0] for part in rule.split("; ")) for rule in rules)
    return f"{COUNTS.get(len(rules), len(rules))} ways lead here, the shares add: {', and '.join(short)}"


def _at_step(letter: str) -> str:
    return f"{letter},ₜ" if letter[-1] in "₀₁₂₃₄₅₆₇₈₉" else f"{letter}ₜ"


def sample_names(layer: Layer[Any], formula: Formula) -> dict[str, Any]:
    """Random values of all names in the formula of a built layer; a size that may differ is 4, and few steps do."""
    rng = np.random.default_rng(0)
    assert layer.built is not None
    shape, output = (
        tuple(4 if type(size) is AnySize else size for size in one)
        for one in (layer.built.input_shape, layer.built.output_shape)
    )
    if formula.where and len(shape) == 2:  # equations, each solved as often as there are steps
        shape, output = (one if len(one) == 1 else (min(one[0], 4), *one[1:]) for one in (shape, output))
    for parameter in layer.parameters():
        parameter.value = rng.standard_normal(parameter.value.shape).astype(parameter.value.dtype)
    samples = sample_size({"x": shape, **{name: one.value.shape for name, one in layer.named_parameters().items()}})
    full = (samples, *shape)
    x = rng.integers(0, values_of_fields(layer).get("categories", 2), full) if layer.takes_categories else None
    fields = values_of_fields(layer)
    width = len(fields["memory_weight"]) if layer.takes_memory else 1
    return {
        **fields,
        **{name: rng.standard_normal(full) for name in formula.saved},
        "x": rng.standard_normal(full) if x is None else x.astype(float),
        "memory": rng.standard_normal((*full[:2], width)),
        "input_shape": full,
        "output_shape": (samples, *output),
    }
