"""The objective is the loss, penalties included, of a network with these values; its gradient is ∂L/∂values."""

import pickle
import warnings
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from attrs import define
from full_batch import Centred, Noise, Ridge

from deepbp import ParameterVector, Sequential, Trainer
from deepbp.errors import ConfigurationError, DataError, DeepBPError, NonFiniteError, NotBuiltError, ShapeError
from deepbp.layers import Dense, Layer, Sigmoid, Tanh
from deepbp.losses import Loss, MeanSquaredError, SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy, SumSquaredError
from deepbp.optimizers import SGD
from deepbp.testing import numeric_gradient
from deepbp.training import Objective
from deepbp.typing import Array

RNG = np.random.default_rng(5)
X = RNG.normal(size=(9, 3))
Y = RNG.normal(size=(9, 2))
LABELS = RNG.integers(0, 2, 9)
WEIGHT = RNG.uniform(0.5, 2, 9)


def net(*between: Layer[Any], dtype: str = "float64") -> Sequential:
    return Sequential([Dense(4), *between, Tanh(), Dense(2)], input_shape=3, rng=0, dtype=dtype)


@pytest.mark.parametrize(
    ("model", "y", "loss", "weight"),
    [
        (net(), Y, MeanSquaredError(), None),
        (net(), Y, SumSquaredError(scale=0.5), WEIGHT),
        (net(), LABELS, SoftmaxCrossEntropy(), WEIGHT),
        (net(Ridge()), Y, MeanSquaredError(), None),
        (net(Centred()), Y, MeanSquaredError(), None),
        (
            Sequential([net(), Sequential([Ridge(), Ridge()])], input_shape=3, rng=1, dtype="float64"),
            Y,
            MeanSquaredError(),
            None,
        ),
    ],
    ids=["mean", "weighted sum", "labels", "penalty", "batch", "nested"],
)
def test_gradient(model: Sequential, y: Any, loss: Loss[Any], weight: Any, rng: np.random.Generator) -> None:
    objective = model.objective(X, y, loss, weight)
    for values in (objective.start, objective.start + rng.normal(size=objective.start.shape)):
        value, gradient = objective.value_and_gradient(values)
        assert value == objective(values)
        np.testing.assert_array_equal(gradient, objective.gradient(values))
        np.testing.assert_allclose(gradient, numeric_gradient(objective, values), rtol=1e-6, atol=1e-8)


def test_values_are_those_of_a_parameter_vector_and_the_loss_is_the_loss() -> None:
    model = net()
    objective = model.objective(X, Y, MeanSquaredError(), WEIGHT)
    w1, b1, w2, b2 = (parameter.value for parameter in model.parameters())
    np.testing.assert_array_equal(objective.start, np.concatenate([w1.ravel(), w2.ravel(), b1, b2]))
    np.testing.assert_array_equal(objective.start, ParameterVector.of(model.parameters()).values)
    u = RNG.normal(size=objective.start.shape)
    w1, w2, b1, b2 = u[:12].reshape(3, 4), u[12:20].reshape(4, 2), u[20:24], u[24:]
    expected = sum(
        WEIGHT[n] * (sum(np.tanh(X[n] @ w1[:, i] + b1[i]) * w2[i, k] for i in range(4)) + b2[k] - Y[n, k]) ** 2
        for n in range(9)
        for k in range(2)
    )
    assert objective(u) == pytest.approx(expected / 18, rel=1e-13)


def test_penalties_are_part_of_it() -> None:
    model = net(Ridge())
    w = model[1].parameters()[0].value
    objective = model.objective(X, Y, MeanSquaredError())
    expected = ((model.predict(X) - Y) ** 2).mean() + 0.5 * sum(float(v) ** 2 for v in w)
    assert objective(objective.start) == pytest.approx(expected, rel=1e-14)


def test_the_network_stays_as_it_is_until_values_are_assigned() -> None:
    model = net()
    trainer = Trainer(model, MeanSquaredError(), SGD(0.1))
    before, moved = model.predict(X), RNG.normal(size=26)
    objective = model.objective(X, Y, MeanSquaredError())
    loss = objective.value_and_gradient(moved)[0]
    np.testing.assert_array_equal(model.predict(X), before)
    assert not trainer.parameters.grads.any()
    objective.assign(moved)
    assert model.evaluate(X, Y, loss=MeanSquaredError())["loss"] == pytest.approx(loss, rel=1e-14)
    np.testing.assert_array_equal(trainer.parameters.values, moved)
    assert trainer.step(X, Y) == pytest.approx(loss, rel=1e-14)
    assert trainer.step(X, Y) < loss


