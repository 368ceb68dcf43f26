"""One training step with all its numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from attrs import define, evolve, field, frozen

from deepbp.derivation.backward import error_row, gradient_rows, needed, output_signal
from deepbp.derivation.derivation import conventions, title
from deepbp.derivation.document import Block, Document, Equations, Heading, Paragraph, Row, Values, Written
from deepbp.derivation.expressions import Math, alone
from deepbp.derivation.forward import LOSS_SYMBOLS, definitions, forward_row, value_row
from deepbp.derivation.numbering import steps
from deepbp.derivation.steps import Cut, Join, Price, Step, last_signal
from deepbp.errors import DeepBPError, PositionError
from deepbp.formulas.printer import Symbol
from deepbp.layers import Layer
from deepbp.layers.boundary import CheckedLayer, checked
from deepbp.layers.merging import added, merged, parted
from deepbp.losses import Loss
from deepbp.training.data import Data
from deepbp.typing import Array, ArrayLike

if TYPE_CHECKING:
    from deepbp.derivation.explanation import Explanation


@frozen(eq=False)
class TraceStep:
    """What one step received and made, forwards and backwards.

    Attributes:
        step: the layer, its place and its letters.
        inputs, output: with samples along axis 0; of a penalty, the output is one number.
        delta: the error signal ∂L/∂output, which came in.
        passed_back: what it passed back to each of its inputs: ∂L/∂input, or a share of it, where that signal is used
            more than once.
        parameters: their values in this step, by field.
        gradients: ∂L/∂parameter by field; of a layer used twice, the share of this use.
    """

    step: Step
    inputs: tuple[Array, ...]
    output: Array
    delta: Array
    passed_back: tuple[Array, ...]
    parameters: dict[str, Array]
    gradients: dict[str, Array]

    @property
    def input(self) -> Array:
        """What came in; where branches meet, from the first of them."""
        return self.inputs[0]

    @property
    def delta_input(self) -> Array:
        """What was passed back; where branches meet, to the first of them."""
        return self.passed_back[0]


@define(eq=False)
class Run:
    """A step forwards and backwards through a network that is not needed afterwards.

    Attributes:
        steps: what each did, in forward order.
        loss: with all penalties.
        error_signals: ∂L/∂ every signal.
        gradients: ∂L/∂parameter by the parameter's name in the network, also of those that are frozen.
    """

    steps: list[TraceStep] = field(factory=list)
    loss: float = 0.0
    error_signals: dict[Symbol, Array] = field(factory=dict)
    gradients: dict[str, Array] = field(factory=dict)

    @classmethod
    def of(cls, network: Layer[Any], loss: Loss[Any], data: Data) -> Self:
        """Run it."""
        run, order = cls(), steps(network)
        network.unfreeze()  # which would keep the gradients of what is frozen from being seen
        signals: dict[Symbol, Array] = {order[0].input: data.x}
        memories: dict[Symbol, Any] = {}
        for step in order:
            inputs = [signals[one] for one in step.inputs]
            with _placed(step):
                signals[step.output], memories[step.output] = _forward(step, inputs, memories)
        last = last_signal(order)
        value, saved = loss.forward(signals[last], data.y, data.sample_weight)
        run.loss = value + sum((memories[step.output][0] for step in order if isinstance(step, Price)), 0.0)
        shares: dict[Symbol, list[Array]] = {last: [loss.backward(saved)]}
        named = network.named_parameters()
        totals = {id(p): np.zeros_like(p.value) for p in named.values()}
        for step in reversed(order):
            inputs = [signals[one] for one in step.inputs]
            delta = np.ones_like(signals[step.output]) if isinstance(step, Price) else added(shares[step.output])
            with _placed(step):
                passed, gradients = _backward(step, inputs, memories[step.output], delta)
            for signal, share in reversed(list(zip(step.inputs, passed, strict=True))):
                found = shares.setdefault(signal, [])
                found.insert(len(found) if isinstance(step, Price) else 0, share)  # in forward order, penalties last
            for name, gradient in gradients.items():
                totals[id(step.held[name])] += gradient
            run.error_signals[step.output] = delta
            values = {name: p.value for name, p in step.held.items()}
            run.steps.insert(0, TraceStep(step, tuple(inputs), signals[step.output], delta, passed, values, gradients))
        run.error_signals[order[0].input] = added(shares[order[0].input])
        run.gradients = {name: totals[id(p)] for name, p in named.items()}
        return run


def _checked(step: Step) -> Layer[Any] | CheckedLayer:
    return checked(step.layer, step.input_shape, step.output_shape)


def _forward(step: Step, inputs: list[Array], memories: dict[Symbol, Any]) -> tuple[Array, Any]:
    """The output, and what is needed on the way back; of a penalty, its price and the gradient of it."""
    if isinstance(step, Cut):
        return inputs[0][..., step.columns], None
    if isinstance(step, Join):
        return merged(step.merge, inputs), None
    if not isinstance(step, Price):
        return _checked(step).forward(inputs[0])
    array = step.held["w"].value if step.held else inputs[0]
    samples = 1 if step.held else max(len(array), 1)
    if step.penalty is None:
        price, gradient = _checked(step).penalty(memories[step.inputs[0]]), np.zeros_like(array)
    else:
        price, gradient = step.penalty(array)
        price, gradient = price / samples, gradient / samples
    return np.asarray(price, dtype=array.dtype), (price, gradient)


def _backward(step: Step, inputs: list[Array], memory: Any, delta: Array) -> tuple[tuple[Array, ...], dict[str, Array]]:
    """What is passed back to each input, and the gradients of the parameters."""
    if isinstance(step, Cut):
        whole = np.zeros_like(inputs[0])
        whole[..., step.columns] = delta
        return (whole,), {}
    if isinstance(step, Join):
        widths = [shape[-1] if shape else 1 for shape in step.input_shapes]
        return tuple(parted(step.merge, widths, inputs, delta)), {}
    if isinstance(step, Price):
        return ((), {"w": memory[1]}) if step.held else ((memory[1],), {})
    for parameter in step.held.values():
        parameter.clear_grad()
    moved = _checked(step).backward(memory, delta)
    return (moved,), {name: parameter.grad.copy() for name, parameter in step.held.items()}


@contextmanager
def _placed(step: Step) -> Iterator[None]:
    """An error in a layer says which one it is."""
    try:
        yield
    except DeepBPError as error:
        raise error.placed(f"layer {step.place}, {step.layer}") from error.__cause__
    except Exception as error:
        error.add_note(f"in layer {step.place}, {step.layer}")
        raise


@frozen(eq=False, repr=False)
class Trace(Written):
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

    network: Layer[Any]
    loss_function: Loss[Any]
    data: Data
    steps: tuple[TraceStep, ...]
    loss: float
    error_signals: dict[Symbol, Array]
    gradients: dict[str, Array]

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

    @property
    def prediction(self) -> Array:
        """The network's output."""
        last = last_signal([one.step for one in self.steps])
        return next(one.output for one in self.steps if one.step.output == last)

    @property
    def target(self) -> Array:
        """The targets, as the loss takes them."""
        return self.data.y

    def __getitem__(self, place: int | str) -> TraceStep:
        places = [one.step.place for one in self.steps]
        try:
            return self.steps[places.index(place) if isinstance(place, str) else place]
        except (IndexError, ValueError):
            raise PositionError(f"trace: no layer {place!r}: there are {len(places)}, {', '.join(places)}") from None

    def document(self) -> Document:
        return trace_document(self)

    def explain(self, parameter: str, index: int | tuple[int, ...]) -> "Explanation":
        """Why the gradient of one weight is what it is, such as ``explain("0.weight", (1, 2))``."""
        from deepbp.derivation.explanation import Explanation

        return Explanation.of(self, parameter, index)

    def __len__(self) -> int:
        return len(self.steps)


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


