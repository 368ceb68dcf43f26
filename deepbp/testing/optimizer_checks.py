"""Conformance checks of optimizers."""

import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import numpy as np
from attrs import frozen

from deepbp.errors import ArgumentTypeError, shown
from deepbp.optimizers import Grouped, Optimizer, State
from deepbp.parameters import Parameter, ParameterVector
from deepbp.testing.check import Check, CheckFailure, Stages, as_seed, checks_of, run_all
from deepbp.testing.comparisons import expect_agreement, expect_same, stated_value, values_of_fields
from deepbp.testing.configuration import CHECKS
from deepbp.typing import Array, Seed

__tracebackhide__ = True  # pytest shows no frames of this module

STEPS = 12
SHAPES = {"0.weight": (4, 3), "0.bias": (3,), "1.slope": (2,)}


@frozen
class OptimizerCase:
    """Test case: an optimizer, with a small parameter vector to update."""

    subject: Optimizer
    seed: int

    def parameters(self, dtype: str = "float64") -> ParameterVector:
        """Return a matrix and two vectors, the same in each call."""
        rng = np.random.default_rng(self.seed)
        return ParameterVector(
            {name: Parameter(rng.standard_normal(shape).astype(dtype)) for name, shape in SHAPES.items()}
        )

    def gradient(self, step: int, like: Array) -> Array:
        return np.random.default_rng([self.seed, step]).standard_normal(like.shape).astype(like.dtype)

    def steps(
        self, parameters: ParameterVector, state: State, steps: range, gradient: Callable[[int], Array] | None = None
    ) -> None:
        """Run optimizer steps, each with the gradient of its step number."""
        for step in steps:
            parameters.clear_grads()
            parameters.grads[...] = self.gradient(step, parameters.values) if gradient is None else gradient(step)
            self.subject.step(parameters, state)

    def rates(self) -> list[float]:
        return [self.subject.rate(step) for step in range(STEPS)]


def start_and_step_run(case: OptimizerCase) -> None:
    """``start`` returns a flat dict with a step counter, and ``step`` increments it."""
    parameters = case.parameters()
    state: Any = case.subject.start(parameters)
    if not isinstance(state, dict) or state.get("step") != 0:
        raise CheckFailure(f"start: expected a dict with 'step': 0, returned {shown(state)}")
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            of_a_group = isinstance(case.subject, Grouped)  # whose arrays are as long as the group
            if value.shape != parameters.values.shape and not of_a_group:
                raise CheckFailure(
                    f"start: state[{name!r}] has shape {value.shape}, expected that of parameters.values, "
                    f"{parameters.values.shape}"
                )
        elif not isinstance(value, int | float | np.number):
            raise CheckFailure(f"start: state[{name!r}]: expected an array or a number, got {shown(value)}")
    for step in (1, 2):
        case.steps(parameters, state, range(step - 1, step))
        if state.get("step") != step:
            raise CheckFailure(f"step: expected state['step'] to be {step} after step {step}, got {state.get('step')}")


def state_is_all_it_remembers(case: OptimizerCase) -> None:
    """Two trainings may share one optimizer: all of its mutable state is in the state dict."""
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
    """A training resumed from stored values and state gives the same numbers."""
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
    """The state shares no memory with the gradients or values, which the next step overwrites."""
    parameters = case.parameters()
    state = case.subject.start(parameters)
    case.steps(parameters, state, range(2))
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            for what, array in (("grads", parameters.grads), ("values", parameters.values)):
                if np.shares_memory(value, array):
                    raise CheckFailure(f"state[{name!r}] shares its memory with parameters.{what}: keep a copy")


def values_change_in_place(case: OptimizerCase) -> None:
    """``step`` updates ``parameters.values`` in place, because each parameter is a view of it."""
    parameters = case.parameters()
    values = parameters.values
    case.steps(parameters, case.subject.start(parameters), range(1))
    if parameters.values is not values or not parameters.is_current():
        raise CheckFailure("step replaced parameters.values by another array: write into it, with -= or [...] =")


def goes_downhill(case: OptimizerCase) -> None:
    """With a constant gradient, all parameters move in the direction of descent."""
    parameters = case.parameters()
    parameters.values *= 1e-3  # small, so that weight decay does not outweigh the gradient
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
    """A learning rate of 0 changes no parameter."""
    still = _with_rate(case.subject, 0.0)
    if still is None:
        return
    parameters = case.parameters()
    before = parameters.values.copy()
    OptimizerCase(still, case.seed).steps(parameters, still.start(parameters), range(STEPS))
    expect_same(parameters.values, before, "learning_rate=0 still moves the parameters: the decay, too, is a step", 0.0)


def schedule_is_followed(case: OptimizerCase) -> None:
    """A schedule is called with 0, 1, 2, …, and a constant schedule gives the results of the constant."""
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
    """Weight decay does not apply to one-dimensional parameters, such as biases."""
    parameters = case.parameters()
    before = parameters.values.copy()
    case.steps(parameters, case.subject.start(parameters), range(STEPS), lambda step: np.zeros_like(before))
    message = "a bias changes without a gradient: decay parameters.values[parameters.matrices] only"
    expect_same(parameters.values[parameters.matrices.stop :], before[parameters.matrices.stop :], message, 0.0)