def test_frozen_parameters_are_no_variables() -> None:
    model = net()
    model[0].freeze()
    before = [parameter.value.copy() for parameter in model[0].parameters()]
    objective = model.objective(X, Y, MeanSquaredError())
    assert objective.start.shape == (10,)
    gradient = numeric_gradient(objective, objective.start)
    np.testing.assert_allclose(objective.gradient(objective.start), gradient, rtol=1e-6, atol=1e-8)
    objective.assign(np.arange(10))
    np.testing.assert_array_equal(model[2].parameters()[1].value, [8, 9])
    for parameter, value in zip(model[0].parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.value, value)


def test_a_float32_network_speaks_float64() -> None:
    model, exact = net(dtype="float32"), net()
    objective, other = model.objective(X, Y, MeanSquaredError()), exact.objective(X, Y, MeanSquaredError())
    other.assign(objective.start)
    value, gradient = objective.value_and_gradient(objective.start)
    assert objective.start.dtype == gradient.dtype == np.float64
    assert value == pytest.approx(other(objective.start), rel=1e-6)
    np.testing.assert_allclose(gradient, other.gradient(objective.start), rtol=1e-4, atol=1e-6)
    objective.assign(objective.start / 3)
    assert model.parameters()[0].value.dtype == np.float32


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([0.0] * 25 + [float("nan")], DataError, "values: expected finite numbers, got nan at values[25]"),
        ([0.0] * 25, ShapeError, "values: expected one for each parameter, shape (26,), got (25,)"),
        ([[0.0] * 26], ShapeError, "values: expected one for each parameter, shape (26,), got (1, 26)"),
        ([1e39] * 26, DataError, "values: expected numbers that float32 can hold, got 1e+39"),
        (["0"] * 26, DeepBPError, "values: expected real numbers"),
        (None, DeepBPError, "values: expected real numbers"),
    ],
)
def test_values_that_are_refused(values: Any, error: type[Exception], message: str) -> None:
    model = net(dtype="float32")
    before = model.predict(X)
    objective = model.objective(X, Y, MeanSquaredError())
    for use in (objective, objective.gradient, objective.value_and_gradient, objective.assign):
        with pytest.raises(error) as caught:
            use(values)
        assert str(caught.value).startswith(message)
    np.testing.assert_array_equal(model.predict(X), before)


def test_an_overflow_is_named_and_spoils_nothing() -> None:
    model = net(Centred(), dtype="float32")
    objective = model.objective(X, Y, MeanSquaredError())
    loss = objective(objective.start)
    with pytest.raises(NonFiniteError) as caught:
        objective(np.full(26, 3e38))
    assert str(caught.value).startswith("objective: the loss became nan; the first place that is not finite: layer 0")
    with pytest.raises(NonFiniteError, match=r"objective: the loss became inf; .* the loss itself: try inputs"):
        objective.value_and_gradient([*objective.start[:-2], 1e25, 1e25])
    assert objective(objective.start) == loss
    objective.assign(objective.start)
    assert np.isfinite(model.predict(X)).all()


def test_a_gradient_that_overflows_is_named() -> None:
    @define(eq=False)
    class Steep(Layer[None]):
        def forward(self, x: Array) -> tuple[Array, None]:
            return x, None

        def backward(self, saved: None, delta: Array) -> Array:
            return delta * np.inf

    objective = net(Steep()).objective(X, Y, MeanSquaredError())
    with pytest.raises(NonFiniteError, match=r"objective: a gradient is not finite, that of 0.bias, at a loss of \d"):
        objective.gradient(objective.start)


