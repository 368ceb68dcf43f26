"""The derivation of a network: all equations of backpropagation, from the formulas that its layers state."""

from collections.abc import Sequence
from typing import Any, Self

from attrs import frozen

from deepbp.derivation.backward import backward_blocks, chain_rule_blocks, gradient_rows
from deepbp.derivation.document import Block, Document, Equations, Heading, Paragraph, Row
from deepbp.derivation.expressions import Math, alone, names_in
from deepbp.derivation.forward import batch, forward_blocks, loss_blocks, sizes_text, sums_explained, words_explained
from deepbp.derivation.notes import notes_blocks
from deepbp.derivation.rendering import Renderable
from deepbp.derivation.steps import OperationStep, Step, is_plain_descent, layers_in, steps
from deepbp.errors import ArgumentTypeError, shown
from deepbp.formulas.printer import Symbol
from deepbp.layers import Layer, UpdateFormula
from deepbp.losses import Loss
from deepbp.optimizers import SGD, Optimizer
from deepbp.typing import Shape


@frozen(eq=False, repr=False)
class Derivation(Renderable):
    """The equations of one training step: forward pass, loss, chain rule, error signals, gradients, update.

    ``print`` renders text, ``to_latex()`` and ``to_html()`` the other formats; notebooks show the HTML.

    Attributes:
        steps: the steps of the forward pass, with their symbols.
        loss, optimizer: as given; without an optimizer, the update is that of gradient descent.

    >>> from deepbp import Sequential
    >>> from deepbp.derivation import Derivation
    >>> from deepbp.layers import Dense, Sigmoid
    >>> from deepbp.losses import SumSquaredError
    >>> net = Sequential([Dense(4), Sigmoid()], input_shape=3, rng=0)
    >>> page = str(Derivation.of(net, SumSquaredError()))
    >>> [line.split("  ")[2].strip() for line in page.splitlines() if line.startswith("    ∂L/∂W")]
    ['∂L/∂W⁰ = ∂z⁰/∂W⁰ · ∂a¹/∂z⁰ · ∂L/∂a¹', '∂L/∂W⁰ = xᵀ δ⁰']
    """

    steps: tuple[Step, ...]
    loss: Loss[Any]
    optimizer: Optimizer | None

    @classmethod
    def of(cls, network: Layer[Any], loss: Loss[Any], optimizer: Optimizer | None = None) -> Self:
        """Derive the equations of a built network."""
        if not isinstance(loss, Loss):
            raise ArgumentTypeError(f"loss: expected an instance such as SumSquaredError(), got {shown(loss)}")
        if optimizer is not None and not isinstance(optimizer, Optimizer):
            raise ArgumentTypeError(f"optimizer: expected an instance such as SGD(0.1), got {shown(optimizer)}")
        return cls(tuple(steps(network)), loss, optimizer)

    def document(self) -> Document:
        gradients = tuple(gradient_rows(self.steps).values())
        blocks: list[Block] = [
            *conventions(self.steps),
            *forward_blocks(self.steps),
            *loss_blocks(self.steps, self.loss),
            *chain_rule_blocks(self.steps, self.loss),
            *backward_blocks(self.steps, self.loss),
        ]
        if gradients:
            blocks += [
                Heading("Gradients"),
                Equations(gradients),
                *self._update(),
                *(notes_blocks(self.steps, self.loss) if self._is_gradient_descent() else []),
            ]
        expressions = [
            side for block in blocks if isinstance(block, Equations) for r in block.rows for side in r.math.sides
        ]
        return Document(title(self.steps), (*blocks[:1], *sums_explained(expressions), *blocks[1:]))

    def _is_gradient_descent(self) -> bool:
        """Whether the update is the notes' own; only then their sign and this one come to the same numbers."""
        return self.optimizer is None or is_plain_descent(self.optimizer)

    def _update(self) -> list[Block]:
        optimizer = SGD(1.0) if self.optimizer is None else self.optimizer
        formula = optimizer.stated_formula()
        heading = Heading("The update")
        if formula is None:
            return [heading, Paragraph((f"{optimizer} changes the parameters: a black box, no formula is stated.",))]
        symbols = {name: Symbol(letter) for name, letter in formula.symbols.items()}
        symbols |= {"w": Symbol("w"), "g": Symbol("g"), "gradient": Symbol("∂L/∂w")}
        rows = [Row(Math(assignment, symbols, "←")) for assignment in formula.assignments]
        suffix = "" if self.optimizer is None else f" as {self.optimizer} does it"
        opening = ("For every parameter ", alone(Symbol("w")), " with the gradient ", Math(("g", "gradient"), symbols))
        return [
            heading,
            Paragraph((*opening, f"{suffix}:")),
            Equations(tuple(rows)),
            *_update_notation(formula, symbols),
        ]


