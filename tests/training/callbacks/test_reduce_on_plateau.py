"""When the learning rate is lowered, and to what."""

from math import nan
from typing import Any

import pytest
from attrs import define
from scripted import Each, fit, numbers, resumed, trainer

from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.optimizers import SGD, Adam, Optimizer
from deepbp.optimizers.schedules import Exponential, Scaled
from deepbp.parameters import ParameterVector
from deepbp.training import ReduceOnPlateau

SCORES = [1.0, 0.9, 0.95, 0.91, 0.9, 0.89, 0.95, 0.96, 0.97, 0.98, 0.99, 0.88, 0.9, 0.9, 0.9]
HALVES = (1.0, 0.5, 0.25, 0.125, 0.0625)


def rates(reduce: ReduceOnPlateau, rate: Any = 1.0, scores: list[float] = SCORES) -> list[float]:
    """The learning rate after each epoch."""
    seen: list[float] = []
    it = trainer(reduce, Each(lambda it: seen.append(it.optimizer.rate(it.steps))), optimizer=Adam(rate), scores=scores)
    fit(it, len(scores))
    return seen


# as PyTorch 2.13's ReduceLROnPlateau says, with threshold=0, eps=0 and a patience of one less
@pytest.mark.parametrize(
    ("arguments", "epochs_at_each"),
    [
        ({"patience": 2, "factor": 0.5}, dict(zip(HALVES, (3, 4, 2, 4, 2), strict=True))),
        ({"patience": 2, "factor": 0.5, "cooldown": 2}, dict(zip(HALVES, (3, 4, 6, 2), strict=False))),
        ({"patience": 1, "factor": 0.5, "cooldown": 2}, dict(zip(HALVES, (2, 4, 3, 3, 3), strict=True))),
        ({"patience": 2, "factor": 0.1, "cooldown": 1, "min_rate": 0.02}, {1.0: 3, 0.1: 4, 0.02: 8}),
        ({"patience": 1, "factor": 0.5, "min_rate": 0.1}, {1.0: 2, 0.5: 1, 0.25: 1, 0.125: 2, 0.1: 9}),
    ],
)
def test_when_and_to_what(arguments: dict[str, Any], epochs_at_each: dict[float, int]) -> None:
    expected = [rate for rate, epochs in epochs_at_each.items() for _ in range(epochs)]
    reduce = ReduceOnPlateau("score", mode="min", **arguments)
    assert rates(reduce) == pytest.approx(expected, rel=1e-12)
    assert reduce.reductions == [e + 1 for e in range(1, len(expected)) if expected[e] != expected[e - 1]]


def test_a_schedule_is_multiplied_and_a_floor_holds_the_factor_alone() -> None:
    schedule = Exponential(0.2, every=1, factor=0.97)
    reduce = ReduceOnPlateau("score", patience=1, factor=0.5, min_rate=0.06, mode="min")
    factor, expected = 1.0, [0.2 * 0.97**3]
    for steps in (6, 9, 12, 15):  # made by the end of the epochs that are no better
        rate = factor * 0.2 * 0.97**steps
        if rate > 0.06:  # below it there is nothing to lower
            rate, factor = max(0.5 * rate, 0.06), factor * max(0.5, 0.06 / rate)
        expected.append(rate)
    assert rates(reduce, schedule, [1] * 5) == pytest.approx(expected, rel=1e-12)
    assert expected[2] == pytest.approx(0.06)
    assert expected[3] < 0.06  # the schedule itself goes lower
    assert reduce.reductions == [2, 3]


@pytest.mark.parametrize("schedule", [lambda step: 0.8, Scaled(lambda step: 1.6, 0.5), 0.8])
def test_any_schedule_can_be_multiplied(schedule: Any) -> None:
    reduce = ReduceOnPlateau("score", patience=1, factor=0.5, mode="min")
    assert rates(reduce, schedule, [1, 1, 1]) == [0.8, 0.4, 0.2]


def test_a_rate_below_the_floor_is_left_alone() -> None:
    reduce = ReduceOnPlateau("score", patience=1, min_rate=0.1, mode="min")
    assert rates(reduce, 0.05, [1, 1, 1]) == [0.05] * 3
    assert reduce.reductions == []


