"""What an optimizer remembers lies in its state, all of it."""

import pickle
from typing import Any

import numpy as np

from deepbp.optimizers import Grouped
from deepbp.testing.arrays import expect_same
from deepbp.testing.check import CheckFailure
from deepbp.testing.optimizers.case import STEPS, OptimizerCase


def start_and_step_run(case: OptimizerCase) -> None:
    """``start`` returns a flat dict with the step; ``step`` counts it up."""
    parameters = case.parameters()
    state: Any = case.subject.start(parameters)
    if not isinstance(state, dict) or state.get("step") != 0:
        raise CheckFailure(f"start: expected a dict with 'step': 0, returned {state!r}")
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            of_a_group = isinstance(case.subject, Grouped)  # whose arrays are as long as the group
            if value.shape != parameters.values.shape and not of_a_group:
                raise CheckFailure(
                    f"start: state[{name!r}] has shape {value.shape}, expected that of parameters.values, "
                    f"{parameters.values.shape}"
                )
        elif not isinstance(value, int | float | np.number):
            raise CheckFailure(f"start: state[{name!r}]: expected an array or a number, got {value!r}")
    for step in (1, 2):
        case.steps(parameters, state, range(step - 1, step))
        if state.get("step") != step:
            raise CheckFailure(f"step: expected state['step'] to be {step} after step {step}, got {state.get('step')}")


def state_is_all_it_remembers(case: OptimizerCase) -> None:
    """Two trainings side by side, with one optimizer, go as each does alone."""
    alone = case.parameters()
    case.steps(alone, case.subject.start(alone), range(STEPS))
    one, other = case.parameters(), case.parameters()
    state, other_state = case.subject.start(one), case.subject.start(other)
    for step in range(STEPS):
        case.steps(one, state, range(step, step + 1))
        case.steps(other, other_state, range(step, step + 1), lambda step: -5 * case.gradient(step, other.values))
    expect_same(
        one.values, alone.values, "another training with the same optimizer changes this one: keep all in state", 0.0
    )


def resumes_exactly(case: OptimizerCase) -> None:
    """Values and state, stored and read back, go on to the same numbers."""
    through = case.parameters()
    case.steps(through, case.subject.start(through), range(STEPS))
    first = case.parameters()
    state = case.subject.start(first)
    case.steps(first, state, range(STEPS // 2))
    second = case.parameters()
    second.values[...] = first.values
    case.steps(second, pickle.loads(pickle.dumps(state)), range(STEPS // 2, STEPS))
    expect_same(
        second.values, through.values, "stored and resumed, training goes elsewhere: state must hold all of it", 0.0
    )


def gradients_are_used_once(case: OptimizerCase) -> None:
    """The state holds no view of the gradients or values, which the next step overwrites."""
    parameters = case.parameters()
    state = case.subject.start(parameters)
    case.steps(parameters, state, range(2))
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            for what, array in (("grads", parameters.grads), ("values", parameters.values)):
                if np.shares_memory(value, array):
                    raise CheckFailure(f"state[{name!r}] shares its memory with parameters.{what}: keep a copy")
