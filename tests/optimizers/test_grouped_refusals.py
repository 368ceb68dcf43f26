"""Groups that make no sense, and patterns that do not fit the names, are told in words."""

from typing import Any

import numpy as np
import pytest
from attrs import frozen
from named_vectors import ALL, vector_of

from deepbp.errors import ArgumentTypeError, ConfigurationError, DeepBPError, ShapeError
from deepbp.optimizers import SGD, Adam, Grouped, NAdam, Optimizer, State
from deepbp.parameters import Parameter, ParameterVector


@frozen
class WithoutRate(Optimizer):
    def step(self, parameters: ParameterVector, state: State) -> None:
        state["step"] += 1

    def rate(self, step: int) -> float:
        return 0.1


def test_a_schedule_that_returns_nonsense_changes_nothing() -> None:
    optimizer = Grouped({"*.weight": SGD(0.1), "*": SGD(lambda step: float("nan") if step else 0.0)})
    vector = vector_of(ALL)
    state = optimizer.start(vector)
    optimizer.step(vector, state)
    vector.grads[:] = 1
    before = vector.values.copy()
    with pytest.raises(ConfigurationError, match=r"^SGD: learning_rate: .* got nan at step 1"):
        optimizer.step(vector, state)
    np.testing.assert_array_equal(vector.values, before)
    assert state["step"] == 1


EXAMPLE = 'write Grouped({"*.bias": SGD(0.1), "*": Adam()})'


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        (None, ArgumentTypeError, f"Grouped: groups: expected optimizers by pattern, got None: {EXAMPLE}"),
        ([SGD(1)], ArgumentTypeError, f"Grouped: groups: expected optimizers by pattern, got [{SGD(1)}]: {EXAMPLE}"),
        ({}, ConfigurationError, f"Grouped: groups: expected at least one pattern, got none: {EXAMPLE}"),
        (
            {"*": 0.1},
            ArgumentTypeError,
            f"Grouped: groups: expected a pattern and an optimizer, got '*' and 0.1: {EXAMPLE}",
        ),
        (
            {0: SGD(1)},
            ArgumentTypeError,
            f"Grouped: groups: expected a pattern and an optimizer, got 0 and {SGD(1)}: {EXAMPLE}",
        ),
        (
            {"*": Adam},
            ArgumentTypeError,
            f"Grouped: groups: expected a pattern and an optimizer, got '*' and {Adam}: {EXAMPLE}",
        ),
    ],
)
def test_groups_that_make_no_sense(groups: Any, error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error) as caught:
        Grouped(groups)
    assert str(caught.value) == message


@pytest.mark.parametrize("rate", [-1, None, "1", np.nan])
def test_a_rate_for_all_that_makes_no_sense(rate: Any) -> None:
    with pytest.raises(DeepBPError, match=r"^Grouped: learning_rate: expected a number"):
        Grouped({"*": SGD(0.1)}, learning_rate=rate)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (
            ["*.weight", "*.bias"],
            "Grouped: parameter '1.slope' matches none of the patterns '*.weight', '*.bias': "
            "end with '*' for all others",
        ),
        (
            ["*.bais", "*"],
            "Grouped: pattern '*.bais': no parameter matches: there are "
            "0.weight, 2.body.0.weight, 0.bias, 1.slope, 2.body.0.bias",
        ),
        (
            ["*", "*.bias"],
            "Grouped: pattern '*.bias': earlier patterns take all that it matches: there are "
            "0.weight, 2.body.0.weight, 0.bias, 1.slope, 2.body.0.bias",
        ),
    ],
)
def test_patterns_that_do_not_fit(patterns: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Grouped({pattern: SGD(0.1) for pattern in patterns}).start(vector_of(ALL))
    assert str(caught.value) == message


def test_parameters_without_names() -> None:
    with pytest.raises(ConfigurationError, match=r"^Grouped: expected parameters with names: ParameterVector\(\{name"):
        Grouped({"*": SGD(0.1)}).start(ParameterVector([Parameter(np.ones(2))]))


def test_an_optimizer_without_a_rate_cannot_be_scaled() -> None:
    vector = vector_of(ALL)
    grouped = Grouped({"*": WithoutRate()})
    grouped.step(vector, grouped.start(vector))
    halved = Grouped({"*": WithoutRate()}, learning_rate=0.5)
    with pytest.raises(ConfigurationError, match=r"^Grouped: learning_rate: WithoutRate\(\) has no field"):
        halved.step(vector, halved.start(vector))


@pytest.mark.parametrize("groups", [{"*": Adam()}, {"0.*": SGD(0.1), "*": NAdam()}])
def test_a_state_of_other_parameters(groups: dict[str, Optimizer]) -> None:
    grouped = Grouped(groups)
    with pytest.raises(ShapeError, match=r"optimizer: expected a state as long as the parameters, \d+ numbers, got"):
        grouped.step(vector_of(ALL), grouped.start(vector_of(["0.weight", "1.slope"])))
    with pytest.raises(ArgumentTypeError, match=r"^Grouped: step: parameters: expected a ParameterVector, got None"):
        grouped.step(None, {"step": 0})  # type: ignore[arg-type]
