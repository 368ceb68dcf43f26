"""Levenberg–Marquardt: a Jacobian held against differences, curves whose answers are known, and what it refuses."""

import signal
from typing import Any

import numpy as np
import pytest
from attrs import define, field
from full_batch import Centred, Noise, Ridge, TroubledError, interrupt, press

from deepbp import Parameter, Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, DeepBPError, NonFiniteError
from deepbp.initializers import Constant
from deepbp.layers import Dense, Flatten, Layer, Reshape, Sigmoid, Tanh
from deepbp.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy, SumSquaredError
from deepbp.testing import numeric_gradient
from deepbp.training import fit_levenberg_marquardt, full_batch
from deepbp.training.full_batch import Residuals
from deepbp.typing import Array

pytest.importorskip("scipy")
RNG = np.random.default_rng(7)
X = RNG.normal(size=(40, 2))
Y = RNG.normal(size=(40, 3))
WEIGHT = RNG.uniform(0.1, 3, 40)


def net(*last: Layer[Any]) -> Sequential:
    return Sequential([Dense(3), Tanh(), Dense(3), *last], input_shape=2, rng=0, dtype="float64")


@pytest.mark.parametrize(
    ("model", "y", "loss", "weight"),
    [
        (net(), Y, MeanSquaredError(), None),
        (net(Sigmoid()), Y, SumSquaredError(scale=0.5), WEIGHT),
        (net(Dense(4), Reshape((2, 2))), RNG.normal(size=(40, 2, 2)), MeanSquaredError(), WEIGHT),
        (net(Dense(1), Reshape(())), RNG.normal(size=40), SumSquaredError(), None),
    ],
    ids=["mean", "weighted sum", "two axes", "no axis"],
)
def test_residuals_add_up_to_the_loss_and_the_jacobian_is_theirs(
    model: Sequential, y: Array, loss: Loss[Any], weight: Any, rng: np.random.Generator
) -> None:
    objective = model.objective(X, y, loss, weight)
    residuals = Residuals(objective)
    values = objective.start + rng.normal(size=objective.start.shape)
    r, jacobian = residuals(values), residuals.jacobian(values)
    assert r.shape == (y.size,)
    assert r @ r == pytest.approx(objective(values), rel=1e-13)
    np.testing.assert_allclose(2 * r @ jacobian, objective.gradient(values), rtol=1e-11, atol=1e-13)
    for row in (0, 1, y.size // 2, y.size - 1):
        numeric = numeric_gradient(lambda v, row=row: float(residuals(v)[row]), values)  # type: ignore[misc]
        np.testing.assert_allclose(jacobian[row], numeric, rtol=1e-6, atol=1e-9)


def test_frozen_parameters_have_no_column() -> None:
    model = net()
    model[0].freeze()
    residuals = Residuals(model.objective(X, Y, MeanSquaredError()))
    assert residuals.jacobian(np.ones(12)).shape == (120, 12)
    before = model[0].parameters()[0].value.copy()
    fit_levenberg_marquardt(model, X, Y, MeanSquaredError(), max_iterations=2)
    np.testing.assert_array_equal(model[0].parameters()[0].value, before)


@define(eq=False)
class Misra(Layer[Array]):
    """y = b₁ (1 − exp(−b₂ x))."""

    b1: Parameter = field(init=False)
    b2: Parameter = field(init=False)

    def build(self, input_shape: Any, builder: Any) -> Any:
        self.b1, self.b2 = builder.parameter((), Constant(500)), builder.parameter((), Constant(0.0001))
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        return self.b1.value * -np.expm1(-self.b2.value * x), x

    def backward(self, x: Array, delta: Array) -> Array:
        decay = np.exp(-self.b2.value * x)
        self.b1.accumulate(np.asarray((delta * (1 - decay)).sum()))
        self.b2.accumulate(np.asarray((delta * self.b1.value * x * decay).sum()))
        return np.asarray(delta * self.b1.value * self.b2.value * decay)


def test_a_curve_with_certified_values() -> None:
    """NIST's Statistical Reference Datasets, nonlinear regression, Misra1a, from its first, farther start."""
    x = [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0]
    y = [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78]
    model = Sequential([Misra()], input_shape=1, dtype="float64")
    history = fit_levenberg_marquardt(model, np.reshape(x, (-1, 1)), np.reshape(y, (-1, 1)), SumSquaredError())
    b1, b2 = (float(parameter.value) for parameter in model.parameters())
    assert b1 == pytest.approx(2.3894212918e02, rel=1e-8)
    assert b2 == pytest.approx(5.5015643181e-04, rel=1e-8)
    assert history["loss"][-1] == pytest.approx(1.2455138894e-01, rel=1e-9)
    assert history.converged


def test_a_network_finds_the_network_that_made_the_data() -> None:
    """2 tanh(3 x − 1) + 0.5, up to the sign of its one hidden unit."""
    x = np.linspace(-2, 2, 30).reshape(-1, 1)
    model = Sequential([Dense(1), Tanh(), Dense(1)], input_shape=1, rng=0, dtype="float64")
    history = fit_levenberg_marquardt(model, x, 2 * np.tanh(3 * x - 1) + 0.5, MeanSquaredError())
    a, b, c, d = (float(parameter.value.sum()) for parameter in model.parameters())
    sign = np.sign(a)
    np.testing.assert_allclose([sign * a, sign * b, sign * c, d], [3, -1, 2, 0.5], rtol=1e-9)
    assert history["loss"][-1] < 1e-25
    assert history.converged


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_a_linear_network_takes_a_few_iterations_to_the_normal_equations(weight: Any) -> None:
    model = Sequential([Dense(3)], input_shape=2, rng=0, dtype="float64")
    history = fit_levenberg_marquardt(model, X, Y, MeanSquaredError(), sample_weight=weight)
    with_one = np.column_stack([X, np.ones(40)])
    w = np.ones(40) if weight is None else weight
    best = np.linalg.solve(with_one.T @ (w[:, None] * with_one), with_one.T @ (w[:, None] * Y))
    np.testing.assert_allclose(np.vstack([p.value for p in model.parameters()]), best, rtol=1e-9)
    assert len(history["loss"]) <= 4


def test_the_history_goes_from_the_start_down_to_what_the_network_has() -> None:
    model = net()
    start = model.evaluate(X, Y, loss=MeanSquaredError())["loss"]
    history = fit_levenberg_marquardt(model, X, Y, MeanSquaredError(), max_iterations=5)
    assert len(history["loss"]) == 6
    assert history["loss"][0] == start
    assert (np.diff(history["loss"]) < 0).all()
    assert history["loss"][-1] == model.evaluate(X, Y, loss=MeanSquaredError())["loss"]
    assert history.message == "stopped after 5 iterations"
    assert not history.converged


def test_the_last_values_are_the_best() -> None:
    model = net()
    history = fit_levenberg_marquardt(model, X, Y, MeanSquaredError(), max_iterations=500, tolerance=1e-3)
    assert history.converged
    assert history.message
    assert (np.diff(history["loss"]) < 0).all()
    assert model.evaluate(X, Y, loss=MeanSquaredError())["loss"] == pytest.approx(history["loss"][-1], rel=1e-14)


@pytest.mark.parametrize("trouble", [press, interrupt])
def test_ctrl_c_leaves_the_values_of_the_last_iteration(trouble: Any) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        model = net()
        history = fit_levenberg_marquardt(model, X, Y, TroubledError(trouble))
    finally:
        signal.signal(signal.SIGINT, before)
    assert history.interrupted
    assert 2 <= len(history["loss"]) <= 12
    assert history["loss"][-1] == model.evaluate(X, Y, loss=MeanSquaredError())["loss"] < history["loss"][0]


def test_an_overflow_on_the_way_raises_and_leaves_the_values_of_the_last_iteration() -> None:
    model = net()
    start = model.evaluate(X, Y, loss=MeanSquaredError())["loss"]
    with pytest.raises(NonFiniteError, match="objective: the loss became inf"):
        fit_levenberg_marquardt(model, X, Y, TroubledError(lambda: float("inf")))
    assert model.evaluate(X, Y, loss=MeanSquaredError())["loss"] < start


def fit(model: Sequential, y: Any = Y, loss: Any = None, x: Any = X, **options: Any) -> Any:
    return fit_levenberg_marquardt(model, x, y, loss or MeanSquaredError(), **options)


@pytest.mark.parametrize("seed", range(3))
def test_more_parameters_than_residuals_fit_the_data_exactly(seed: int) -> None:
    """Exclusive or with 5 hidden units: 21 parameters, 4 residuals. JᵀJ is singular, JᵀJ + λD is not."""
    model = Sequential([Dense(5), Tanh(), Dense(1)], input_shape=2, rng=seed, dtype="float64")
    x, y = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0.0], [1], [1], [0]])
    history = fit_levenberg_marquardt(model, x, y, SumSquaredError())
    assert history.converged
    assert history["loss"][-1] < 1e-15
    np.testing.assert_allclose(model.predict(x), y, atol=1e-7)
    assert history.epochs < 100