def _update_notation(formula: UpdateFormula, symbols: dict[str, Symbol]) -> list[Block]:
    """The meaning of the letters in the update."""
    words = {
        "rate": "the learning rate",
        "t": "the number of the step, from 1",
        "weight_decay": "the decay of the weights, for parameters of two or more dimensions only",
    }
    used = {name for _, expression in formula.assignments for name in names_in(expression)}
    parts: list[str | Math] = []
    for name in (name for name in words if name in used):
        parts += ["; " if parts else "", alone(symbols.get(name, Symbol(name))), f" is {words[name]}"]
    return [Paragraph((*parts, "."))] if parts else []


def title(steps: Sequence[Step]) -> str:
    """The title, with the sizes of a chain (3 → 4 → 1), or those of input and output (3 → … → 1) with branches."""
    layers = layers_in(steps)
    first, last = _size(layers[0].input_shape), _size(layers[-1].output_shape)
    sizes = [_size(step.output_shape) for step in layers if step.parameters]
    if any(isinstance(step, OperationStep) for step in steps):
        sizes = ["…"]
    elif sizes and sizes[-1] == last:
        sizes.pop()
    return "Backpropagation through a network " + " → ".join([first, *sizes, last])


def _size(shape: Shape) -> str:
    return "×".join(sizes_text(shape)) or "1"


def _numbers(steps: Sequence[Step]) -> list[str | Math]:
    """What stands above the letters, with an example of a layer within a layer, and of one that is used again."""
    parts: list[str | Math] = ["The number above a letter is its layer's index in the network, from 0; it is no power."]
    inner = next((step for step in layers_in(steps) if "." in step.output.number), None)
    if inner is not None:
        outer = inner.place.partition(".")[0]
        parts += [" ", alone(inner.output), f" belongs to layer {inner.place}, inside of layer {outer}."]
    if any("(" in step.output.number for step in steps):
        parts.append(" What stands in parentheses behind it counts what one layer makes.")
    return parts


def conventions(steps: Sequence[Step]) -> list[Block]:
    """The notation of the document."""
    x = steps[0].input
    blocks: list[Block] = [
        Paragraph(
            (
                "Samples are rows: ",
                alone(x),
                f" holds B of them and has the shape {batch(steps[0].input_shape)}. ",
                *_numbers(steps),
                " Letters side by side are a matrix product, ",
                Math(("u * v",), {}),
                " multiplies number by number, and ",
                Math(("u.T",), {}),
                " is a transpose.",
            )
        )
    ]
    if any("correlate" in str(step.formula) for step in steps):
        one, other = Math(("correlate(u, w)",), {}), Math(("convolve(u, w)",), {})
        laid = " lays w on u at every place and adds the products, and "
        words = " does so with w turned round, its inputs and outputs exchanged. Strides, zeros around images and "
        blocks.append(Paragraph((one, laid, other, words + "dilations stand beside the layers.")))
    blocks += words_explained([step.formula for step in steps if step.formula is not None])
    used = {name for step in steps if isinstance(step, OperationStep) for name in names_in(step.made()[0][0])}
    if used & {"concat", "columns"}:
        beside, part = Math(("concat(u, v)",), {}), Math(("columns(u, 2, 5)",), {})
        blocks.append(Paragraph((beside, " has the columns of both side by side; ", part, " is columns 2 to 4 of it.")))
    if "steps" in used:
        blocks.append(Paragraph((Math(("steps(u, 2, 5)",), {}), " is steps 2 to 4 of u, counted from 0.")))
    return blocks
