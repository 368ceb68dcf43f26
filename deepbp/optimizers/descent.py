"""What the optimizers here share: the schedule is asked, the arguments are checked, and the step is counted."""

from abc import abstractmethod

from deepbp.optimizers.optimizer import Optimizer, State, refusal
from deepbp.parameter import ParameterVector
from deepbp.typing import Array

# The two ways to let weights decay, as rows of a formula: beside the step, as in AdamW, and as a part of the gradient.
DECAY = ("w", "w - rate * weight_decay * w")
DECAYED_GRADIENT = ("g", "g + weight_decay * w")


class Descent(Optimizer):
    """An optimizer that says how to move, given the learning rate of the step."""

    def step(self, parameters: ParameterVector, state: State) -> None:
        try:
            self._move(parameters, state, self.rate(state["step"]))
            state["step"] += 1
        except (AttributeError, KeyError, TypeError) as error:
            raise refusal(self, error, parameters, state) from None

    @abstractmethod
    def _move(self, parameters: ParameterVector, state: State, rate: float) -> None:
        """One step; t of the formulas is ``state["step"] + 1``."""


def decay(parameters: ParameterVector, share: float) -> None:
    """w ← w − share · w, in parameters of two or more dimensions only."""
    if share:
        parameters.values[parameters.matrices] *= 1 - share


def decayed_gradient(parameters: ParameterVector, weight_decay: float) -> Array:
    """g + λ w, in parameters of two or more dimensions only."""
    if not weight_decay:
        return parameters.grads
    grads = parameters.grads.copy()  # the gradients stay ∂L/∂w for whoever looks at them afterwards
    part = parameters.matrices
    grads[part] += weight_decay * parameters.values[part]
    return grads
