"""Groups of parameters, each moved by an optimizer of its own."""

from typing import Any

import numpy as np
import pytest
from attrs import frozen
from named_vectors import ALL, drawn, train, vector_of
from trajectories import falling

from deepbp.optimizers import SGD, Adam, AdamW, Grouped, Lion, NAdam, Optimizer, Rprop, State
from deepbp.parameters import ParameterVector

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


def test_the_order_is_part_of_the_configuration() -> None:
    one, other = Grouped({"a": SGD(1), "b": Adam()}), Grouped({"b": Adam(), "a": SGD(1)})
    assert one != other
    assert one == Grouped({"a": SGD(1), "b": Adam()})
    assert hash(one) == hash(Grouped({"a": SGD(1), "b": Adam()}))
    assert eval(repr(other), {"Grouped": Grouped, "SGD": SGD, "Adam": Adam}) == other