def _forward_blocks(trace: "Trace") -> Iterator[Block]:
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


def _loss_blocks(trace: "Trace") -> Iterator[Block]:
    row = value_row([one.step for one in trace.steps], trace.loss_function)
    value = np.asarray(trace.loss, dtype=trace.prediction.dtype)
    weighted = "; each sample's share is multiplied by its weight" * (trace.data.sample_weight is not None)
    yield Values(row.math, value, row.remark + weighted)


def _backward_blocks(trace: "Trace") -> Iterator[Block]:
    letters = [one.step for one in trace.steps]
    start = output_signal(letters, trace.loss_function)
    yield Values(start.math, trace.error_signals[last_signal(letters)], start.remark)
    for signal in reversed(needed(letters)):
        row = error_row(letters, signal)
        yield Values(Math(row.math.sides[:2], row.math.symbols), trace.error_signals[signal], row.remark)


def _gradient_blocks(trace: "Trace") -> Iterator[Block]:
    sums: dict[Symbol, Array] = {}
    for one in trace.steps:
        for name, symbol in one.step.parameters.items():
            share = one.gradients[name]
            sums[symbol] = sums[symbol] + share if symbol in sums else share
    for symbol, row in gradient_rows([one.step for one in trace.steps]).items():
        yield Values(row.math, sums[symbol], row.remark)
