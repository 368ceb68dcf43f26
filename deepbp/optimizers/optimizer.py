"""The contract of an optimizer: how the gradients change the parameters."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import isfinite
from numbers import Real
from typing import Any, TypeAlias

from attrs import Attribute

from deepbp._suggestions import ExplainedArguments
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.errors.validators import non_negative
from deepbp.formulas.language import UpdateFormula
from deepbp.parameters import ParameterVector
from deepbp.typing import Array

State: TypeAlias = dict[str, Any]
"""What an optimizer remembers between steps: arrays and counters, by name."""

Schedule: TypeAlias = Callable[[int], float]
"""The learning rate as a function of the step, which counts from 0."""


def rate_or_schedule(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
    """A validator: a learning rate is a number of at least 0, or a callable of the step."""
    if callable(value) and not isinstance(value, type):
        return
    if not isinstance(value, Real):
        place = f"{type(instance).__name__}: {attribute.name}"
        raise ArgumentTypeError(f"{place}: expected a number, or a callable of the step, got {value!r}")
    non_negative(instance, attribute, value)


def refusal(optimizer: "Optimizer", error: Exception, parameters: Any, state: Any) -> Exception:
    """What to raise where a step failed with ``error``: which argument is not what it must be, if one is not."""
    place = f"{type(optimizer).__name__}: step"
    if not isinstance(parameters, ParameterVector):
        return ArgumentTypeError(f"{place}: parameters: expected a ParameterVector, got {parameters!r}")
    names = list(optimizer.start(parameters))
    if not isinstance(state, dict) or not state.keys() >= set(names):
        return ArgumentTypeError(f"{place}: state: expected what start(parameters) returns, {names}, got {state!r}")
    return error


class Optimizer(ExplainedArguments, ABC):
    """Frozen configuration, an ``attrs.frozen`` class; what changes lies in the state, which the trainer keeps."""

    learning_rate: Any  # a number or a Schedule; Any, so that a subclass may declare one of the two

    def stated_formula(self) -> UpdateFormula | None:
        """The mathematics of a step in this configuration: ``derivation`` prints it, and the checks evaluate it."""
        return None

    def start(self, parameters: ParameterVector) -> State:
        """The state before the first step. Arrays in it are as long as ``parameters.values``."""
        return {"step": 0}

    @abstractmethod
    def step(self, parameters: ParameterVector, state: State) -> None:
        """Change ``parameters.values`` in place, given ``parameters.grads``, and count ``state["step"]`` up."""

    def rate(self, step: int) -> float:
        """The learning rate of this step. Raises ConfigurationError when a schedule returns nonsense."""
        given: float | Schedule = self.learning_rate
        if not callable(given):
            return given
        try:
            rate = given(step)
        except Exception as error:
            error.add_note(f"in the learning-rate schedule of {type(self).__name__}, called with step {step}")
            raise
        if not isinstance(rate, Real) or not isfinite(rate) or rate < 0:
            raise ConfigurationError(
                f"{type(self).__name__}: learning_rate: expected the schedule to return a number of at least 0, "
                f"got {rate!r} at step {step}"
            )
        return float(rate)


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
