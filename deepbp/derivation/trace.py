"""The trace of one training step: the derivation with its numbers."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Self

import numpy as np
from attrs import evolve, frozen

from deepbp.derivation.backward import error_row, gradient_rows, needed, output_signal
from deepbp.derivation.derivation import conventions, title
from deepbp.derivation.document import Block, Document, Equations, Heading, Paragraph, Row, Values
from deepbp.derivation.explanation import Explanation
from deepbp.derivation.expressions import Math, alone
from deepbp.derivation.forward import LOSS_SYMBOLS, definitions, forward_row, value_row
from deepbp.derivation.numbering import steps
from deepbp.derivation.recording import Run, StepRecord
from deepbp.derivation.rendering import Renderable
from deepbp.derivation.steps import last_signal
from deepbp.formulas.printer import Symbol
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.training.data import Data
from deepbp.typing import Array, ArrayLike


@frozen(eq=False, repr=False)
class Trace(StepRecord, Renderable):
    """A step forwards, the loss, and backwards; nothing in the network itself is changed.

    It prints itself: the derivation with numbers, small arrays in full, large ones by shape, norm and range.

    ``trace[2]`` is the third step, and ``trace["2.1"]`` the one of the layer at that place. Chains are no steps of
    their own; cuts, where branches meet, and penalties are.

    Attributes:
        network: a copy, as it was before the step.
        data: the inputs, targets and weights, as the network takes them.
        steps: in forward order.
        loss: with the penalties that layers add.
        error_signals: ∂L/∂ every signal, by its letter.
        gradients: ∂L/∂parameter by the parameter's name in the network, such as ``"0.weight"``; the shares of a layer
            that is used twice are added.
    """

    @classmethod
    def of(
        cls, network: Layer[Any], x: ArrayLike, y: ArrayLike, loss: Loss[Any], sample_weight: ArrayLike | None = None
    ) -> Self:
        """Run one step in the network's dtype, as ``Trainer.step`` would without its update."""
        data = Data.of(network, loss, x, y, sample_weight)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            run = Run.of(deepcopy(network), loss, data)
        letters = steps(network)  # whose layers are those of the network itself, not of the copy
        traced = tuple(evolve(one, step=step) for one, step in zip(run.steps, letters, strict=True))
        return cls(deepcopy(network), loss, data, traced, run.loss, run.error_signals, run.gradients)

    def document(self) -> Document:
        return trace_document(self)

    def explain(self, parameter: str, index: int | tuple[int, ...]) -> Explanation:
        """Why the gradient of one weight is what it is, such as ``explain("0.weight", (1, 2))``."""
        return Explanation.of(self, parameter, index)


def trace_document(trace: Trace) -> Document:
    """Forwards, the loss, and backwards, in numbers."""
    letters = [one.step for one in trace.steps]
    blocks: list[Block] = [
        *conventions(letters),
        Heading("The samples"),
        Values(alone(letters[0].input), trace.data.x),
        Values(alone(LOSS_SYMBOLS["target"]), trace.target),
    ]
    if trace.data.sample_weight is not None:
        blocks.append(Values(alone(Symbol("sample_weight")), trace.data.sample_weight))
    blocks += [Heading("Forward"), *_forward_blocks(trace)]
    if meanings := definitions(letters):
        blocks += [Paragraph(("where",)), Equations(tuple(meanings))]
    blocks += [
        Heading("The loss"),
        *_loss_blocks(trace),
        Heading("Backward: the error signal"),
        *_backward_blocks(trace),
    ]
    if gradients := list(_gradient_blocks(trace)):
        blocks += [Heading("Gradients"), *gradients]
    return Document(title(letters).replace("Backpropagation", "One step of backpropagation"), tuple(blocks))


def _forward_blocks(trace: Trace) -> Iterator[Block]:
    seen: set[Symbol] = set()
    layers: set[int] = set()
    for one in trace.steps:
        step = one.step
        for name, symbol in step.parameters.items():
            if symbol not in seen:
                yield Values(alone(symbol), one.parameters[name])
            seen.add(symbol)
        row = forward_row(step, again=id(step.layer) in layers)
        layers.add(id(step.layer))
        yield Values(row.math, one.output, row.remark)
    last = last_signal([one.step for one in trace.steps])
    yield Equations((Row(Math(("prediction", "y"), {**LOSS_SYMBOLS, "y": last}), "", "the prediction"),))


def _loss_blocks(trace: Trace) -> Iterator[Block]:
    row = value_row([one.step for one in trace.steps], trace.loss_function)
    value = np.asarray(trace.loss, dtype=trace.prediction.dtype)
    weighted = "; each sample's share is multiplied by its weight" * (trace.data.sample_weight is not None)
    yield Values(row.math, value, row.remark + weighted)


def _backward_blocks(trace: Trace) -> Iterator[Block]:
    letters = [one.step for one in trace.steps]
    start = output_signal(letters, trace.loss_function)
    yield Values(start.math, trace.error_signals[last_signal(letters)], start.remark)
    for signal in reversed(needed(letters)):
        row = error_row(letters, signal)
        yield Values(Math(row.math.sides[:2], row.math.symbols), trace.error_signals[signal], row.remark)


def _gradient_blocks(trace: Trace) -> Iterator[Block]:
    sums: dict[Symbol, Array] = {}
    for one in trace.steps:
        for name, symbol in one.step.parameters.items():
            share = one.gradients[name]
            sums[symbol] = sums[symbol] + share if symbol in sums else share
    for symbol, row in gradient_rows([one.step for one in trace.steps]).items():
        yield Values(row.math, sums[symbol], row.remark)
