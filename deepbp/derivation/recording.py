"""The record of one training step: every array that it computes, forward and backward."""

from copy import deepcopy
from typing import Any, Self

import numpy as np
from attrs import field, frozen

from deepbp.derivation.steps import PenaltyStep, Step, last_signal, steps
from deepbp.errors import ArgumentTypeError, PositionError, shown
from deepbp.formulas.printer import Symbol
from deepbp.layers import Layer
from deepbp.layers.observed_pass import ObservedPass
from deepbp.losses import Loss
from deepbp.optimizers import Optimizer
from deepbp.testing.comparisons import arrays_in
from deepbp.training.data import Data
from deepbp.training.trainer import Trainer
from deepbp.typing import Array, ArrayLike


@frozen(eq=False)
class TraceStep:
    """The arrays of one step of a trace: forward pass, backward pass, and parameter gradients.

    Attributes:
        step: the layer with its place and symbols.
        inputs, output: arrays with samples along axis 0; the output of a penalty is one number.
        delta: the error signal ∂L/∂output.
        passed_back: the backpropagated gradient ∂L/∂input for each input; a share of it if other steps take the input.
        parameters: values by field.
        gradients: ∂L/∂parameter by field; of a layer used twice, the share of this use.
        drawn: the arrays that the formula takes from the forward pass, by name, such as a random mask.

    >>> import numpy as np
    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense, ReLU
    >>> from deepbp.losses import SumSquaredError
    >>> net = Sequential([Dense(2), ReLU()], input_shape=3, rng=0)
    >>> first = net.trace(np.ones((4, 3)), np.zeros((4, 2)), SumSquaredError())[0]
    >>> first.step.kind, first.output.shape, first.gradients["weight"].shape
    ('Dense', (4, 2), (3, 2))
    """

    step: Step
    inputs: tuple[Array, ...]
    output: Array
    delta: Array
    passed_back: tuple[Array, ...]
    parameters: dict[str, Array]
    gradients: dict[str, Array]
    drawn: dict[str, Array] = field(factory=dict)

    @property
    def input(self) -> Array:
        """The input; that of the first branch where branches meet."""
        return self.inputs[0]

    @property
    def delta_input(self) -> Array:
        """The backpropagated gradient; that of the first branch where branches meet."""
        return self.passed_back[0]


def _updated(
    network: Layer[Any], x: ArrayLike, y: ArrayLike, loss: Loss[Any], weight: ArrayLike | None, optimizer: Optimizer
) -> dict[str, Array]:
    """The values of all parameters after the first update of a training."""
    copied = deepcopy(network)
    Trainer(copied, loss, optimizer).step(x, y, weight)
    return {name: parameter.value for name, parameter in copied.named_parameters().items()}


@frozen(eq=False, repr=False)
class StepRecord:
    """The arrays of one training step, which ``Trace`` renders, and in which ``Explanation`` follows single paths."""

    network: Layer[Any]
    loss_function: Loss[Any]
    data: Data
    steps: tuple[TraceStep, ...]
    loss: float
    error_signals: dict[Symbol, Array]
    gradients: dict[str, Array]
    optimizer: Optimizer | None = None
    updated: dict[str, Array] = field(factory=dict)

    @classmethod
    def of(
        cls,
        network: Layer[Any],
        x: ArrayLike,
        y: ArrayLike,
        loss: Loss[Any],
        sample_weight: ArrayLike | None = None,
        optimizer: Optimizer | None = None,
    ) -> Self:
        """Run one training step on a copy of the network, in its dtype; with an optimizer, its first update, too."""
        if optimizer is not None and not isinstance(optimizer, Optimizer):
            raise ArgumentTypeError(f"optimizer: expected an instance such as SGD(0.1), got {shown(optimizer)}")
        data = Data.of(network, loss, x, y, sample_weight)
        copied = deepcopy(network)
        run = ObservedPass.of(copied)
        copied.unfreeze()  # gradients of frozen parameters are shown, too
        with np.errstate(all="ignore"):
            value, saved = loss.forward(run.forward(data.x), data.y, data.sample_weight)
            start = run.backward(loss.backward(saved))
        letters = steps(network)  # whose layers are those of the network itself, not of the copy
        signals = {letters[0].input: start}
        held = copied.named_parameters()
        totals = run.parameter_gradients()
        traced = []
        for step, record in zip(letters, run.records, strict=True):
            assert record.delta is not None
            signals[step.output] = record.delta
            values = {name: parameter.value for name, parameter in record.parameters.items()}
            arrays = record.inputs, record.output, record.delta, record.passed_back
            names = step.formula.saved if step.formula is not None else ()
            drawn = dict(zip(names, arrays_in(record.saved), strict=False))
            traced.append(TraceStep(step, *arrays, values, record.gradients, drawn))
        gradients = {name: totals[id(parameter)] for name, parameter in held.items()}
        total = value + run.penalty()
        updated = _updated(network, x, y, loss, sample_weight, optimizer) if optimizer is not None else {}
        return cls(deepcopy(network), loss, data, tuple(traced), total, signals, gradients, optimizer, updated)

    @property
    def prediction(self) -> Array:
        """The network's output for these inputs."""
        return next(one.output for one in self.steps if one.step.output == self.last_signal)

    @property
    def last_signal(self) -> Symbol:
        """The symbol of the network's output."""
        return last_signal([one.step for one in self.steps])

    @property
    def target(self) -> Array:
        """The targets after input validation."""
        return self.data.y

    def __getitem__(self, place: int | str) -> TraceStep:
        places = [one.step.place for one in self.steps]
        if isinstance(place, str) and place in places:
            return self.steps[places.index(place)]
        signals = [one for one in self.steps if not isinstance(one.step, PenaltyStep)]
        layers = list(dict.fromkeys(one.step.place.partition(".")[0] for one in signals))
        if isinstance(place, int) and -len(layers) <= place < len(layers):
            inside = [one for one in signals if one.step.place.partition(".")[0] == layers[place]]
            return inside[-1]
        raise PositionError(f"trace: no layer {place!r}: there are {len(layers)}, with steps {', '.join(places)}")

    def __len__(self) -> int:
        return len(self.steps)
