"""Where in a training it stands, so that one that was stored goes on exactly there."""

from copy import deepcopy
from typing import Any

import numpy as np
from attrs import define, field

from deepbp.training.evaluation import Meter


@define(eq=False)
class Position:
    """A place within one call of ``fit``, always between two updates.

    Attributes:
        epochs: completed since the call.
        epoch: the number of the epoch at hand, or of the next one, over all calls.
        batches: of this epoch that the model has learned from.
        meter: what the epoch's loss and metrics are made of so far.
        fit_start, epoch_start: the state that the generator of rows had; a copy in that state draws the same rows.
        stopped: whether a callback has asked for the end.
    """

    epochs: int = 0
    epoch: int = 0
    batches: int = 0
    meter: Meter | None = None
    fit_start: dict[str, Any] = field(factory=dict)
    epoch_start: dict[str, Any] = field(factory=dict)
    stopped: bool = False


def state_of(generator: np.random.Generator) -> dict[str, Any]:
    """A copy of a generator's state."""
    return deepcopy(dict(generator.bit_generator.state))


def generator_at(generator: np.random.Generator, state: dict[str, Any]) -> np.random.Generator:
    """Another generator of the same kind, in this state."""
    kind: Any = type(generator.bit_generator)
    other = np.random.Generator(kind())
    other.bit_generator.state = state
    return other