def test_the_updates_are_those_of_the_lower_rate_and_the_state_stays() -> None:
    reduce = ReduceOnPlateau("score", patience=1, mode="min")
    it = fit(trainer(reduce, optimizer=SGD(0.1, momentum=0.9), scores=[1, 1, 1, 0]), 4)
    by_hand = trainer(optimizer=SGD(0.1, momentum=0.9))
    for rate, epochs in ((0.1, 2), (0.01, 1), (0.001, 1)):
        by_hand.optimizer = SGD(rate, momentum=0.9)
        fit(by_hand, epochs)
    assert it.parameters.values == pytest.approx(by_hand.parameters.values, rel=1e-12)
    assert isinstance(it.optimizer, SGD)
    assert it.optimizer.learning_rate == pytest.approx(0.001)


def test_nan_counts_as_no_better() -> None:
    assert rates(ReduceOnPlateau("score", patience=2, factor=0.5), scores=[5, nan, nan, 6]) == [1, 1, 0.5, 0.5]


def test_two_of_them_lower_the_rate_together() -> None:
    pair = [ReduceOnPlateau("score", patience=p, factor=f, mode="min") for p, f in ((1, 0.5), (2, 0.25))]
    it = fit(trainer(*pair, optimizer=SGD(0.8), scores=[1, 1, 1]), 3)
    assert it.optimizer.learning_rate == pytest.approx(0.8 * 0.5 * 0.5 * 0.25)


def decaying(step: int) -> float:
    return 0.05 * 0.99**step


@pytest.mark.parametrize("at", [0, 2, 3, 5])
@pytest.mark.parametrize("optimizer", [Adam(0.05), Adam(decaying)], ids=["number", "schedule"])
@pytest.mark.parametrize("optimizer_is_stored", [False, True])
def test_a_stored_training_goes_on_exactly(at: int, optimizer: Adam, optimizer_is_stored: bool) -> None:
    whole, other = resumed(
        lambda: ReduceOnPlateau("score", patience=2, factor=0.5, cooldown=1, min_rate=0.001),
        *(8, at),
        optimizer=optimizer,
        scores=[3, 5, 4, 4, 4, 4, 4, 4],
        optimizer_is_stored=optimizer_is_stored,
    )
    assert whole.optimizer != optimizer
    assert whole.optimizer == other.optimizer
    assert numbers(whole) == numbers(other)
    assert whole.callbacks[0].state() == other.callbacks[0].state()


def test_another_trainer_begins_anew_with_its_own_rate() -> None:
    reduce = ReduceOnPlateau("score", patience=1, mode="min")
    rates(reduce, 1.0, [1, 1, 1])
    assert rates(reduce, 0.5, [2, 2]) == [0.5, 0.05]
    assert reduce.reductions == [2]


def test_each_call_of_fit_begins_anew_at_the_rate_that_was_reached() -> None:
    reduce = ReduceOnPlateau("score", patience=2, mode="min")
    it = trainer(reduce, optimizer=SGD(1.0), scores=[1, 5, 5, 4, 3, 3, 3])
    fit(it, 3)
    assert (it.optimizer.learning_rate, reduce.reductions) == (0.1, [3])
    fit(it, 2)  # 4 and 3 are better than what this call has seen
    assert (it.optimizer.learning_rate, reduce.best, reduce.waited) == (0.1, 3, 0)
    fit(it, 2)
    assert (it.optimizer.learning_rate, reduce.waited) == (0.1, 1)


@define
class OwnOptimizer(Optimizer):
    def step(self, parameters: ParameterVector, state: dict[str, Any]) -> None:
        state["step"] += 1


def test_an_optimizer_without_a_rate() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^ReduceOnPlateau: expected an optimizer with a field learning_rate, got "
    ):
        fit(trainer(ReduceOnPlateau("loss"), optimizer=OwnOptimizer()))


@pytest.mark.parametrize(
    ("argument", "value", "error", "expected"),
    [
        *[("factor", bad, ConfigurationError, "a number above 0 and below 1") for bad in (0, 1, -3, 2.5, nan)],
        *[("factor", bad, ArgumentTypeError, "a number above 0 and below 1") for bad in (None, "64")],
        ("min_rate", -1, ConfigurationError, "a number of at least 0"),
        ("cooldown", -3, ConfigurationError, "a whole number of at least 0"),
        ("cooldown", 2.5, ArgumentTypeError, "a whole number of at least 0"),
        ("patience", 0, ConfigurationError, "a whole number of at least 1"),
    ],
)
def test_arguments(argument: str, value: Any, error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=f"^ReduceOnPlateau: {argument}: expected {expected}, got {value!r}$"):
        ReduceOnPlateau(**{argument: value})
