"""Each schedule gives the numbers of its formula, written out here once more, from the start to beyond the end."""

from collections.abc import Callable
from math import cos, exp, log, pi, sqrt
from typing import Any

import pytest

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
    Scaled,
    StepDecay,
    Warmup,
)


def stairs(t: int) -> float:
    rate = 0.1
    for step in range(1, t + 1):
        if step % 3 == 0:
            rate *= 0.5
    return rate


def restarts(t: int) -> float:
    """Runs of 3, 6, 12, 24 and 48 steps."""
    for first, length in ((0, 3), (3, 6), (9, 12), (21, 24), (45, 48)):
        if first <= t < first + length:
            return 0.01 + 0.5 * (0.1 - 0.01) * (1 + cos(pi * (t - first) / length))
    raise AssertionError(t)


def one_cycle(t: int) -> float:
    """A peak of 1 at 3 of 10 steps, from 1/25 down to 1/250000."""
    if t <= 3:
        return 1 - (1 - 0.04) * 0.5 * (1 + cos(pi * t / 3))
    return 4e-6 + (1 - 4e-6) * 0.5 * (1 + cos(pi * (t - 3) / 7)) if t < 10 else 4e-6


def triangle(t: int) -> float:
    """A peak of 1 at 5 of 10 steps, from 1/10 down to 1/20."""
    if t <= 5:
        return 0.1 + 0.9 * t / 5
    return 1 - 0.95 * (t - 5) / 5 if t < 10 else 0.05


def transformer(t: int) -> float:
    """Of width 512, with 4 steps of warm-up. Vaswani et al. 2017, equation 3."""
    return float(512**-0.5 * min(t**-0.5, t * 4**-1.5)) if t else 0.0


CASES: dict[str, tuple[LearningRateSchedule, Callable[[int], float]]] = {
    "step decay": (StepDecay(0.1, every=3, factor=0.5), stairs),
    "exponential": (Exponential(0.1, every=3, factor=0.5), lambda t: 0.1 * exp(t * log(0.5) / 3)),
    "exponential, each step": (Exponential(0.1, every=1, factor=0.9), lambda t: 0.1 * exp(t * log(0.9))),
    "cosine": (Cosine(0.1, 8, end=0.02), lambda t: 0.06 + 0.04 * cos(pi * t / 8) if t < 8 else 0.02),
    "restarts": (CosineRestarts(0.1, 3, end=0.01, growth=2), restarts),
    "restarts, all alike": (CosineRestarts(0.1, 5), lambda t: 0.05 + 0.05 * cos(pi * (t % 5) / 5)),
    "line": (Polynomial(0.1, 8, end=0.02), lambda t: 0.1 - 0.01 * t if t < 8 else 0.02),
    "parabola": (Polynomial(0.1, 8, end=0.02, power=2), lambda t: 0.02 + 0.08 * (8 - t) ** 2 / 64 if t < 8 else 0.02),
    "inverse time": (InverseTime(0.1, 4), lambda t: 0.4 / (4 + t)),
    "inverse root": (InverseSqrt(0.1, 4), lambda t: 0.2 / sqrt(4 + t)),
    "transformer": (Warmup(4, then=InverseSqrt(1 / sqrt(512 * 4), 4)), transformer),
    "warm-up to a number": (Warmup(4, then=0.1), lambda t: min(t, 4) * 0.025),
    "warm-up from a number": (Warmup(4, then=0.1, start=0.02), lambda t: 0.02 + min(t, 4) * 0.02),
    "warm-up to a line": (
        Warmup(4, then=Polynomial(0.1, 10)),
        lambda t: t * 0.025 if t < 4 else max(0.1 - 0.01 * (t - 4), 0),
    ),
    "warm-up to a function": (Warmup(2, then=lambda t: 1 / (t + 2)), lambda t: t * 0.25 if t < 2 else 1 / t),
    "constants": (Piecewise([3, 5], [0.1, 0.01, 0.001]), lambda t: 0.1 if t < 3 else 0.01 if t < 5 else 0.001),
    "one piece": (Piecewise([], [0.1]), lambda t: 0.1),
    "pieces": (
        Piecewise([3, 7], [0.1, Polynomial(0.1, 4), lambda t: 0.2 * t]),
        lambda t: 0.1 if t < 3 else 0.1 - 0.025 * (t - 3) if t < 7 else 0.2 * (t - 7),
    ),
    "one cycle": (OneCycle(1.0, 10), one_cycle),
    "triangle": (OneCycle(1.0, 10, rise=0.5, start_divisor=10, end_divisor=2, annealing="linear"), triangle),
    "falling half of a cycle": (
        OneCycle(1.0, 10, rise=0.0, annealing="linear"),
        lambda t: 1 - (1 - 4e-6) * t / 10 if t < 10 else 4e-6,
    ),
    "scaled": (0.5 * Polynomial(0.1, 8), lambda t: 0.05 - 0.00625 * t if t < 8 else 0.0),
    "scaled function": (Scaled(lambda t: t, 3), lambda t: 3 * t),
}


@pytest.mark.parametrize("name", CASES)
def test_formula(name: str) -> None:
    schedule, formula = CASES[name]
    assert [schedule(t) for t in range(40)] == pytest.approx([formula(t) for t in range(40)], rel=1e-12, abs=1e-16)


