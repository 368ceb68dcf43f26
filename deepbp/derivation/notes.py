"""The notation of the handwritten notes: weight changes d₁, d₂ as negative gradients, which are added."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from deepbp.derivation.document import Block, Equations, Heading, Paragraph, Row
from deepbp.derivation.expressions import OUTER_PRODUCT, THROUGH_WEIGHTS, Math, names_in, negative, tree, with_values
from deepbp.derivation.forward import loss_symbols
from deepbp.derivation.steps import Step, derivative
from deepbp.formulas.printer import Symbol
from deepbp.losses import Loss

DEEPEST = 4  # the nested formulas of more layers are unreadable
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@frozen
class Neurons:
    """A dense layer with the activation function that follows it, if any."""

    weighted: Step
    activation: Step | None


def notes_blocks(steps: Sequence[Step], loss: Loss[Any]) -> list[Block]:
    """The section on signs and the notes' formulas, for networks of dense layers and elementwise activations."""
    stated, layers = loss.stated_formula(), as_in_the_notes(steps)
    if stated is None or layers is None or "columns" in stated.value:
        return []
    delta = with_values(stated.delta, loss)
    letters = loss_symbols(steps, loss)
    return [
        Heading("The sign, and the words of the notes"),
        Paragraph(
            (
                "The handwritten notes with which deepbp began start from the negative of the error signal at the "
                "output. For this loss, that is ",
                Math((negative(delta),), letters),
                ", so what comes out is the negative of the gradient, and it is added to the weights: the loss falls. "
                "deepbp carries the gradient itself, ",
                Math(("delta", delta), letters),
                ", and the optimizer subtracts it. With a learning rate of 1 the two are the same numbers.",
            )
        ),
        Paragraph(
            (
                "In the words of the notes, the changes of the weights are as follows. The notes count the weights, "
                "from 1: d₁ is the change of the first ones, and layer1 what the neurons behind them hold, with which "
                "their derivative is written.",
            )
        ),
        Equations(tuple(_changes(layers, delta, letters))),
        Paragraph(("The update; every change is made of the weights as they were before it:",)),
        Equations(tuple(_updates(layers))),
    ]


def as_in_the_notes(steps: Sequence[Step]) -> list[Neurons] | None:
    """The layers as in the notes; None if the network has other steps than dense layers and elementwise functions."""
    layers: list[Neurons] = []
    for step in steps:
        formula = step.formula
        if formula is None:
            return None
        weighted = (formula.passed_back, formula.gradients.get("weight", "0"))
        if [ast.dump(tree(e or "0")) for e in weighted] == [THROUGH_WEIGHTS, OUTER_PRODUCT]:
            layers.append(Neurons(step, None))
        elif formula.derivative and formula.function and layers and layers[-1].activation is None:
            if "x" in names_in(formula.derivative):
                return None  # the notes express the derivative by the output
            layers[-1] = Neurons(layers[-1].weighted, step)
        else:
            return None
    fresh = {symbol for neurons in layers for symbol in neurons.weighted.parameters.values()}
    shared = len(fresh) < sum(len(neurons.weighted.parameters) for neurons in layers)
    return None if shared or not 1 <= len(layers) <= DEEPEST else layers


def weight_change(count: int) -> Symbol:
    """The notes' d₁, d₂, …, which count the weights from the first ones on."""
    return Symbol("d" + str(count).translate(_SUBSCRIPTS))


def _changes(layers: Sequence[Neurons], delta: ast.expr, letters: Mapping[str, Symbol]) -> list[Row]:
    """d₂ = layer1ᵀ [2(y − ŷ) · σ′(ŷ)], and so on down to the input."""
    symbols = {**letters, **_letters(layers)}
    inside = ast.unparse(negative(delta))
    if layers[-1].activation is not None:
        inside = f"({inside}) * prime{len(layers)}(prediction)"
    carried, rows = f"bracket({inside})", []
    for k in range(len(layers), 0, -1):
        rows.append(Row(Math((f"d{k}", f"layer{k - 1}.T @ {carried}", f"-gradient{k}"), symbols), "", ""))
        slope = f" * prime{k - 1}(layer{k - 1})" if k > 1 and layers[k - 2].activation is not None else ""
        carried = f"brace({carried} @ weights{k}.T{slope})"
    return rows


def _updates(layers: Sequence[Neurons]) -> list[Row]:
    symbols = _letters(layers)
    return [Row(Math((f"weights{k}", f"weights{k} + d{k}"), symbols)) for k in range(len(layers), 0, -1)]


def _letters(layers: Sequence[Neurons]) -> dict[str, Symbol]:
    symbols = {"layer0": Symbol("input")}
    for k, neurons in enumerate(layers, start=1):
        symbols[f"layer{k}"] = Symbol(f"layer{k}")
        symbols[f"weights{k}"] = Symbol(f"weights{k}")
        symbols[f"d{k}"] = weight_change(k)
        symbols[f"gradient{k}"] = derivative(neurons.weighted.parameters["weight"])
        if neurons.activation is not None and neurons.activation.formula is not None:
            symbols[f"prime{k}"] = Symbol(f"{neurons.activation.formula.function}′")
    return symbols
