"""What schedules refuse, in words; that they are configuration; and that optimizers and trainings follow them."""

import pickle
from typing import Any

import attrs
import numpy as np
import pytest

from deepbp import Sequential, Trainer
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.layers import Dense
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD, Adam, schedules
from deepbp.optimizers.schedules import (
    Cosine,
    CosineRestarts,
    Exponential,
    InverseSqrt,
    InverseTime,
    LearningRateSchedule,
    OneCycle,
    Piecewise,
    Polynomial,
    StepDecay,
    Warmup,
    steps_per_epoch,
)

NAN = float("nan")
WITH_STEPS: tuple[Any, ...] = (Cosine, CosineRestarts, Polynomial, InverseTime, InverseSqrt, OneCycle)
WITH_EVERY: tuple[Any, ...] = (StepDecay, Exponential)


@pytest.mark.parametrize("value", [0, -3, 2.5, None, "64", NAN, True])
@pytest.mark.parametrize("kind", [*WITH_STEPS, *WITH_EVERY, Warmup])
def test_steps_are_whole_numbers_of_at_least_1(kind: Any, value: Any) -> None:
    name = "every" if kind in WITH_EVERY else "steps"
    arguments = {"then": 0.1} if kind is Warmup else {"peak" if kind is OneCycle else "start": 0.1}
    with pytest.raises((ArgumentTypeError, ConfigurationError)) as caught:
        kind(**arguments, **{name: value})
    assert str(caught.value) == f"{kind.__name__}: {name}: expected a whole number of at least 1, got {value!r}"


@pytest.mark.parametrize("value", [-3, None, "64", NAN, float("inf")])
@pytest.mark.parametrize("kind", [*WITH_STEPS, *WITH_EVERY])
def test_rates_are_numbers_of_at_least_0(kind: Any, value: Any) -> None:
    with pytest.raises((ArgumentTypeError, ConfigurationError)) as caught:
        kind(value, 10)
    name = "peak" if kind is OneCycle else "start"
    assert str(caught.value) == f"{kind.__name__}: {name}: expected a number of at least 0, got {value!r}"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepDecay(0.1, 10, 10), "StepDecay: factor: expected a number above 0 and at most 1, got 10"),
        (lambda: Exponential(0.1, 10, 0), "Exponential: factor: expected a number above 0 and at most 1, got 0"),
        (lambda: Cosine(0.1, 10, end=-1), "Cosine: end: expected a number of at least 0, got -1"),
        (
            lambda: CosineRestarts(0.1, 10, growth=1.5),  # type: ignore[arg-type]
            "CosineRestarts: growth: expected a whole number of at least 1, got 1.5",
        ),
        (lambda: Polynomial(0.1, 10, power=0), "Polynomial: power: expected a number above 0, got 0"),
        (lambda: OneCycle(0.1, 10, rise=1.0), "OneCycle: rise: expected a number of at least 0 and below 1, got 1.0"),
        (lambda: OneCycle(0.1, 10, end_divisor=0.1), "OneCycle: end_divisor: expected a number of at least 1, got 0.1"),
        (
            lambda: OneCycle(0.1, 10, annealing="cos"),  # type: ignore[arg-type]
            "OneCycle: annealing: expected 'cosine' or 'linear', got 'cos'",
        ),
        (
            lambda: OneCycle(0.1, 10, annealing=np.array([1])),  # type: ignore[arg-type]
            "OneCycle: annealing: expected 'cosine' or 'linear', got array([1])",
        ),
        (lambda: -1 * Cosine(0.1, 10), "Scaled: factor: expected a number of at least 0, got -1"),
        (lambda: Cosine(0.1, 10) * "2", "Scaled: factor: expected a number of at least 0, got '2'"),  # type: ignore[operator]
        (
            lambda: Warmup(10, then="0.1"),  # type: ignore[arg-type]
            "Warmup: then: expected a number, or a callable of the step, got '0.1'",
        ),
        (
            lambda: Piecewise([5, 5], [1, 2, 3]),
            "Piecewise: boundaries: expected steps of at least 1 that rise, such as [1000, 1500], got (5, 5)",
        ),
        (
            lambda: Piecewise([0], [1, 2]),
            "Piecewise: boundaries: expected steps of at least 1 that rise, such as [1000, 1500], got (0,)",
        ),
        (
            lambda: Piecewise([2.5], [1, 2]),  # type: ignore[list-item]
            "Piecewise: boundaries: expected steps of at least 1 that rise, such as [1000, 1500], got (2.5,)",
        ),
        (
            lambda: Piecewise(5, [1, 2]),  # type: ignore[arg-type]
            "Piecewise: boundaries: expected steps of at least 1 that rise, such as [1000, 1500], got 5",
        ),
        (
            lambda: Piecewise([5], [0.1]),
            "Piecewise: pieces: expected 2, one more than the boundaries [5], got 1",
        ),
        (lambda: Piecewise([5], 0.1), "Piecewise: pieces: expected a list of rates or schedules, got 0.1"),  # type: ignore[arg-type]
        (lambda: Piecewise([5], [0.1, -1]), "Piecewise: pieces: expected a number of at least 0, got -1"),
    ],
)
def test_values_that_make_no_sense(make: Any, message: str) -> None:
    with pytest.raises((ArgumentTypeError, ConfigurationError)) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize("step", [-3, 2.5, None, "64", NAN, True])
