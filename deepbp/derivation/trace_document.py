"""The page of a trace: the derivation's equations, each with what it comes to."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from deepbp.derivation.backward import error_row, gradient_rows, needed, output_signal
from deepbp.derivation.derivation import conventions, title
from deepbp.derivation.document import Block, Document, Equations, Heading, Paragraph, Row, Values
from deepbp.derivation.expressions import Math, alone
from deepbp.derivation.forward import LOSS_SYMBOLS, definitions, forward_row, value_row
from deepbp.derivation.price import last_signal
from deepbp.layers.pen import Symbol
from deepbp.typing import Array

if TYPE_CHECKING:
    from deepbp.derivation.trace import Trace


def trace_document(trace: "Trace") -> Document:
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
    blocks += [Heading("Forward"), *_forward(trace)]
    if meanings := definitions(letters):
        blocks += [Paragraph(("where",)), Equations(tuple(meanings))]
    blocks += [Heading("The loss"), *_loss(trace), Heading("Backward: the error signal"), *_backward(trace)]
    if gradients := list(_gradients(trace)):
        blocks += [Heading("Gradients"), *gradients]
    return Document(title(letters).replace("Backpropagation", "One step of backpropagation"), tuple(blocks))


def _forward(trace: "Trace") -> Iterator[Block]:
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


def _loss(trace: "Trace") -> Iterator[Block]:
    row = value_row([one.step for one in trace.steps], trace.loss_function)
    value = np.asarray(trace.loss, dtype=trace.prediction.dtype)
    weighted = "; each sample's share is multiplied by its weight" * (trace.data.sample_weight is not None)
    yield Values(row.math, value, row.remark + weighted)


def _backward(trace: "Trace") -> Iterator[Block]:
    letters = [one.step for one in trace.steps]
    start = output_signal(letters, trace.loss_function)
    yield Values(start.math, trace.error_signals[last_signal(letters)], start.remark)
    for signal in reversed(needed(letters)):
        row = error_row(letters, signal)
        yield Values(Math(row.math.sides[:2], row.math.symbols), trace.error_signals[signal], row.remark)


def _gradients(trace: "Trace") -> Iterator[Block]:
    sums: dict[Symbol, Array] = {}
    for one in trace.steps:
        for name, symbol in one.step.parameters.items():
            share = one.gradients[name]
            sums[symbol] = sums[symbol] + share if symbol in sums else share
    for symbol, row in gradient_rows([one.step for one in trace.steps]).items():
        yield Values(row.math, sums[symbol], row.remark)
