"""Training ends in the step in which the time is over."""

from math import inf, nan
from typing import Any

import pytest
from scripted import Each, X, Y, fit, numbers, trainer

from deepbp.callbacks import stopping
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.training import TimeLimit


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A clock that moves when it is told: ``clock.now += 1``."""

    class Clock:
        now = 50.0

        def tick(self, trainer: object) -> None:
            self.now += 1

    it = Clock()
    monkeypatch.setattr(stopping, "monotonic", lambda: it.now)
    return it


@pytest.mark.parametrize(("seconds", "steps"), [(0.001, 1), (4, 4), (4.5, 5), (6, 6), (100, 15)])
def test_it_stops_after_the_step_in_which_the_time_is_over(seconds: float, steps: int, clock: Any) -> None:
    limit = TimeLimit(seconds)
    it = fit(trainer(Each(step=clock.tick), limit), 5)
    assert it.steps == steps
    assert it.history.epochs == steps // 3
    assert limit.stopped is (steps < 15)
    alone = trainer()
    for step in range(steps):
        rows = slice(4 * (step % 3), 4 * (step % 3) + 4)
        alone.step(X[rows], Y[rows])
    assert numbers(it) == numbers(alone)


def test_time_that_is_over_in_the_validation_ends_training_with_the_epoch(clock: Any) -> None:
    it = fit(trainer(Each(epoch=clock.tick), TimeLimit(2)), 5)
    assert it.epoch == it.history.epochs == 2
    assert it.steps == 6


def test_each_fit_has_the_time_anew(clock: Any) -> None:
    limit = TimeLimit(4)
    it = trainer(Each(step=clock.tick), limit)
    for steps in (4, 8):
        assert fit(it, 5).steps == steps
    assert limit.state() == {}


@pytest.mark.parametrize(
    ("seconds", "error"),
    [*[(bad, ConfigurationError) for bad in (0, -3, nan, inf)], *[(bad, ArgumentTypeError) for bad in (None, "64")]],
)
def test_seconds(seconds: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^TimeLimit: seconds: expected a number above 0, got {seconds!r}$"):
        TimeLimit(seconds)