def test_a_step_is_a_whole_number(step: Any) -> None:
    with pytest.raises((ArgumentTypeError, ConfigurationError)) as caught:
        Cosine(0.1, 10)(step)
    assert str(caught.value) == f"schedule: expected the step, a whole number of at least 0, got {step!r}"
    assert Cosine(0.1, 10)(np.int64(10)) == 0  # type: ignore[arg-type]


EVERY = [
    StepDecay(0.1, 10),
    Exponential(0.1, 10, 0.5),
    Cosine(0.1, 10),
    CosineRestarts(0.1, 10, growth=2),
    Polynomial(0.1, 10, power=2),
    InverseTime(0.1, 10),
    InverseSqrt(0.1, 10),
    OneCycle(0.1, 10, annealing="linear"),
    Warmup(10, then=Cosine(0.1, 10)),
    Piecewise([10, 20], [0.1, Warmup(3, InverseTime(0.1, 2)), 0.01]),
    0.5 * Cosine(0.1, 10),
]


@pytest.mark.parametrize("schedule", EVERY, ids=repr)
def test_configuration_is_frozen_and_can_be_pasted_back_compared_and_stored(schedule: Any) -> None:
    assert eval(repr(schedule), vars(schedules)) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert len({schedule, eval(repr(schedule), vars(schedules))}) == 1
    assert isinstance(schedule(3), float)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        schedule.steps = 3


def test_every_schedule_is_here() -> None:
    assert set(LearningRateSchedule.__subclasses__()) == {type(schedule) for schedule in EVERY}


def test_a_training_follows_a_schedule_step_by_step() -> None:
    """Of a line through the origin, with a gradient of −2 x (y − w x), by hand."""
    net = Sequential([Dense(1, use_bias=False)], input_shape=1, rng=0, dtype="float64")
    x, y, w = np.array([[2.0]]), np.array([[3.0]]), float(net[0].named_parameters()["weight"].value[0, 0])
    trainer = Trainer(net, MeanSquaredError(), SGD(Warmup(2, then=StepDecay(0.1, 2, 0.5))))
    for rate in (0, 0.05, 0.1, 0.1, 0.05, 0.05, 0.025):
        trainer.step(x, y)
        w += rate * 2 * 2 * (3 - 2 * w)
        assert net[0].parameters()[0].value[0, 0] == pytest.approx(w, rel=1e-14)


def test_an_error_inside_names_the_schedule_and_the_step() -> None:
    net = Sequential([Dense(1)], input_shape=1, rng=0)
    trainer = Trainer(net, MeanSquaredError(), Adam(Warmup(1, then=lambda step: 1 / (1 - step))))
    trainer.step([[1.0]], [[1.0]])
    trainer.step([[1.0]], [[1.0]])
    with pytest.raises(ZeroDivisionError) as caught:
        trainer.step([[1.0]], [[1.0]])
    assert caught.value.__notes__ == ["in the learning-rate schedule of Adam, called with step 2"]


@pytest.mark.parametrize(
    ("samples", "batch_size", "steps"), [(100, 32, 4), (96, 32, 3), (1, 32, 1), (97, 1, 97), (97, None, 1)]
)
def test_steps_of_an_epoch_are_those_that_fit_makes(samples: int, batch_size: int | None, steps: int) -> None:
    assert steps_per_epoch(samples, batch_size) == steps
    net = Sequential([Dense(1)], input_shape=1, rng=0)
    trainer = Trainer(net, MeanSquaredError(), SGD(0.0))
    trainer.fit(np.ones((samples, 1)), np.ones((samples, 1)), batch_size=batch_size)
    assert trainer.steps == steps


@pytest.mark.parametrize("value", [0, -3, 2.5, "64", NAN, True])
def test_steps_of_an_epoch_are_counted_in_whole_samples(value: Any) -> None:
    for name, arguments in (("samples", (value, 32)), ("batch_size", (100, value))):
        with pytest.raises((ArgumentTypeError, ConfigurationError)) as caught:
            steps_per_epoch(*arguments)
        message = f"steps_per_epoch: {name}: expected a whole number of at least 1, got {value!r}"
        assert str(caught.value) == message
    with pytest.raises(ArgumentTypeError, match="samples: expected a whole number of at least 1, got None"):
        steps_per_epoch(None)  # type: ignore[arg-type]
