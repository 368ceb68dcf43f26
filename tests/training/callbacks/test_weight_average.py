"""The average is the sum it says it is, and neither the training nor the trained weights feel it."""

from copy import deepcopy
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scripted import Centred, Each, X, Y, fit, numbers, read, resumed, store, trainer

import deepbp
from deepbp import Trainer
from deepbp.callbacks import EarlyStopping, ModelCheckpoint
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.training import WeightAverage
from deepbp.typing import Array


def held(it: Trainer) -> Array:
    return np.concatenate([it.parameters.values, *(buffer.value for buffer in it.buffers)])


def of_average(average: WeightAverage, it: Trainer) -> Array:
    with average.applied(it):
        return held(it)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.9999])
def test_it_is_the_weighted_mean_over_the_steps(decay: float) -> None:
    seen: list[Array] = []
    average = WeightAverage(decay)
    it = fit(trainer(Each(step=lambda it: seen.append(held(it))), average), 4)
    for count in (12, 15):
        terms = [(decay**k, seen[count - 1 - k]) for k in range(count)]
        expected = sum(weight * values for weight, values in terms) / sum(weight for weight, _ in terms)
        assert_allclose(of_average(average, it), expected, rtol=1e-12)
        assert average.count == len(seen) == count
        fit(it)


def test_after_one_step_it_is_the_weights() -> None:
    average = WeightAverage(0.999)
    it = trainer(average)
    it.fit(X, Y, batch_size=None)
    assert_array_equal(of_average(average, it), held(it))


def test_steps_by_hand_may_ask_for_it() -> None:
    average = WeightAverage(0.5)
    it = trainer()
    seen = []
    for _ in range(2):
        it.step(X, Y)
        average.update(it)
        seen.append(held(it))
    assert_allclose(of_average(average, it), (seen[0] + 2 * seen[1]) / 3)


def test_small_weights_keep_their_number_type() -> None:
    average = WeightAverage(0.9)
    it = fit(trainer(average, dtype="float32"), 2)
    assert of_average(average, it).dtype == np.float32


@pytest.mark.parametrize("use", [False, True])
def test_training_goes_on_to_the_bit_as_without(use: bool) -> None:
    watched, alone = trainer(WeightAverage(0.9, use=use)), trainer()
    for _ in range(3):
        fit(watched, 2)
        fit(alone, 2)
        assert dict(watched.history) == dict(alone.history)
        assert (numbers(watched) != numbers(alone)) is use


def test_an_epoch_is_validated_with_the_average_and_training_goes_on_without() -> None:
    average, seen = WeightAverage(0.9, validate=True), []
    alone = trainer(Each(lambda it: seen.append(numbers(it))))
    it = trainer(average, Each(lambda it: seen.append(numbers(it))))
    validated = []
    for _ in range(3):
        for one in (alone, it):
            one.fit(X, Y, batch_size=4, shuffle=False, validation_data=(X + 1, Y))
        assert numbers(it) == numbers(alone)
        with average.applied(it):
            validated.append(it.evaluate(X + 1, Y)["loss"])
            assert seen[-1] == numbers(it) != seen[-2]
    assert it.history["val_loss"] == validated != alone.history["val_loss"]
    assert it.history["loss"] == alone.history["loss"]


@pytest.mark.parametrize("after", [False, True])
def test_early_stopping_and_checkpoints_take_the_validated_average(after: bool, tmp_path: Path) -> None:
    def make(scores: list[float]) -> Trainer:
        average, best = WeightAverage(0.8, validate=True), EarlyStopping("score", patience=3)
        checkpoint = ModelCheckpoint(tmp_path / "run.npz", best="score", every_epochs=None)
        return trainer(*([best, average] if after else [average, best]), checkpoint, scores=scores)

    averages: list[Array] = []
    it = make([3, 9, 5])
    it.fit(X, Y, epochs=3, batch_size=4, shuffle=False, callbacks=[Each(lambda it: averages.append(held(it)))])
    assert_array_equal(held(it), averages[1])  # the best average is in the network
    stored = deepbp.load(tmp_path / "run-best.npz", custom=[Centred])
    assert_array_equal(stored.predict(X), it.model.predict(X))

    whole, again = make([3, 9, 5, 4, 2, 1]), make([5, 4, 2, 1])
    fit(whole, 6)
    again.load(tmp_path / "run-best.npz")
    fit(again, 6)
    assert again.history["loss"] == whole.history["loss"]  # trained on from the trained weights
    assert numbers(again) == numbers(whole)


def test_use_leaves_the_average_in_the_network() -> None:
    average, other = WeightAverage(0.9, use=True), WeightAverage(0.9)
    it, same = fit(trainer(average), 2), fit(trainer(other), 2)
    assert_array_equal(held(it), of_average(other, same))


