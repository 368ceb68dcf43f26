"""Losses added up, and losses of a network's outputs that lie side by side."""

from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DeepBPError, ShapeError
from deepbp.formulas import language
from deepbp.formulas.algebra import ONE
from deepbp.formulas.derive import Derived
from deepbp.formulas.formula_text import read
from deepbp.layers import Dense, Tanh
from deepbp.losses import (
    CrossEntropy,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    OnOutputs,
    Quantile,
    SoftmaxCrossEntropy,
    SumOfLosses,
    SumSquaredError,
)
from deepbp.optimizers import Adam
from deepbp.typing import Array

BOTH = SumOfLosses(
    [OnOutputs(MeanSquaredError(), 0, 1), OnOutputs(SoftmaxCrossEntropy(), 1, 4)], weights=(1, np.float64(0.5))
)
FLOAT32 = np.dtype(np.float32)


def evaluate(loss: Loss[Any], *arguments: Any) -> tuple[float, Array]:
    value, saved = loss.forward(*arguments)
    return value, loss.backward(saved)


def number_and_class(rng: np.random.Generator, count: int) -> Array:
    return np.hstack([rng.normal(size=(count, 1)), np.eye(3)[rng.integers(0, 3, count)]])


@pytest.mark.parametrize("weighted", [False, True])
def test_parts_are_weighted_and_added(weighted: bool, rng: np.random.Generator) -> None:
    p, t = rng.normal(size=(2, 5, 3))
    weight = rng.uniform(0, 2, 5) if weighted else None
    parts = [evaluate(loss, p, t, weight) for loss in (MeanSquaredError(), MeanAbsoluteError(), Huber())]
    value, delta = evaluate(
        SumOfLosses([MeanSquaredError(), MeanAbsoluteError(), Huber()], weights=[2, 0, 0.25]), p, t, weight
    )
    assert value == pytest.approx(2 * parts[0][0] + 0.25 * parts[2][0], rel=1e-13)
    np.testing.assert_allclose(delta, 2 * parts[0][1] + 0.25 * parts[2][1], rtol=1e-13)
    value, delta = evaluate(SumOfLosses([MeanAbsoluteError(), Huber()]), p, t, weight)
    assert value == pytest.approx(parts[1][0] + parts[2][0], rel=1e-13)
    np.testing.assert_allclose(delta, parts[1][1] + parts[2][1], rtol=1e-13)


def test_each_loss_sees_its_own_columns(rng: np.random.Generator) -> None:
    p, t, weight = rng.normal(size=(5, 4)), number_and_class(rng, 5), rng.uniform(0, 2, 5)
    one, other = (
        evaluate(MeanSquaredError(), p[:, :1], t[:, :1], weight),
        evaluate(SoftmaxCrossEntropy(), p[:, 1:], t[:, 1:].argmax(axis=1), weight),
    )
    value, delta = evaluate(BOTH, p, t, weight)
    assert value == pytest.approx(one[0] + other[0] / 2, rel=1e-13)
    np.testing.assert_allclose(delta, np.hstack([one[1], other[1] / 2]), rtol=1e-12)
    assert evaluate(BOTH, p.astype(FLOAT32), t.astype(FLOAT32))[1].dtype == FLOAT32


def test_columns_of_the_target_may_be_others(rng: np.random.Generator) -> None:
    p, t = rng.normal(size=(5, 4)), rng.normal(size=(5, 2))
    loss = OnOutputs(Quantile((0.1, 0.5, 0.9)), 1, 4, targets=(1, 2))
    inner = evaluate(Quantile((0.1, 0.5, 0.9)), p[:, 1:], t[:, 1:])
    value, delta = evaluate(loss, p, t)
    assert value == inner[0]
    np.testing.assert_array_equal(delta, np.hstack([np.zeros((5, 1)), inner[1]]))
    assert loss.prepare_target(t, (4,), FLOAT32).dtype == FLOAT32


def test_what_they_say_of_themselves_is_what_their_parts_say() -> None:
    assert SumOfLosses([SumSquaredError(), SumSquaredError(0.5)]).reduction == "sum"
    assert OnOutputs(SumSquaredError(), 0, 1).reduction == "sum"
    assert BOTH.reduction == "mean"
    assert BOTH.expects == "values"
    assert SumOfLosses([OnOutputs(CrossEntropy(), 0, 2), CrossEntropy()]).expects == "probabilities"
    assert repr(OnOutputs(MeanSquaredError(), 0, 1)) == "OnOutputs(MeanSquaredError(), 0, 1)"