def _with_rate(optimizer: Optimizer, rate: Any) -> Optimizer | None:
    """Return the optimizer with another learning rate, or None if it has no such argument."""
    subject: Any = optimizer
    if not attrs.has(type(subject)) or "learning_rate" not in attrs.fields_dict(type(subject)):
        return None
    changed: Optimizer = attrs.evolve(subject, learning_rate=rate)
    return changed


def dtype_is_kept(case: OptimizerCase) -> None:
    """The state has the parameters' dtype, and steps in float32 agree with those in float64."""
    results = []
    for dtype in ("float32", "float64"):
        parameters = case.parameters(dtype)
        state = case.subject.start(parameters)
        case.steps(parameters, state, range(STEPS), lambda step, p=parameters: case.gradient(step, p.values))  # type: ignore[misc]
        for name, value in state.items():
            if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.dtype != dtype:
                raise CheckFailure(f"state[{name!r}] is {value.dtype} for {dtype} parameters: use np.zeros_like")
        results.append(parameters.values)
    expect_same(results[0], results[1], "steps in float32 go elsewhere than in float64, by more than rounding", 1e-4)


def extreme_gradients(case: OptimizerCase) -> None:
    """Gradients of 0, 1e-12, 1e8 and subnormal gradients cause no warning and no NaN."""
    for dtype in ("float32", "float64"):
        tiny = float(np.finfo(dtype).smallest_subnormal)
        for size in (0.0, tiny, 1e-12, 1e8):
            parameters = case.parameters(dtype)
            state = case.subject.start(parameters)
            gradient = np.full_like(parameters.values, size)
            try:
                with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
                    warnings.simplefilter("error")
                    case.steps(parameters, state, range(STEPS), lambda step, g=gradient: g)  # type: ignore[misc]
            except (FloatingPointError, Warning) as error:
                raise CheckFailure(f"gradients of {size:g}, {dtype}: {error}") from error
            if not np.isfinite(parameters.values).all():
                raise CheckFailure(f"gradients of {size:g}, {dtype}: the parameters are no longer finite")


def formula(case: OptimizerCase) -> None:
    """The stated formula, evaluated step by step, gives the same values and state."""
    stated = case.subject.stated_formula()
    if stated is None:
        return
    parameters = case.parameters()
    state = case.subject.start(parameters)
    fields = values_of_fields(case.subject)
    if "weight_decay" in fields:  # which touches parameters of two or more dimensions only
        decay = np.zeros_like(parameters.values)
        decay[parameters.matrices] = fields["weight_decay"]
        fields["weight_decay"] = decay
    names: dict[str, Any] = {**fields, **{k: np.copy(v) for k, v in state.items()}, "w": parameters.values.copy()}
    for step in range(STEPS):
        names |= {"g": case.gradient(step, parameters.values), "rate": case.subject.rate(step), "t": step + 1}
        case.steps(parameters, state, range(step, step + 1))
        computed = {"w": parameters.values, **{k: v for k, v in state.items() if isinstance(v, np.ndarray)}}
        last = {name: position for position, (name, _) in enumerate(stated.assignments)}
        for position, (name, expression) in enumerate(stated.assignments):
            names[name] = stated_value(name, expression, names)
            if name in computed and last[name] == position:
                expect_agreement(name, expression, names[name], computed[name], f"step, at step {step},")


STAGES: Stages = (
    (start_and_step_run,),
    (values_change_in_place,),
    (
        goes_downhill,
        formula,
        no_rate_no_change,
        schedule_is_followed,
        state_is_all_it_remembers,
        resumes_exactly,
        gradients_are_used_once,
        vectors_do_not_decay,
        dtype_is_kept,
        extreme_gradients,
        *CHECKS,
    ),
)


def optimizer_checks(optimizer: Optimizer, *, rng: Seed = None) -> Iterator[Check]:
    """Yield the conformance checks of an optimizer, lazily: none runs before ``Check.run``.

    >>> from deepbp.optimizers import Adam
    >>> from deepbp.testing import optimizer_checks
    >>> [check.name for check in optimizer_checks(Adam())][:3]
    ['start_and_step_run', 'values_change_in_place', 'goes_downhill']

    Args:
        rng: seed or generator of the random numbers in the checks. None means the same numbers in each call.
    """
    if not isinstance(optimizer, Optimizer):
        raise ArgumentTypeError(f"optimizer: expected an instance of Optimizer, got {shown(optimizer)}")
    return checks_of(f"{optimizer}", OptimizerCase(optimizer, as_seed(rng)), STAGES)


def check_optimizer(optimizer: Optimizer, *, rng: Seed = None) -> None:
    """Run all conformance checks of an optimizer; see ``optimizer_checks`` for the arguments.

    >>> from deepbp.optimizers import Adam
    >>> from deepbp.testing import check_optimizer
    >>> check_optimizer(Adam())  # returns None if all checks pass

    Raises:
        CheckFailure: if a check fails, with one report of all failures.
    """
    run_all(optimizer_checks(optimizer, rng=rng))
