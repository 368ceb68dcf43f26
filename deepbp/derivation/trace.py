"""One real step of a network, with every number it makes: outputs, error signals, gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from attrs import evolve, frozen

from deepbp.derivation.document import Document, Written
from deepbp.derivation.numbering import Step, steps
from deepbp.errors import DeepBPError, PositionError
from deepbp.layers import Layer
from deepbp.layers.checked import checked
from deepbp.losses import Loss
from deepbp.training.data import Data
from deepbp.typing import Array, ArrayLike

if TYPE_CHECKING:
    from deepbp.derivation.explain import Explanation


@frozen(eq=False)
class TraceStep:
    """What one layer received and made, forwards and backwards.

    Attributes:
        step: the layer, its place and its letters.
        input, output: with samples along axis 0.
        delta, delta_input: the error signals ∂L/∂output, which came in, and ∂L/∂input, which was passed back.
        parameters: their values in this step, by field.
        gradients: ∂L/∂parameter by field; of a layer used twice, the share of this use.
    """

    step: Step
    input: Array
    output: Array
    delta: Array
    delta_input: Array
    parameters: dict[str, Array]
    gradients: dict[str, Array]


@frozen(eq=False, repr=False)
class Trace(Written):
    """A step forwards, the loss, and backwards; nothing in the network itself is changed.

    It prints itself: the derivation with numbers, small arrays in full, large ones by shape, norm and range.

    ``trace[2]`` is the third layer's step, counted without chains, and ``trace["2.1"]`` the one at that place.

    Attributes:
        network: a copy, as it was before the step.
        data: the inputs, targets and weights, as the network takes them.
        steps: in forward order.
        gradients: ∂L/∂parameter by the parameter's name in the network, such as ``"0.weight"``; the shares of a layer
            that is used twice are added.
    """

    network: Layer[Any]
    loss_function: Loss[Any]
    data: Data
    steps: tuple[TraceStep, ...]
    loss: float
    gradients: dict[str, Array]

    @classmethod
    def of(
        cls, network: Layer[Any], x: ArrayLike, y: ArrayLike, loss: Loss[Any], sample_weight: ArrayLike | None = None
    ) -> Self:
        """Run one step in the network's dtype, as ``Trainer.step`` would without its update."""
        data = Data.of(network, loss, x, y, sample_weight)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            value, ran, gradients = _run(deepcopy(network), loss, data)
        letters = steps(network)  # whose layers are those of the network itself, not of the copy
        traced = tuple(evolve(one, step=step) for one, step in zip(ran, letters, strict=True))
        return cls(deepcopy(network), loss, data, traced, value, gradients)

    @property
    def prediction(self) -> Array:
        """The network's output."""
        return self.steps[-1].output

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
        from deepbp.derivation.trace_document import trace_document

        return trace_document(self)

    def explain(self, parameter: str, index: int | tuple[int, ...]) -> "Explanation":
        """Why the gradient of one weight is what it is, such as ``explain("0.weight", (1, 2))``."""
        from deepbp.derivation.explain import Explanation

        return Explanation.of(self, parameter, index)

    def __len__(self) -> int:
        return len(self.steps)


def _run(network: Layer[Any], loss: Loss[Any], data: Data) -> tuple[float, list[TraceStep], dict[str, Array]]:
    """The loss, what each layer did, and all gradients, of a network that is not needed afterwards."""
    network_steps = steps(network)
    signals, memories = [data.x], []
    for step in network_steps:
        with _placed(step):
            output, saved = checked(step.layer, step.input_shape, step.output_shape).forward(signals[-1])
        signals.append(output)
        memories.append(saved)
    value, saved = loss.forward(signals[-1], data.y, data.sample_weight)
    delta = loss.backward(saved)
    parameters = network.named_parameters()
    totals = {id(p): np.zeros_like(p.value) for p in parameters.values()}
    ran: list[TraceStep] = []
    for position, step in reversed(list(enumerate(network_steps))):
        own = step.layer.named_parameters()
        for p in own.values():
            p.clear_grad()
        with _placed(step):
            moved = checked(step.layer, step.input_shape, step.output_shape).backward(memories[position], delta)
        shares = {name: p.grad.copy() for name, p in own.items()}
        for name, p in own.items():
            totals[id(p)] += shares[name]
        values = {name: p.value for name, p in own.items()}
        ran.insert(0, TraceStep(step, signals[position], signals[position + 1], delta, moved, values, shares))
        delta = moved
    return value, ran, {name: totals[id(p)] for name, p in parameters.items()}


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