def test_a_network_learns_a_number_and_a_class_at_once() -> None:
    x = np.random.default_rng(0).normal(size=(200, 2))
    y = np.hstack([np.sin(x[:, :1]), np.eye(3)[(x > 0).sum(axis=1)]])
    net = Sequential([Dense(16), Tanh(), Dense(4)], input_shape=2, rng=0)
    history = net.fit(x, y, loss=BOTH, optimizer=Adam(0.02), epochs=40)
    made = net.predict(x)
    assert np.abs(made[:, 0] - y[:, 0]).mean() < 0.1
    assert (made[:, 1:].argmax(axis=1) == y[:, 1:].argmax(axis=1)).mean() > 0.9
    assert net.evaluate(x, y, loss=BOTH)["loss"] < history["loss"][0] / 3


squares: Any = MeanSquaredError()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SumOfLosses(squares), ArgumentTypeError, "SumOfLosses: losses: expected a list such as [MeanSq"),
        (lambda: SumOfLosses([MeanSquaredError]), ArgumentTypeError, "SumOfLosses: losses: expected a list such as"),  # type: ignore[list-item]
        (lambda: SumOfLosses([]), ConfigurationError, "SumOfLosses: losses: expected at least one, and only means or"),
        (
            lambda: SumOfLosses([squares, SumSquaredError()]),
            ConfigurationError,
            "SumOfLosses: losses: expected at least one, and only means or only sums, got "
            "MeanSquaredError() is a mean, SumSquaredError() is a sum",
        ),
        (lambda: SumOfLosses([squares], weights=[1, 2]), ConfigurationError, "SumOfLosses: weights: expected one for "),
        (lambda: SumOfLosses([squares], weights=1), ConfigurationError, "SumOfLosses: weights: expected one for each"),  # type: ignore[arg-type]
        (
            lambda: SumOfLosses([squares], weights=[-3]),
            ConfigurationError,
            "SumOfLosses: weights: expected a number of",
        ),
        (lambda: SumOfLosses([squares], weights=["64"]), ArgumentTypeError, "SumOfLosses: weights: expected a number "),  # type: ignore[list-item]
        (lambda: OnOutputs(MeanSquaredError, 0, 1), ArgumentTypeError, "OnOutputs: loss: expected Loss, got"),  # type: ignore[arg-type]
        (
            lambda: OnOutputs(squares, -3, 1),
            ConfigurationError,
            "OnOutputs: start: expected a whole number of at least",
        ),
        (lambda: OnOutputs(squares, 0, 2.5), ArgumentTypeError, "OnOutputs: stop: expected a whole number of at least"),  # type: ignore[arg-type]
        (lambda: OnOutputs(squares, 2, 2), ConfigurationError, "OnOutputs: stop: expected more than start=2, got 2"),
        (lambda: OnOutputs(squares, 0, 1, targets=3), ConfigurationError, "OnOutputs: targets: expected (start, stop)"),  # type: ignore[arg-type]
        (lambda: OnOutputs(squares, 0, 1, targets=(2, 1)), ConfigurationError, "OnOutputs: targets: expected (start, "),
    ],
)
def test_arguments(make: Any, error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("prediction", "target", "error", "message"),
    [
        (np.zeros((5, 3)), np.zeros((5, 4)), ShapeError, "prediction: expected at least 4 columns, (B, …, 4), got"),
        (np.zeros((5, 4)), np.zeros((5, 3)), ShapeError, "target: expected at least 4 columns, (B, …, 4), got shape"),
        (np.zeros(5), np.zeros(5), ShapeError, "prediction: expected at least 1 columns, (B, …, 1), got shape (5,)"),
        (np.zeros((5, 4)), np.zeros((6, 4)), ShapeError, "loss: expected a target of the prediction's shape (5, 1), "),
        (np.zeros((5, 4)), None, ArgumentTypeError, "target: expected an array with samples along axis 0, got None"),
    ],
)
def test_data(prediction: Any, target: Any, error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error) as caught:
        BOTH.forward(prediction, target)
    assert str(caught.value).startswith(message)


