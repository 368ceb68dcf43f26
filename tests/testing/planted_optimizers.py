"""Optimizers with one mistake each."""

from typing import Any

import numpy as np
from attrs import define, field, frozen
from planting import Planted, from_percent, planter

from deepbp.optimizers import SGD, Adam, Optimizer, State
from deepbp.parameters import ParameterVector
from deepbp.typing import Array

OPTIMIZERS: list[Planted] = []
planted = planter(OPTIMIZERS)


@planted("start_and_step_run", r"start: expected a dict with 'step': 0")
@frozen
class NoStepInState(SGD):
    def start(self, parameters: ParameterVector) -> State:
        return {}


@planted("start_and_step_run", r"state\['velocity'\] has shape \(1,\), expected that of parameters.values")
@frozen
class StateOfTheWrongLength(SGD):
    def start(self, parameters: ParameterVector) -> State:
        return {"step": 0, "velocity": np.zeros(1)}


@planted("start_and_step_run", r"expected state\['step'\] to be 1 after step 1, got 0")
@frozen
class ForgetsToCount(SGD):
    def step(self, parameters: ParameterVector, state: State) -> None:
        parameters.values -= self.rate(state["step"]) * parameters.grads


@planted("values_change_in_place", r"step replaced parameters.values by another array")
@frozen
class ReplacesValues(SGD):
    def step(self, parameters: ParameterVector, state: State) -> None:
        parameters.values = parameters.values - self.rate(state["step"]) * parameters.grads
        state["step"] += 1


@planted("goes_downhill", r"move along the gradient: subtract it")
@frozen
class GoesUphill(SGD):
    def step(self, parameters: ParameterVector, state: State) -> None:
        parameters.values += self.rate(state["step"]) * parameters.grads
        state["step"] += 1


@planted("goes_downhill", r"values\[12\] did not move against its gradient")
@frozen
class ForgetsTheVectors(SGD):
    def step(self, parameters: ParameterVector, state: State) -> None:
        part = parameters.matrices
        parameters.values[part] -= self.rate(state["step"]) * parameters.grads[part]
        state["step"] += 1


@planted("no_rate_no_change", r"learning_rate=0 still moves the parameters")
@frozen
class DecaysWithoutTheRate(SGD):
    def step(self, parameters: ParameterVector, state: State) -> None:
        parameters.values[parameters.matrices] *= 0.999
        super().step(parameters, state)


@planted("schedule_is_followed", r"the schedule was asked for the steps \[1, 2.*before the step is counted")
@frozen
class CountsTooEarly(SGD):
    def step(self, parameters: ParameterVector, state: State) -> None:
        state["step"] += 1
        parameters.values -= self.rate(state["step"]) * parameters.grads


_velocity: list[Array] = []


@planted("state_is_all_it_remembers", r"another training with the same optimizer changes this one")
@frozen
class SharedVelocity(SGD):
    def step(self, parameters: ParameterVector, state: State) -> None:
        if state["step"] == 0:
            _velocity[:] = [np.zeros_like(parameters.values)]
        _velocity[0] *= 0.9
        _velocity[0] += parameters.grads
        parameters.values -= self.rate(state["step"]) * _velocity[0]
        state["step"] += 1


@planted("resumes_exactly", r"stored and resumed, training goes elsewhere")
@frozen
class RemembersWhichVector(SGD):
    seen: dict[int, Any] = field(factory=dict, init=False, repr=False, eq=False)

    def step(self, parameters: ParameterVector, state: State) -> None:
        velocity = self.seen.setdefault(id(parameters), np.zeros_like(parameters.values))
        velocity *= 0.9
        velocity += parameters.grads
        parameters.values -= self.rate(state["step"]) * velocity
        state["step"] += 1


@planted("gradients_are_used_once", r"state\['previous'\] shares its memory with parameters.grads: keep a copy")
@frozen
class KeepsAView(SGD):
    def step(self, parameters: ParameterVector, state: State) -> None:
        super().step(parameters, state)
        state["previous"] = parameters.grads


@planted("vectors_do_not_decay", r"a bias changes without a gradient: decay parameters.values\[parameters.matrices\]")
@frozen
class DecaysBiases(SGD):
    def step(self, parameters: ParameterVector, state: State) -> None:
        parameters.values *= 1 - self.rate(state["step"]) * 0.01
        super().step(parameters, state)


@planted("dtype_is_kept", r"state\['mean'\] is float64 for float32 parameters: use np.zeros_like")
@frozen
class Float64State(Adam):
    def start(self, parameters: ParameterVector) -> State:
        state = super().start(parameters)
        state["mean"] = np.zeros(parameters.values.shape)
        return state


@planted("extreme_gradients", r"gradients of 0, float32: invalid value encountered in divide")
@frozen
class DividesByZero(Optimizer):
    learning_rate: float = 0.01

    def step(self, parameters: ParameterVector, state: State) -> None:
        size = np.sqrt(parameters.grads * parameters.grads)
        parameters.values -= self.rate(state["step"]) * (parameters.grads / size)
        state["step"] += 1


@planted("configuration_is_frozen", r"put @frozen, from attrs, above the class")
@define
class NotFrozen(Optimizer):
    learning_rate: float = 0.01

    def step(self, parameters: ParameterVector, state: State) -> None:
        parameters.values -= self.rate(state["step"]) * parameters.grads
        state["step"] += 1


@planted("repr_can_be_pasted_back", r"repr cannot be pasted back")
@frozen(repr=False)
class PrettyRepr(SGD):
    def __repr__(self) -> str:
        return "plain descent"


@planted("configuration_rebuilds", r"the constructor, given what the fields hold, makes something else")
@frozen
class ConvertsTwice(SGD):
    percent: float = field(default=50.0, converter=from_percent, kw_only=True)


@planted("copy_and_pickle", r"copy.deepcopy raises TypeError: not today")
@frozen
class RefusesToBeCopied(SGD):
    def __deepcopy__(self, memo: Any) -> "RefusesToBeCopied":
        raise TypeError("not today")


@planted("start_and_step_run", r"state\['history'\]: expected an array or a number, got \[\]")
@frozen
class ListInState(SGD):
    def start(self, parameters: ParameterVector) -> State:
        return {"step": 0, "history": []}


@planted("goes_downhill", r"the parameters did not move, though the learning rate is above 0")
@frozen
class StandsStill(SGD):
    def step(self, parameters: ParameterVector, state: State) -> None:
        state["step"] += 1


@planted("extreme_gradients", r"gradients of 0, float32: the parameters are no longer finite")
@frozen
class SilentDivision(DividesByZero):
    def step(self, parameters: ParameterVector, state: State) -> None:
        with np.errstate(invalid="ignore"):
            super().step(parameters, state)
