"""Learning rates, schedules, and the values that optimizers refuse."""

from typing import Any

import attrs
import numpy as np
import pytest

from deepbp.errors import ArgumentTypeError, ConfigurationError, DeepBPError
from deepbp.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AMSGrad,
    Lion,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)
from deepbp.parameters import Parameter, ParameterVector

KINDS: tuple[Any, ...] = (SGD, Adam, AdamW, AMSGrad, NAdam, RAdam, RMSprop, Adagrad, Adadelta, Lion, Rprop)


@pytest.mark.parametrize("kind", KINDS)
def test_a_schedule_gets_the_step_from_0(kind: Any) -> None:
    asked: list[int] = []

    def schedule(step: int) -> float:
        asked.append(step)
        return 0.1

    vector = ParameterVector([Parameter(np.ones(2))])
    optimizer: Optimizer = kind(schedule)
    state = optimizer.start(vector)
    for _ in range(4):
        optimizer.step(vector, state)
    assert asked == [0, 1, 2, 3]


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), None, "0.1", np.ones(1), 1j])
@pytest.mark.parametrize("kind", KINDS)
def test_a_schedule_that_returns_nonsense_changes_nothing(kind: Any, value: Any) -> None:
    vector = ParameterVector([Parameter(np.ones((1, 2)))])
    optimizer: Optimizer = kind(lambda step: value if step == 1 else 0.0)
    state = optimizer.start(vector)
    vector.grads[:] = 1
    optimizer.step(vector, state)
    with pytest.raises(ConfigurationError) as caught:
        optimizer.step(vector, state)
    assert str(caught.value) == (
        f"{kind.__name__}: learning_rate: expected the schedule to return a number of at least 0, "
        f"got {value!r} at step 1"
    )
    np.testing.assert_array_equal(vector.values, [1, 1])
    assert state["step"] == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("rate", "error", "message"),
    [
        (-0.1, ConfigurationError, "learning_rate: expected a number of at least 0, got -0.1"),
        (float("nan"), ConfigurationError, "learning_rate: expected a number of at least 0, got nan"),
        (10**400, ConfigurationError, f"learning_rate: expected a number of at least 0, got {10**149}…"),
        (float("inf"), ConfigurationError, "learning_rate: expected a number of at least 0, got inf"),
        ("0.1", ArgumentTypeError, "learning_rate: expected a number, or a callable of the step, got '0.1'"),
        (None, ArgumentTypeError, "learning_rate: expected a number, or a callable of the step, got None"),
        (True, ArgumentTypeError, "learning_rate: expected a number of at least 0, got True"),
        (float, ArgumentTypeError, "learning_rate: expected a number, or a callable of the step, got <class 'float'>"),
    ],
)
def test_learning_rate(kind: Any, rate: Any, error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error) as caught:
        kind(rate)
    assert str(caught.value) == f"{kind.__name__}: {message}"


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (SGD, {"momentum": 1.0}, "SGD: momentum: expected a number of at least 0 and below 1, got 1.0"),
        (SGD, {"momentum": -0.1}, "SGD: momentum: expected a number of at least 0 and below 1, got -0.1"),
        (SGD, {"weight_decay": -1.0}, "SGD: weight_decay: expected a number of at least 0, got -1.0"),
        (SGD, {"nesterov": True}, "SGD: nesterov=True needs a momentum above 0, got momentum=0.0: try 0.9"),
        (Adam, {"beta1": 1.0}, "Adam: beta1: expected a number of at least 0 and below 1, got 1.0"),
        (Adam, {"beta2": -0.5}, "Adam: beta2: expected a number of at least 0 and below 1, got -0.5"),
        (Adam, {"epsilon": 0.0}, "Adam: epsilon: expected a number above 0, got 0.0"),
        (AdamW, {"weight_decay": float("nan")}, "AdamW: weight_decay: expected a number of at least 0, got nan"),
        (AMSGrad, {"weight_decay": -3}, "AMSGrad: weight_decay: expected a number of at least 0, got -3"),
        (NAdam, {"psi": -0.1}, "NAdam: psi: expected a number of at least 0, got -0.1"),
        (NAdam, {"weight_decay": -1}, "NAdam: weight_decay: expected a number of at least 0, got -1"),
        (RAdam, {"beta2": 1}, "RAdam: beta2: expected a number of at least 0 and below 1, got 1"),
        (RAdam, {"weight_decay": -1}, "RAdam: weight_decay: expected a number of at least 0, got -1"),
        (RMSprop, {"rho": 1.0}, "RMSprop: rho: expected a number of at least 0 and below 1, got 1.0"),
        (RMSprop, {"momentum": 1.0}, "RMSprop: momentum: expected a number of at least 0 and below 1, got 1.0"),
        (RMSprop, {"epsilon": 0}, "RMSprop: epsilon: expected a number above 0, got 0"),
        (RMSprop, {"weight_decay": -1}, "RMSprop: weight_decay: expected a number of at least 0, got -1"),
        (Adagrad, {"initial": -0.1}, "Adagrad: initial: expected a number of at least 0, got -0.1"),
        (Adagrad, {"epsilon": 0}, "Adagrad: epsilon: expected a number above 0, got 0"),
        (Adagrad, {"weight_decay": -1}, "Adagrad: weight_decay: expected a number of at least 0, got -1"),
        (Adadelta, {"rho": 2.5}, "Adadelta: rho: expected a number of at least 0 and below 1, got 2.5"),
        (Adadelta, {"epsilon": float("nan")}, "Adadelta: epsilon: expected a number above 0, got nan"),
        (Adadelta, {"weight_decay": -1}, "Adadelta: weight_decay: expected a number of at least 0, got -1"),
        (Lion, {"beta1": -3}, "Lion: beta1: expected a number of at least 0 and below 1, got -3"),
        (Lion, {"beta2": 1}, "Lion: beta2: expected a number of at least 0 and below 1, got 1"),
        (Lion, {"weight_decay": -1}, "Lion: weight_decay: expected a number of at least 0, got -1"),
        (Rprop, {"first_step": 0}, "Rprop: first_step: expected a number above 0, got 0"),
        (Rprop, {"grow": 1}, "Rprop: grow: expected a number above 1, got 1"),
        (Rprop, {"shrink": 0}, "Rprop: shrink: expected a number above 0 and below 1, got 0"),
        (Rprop, {"shrink": 1}, "Rprop: shrink: expected a number above 0 and below 1, got 1"),
        (Rprop, {"smallest_step": -3}, "Rprop: smallest_step: expected a number above 0, got -3"),
        (Rprop, {"largest_step": 0}, "Rprop: largest_step: expected a number above 0, got 0"),
        (
            Rprop,
            {"first_step": 60},
            "Rprop: expected smallest_step ≤ first_step ≤ largest_step, got 1e-06, 60 and 50.0",
        ),
    ],
)
def test_values_that_make_no_sense(kind: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        kind(0.1, **arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [None, "64", [0.5], True])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (AMSGrad, "weight_decay"),
        (NAdam, "psi"),
        (RAdam, "weight_decay"),
        (RMSprop, "rho"),
        (RMSprop, "momentum"),
        (RMSprop, "epsilon"),
        (Adagrad, "initial"),
        (Adadelta, "rho"),
        (Lion, "beta2"),
        (Rprop, "first_step"),
        (Rprop, "grow"),
        (Rprop, "shrink"),
    ],
)
def test_what_is_no_number(kind: Any, name: str, value: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=rf"^{kind.__name__}: {name}: expected a number .*, got "):
        kind(**{name: value})


@pytest.mark.parametrize("value", [1, "yes", None])
def test_centered_is_true_or_false(value: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^RMSprop: centered: expected bool, got "):
        RMSprop(centered=value)


@pytest.mark.parametrize("kind", KINDS)
def test_configuration_is_frozen_and_prints(kind: Any) -> None:
    optimizer = kind(0.1)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        optimizer.learning_rate = 0.2
    assert eval(repr(optimizer), {kind.__name__: kind}) == optimizer