def test_buffers_are_assigned_with_the_values() -> None:
    model = net(Centred())
    objective = model.objective(X, Y, MeanSquaredError())
    for _ in range(60):
        value = objective(objective.start)
    assert not model[1].named_buffers()["mean"].value.any()
    objective.assign(objective.start)
    mean = (X @ model[0].parameters()[0].value).mean(axis=0)
    np.testing.assert_allclose(model[1].named_buffers()["mean"].value, mean, rtol=1e-12)
    assert model.evaluate(X, Y, loss=MeanSquaredError())["loss"] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: net(Noise()).objective(X, Y, MeanSquaredError()),
            ConfigurationError,
            r"objective: with the same values the loss is [\d.]+ once and [\d.]+ again: a layer draws",
        ),
        (
            lambda: Sequential([Sigmoid()], input_shape=3).objective(X, X, MeanSquaredError()),
            ConfigurationError,
            "Sequential: has no parameters: there is nothing to train",
        ),
        (
            lambda: Objective(Dense(2), MeanSquaredError(), X, Y),
            NotBuiltError,
            "Dense: not built yet: give input_shape=",
        ),
        (lambda: net().objective(X, Y[:8], MeanSquaredError()), DataError, "x has 9, y has 8"),
        (lambda: net().objective(X, Y, "mse"), DeepBPError, "loss: expected an instance such as"),  # type: ignore[arg-type]
    ],
)
def test_what_has_no_objective(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_nothing_but_frozen_parameters() -> None:
    model = net()
    model.freeze()
    with pytest.raises(ConfigurationError, match="has no parameters that are not frozen: there is nothing to train"):
        model.objective(X, Y, MeanSquaredError())


def test_a_loss_on_logits_behind_a_sigmoid_is_noticed_here_too() -> None:
    model = Sequential([Dense(1), Sigmoid()], input_shape=3, rng=0)
    with pytest.warns(UserWarning, match="expects logits and applies its own") as caught:
        model.objective(X, LABELS[:, None], SigmoidBinaryCrossEntropy())
    assert caught[0].filename == __file__


@pytest.mark.parametrize("method", ["BFGS", "CG", "L-BFGS-B", "Nelder-Mead"])
def test_optimizers_of_scipy_take_it(method: str) -> None:
    """To the least squares that linear algebra finds."""
    optimize = pytest.importorskip("scipy.optimize")
    model = Sequential([Dense(2)], input_shape=3, rng=0, dtype="float64")
    objective = model.objective(X, Y, MeanSquaredError())
    best = np.linalg.lstsq(np.column_stack([X, np.ones(9)]), Y, rcond=None)[0]
    if method == "Nelder-Mead":
        options = {"maxiter": 10_000, "maxfev": 10_000, "xatol": 1e-9, "fatol": 1e-14}
        result = optimize.minimize(objective, objective.start, method=method, options=options)
    else:
        result = optimize.minimize(objective.value_and_gradient, objective.start, jac=True, method=method, tol=1e-12)
    np.testing.assert_allclose(result.x, best.ravel(), rtol=1e-4)
    objective.assign(result.x)
    np.testing.assert_allclose(model.predict(X), np.column_stack([X, np.ones(9)]) @ best, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("copied", [deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
def test_a_copy_computes_what_the_original_does_and_apart_from_it(copied: Any) -> None:
    model = net(Centred())
    model[0].freeze()
    objective = model.objective(X, Y, MeanSquaredError(), WEIGHT)
    moved = objective.start + RNG.normal(size=objective.start.shape)
    expected, twin = objective.value_and_gradient(moved), copied(objective)
    assert twin(twin.start) == objective(objective.start) != expected[0]
    value, gradient = twin.value_and_gradient(moved)
    assert value == expected[0]
    np.testing.assert_array_equal(gradient, expected[1])
    assert objective.parameters.values is not twin.parameters.values
    objective(objective.start)
    np.testing.assert_array_equal(twin.parameters.values, moved)
    before = [parameter.value.copy() for parameter in model.parameters()]
    twin.assign(moved)  # into the network that was copied with it
    for parameter, value_before in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.value, value_before)


def test_a_search_in_two_processes_finds_the_optimum() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    model = Sequential([Dense(1)], input_shape=1, rng=0, dtype="float64")
    objective = model.objective([[0.0], [1.0], [2.0]], [[1.0], [3.0], [5.0]], MeanSquaredError())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking a process that has threads
        result = optimize.differential_evolution(
            objective, [(-5, 5)] * 2, workers=2, updating="deferred", seed=1, maxiter=60
        )
    np.testing.assert_allclose(result.x, [2, 1], atol=1e-4)  # y = 2 x + 1
    assert result.fun < 1e-8


def test_a_copied_vector_has_the_parameters_that_were_copied_with_it() -> None:
    vector = ParameterVector(net().named_parameters())
    twin = deepcopy(vector)
    assert twin.is_current()
    assert vector.is_current()
    twin.values[...] = 7
    assert all((parameter.value == 7).all() for parameter in twin.parameters)
    assert not any((parameter.value == 7).all() for parameter in vector.parameters)
    vector.parameters[0].freeze()
    assert not deepcopy(vector).is_current()  # as the original