def test_a_linear_network_with_fewer_samples_than_inputs_interpolates() -> None:
    model = Sequential([Dense(1)], input_shape=6, rng=0, dtype="float64")
    x, y = RNG.normal(size=(3, 6)), RNG.normal(size=(3, 1))
    history = fit_levenberg_marquardt(model, x, y, MeanSquaredError())
    np.testing.assert_allclose(model.predict(x), y, atol=1e-7)
    assert history.converged


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: fit(net(), RNG.integers(0, 3, 40), SoftmaxCrossEntropy()),
            "loss: expected a sum of squares, SumSquaredError() or MeanSquaredError(), got SoftmaxCrossEntropy(): "
            "fit_lbfgs takes any loss",
        ),
        (lambda: fit(net(Ridge())), "the network has penalties, which are no residuals: use fit_lbfgs"),
        (lambda: fit(net(Centred())), "the network says of a sample alone what it does not say of it in a batch: a "),
        (lambda: fit(net(), max_iterations=0), "max_iterations: expected a whole number of at least 1, got 0"),
        (lambda: fit(net(), max_iterations=2.5), "max_iterations: expected a whole number of at least 1, got 2.5"),
        (lambda: fit(net(), tolerance=-1), "tolerance: expected a number above 0, got -1"),
        (lambda: fit(net(), tolerance="64"), "tolerance: expected a number above 0, got '64'"),
    ],
)
def test_what_is_refused(make: Any, message: str) -> None:
    with pytest.raises((ArgumentTypeError, ConfigurationError)) as caught:
        make()
    assert str(caught.value).startswith(f"fit_levenberg_marquardt: {message}")


def test_what_the_objective_refuses() -> None:
    with pytest.raises(ConfigurationError, match="a layer draws at random when it is trained"):
        fit(net(Noise()))
    with pytest.raises(DeepBPError, match="loss: expected an instance such as"):
        fit(net(), loss="mse")


def test_the_smallest_tolerance_is_raised_to_what_scipy_accepts() -> None:
    assert fit(Sequential([Flatten(), Dense(3)], input_shape=2, rng=0, dtype="float64"), tolerance=1e-300).converged


def test_without_scipy_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_batch, "find_spec", lambda module: None)
    message = r"^fit_levenberg_marquardt: SciPy is not installed: pip install 'deepbp\[scipy\]'$"
    with pytest.raises(ConfigurationError, match=message):
        fit(net())
