"""A range test trains a copy with growing rates, ends when it diverges, and suggests where the loss falls fastest."""

from math import log
from typing import Any

import numpy as np
import pytest
from attrs import frozen

from deepbp import ParameterVector, Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, DeepBPError, NonFiniteError, NotBuiltError
from deepbp.layers import Dense, Layer, Tanh
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD, Adam, Optimizer, State
from deepbp.training import RangeTest, learning_rate_range_test
from deepbp.training.selection import steepest
from deepbp.typing import Array

RNG = np.random.default_rng(2)
X = RNG.normal(size=(50, 3))
Y = X @ RNG.normal(size=(3, 2))


def net(dtype: str = "float64") -> Sequential:
    return Sequential([Dense(6), Tanh(), Dense(2)], input_shape=3, rng=0, dtype=dtype)


def run(model: Layer[Any] | None = None, optimizer: Optimizer | None = None, **options: Any) -> RangeTest:
    return learning_rate_range_test(model or net(), X, Y, MeanSquaredError(), optimizer or SGD(0.5), **options)


def by_hand(values: list[float], reach: int) -> list[float]:
    """The mean around each value, with weights that fall in a straight line, 1 at it and 0 just out of reach."""
    smoothed = []
    for i in range(len(values)):
        near = [(j, 1 - abs(i - j) / (reach + 1)) for j in range(len(values)) if abs(i - j) <= reach]
        smoothed.append(sum(weight * values[j] for j, weight in near) / sum(weight for _, weight in near))
    return smoothed


def test_the_losses_are_those_of_a_training_with_these_rates() -> None:
    """Of one weight, y = w x with x = 1 and y = 0, in closed form: w ← w (1 − 2 η)."""
    model = Sequential([Dense(1, use_bias=False)], input_shape=1, rng=0, dtype="float64")
    model[0].parameters()[0].value = np.array([[3.0]])
    result = learning_rate_range_test(
        model, [[1.0]], [[0.0]], MeanSquaredError(), SGD(0.1), low=0.001, high=1.0, steps=31, batch_size=None
    )
    rates = [0.001 * 10 ** (t / 10) for t in range(31)]
    np.testing.assert_allclose(result.rates, rates, rtol=1e-12)
    w, losses = 3.0, []
    for rate in rates:
        losses.append(w * w)
        w *= 1 - 2 * rate
    np.testing.assert_allclose(result.losses, losses, rtol=1e-10, atol=1e-20)
    np.testing.assert_allclose(result.smoothed, by_hand(losses, 3), rtol=1e-10, atol=1e-20)
    assert not result.diverged
    smoothed = by_hand(losses, 3)
    slopes = {(smoothed[t + 1] - smoothed[t - 1]) / log(rates[t + 1] / rates[t - 1]): rates[t] for t in range(1, 30)}
    assert result.suggestion == pytest.approx(slopes[min(slopes)], rel=1e-12)
    assert model[0].parameters()[0].value == 3


@pytest.mark.parametrize("optimizer", [SGD(0.5), SGD(0.1, momentum=0.9), Adam()], ids=repr)
def test_it_ends_where_training_diverges_and_suggests_less(optimizer: Optimizer) -> None:
    result = run(optimizer=optimizer, high=1000.0)
    assert result.diverged
    assert len(result.rates) == len(result.losses) == len(result.smoothed) < 100
    assert np.isfinite(result.losses).all()
    assert (result.losses[10:] <= 4 * result.losses[:10].mean()).all()
    assert result.suggestion is not None
    assert 1e-4 < result.suggestion < result.rates[np.argmin(result.smoothed)] < result.rates[-1]


def test_a_suggested_rate_learns_and_a_diverging_one_does_not() -> None:
    result = run(batch_size=None)

    def final(rate: float) -> float:
        model = net()
        model.fit(X, Y, loss=MeanSquaredError(), optimizer=SGD(rate), epochs=30, batch_size=None)
        return model.evaluate(X, Y, loss=MeanSquaredError())["loss"]

    assert result.suggestion is not None
    start = net().evaluate(X, Y, loss=MeanSquaredError())["loss"]
    assert final(result.suggestion) < 0.2 * start
    assert final(result.suggestion / 1000) > 0.9 * start


def test_the_network_stays_as_it_is_and_the_same_test_gives_the_same_numbers() -> None:
    model = net()
    vector = ParameterVector.of(model.parameters())
    values, generator = vector.values.copy(), model.generator.bit_generator.state
    first, second = run(model), run(model)
    np.testing.assert_array_equal(first.losses, second.losses)
    np.testing.assert_array_equal(vector.values, values)
    assert vector.is_current()
    assert not vector.grads.any()
    assert model.generator.bit_generator.state == generator
    np.testing.assert_array_equal(run(rng=4).losses, run(rng=4).losses)
    assert (run(rng=4).losses[:5] != run(rng=5).losses[:5]).all()


