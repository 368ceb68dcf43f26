"""Where a step moves the parameters: downhill, in place, as the learning rate says."""

from typing import Any

import attrs
import numpy as np

from deepbp.optimizers import Optimizer
from deepbp.testing.arrays import expect_same
from deepbp.testing.check import CheckFailure
from deepbp.testing.optimizers.case import STEPS, OptimizerCase


def values_change_in_place(case: OptimizerCase) -> None:
    """``parameters.values`` keeps its array, for each parameter is a view into it."""
    parameters = case.parameters()
    values = parameters.values
    case.steps(parameters, case.subject.start(parameters), range(1))
    if parameters.values is not values or not parameters.is_current():
        raise CheckFailure("step replaced parameters.values by another array: write into it, with -= or [...] =")


def goes_downhill(case: OptimizerCase) -> None:
    """With a gradient that stays the same, the parameters move against it, in both kinds of parameters."""
    parameters = case.parameters()
    parameters.values *= 1e-3  # so that a decay of the weights does not hide the gradient's share
    gradient = np.sign(case.gradient(0, parameters.values))
    before = parameters.values.copy()
    case.steps(parameters, case.subject.start(parameters), range(STEPS), lambda step: gradient)
    along = (parameters.values - before) * gradient
    if not any(case.rates()):
        return
    if (along == 0).all():
        raise CheckFailure("the parameters did not move, though the learning rate is above 0")
    if (along > 0).all():
        raise CheckFailure("the parameters move along the gradient: subtract it, values -= learning_rate * grads")
    if (along >= 0).any():
        place = int(np.argmax(along >= 0))
        raise CheckFailure(f"values[{place}] did not move against its gradient: does the update miss a part of them?")


def no_rate_no_change(case: OptimizerCase) -> None:
    """A learning rate of 0 leaves the parameters where they are."""
    still = _with_rate(case.subject, 0.0)
    if still is None:
        return
    parameters = case.parameters()
    before = parameters.values.copy()
    OptimizerCase(still, case.seed).steps(parameters, still.start(parameters), range(STEPS))
    expect_same(parameters.values, before, "learning_rate=0 still moves the parameters: the decay, too, is a step", 0.0)


def schedule_is_followed(case: OptimizerCase) -> None:
    """A callable learning rate is asked with 0, 1, 2, …, and one that is constant acts as the number does."""
    asked: list[int] = []

    def constant(step: int) -> float:
        asked.append(step)
        return 0.01

    scheduled, plain = _with_rate(case.subject, constant), _with_rate(case.subject, 0.01)
    if scheduled is None or plain is None:
        return
    results = []
    for optimizer in (scheduled, plain):
        parameters = case.parameters()
        OptimizerCase(optimizer, case.seed).steps(parameters, optimizer.start(parameters), range(STEPS))
        results.append(parameters.values)
    if sorted(set(asked)) != list(range(STEPS)):
        raise CheckFailure(
            f"the schedule was asked for the steps {sorted(set(asked))[:5]}…, expected 0, 1, 2, …: "
            "rate = self.rate(state['step']), before the step is counted"
        )
    expect_same(results[0], results[1], "a schedule that is always 0.01 differs from learning_rate=0.01", 1e-12)


def vectors_do_not_decay(case: OptimizerCase) -> None:
    """With gradients of zero, parameters of one dimension, the biases, stay as they are."""
    parameters = case.parameters()
    before = parameters.values.copy()
    case.steps(parameters, case.subject.start(parameters), range(STEPS), lambda step: np.zeros_like(before))
    message = "a bias changes without a gradient: decay parameters.values[parameters.matrices] only"
    expect_same(parameters.values[parameters.matrices.stop :], before[parameters.matrices.stop :], message, 0.0)


def _with_rate(optimizer: Optimizer, rate: Any) -> Optimizer | None:
    """The optimizer with another learning rate, if that is one of its arguments."""
    subject: Any = optimizer
    if not attrs.has(type(subject)) or "learning_rate" not in attrs.fields_dict(type(subject)):
        return None
    changed: Optimizer = attrs.evolve(subject, learning_rate=rate)
    return changed