def test_targets_as_a_network_is_given_them() -> None:
    assert BOTH.prepare_target([[3, 0, 1, 0]], (4,), FLOAT32).dtype == FLOAT32
    with pytest.raises(DataError, match=r"y\[\.\.\., 1:4\]: expected rows that sum to 1"):
        BOTH.prepare_target([[3, 1, 1, 0]], (4,), FLOAT32)
    with pytest.raises(ShapeError, match=r"OnOutputs\(.*\): expected at least 4 outputs, got outputs of shape \(2,\)"):
        BOTH.prepare_target([[3, 1, 1, 0]], (2,), FLOAT32)
    with pytest.raises(ShapeError, match=r"y: expected at least 4 columns, \(B, …, 4\), got shape \(1, 2\)"):
        BOTH.prepare_target([[3, 1]], (4,), FLOAT32)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_labels_in_a_column_are_those_of_one_head(dtype: str, rng: np.random.Generator) -> None:
    p, y, labels = rng.normal(size=(5, 4)).astype(dtype), rng.normal(size=(5, 1)), rng.integers(0, 3, 5)
    loss = SumOfLosses([OnOutputs(MeanSquaredError(), 0, 1), OnOutputs(SoftmaxCrossEntropy(), 1, 4, targets=(1, 2))])
    target = np.hstack([y, labels[:, None]]).astype(dtype)
    prepared = loss.prepare_target(target, (4,), np.dtype(dtype))
    assert type(prepared) is np.ndarray
    first, second = (
        evaluate(MeanSquaredError(), p[:, :1], target[:, :1]),
        evaluate(SoftmaxCrossEntropy(), p[:, 1:], labels),
    )
    value, delta = evaluate(loss, p, prepared)
    assert value == pytest.approx(first[0] + second[0], rel=1e-6)
    np.testing.assert_array_equal(delta, np.hstack([first[1], second[1]]))
    with pytest.raises(DataError, match=r"y\[\.\.\., 1:2\]: expected whole-number labels in this column, got 0.5"):
        loss.prepare_target(np.full((2, 2), 0.5), (4,), np.dtype(dtype))
    with pytest.raises(DataError, match="target: expected whole-number labels in this column, got nan"):
        loss.forward(p, target * np.nan)
    with pytest.raises(DataError, match="expected labels from 0 to 2, for the network has 3 outputs, got 3"):
        loss.prepare_target(np.full((2, 2), 3), (4,), np.dtype(dtype))


def test_the_formula_of_a_sum_has_the_numbers_of_each_loss() -> None:
    loss = SumOfLosses(
        [
            OnOutputs(Huber(0.5), 0, 1),
            OnOutputs(Huber(2.0), 1, 3),
            OnOutputs(SoftmaxCrossEntropy(), 3, 6, targets=(3, 4)),
        ],
        weights=(1.0, 0.5, 2.0),
    )
    rng = np.random.default_rng(0)
    prediction, target = 2 * rng.standard_normal((5, 6)), rng.standard_normal((5, 4))
    target[:, 3] = [0, 2, 1, 1, 0]
    value, saved = loss.forward(prediction, target)
    stated = loss.stated_formula()
    assert stated is not None
    names = {"prediction": prediction, "target": target, "n": 30, "rows": 5, "classes": 6}
    assert language.evaluate(stated.value, names) == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(language.evaluate(stated.delta, names), loss.backward(saved), rtol=0, atol=1e-14)
    derived = Derived.of(read(stated.value), ("prediction",), names, ONE)
    np.testing.assert_allclose(
        language.evaluate(derived.text("prediction"), names), loss.backward(saved), rtol=0, atol=1e-13
    )


def test_arrays_of_the_losses_keep_their_own_names() -> None:
    loss = SumOfLosses([Quantile((0.1, 0.9)), Quantile((0.3, 0.5))])
    rng = np.random.default_rng(0)
    prediction, target = rng.standard_normal((5, 2)), rng.standard_normal((5, 1))
    value, saved = loss.forward(prediction, target)
    stated = loss.stated_formula()
    assert stated is not None
    held = {name: np.asarray(one) for name, one in loss.formula_values().items()}
    names = {**held, "prediction": prediction, "target": target, "n": 10, "rows": 5, "classes": 2}
    assert language.evaluate(stated.value, names) == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(language.evaluate(stated.delta, names), loss.backward(saved), rtol=0, atol=1e-14)
    net = Sequential([Dense(2)], input_shape=3, rng=0)
    assert "onehot" not in str(net.derivation(loss))
