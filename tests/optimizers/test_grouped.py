"""Groups of parameters, each moved by an optimizer of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import frozen

from deepbp import Sequential, Trainer
from deepbp.errors import ArgumentTypeError, ConfigurationError, DeepBPError, ShapeError
from deepbp.layers import Dense, Tanh
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD, Adam, AdamW, Grouped, Lion, NAdam, Optimizer, Rprop, State
from deepbp.parameter import Parameter, ParameterVector
from deepbp.typing import Array

SHAPES = {"0.weight": (3, 4), "0.bias": (4,), "1.slope": (4,), "2.body.0.weight": (4, 2), "2.body.0.bias": (2,)}
ALL = list(SHAPES)


def drawn(seed: int, dtype: Any) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}


def vector_of(names: list[str], dtype: Any = np.float64) -> ParameterVector:
    start = drawn(0, dtype)
    return ParameterVector({name: Parameter(start[name].copy()) for name in names})


def train(optimizer: Optimizer, vector: ParameterVector, steps: int = 12) -> dict[str, Array]:
    state = optimizer.start(vector)
    for step in range(steps):
        gradients = drawn(1 + step, vector.values.dtype)
        vector.clear_grads()
        for name, parameter in zip(vector.names, vector.parameters, strict=True):
            parameter.accumulate(gradients[name])
        optimizer.step(vector, state)
        assert state["step"] == step + 1
    return {name: p.value for name, p in zip(vector.names, vector.parameters, strict=True)}


def falling(step: int) -> float:
    return 0.1 / (1 + step)


CASES: list[tuple[dict[str, Optimizer], list[list[str]]]] = [
    ({"*": AdamW(falling)}, [ALL]),
    # end to end in the vector, where matrices lie first, so that nothing is copied
    (
        {"*.weight": AdamW(0.01, weight_decay=0.3), "*": SGD(0.1, momentum=0.9)},
        [["0.weight", "2.body.0.weight"], ["0.bias", "1.slope", "2.body.0.bias"]],
    ),
    # in pieces
    (
        {"0.*": NAdam(falling, weight_decay=0.3), "1.*": Lion(0.01), "*": SGD(0.1, momentum=0.9, weight_decay=0.3)},
        [["0.weight", "0.bias"], ["1.slope"], ["2.body.0.weight", "2.body.0.bias"]],
    ),
    # the first that matches wins
    (
        {"2.body.0.bias": Rprop(), "*.bias": SGD(falling), "[01].*": Adam(0.1), "?.body.*": Lion(falling)},
        [["2.body.0.bias"], ["0.bias"], ["0.weight", "1.slope"], ["2.body.0.weight"]],
    ),
    # groups within a group
    (
        {"*.bias": SGD(0.1), "*": Grouped({"1.slope": Adam(0.1), "*": Lion(0.01)})},
        [["0.bias", "2.body.0.bias"], ["1.slope"], ["0.weight", "2.body.0.weight"]],
    ),
]


@pytest.mark.usefixtures("kernel_form")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("groups", "members"), CASES)
def test_each_group_goes_as_it_would_alone(groups: dict[str, Optimizer], members: list[list[str]], dtype: Any) -> None:
    together = train(Grouped(groups), vector_of(ALL, dtype))
    alone = []
    for optimizer in groups.values():
        alone += list(optimizer.groups.values()) if isinstance(optimizer, Grouped) else [optimizer]
    for optimizer, names in zip(alone, members, strict=True):
        for name, value in train(optimizer, vector_of(names, dtype)).items():
            np.testing.assert_array_equal(together[name], value, err_msg=name)
            assert together[name].dtype == dtype


def test_a_rate_for_all_multiplies_those_of_the_groups() -> None:
    groups: dict[str, Optimizer] = {"*.weight": SGD(0.2), "*": Adam(falling)}
    got = train(Grouped(groups, learning_rate=lambda step: 0.5 if step < 6 else 2.0), vector_of(ALL))
    factors = [0.5] * 6 + [2.0] * 6
    scaled: dict[str, Optimizer] = {
        "*.weight": SGD(lambda step: factors[step] * 0.2),
        "*": Adam(lambda step: factors[step] * falling(step)),
    }
    for name, value in train(Grouped(scaled), vector_of(ALL)).items():
        np.testing.assert_array_equal(got[name], value)
    still = train(Grouped(groups, learning_rate=0.0), vector_of(ALL))
    for name, value in drawn(0, np.float64).items():
        np.testing.assert_array_equal(still[name], value)


def test_the_state_is_flat_and_no_longer_than_the_groups() -> None:
    vector = vector_of(ALL, np.float32)
    state = Grouped({"*.bias": SGD(0.1, momentum=0.9), "0.*": NAdam(), "*": SGD(0.1)}).start(vector)
    sizes = {name: value.size if isinstance(value, np.ndarray) else value for name, value in state.items()}
    assert sizes == {"step": 0, "0.velocity": 6, "1.mean": 12, "1.square": 12, "1.product": 1.0}
    assert {value.dtype for value in state.values() if isinstance(value, np.ndarray)} == {np.dtype(np.float32)}


def network() -> Sequential:
    return Sequential([Dense(5), Tanh(), Dense(1)], input_shape=2, rng=0)


X = np.random.default_rng(0).normal(size=(40, 2))
Y = X[:, :1] * X[:, 1:]


def test_a_trainer_knows_the_names() -> None:
    net = network()
    before = {name: p.value.copy() for name, p in net.named_parameters().items()}
    net.fit(X, Y, loss=MeanSquaredError(), optimizer=Grouped({"0.*": SGD(0.0), "*": Adam()}), epochs=2)
    moved = {name for name, p in net.named_parameters().items() if (p.value != before[name]).any()}
    assert moved == {"2.weight", "2.bias"}


def test_a_training_that_was_stored_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    def trainer() -> Trainer:
        groups: dict[str, Optimizer] = {"*.bias": SGD(0.1, momentum=0.9), "0.*": NAdam(falling), "*": Rprop()}
        return Trainer(network(), MeanSquaredError(), Grouped(groups), rng=1)

    through, first, second = trainer(), trainer(), trainer()
    for one in (through, first):
        one.fit(X, Y, epochs=2, progress=False)
    first.save(tmp_path / "training.npz")
    second.load(tmp_path / "training.npz")
    for one in (through, second):
        one.fit(X, Y, epochs=2, progress=False)
    np.testing.assert_array_equal(second.parameters.values, through.parameters.values)


def test_frozen_parameters_are_in_no_group() -> None:
    net = network()
    net[0].freeze()
    before = net[0].parameters()[0].value.copy()
    net.fit(X, Y, loss=MeanSquaredError(), optimizer=Grouped({"2.bias": SGD(0.1), "*": Adam(0.1)}))
    np.testing.assert_array_equal(net[0].parameters()[0].value, before)
    with pytest.raises(ConfigurationError) as caught:
        Trainer(net, MeanSquaredError(), Grouped({"0.*": SGD(0.1), "*": Adam(0.1)}))
    assert str(caught.value) == "Grouped: pattern '0.*': no parameter matches: there are 2.weight, 2.bias"


def test_a_part_of_a_network_has_names_of_its_own() -> None:
    """The same parameters, trained in turn under two names: each trainer goes by those of its model."""
    net = network()
    net[0].freeze()
    whole = Trainer(net, MeanSquaredError(), Grouped({"2.*": SGD(0.1)}))
    head = Trainer(net[2:], MeanSquaredError(), Grouped({"0.weight": SGD(0.1), "0.bias": SGD(0.0)}))
    hidden = net[:2].predict(X)
    for _ in range(2):
        weight, bias = (net[2].parameters()[i].value.copy() for i in (0, 1))
        head.step(hidden, Y)
        assert (net[2].parameters()[0].value != weight).all()
        np.testing.assert_array_equal(net[2].parameters()[1].value, bias)
        whole.step(X, Y)
        assert (net[2].parameters()[1].value != bias).all()


@frozen
class OneByOne(Optimizer):
    """Looks at each parameter by itself: steps as long as the parameter's own norm."""

    learning_rate: float = 0.01

    def step(self, parameters: ParameterVector, state: State) -> None:
        assert parameters.is_current()
        for parameter in parameters.parameters:
            norm = np.linalg.norm(parameter.grad) or 1
            parameter.value -= self.rate(state["step"]) * np.linalg.norm(parameter.value) * parameter.grad / norm
        state["step"] += 1


def test_an_optimizer_that_looks_at_each_parameter() -> None:
    together = train(Grouped({"*.bias": OneByOne(), "0.*": OneByOne(0.1), "*": OneByOne()}), vector_of(ALL))
    expected = train(OneByOne(), vector_of(ALL)) | train(OneByOne(0.1), vector_of(["0.weight"]))
    for name, value in expected.items():
        np.testing.assert_array_equal(together[name], value)


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


def test_the_order_is_part_of_the_configuration() -> None:
    one, other = Grouped({"a": SGD(1), "b": Adam()}), Grouped({"b": Adam(), "a": SGD(1)})
    assert one != other
    assert one == Grouped({"a": SGD(1), "b": Adam()})
    assert hash(one) == hash(Grouped({"a": SGD(1), "b": Adam()}))
    assert eval(repr(other), {"Grouped": Grouped, "SGD": SGD, "Adam": Adam}) == other
