"""The trace of one training step: the derivation with its numbers."""

from collections.abc import Iterator

import numpy as np
from attrs import frozen

from deepbp.derivation.backward import error_row, gradient_rows, needed, output_signal, signal_equations
from deepbp.derivation.derivation import conventions, title
from deepbp.derivation.document import Block, Document, Equations, Heading, Paragraph, Row, Values
from deepbp.derivation.explanation import Explanation
from deepbp.derivation.expressions import Math, alone
from deepbp.derivation.forward import LOSS_SYMBOLS, definitions, equation_rows, forward_row, value_row
from deepbp.derivation.notes import as_in_the_notes, weight_change
from deepbp.derivation.recording import StepRecord
from deepbp.derivation.rendering import Renderable
from deepbp.derivation.steps import derivative, is_plain_descent, steps
from deepbp.formulas.printer import Symbol
from deepbp.typing import Array


@frozen(eq=False, repr=False)
class Trace(StepRecord, Renderable):
    """One training step with all its numbers: forward pass, loss and backward pass, without changing the network.

    ``print`` renders the derivation with values: small arrays in full, large ones by shape, norm and range.
    ``trace[2]`` is the step of ``net.layers[2]``, and ``trace["2.1"]`` that of the layer at this place. Composites are
    taken apart: their slices, merges and penalties are steps, too, and ``trace[2]`` is the one that makes their output.

    Attributes:
        network: a copy of the network before the step.
        data: inputs, targets and sample weights after input validation.
        steps: in forward order.
        loss: including penalties.
        error_signals: the gradient ∂L/∂signal by symbol.
        gradients: ∂L/∂parameter by the parameter's name, such as ``"0.weight"``, summed over all uses.
        optimizer, updated: as given, and the parameters after its first update, by name; empty without an optimizer.

    >>> import numpy as np
    >>> from deepbp import Sequential
    >>> from deepbp.derivation import Trace
    >>> from deepbp.initializers import Ones
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import SumSquaredError
    >>> net = Sequential([Dense(1, weight_init=Ones())], input_shape=2, rng=0)
    >>> trace = Trace.of(net, np.array([[1.0, 2.0]]), np.array([[1.0]]), SumSquaredError())
    >>> trace.loss, trace.gradients["0.weight"].tolist()
    (4.0, [[4.0], [8.0]])
    """

    def document(self) -> Document:
        return trace_document(self)

    def explain(self, parameter: str, index: int | tuple[int, ...]) -> Explanation:
        """Follow the gradient of one weight along its paths, such as ``explain("0.weight", (1, 2))``."""
        return Explanation.of(self, parameter, index)


def trace_document(trace: Trace) -> Document:
    """The document of a trace: the equations of all steps with their values."""
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
        blocks += [Heading("Gradients"), *gradients, *update_blocks(trace)]
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
        if further := equation_rows(step):
            yield Equations(tuple(further))
        row = forward_row(step, again=id(step.layer) in layers)
        layers.add(id(step.layer))
        yield Values(row.math, one.output, row.remark)
    last = trace.last_signal
    yield Equations((Row(Math(("prediction", "y"), {**LOSS_SYMBOLS, "y": last}), "", "the prediction"),))


def _loss_blocks(trace: Trace) -> Iterator[Block]:
    row = value_row([one.step for one in trace.steps], trace.loss_function)
    value = np.asarray(trace.loss, dtype=trace.prediction.dtype)
    weighted = "; each sample's share is multiplied by its weight" * (trace.data.sample_weight is not None)
    yield Values(row.math, value, row.remark + weighted)


def _backward_blocks(trace: Trace) -> Iterator[Block]:
    letters = [one.step for one in trace.steps]
    start = output_signal(letters, trace.loss_function)
    yield Values(start.math, trace.error_signals[trace.last_signal], start.remark)
    if further := signal_equations(letters, trace.last_signal):
        yield Equations(tuple(further))
    for signal in reversed(needed(letters)):
        row = error_row(letters, signal)
        yield Values(Math(row.math.sides[:2], row.math.symbols), trace.error_signals[signal], row.remark)
        if further := signal_equations(letters, signal):
            yield Equations(tuple(further))


def _gradient_blocks(trace: Trace) -> Iterator[Block]:
    sums: dict[Symbol, Array] = {}
    for one in trace.steps:
        for name, symbol in one.step.parameters.items():
            share = one.gradients[name]
            sums[symbol] = sums[symbol] + share if symbol in sums else share
    for symbol, row in gradient_rows([one.step for one in trace.steps]).items():
        yield Values(row.math, sums[symbol], row.remark)


def update_blocks(trace: StepRecord) -> Iterator[Block]:
    """The changes of the parameters and their new values, from the last layer to the first, as in the notes."""
    if trace.optimizer is None or not trace.updated:
        return
    yield Heading("The update")
    yield Paragraph(
        (
            f"By {trace.optimizer}, from the last layer to the first. Every change is made of the parameters as they "
            "were before it.",
        )
    )
    for name, symbol, change in changes(trace):
        old = trace.network.named_parameters()[name].value
        letters = {"d": change, "w": symbol, "rate": Symbol(_rate(trace)), "g": derivative(symbol)}
        sides = ("d", "-(rate * g)") if is_plain_descent(trace.optimizer) and _rate(trace) != "1" else ("d", "-g")
        made = Math(sides if is_plain_descent(trace.optimizer) else ("d",), letters)
        yield Values(made, trace.updated[name] - old, "the change")
        yield Values(Math(("w", "w + d"), letters, "←"), trace.updated[name])


def changes(trace: StepRecord) -> Iterator[tuple[str, Symbol, Symbol]]:
    """For each parameter that trains, from the last layer to the first: its name, its symbol, that of its change."""
    named = {id(parameter): name for name, parameter in trace.network.named_parameters().items()}
    made, seen = steps(trace.network), set[str]()
    notes = {neurons.weighted.parameters["weight"]: k for k, neurons in enumerate(as_in_the_notes(made) or (), start=1)}
    for step in reversed(made):
        for field_name, symbol in step.parameters.items():
            name = named[id(step.held[field_name])]
            if name not in seen and not step.held[field_name].frozen:
                change = Symbol(f"Δ{symbol.letter}", symbol.number)
                yield name, symbol, weight_change(notes[symbol]) if symbol in notes else change
            seen.add(name)


def _rate(trace: StepRecord) -> str:
    rate = getattr(trace.optimizer, "learning_rate", 1.0)
    return f"{float(rate):g}" if not callable(rate) else "η"