@pytest.mark.parametrize("kind", LearningRateSchedule.__subclasses__())
def test_every_schedule_has_a_formula_here(kind: type) -> None:
    assert kind in {type(schedule) for schedule, _ in CASES.values()}


@pytest.mark.parametrize(
    ("schedule", "end"),
    [
        (Cosine(0.1, 7, end=0.003), 0.003),
        (Cosine(0.1, 7), 0.0),
        (Polynomial(0.1, 7, end=0.003), 0.003),
        (OneCycle(0.1, 7), 0.1 / 25 / 10_000),
        (Warmup(7, then=0.1), 0.1),
        (Piecewise([7], [Cosine(1.0, 3), 0.003]), 0.003),
    ],
    ids=repr,
)
def test_the_end_is_reached_exactly_and_stays(schedule: LearningRateSchedule, end: float) -> None:
    assert schedule(6) != end
    assert [schedule(7), schedule(8), schedule(10**9)] == [end] * 3


@pytest.mark.parametrize("schedule", [StepDecay(0.1, 1), Exponential(0.1, 1), InverseTime(0.1, 1)], ids=repr)
def test_those_without_an_end_fall_for_ever(schedule: LearningRateSchedule) -> None:
    assert 0 <= schedule(10**9) < schedule(100) < schedule(10) < schedule(0) == 0.1


def test_restarts_begin_anew_far_out() -> None:
    doubled = CosineRestarts(0.1, 1, growth=2)
    assert [doubled(2**k - 1) for k in range(1, 40)] == [0.1] * 39
    assert doubled(2**40 - 2) < 1e-20
    assert CosineRestarts(0.1, 10)(10**12) == 0.1


# What PyTorch 2.13 and Keras 3 say, printed to as many digits as they give; where a convention differs, the
# arguments here are those that make it the same. docs/vocabulary.md has the differences in words.
OTHERS: dict[str, tuple[LearningRateSchedule, list[float]]] = {
    "torch StepLR(3, 0.5)": (StepDecay(0.1, 3, 0.5), [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025]),
    "torch MultiStepLR([2, 5], 0.1)": (
        Piecewise([2, 5], [0.1, 0.01, 0.001]),
        [0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001],
    ),
    "keras PiecewiseConstantDecay([2, 5], …)": (
        Piecewise([3, 6], [0.1, 0.01, 0.001]),
        [0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001],
    ),
    "torch ExponentialLR(0.9)": (Exponential(0.1, 1, 0.9), [0.1, 0.09, 0.081, 0.0729, 0.06561]),
    "keras ExponentialDecay(0.1, 3, 0.5)": (
        Exponential(0.1, 3, 0.5),
        [0.1, 0.079370052, 0.062996052, 0.05, 0.039685026, 0.031498026, 0.025],
    ),
    "torch CosineAnnealingLR(4, 0.01), up to its T_max": (
        Cosine(0.1, 4, end=0.01),
        [0.1, 0.0868198051534, 0.055, 0.0231801948466, 0.01],
    ),
    "keras CosineDecay(0, 4, alpha=0.1, warmup_target=0.1, warmup_steps=3)": (
        Warmup(3, then=Cosine(0.1, 4, end=0.01)),
        [0.0, 0.033333333, 0.066666667, 0.1, 0.086819805, 0.055, 0.023180195, 0.01, 0.01, 0.01],
    ),
    "torch CosineAnnealingWarmRestarts(3, 2, 0.01)": (
        CosineRestarts(0.1, 3, end=0.01, growth=2),
        [0.1, 0.0775, 0.0325, 0.1, 0.0939711431703, 0.0775, 0.055, 0.0325, 0.0160288568297, 0.1, 0.098466662183],
    ),
    "keras PolynomialDecay(0.1, 4, 0.01, 2)": (
        Polynomial(0.1, 4, end=0.01, power=2),
        [0.1, 0.060625, 0.0325, 0.015625, 0.01, 0.01, 0.01],
    ),
    "torch LinearLR(0.25, 1, 4)": (
        Warmup(4, then=0.1, start=0.025),
        [0.025, 0.04375, 0.0625, 0.08125, 0.1, 0.1, 0.1],
    ),
    "keras InverseTimeDecay(0.1, 4, 1)": (
        InverseTime(0.1, 4),
        [0.1, 0.08, 0.066666667, 0.057142857, 0.05, 0.044444444, 0.04],
    ),
    "torch SequentialLR([ConstantLR, CosineAnnealingLR(4)], [3]), up to its T_max": (
        Piecewise([3], [0.1, Cosine(0.1, 4)]),
        [0.1, 0.1, 0.1, 0.1, 0.0853553390593, 0.05, 0.0146446609407, 0.0],
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_numbers_of_other_libraries(name: str) -> None:
    schedule, expected = OTHERS[name]
    assert [schedule(t) for t in range(len(expected))] == pytest.approx(expected, rel=2e-8, abs=1e-15)


def test_torch_turns_one_step_earlier_in_one_cycle() -> None:
    """``OneCycleLR(max_lr=1, total_steps=10)`` peaks at t = 2 and ends at t = 9: a rise of 2/9 over 9 steps."""
    torch: list[Any] = [0.04, 0.52, 1.0, 0.950484632013, 0.81174565395, 0.611262021936, 0.388741978064, 0.18825834605]
    schedule = OneCycle(1.0, 9, rise=2 / 9)
    assert [schedule(t) for t in range(10)] == pytest.approx([*torch, 0.0495193679865, 4e-06], rel=1e-11)