def test_what_was_changed_after_fit_is_not_overwritten() -> None:
    it, alone = fit(trainer(WeightAverage(0.9, use=True)), 2), trainer()
    alone.state = deepcopy(it.state)
    for one in (it, alone):
        one.parameters.values[...] = 0.25
        one.buffers[0].value = np.zeros(4)
    it.callbacks[0].on_fit_start(it)
    it.callbacks = ()
    assert numbers(fit(it)) == numbers(fit(alone))


def test_applied_evaluates_with_the_average_and_gives_the_trained_weights_back() -> None:
    average = WeightAverage(0.9)
    it = fit(trainer(average), 3)
    before = numbers(it)
    with average.applied(it):
        inside = it.evaluate(X, Y)
        values = held(it)
    assert numbers(it) == before
    assert inside != it.evaluate(X, Y)
    other = trainer(rng=9)
    other.parameters.values[...], other.buffers[0].value = np.split(values, [it.parameters.values.size])
    assert other.evaluate(X, Y) == inside


def test_applied_gives_back_after_an_error_too() -> None:
    average = WeightAverage(0.9)
    it = fit(trainer(average), 3)
    before = numbers(it)

    def fails() -> None:
        with average.applied(it):
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match=r"^mine$"):
        fails()
    assert numbers(it) == before
    assert numbers(fit(it)) != before


def test_applied_works_after_another_trainer_took_the_parameters_over() -> None:
    average = WeightAverage(0.9)
    it = fit(trainer(average), 3)
    expected = of_average(average, it)
    it.model.layers[0].freeze()  # type: ignore[attr-defined]
    it.model.layers[0].unfreeze()  # type: ignore[attr-defined]
    Trainer(it.model, it.loss, it.optimizer)
    with average.applied(it):
        got = np.concatenate([p.value.ravel() for p in it.model.parameters()])
    assert sorted(got) == sorted(expected[: got.size])


@pytest.mark.parametrize("how", ["fit", "step", "by hand"])
def test_training_inside_applied_is_refused_and_undone(how: str) -> None:
    average = WeightAverage(0.9)
    it = fit(trainer(average), 3)
    before, of_it = numbers(it), of_average(average, it)

    def train() -> None:
        with average.applied(it):
            if how == "fit":
                fit(it)
            elif how == "step":
                it.step(X, Y)
            else:
                average.update(it)

    message = "weights were changed inside applied" if how == "step" else "expected no training inside applied"
    with pytest.raises(ConfigurationError, match=message):
        train()
    assert numbers(it) == before
    assert_array_equal(of_average(average, it), of_it)


def test_without_a_step_there_is_no_average() -> None:
    average = WeightAverage()
    it = trainer(average)
    with pytest.raises(ConfigurationError, match="there is no average of this training yet: train first"):
        of_average(average, it)
    fit(it, 0)
    before = numbers(it)
    average.use = True
    assert numbers(fit(it, 0)) == before
    fit(it)
    with pytest.raises(ConfigurationError, match="there is no average of this training yet: train first"):
        of_average(average, trainer())


def test_another_trainer_begins_anew() -> None:
    average = WeightAverage(0.9)
    fit(trainer(average), 3)
    it = fit(trainer(average, rng=1))
    assert average.count == 3
    alone = WeightAverage(0.9)
    assert_array_equal(of_average(average, it), of_average(alone, fit(trainer(alone, rng=1))))


@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("use", [False, True])
def test_a_stored_training_goes_on_exactly(at: int, use: bool) -> None:
    whole, other = resumed(lambda: WeightAverage(0.9, use=use), 5, at)
    assert numbers(whole) == numbers(other)
    one, two = (of_average(it.callbacks[0], it) for it in (whole, other))  # type: ignore[arg-type]
    assert_array_equal(one, two)


def test_a_training_that_was_stored_with_the_average_in_use_goes_on_from_the_trained_weights() -> None:
    it = fit(trainer(WeightAverage(0.9, use=True)), 2)
    other = fit(read(store(it, 2), lambda: WeightAverage(0.9, use=True)), 2)
    assert numbers(fit(it, 2)) == numbers(other)
    assert dict(it.history) == dict(fit(trainer(), 4).history) == dict(other.history)


@pytest.mark.parametrize(
    ("decay", "error"),
    [*[(bad, ConfigurationError) for bad in (1, -3, 2.5, nan)], *[(bad, ArgumentTypeError) for bad in (None, "64")]],
)
def test_decay(decay: Any, error: type[Exception]) -> None:
    message = f"^WeightAverage: decay: expected a number of at least 0 and below 1, got {decay!r}$"
    with pytest.raises(error, match=message):
        WeightAverage(decay)


def test_use_is_yes_or_no() -> None:
    with pytest.raises(ArgumentTypeError, match=r"^WeightAverage: use: expected bool, got 1$"):
        WeightAverage(use=1)  # type: ignore[arg-type]
