"""The record of one training step: every array that it computes, forward and backward."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from attrs import define, field, frozen

from deepbp.derivation.numbering import steps
from deepbp.derivation.steps import MergeStep, PenaltyStep, SliceStep, Step, last_signal
from deepbp.errors import DeepBPError, PositionError
from deepbp.formulas.printer import Symbol
from deepbp.layers import Layer
from deepbp.layers.merging import added, merged, parted
from deepbp.losses import Loss
from deepbp.training.data import Data
from deepbp.typing import Array


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
        run.loss = value + sum((memories[step.output][0] for step in order if isinstance(step, PenaltyStep)), 0.0)
        shares: dict[Symbol, list[Array]] = {last: [loss.backward(saved)]}
        named = network.named_parameters()
        totals = {id(p): np.zeros_like(p.value) for p in named.values()}
        for step in reversed(order):
            inputs = [signals[one] for one in step.inputs]
            delta = np.ones_like(signals[step.output]) if isinstance(step, PenaltyStep) else added(shares[step.output])
            with _placed(step):
                passed, gradients = _backward(step, inputs, memories[step.output], delta)
            for signal, share in reversed(list(zip(step.inputs, passed, strict=True))):
                found = shares.setdefault(signal, [])
                found.insert(
                    len(found) if isinstance(step, PenaltyStep) else 0, share
                )  # in forward order, penalties last
            for name, gradient in gradients.items():
                totals[id(step.held[name])] += gradient
            run.error_signals[step.output] = delta
            values = {name: p.value for name, p in step.held.items()}
            run.steps.insert(0, TraceStep(step, tuple(inputs), signals[step.output], delta, passed, values, gradients))
        run.error_signals[order[0].input] = added(shares[order[0].input])
        run.gradients = {name: totals[id(p)] for name, p in named.items()}
        return run


def _forward(step: Step, inputs: list[Array], memories: dict[Symbol, Any]) -> tuple[Array, Any]:
    """The output, and what is needed on the way back; of a penalty, its price and the gradient of it."""
    if isinstance(step, SliceStep):
        return inputs[0][..., step.columns], None
    if isinstance(step, MergeStep):
        return merged(step.merge, inputs), None
    if not isinstance(step, PenaltyStep):
        pair: tuple[Array, Any] = step.layer._run_forward(inputs[0])
        return pair
    array = step.held["w"].value if step.held else inputs[0]
    samples = 1 if step.held else max(len(array), 1)
    if step.penalty is None:
        price, gradient = step.layer.penalty(memories[step.inputs[0]]), np.zeros_like(array)
    else:
        price, gradient = step.penalty(array)
        price, gradient = price / samples, gradient / samples
    return np.asarray(price, dtype=array.dtype), (price, gradient)


def _backward(step: Step, inputs: list[Array], memory: Any, delta: Array) -> tuple[tuple[Array, ...], dict[str, Array]]:
    """What is passed back to each input, and the gradients of the parameters."""
    if isinstance(step, SliceStep):
        whole = np.zeros_like(inputs[0])
        whole[..., step.columns] = delta
        return (whole,), {}
    if isinstance(step, MergeStep):
        widths = [shape[-1] if shape else 1 for shape in step.input_shapes]
        return tuple(parted(step.merge, widths, inputs, delta)), {}
    if isinstance(step, PenaltyStep):
        return ((), {"w": memory[1]}) if step.held else ((memory[1],), {})
    for parameter in step.held.values():
        parameter.clear_grad()
    moved = step.layer._run_backward(memory, delta)
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
class StepRecord:
    """The record of one step: what ``Trace`` prints, and what ``Explanation`` follows path by path."""

    network: Layer[Any]
    loss_function: Loss[Any]
    data: Data
    steps: tuple[TraceStep, ...]
    loss: float
    error_signals: dict[Symbol, Array]
    gradients: dict[str, Array]

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

    def __len__(self) -> int:
        return len(self.steps)