def test_all_rows_are_seen_in_each_epoch() -> None:
    """At a rate that moves nothing, the losses of the batches of an epoch add up to that of all rows, 50 = 16·3 + 2."""
    result = run(low=1e-300, high=1e-299, steps=12, batch_size=16)
    model, sizes = net(), [16, 16, 16, 2]
    whole = model.evaluate(X, Y, loss=MeanSquaredError())["loss"]
    for epoch in range(3):
        assert np.dot(result.losses[4 * epoch : 4 * epoch + 4], sizes) / 50 == pytest.approx(whole, rel=1e-12)
    assert len(set(result.losses)) == 12


def test_a_loss_that_never_falls_has_no_suggestion() -> None:
    model = net()
    result = learning_rate_range_test(model, X, model.predict(X), MeanSquaredError(), SGD(0.1), batch_size=None)
    assert result.suggestion is None


def test_what_falls_behind_the_lowest_loss_is_no_suggestion() -> None:
    rates = np.array([0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0])
    assert steepest(rates, np.array([3.0, 2.5, 1.0, 0.9, 9.0, 1.0])) == 1.0
    assert steepest(rates, np.array([3.0, 3.5, 4.0, 5.0, 9.0, 4.0])) is None


def test_a_first_batch_that_is_right_by_chance_ends_nothing() -> None:
    """One of two rows has no error, and is the first in about half of the orders."""
    x, y = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), np.array([[0.0], [1.0]])
    model = Sequential([Dense(1)], input_shape=3, rng=0)
    tests = [
        learning_rate_range_test(model, x, y, MeanSquaredError(), SGD(0.1), batch_size=1, high=1e-5, rng=seed)
        for seed in range(6)
    ]
    assert 0 < sum(test.losses[0] == 0 for test in tests) < 6
    assert [len(test.losses) for test in tests] == [100] * 6


def test_sample_weights_count() -> None:
    weight = RNG.uniform(0, 2, 50)
    expected = float((weight[:, None] * (net().predict(X) - Y) ** 2).mean())
    assert run(batch_size=None, sample_weight=weight).losses[0] == pytest.approx(expected, rel=1e-12)


@frozen
class NegativeError(MeanSquaredError):
    """The mean squared error less 100: a loss may be negative."""

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        value, saved = super().forward(prediction, target, sample_weight)
        return value - 100, saved


def test_a_loss_may_be_negative() -> None:
    result = learning_rate_range_test(net(), X, Y, NegativeError(), SGD(0.1), high=100.0)
    plain = run(high=100.0)
    assert result.diverged
    assert len(result.losses) >= len(plain.losses)
    np.testing.assert_allclose(result.losses[: len(plain.losses)], plain.losses - 100, rtol=1e-9)


def test_an_overflow_before_any_update_is_not_the_rates_fault() -> None:
    with pytest.raises(NonFiniteError, match="the loss became inf"):
        learning_rate_range_test(net("float32"), X, Y * 1e25, MeanSquaredError(), SGD(0.1))
    result = run(net("float32"), low=1e-3, high=1e38, steps=10)  # later, it is
    assert result.diverged
    assert np.isfinite(result.losses).all()


@frozen
class SignDescent(Optimizer):
    size: float = 0.01

    def step(self, parameters: ParameterVector, state: State) -> None:
        """Moves nothing."""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 0}, "expected 0 < low < high, got low=0 and high=10.0"),
        ({"low": -3}, "expected 0 < low < high, got low=-3 and high=10.0"),
        ({"low": 10.0}, "expected 0 < low < high, got low=10.0 and high=10.0"),
        ({"high": float("nan")}, "expected 0 < low < high, got low=1e-06 and high=nan"),
        ({"high": float("inf")}, "expected 0 < low < high, got low=1e-06 and high=inf"),
        ({"low": None}, "low: expected a number above 0, got None"),
        ({"high": "64"}, "high: expected a number above 0, got '64'"),
        ({"steps": 9}, "steps: expected a whole number of at least 10, got 9"),
        ({"steps": -3}, "steps: expected a whole number of at least 10, got -3"),
        ({"steps": 25.5}, "steps: expected a whole number of at least 10, got 25.5"),
        ({"steps": None}, "steps: expected a whole number of at least 10, got None"),
        ({"optimizer": "adam"}, "optimizer: expected one with a learning_rate, got 'adam'"),
        ({"optimizer": Adam}, "optimizer: expected one with a learning_rate, got <class 'deepbp.optimizers."),
        ({"optimizer": SignDescent()}, "optimizer: expected one with a learning_rate, got SignDescent()"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ArgumentTypeError, ConfigurationError)) as caught:
        run(**options)
    assert str(caught.value).startswith(f"learning_rate_range_test: {message}")


def test_what_a_training_refuses() -> None:
    with pytest.raises(DeepBPError, match="batch_size: expected at least 1, or None for a full batch, got 0"):
        run(batch_size=0)
    with pytest.raises(NotBuiltError, match="Dense: not built yet"):
        run(Dense(2))
    with pytest.raises(DeepBPError, match="x has 50, y has 49"):
        learning_rate_range_test(net(), X, Y[:49], MeanSquaredError(), SGD(0.1))
