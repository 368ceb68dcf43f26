"""One real step of a network, with every number it makes: outputs, error signals, gradients."""

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from attrs import evolve, frozen

from deepbp.derivation.document import Document, Written
from deepbp.derivation.numbering import steps
from deepbp.derivation.price import last_signal
from deepbp.derivation.running import Run, TraceStep
from deepbp.errors import PositionError
from deepbp.layers import Layer
from deepbp.layers.pen import Symbol
from deepbp.losses import Loss
from deepbp.training.data import Data
from deepbp.typing import Array, ArrayLike

if TYPE_CHECKING:
    from deepbp.derivation.explain import Explanation


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
        from deepbp.derivation.trace_document import trace_document

        return trace_document(self)

    def explain(self, parameter: str, index: int | tuple[int, ...]) -> "Explanation":
        """Why the gradient of one weight is what it is, such as ``explain("0.weight", (1, 2))``."""
        from deepbp.derivation.explain import Explanation

        return Explanation.of(self, parameter, index)

    def __len__(self) -> int:
        return len(self.steps)
