"""L-BFGS reaches optima that are known from elsewhere, says what it did, and leaves a usable network."""

import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from full_batch import TroubledError, interrupt, press

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, NonFiniteError
from deepbp.layers import Dense, Tanh
from deepbp.losses import LogPoisson, Loss, MeanSquaredError, SigmoidBinaryCrossEntropy, SumSquaredError
from deepbp.training import Iterations, fit_lbfgs, full_batch
from deepbp.typing import Array

pytest.importorskip("scipy")
RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 3))
Y = X @ RNG.normal(size=(3, 2)) + RNG.normal(size=(60, 2))
WITH_ONE = np.column_stack([X, np.ones(60)])
WEIGHT = RNG.uniform(0.1, 3, 60)


def linear(outputs: int, dtype: str = "float64") -> Sequential:
    return Sequential([Dense(outputs)], input_shape=3, rng=0, dtype=dtype)


def curved() -> Sequential:
    return Sequential([Dense(5), Tanh(), Dense(2)], input_shape=3, rng=0, dtype="float64")


def found(net: Sequential) -> Array:
    """The weights, and below them the bias."""
    weight, bias = net.parameters()
    return np.vstack([weight.value, bias.value])


@pytest.mark.parametrize("loss", [MeanSquaredError(), SumSquaredError()])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_least_squares_of_a_linear_network_are_those_of_the_normal_equations(loss: Loss[Any], weight: Any) -> None:
    net = linear(2)
    history = fit_lbfgs(net, X, Y, loss, tolerance=1e-9, sample_weight=weight)
    w = np.ones(60) if weight is None else weight
    best = np.linalg.solve(WITH_ONE.T @ (w[:, None] * WITH_ONE), WITH_ONE.T @ (w[:, None] * Y))
    np.testing.assert_allclose(found(net), best, rtol=1e-6)
    assert history.converged


def test_logistic_regression_is_that_of_newtons_method() -> None:
    """Iteratively reweighted least squares, written out: w ← w + (Aᵀ S A)⁻¹ Aᵀ (y − p), with S = p (1 − p)."""
    answers = (RNG.random(60) < 1 / (1 + np.exp(-2 * X[:, 0] + 1))).astype(float)
    w = np.zeros(4)
    for _ in range(30):
        p = 1 / (1 + np.exp(-WITH_ONE @ w))
        w = w + np.linalg.solve(WITH_ONE.T @ (WITH_ONE * (p * (1 - p))[:, None]), WITH_ONE.T @ (answers - p))
    net = linear(1)
    history = fit_lbfgs(net, X, answers[:, None], SigmoidBinaryCrossEntropy(), tolerance=1e-9)
    np.testing.assert_allclose(found(net)[:, 0], w, rtol=1e-6)
    p = 1 / (1 + np.exp(-WITH_ONE @ w))
    likelihood = -np.mean(answers * np.log(p) + (1 - answers) * np.log(1 - p))
    assert history["loss"][-1] == pytest.approx(likelihood, rel=1e-12)


def counts(data: int) -> tuple[Array, Array, Array]:
    """Inputs on scales from 1 to 100, Poisson counts, and the best weights, by Newton's method."""
    rng = np.random.default_rng(data)
    uniform, binary = [rng.uniform(0, 20, 60), rng.uniform(0, 12, 60)], rng.integers(0, 2, (60, 2))
    wide = [rng.uniform(0, 60, 60) ** 1.2, rng.exponential(5, 60)]
    x = np.column_stack([rng.normal(size=(60, 2)), *uniform, binary, *wide])
    y = rng.poisson(np.exp(x @ [0.3, -0.2, 0.02, -0.05, 0.1, 0.2, 0.001, 0.01] + 0.5))
    with_one = np.column_stack([x, np.ones(60)])
    w = np.append(np.zeros(8), np.log(y.mean()))
    for _ in range(50):  # w ← w + (Aᵀ S A)⁻¹ Aᵀ (y − μ), with μ = exp A w and S = μ
        mu = np.exp(with_one @ w)
        w = w + np.linalg.solve(with_one.T @ (mu[:, None] * with_one), with_one.T @ (y - mu))
    return x, y[:, None].astype(float), w


@pytest.mark.parametrize(("data", "seed"), [(0, 1), (0, 6), (1, 0), (1, 1), (1, 4), (1, 6)])
def test_after_a_steep_descent_it_restarts_until_the_optimum_is_reached(data: int, seed: int) -> None:
    """A single run of SciPy's L-BFGS-B reports success after two or three iterations, at gradients above 100."""
    x, y, w = counts(data)
    net = Sequential([Dense(1)], input_shape=8, rng=seed, dtype="float64")
    history = fit_lbfgs(net, x, y, LogPoisson(), max_iterations=2000, tolerance=1e-5)
    objective = net.objective(x, y, LogPoisson())
    assert history.converged
    assert np.abs(objective.gradient(objective.start)).max() <= 1e-5
    best = np.mean(np.exp(x @ w[:8] + w[8]) - y[:, 0] * (x @ w[:8] + w[8]))
    assert history["loss"][-1] == pytest.approx(best, abs=1e-8)
    assert (np.diff(history["loss"]) <= 0).all()


def test_it_has_not_converged_where_the_gradient_is_above_the_tolerance() -> None:
    net = linear(2)
    history = fit_lbfgs(net, 1e6 * X, 1e6 * Y, MeanSquaredError(), tolerance=1e-12)
    objective = net.objective(1e6 * X, 1e6 * Y, MeanSquaredError())
    largest = np.abs(objective.gradient(objective.start)).max()
    assert largest > 1e-12
    assert not history.converged
    assert history.message.startswith(f"the loss falls no further, at a largest gradient of {largest:.3g}, above the ")
    scaled = fit_lbfgs(linear(2), X, Y, MeanSquaredError(), tolerance=1e-7)  # the advice of the message
    assert scaled.converged


def test_the_history_goes_from_the_start_down_to_what_the_network_has() -> None:
    net = curved()
    start = net.evaluate(X, Y, loss=MeanSquaredError())["loss"]
    history = fit_lbfgs(net, X, Y, MeanSquaredError(), max_iterations=12)
    assert isinstance(history, Iterations)
    assert list(history) == ["loss"]
    assert len(history["loss"]) == 13
    assert history["loss"][0] == start
    assert (np.diff(history["loss"]) < 0).all()
    assert history["loss"][-1] == net.evaluate(X, Y, loss=MeanSquaredError())["loss"]
    assert history.best("loss").epoch == 12
    assert not history.converged
    assert history.message == "stopped after 12 iterations"
    assert not history.interrupted


def test_at_an_optimum_there_is_nothing_to_do() -> None:
    net = linear(2)
    fit_lbfgs(net, X, Y, MeanSquaredError(), tolerance=1e-9)
    before = found(net)
    history = fit_lbfgs(net, X, Y, MeanSquaredError(), tolerance=1e-6)
    assert len(history["loss"]) == 1
    assert history.converged
    assert history.message
    np.testing.assert_array_equal(found(net), before)


def test_a_larger_tolerance_ends_sooner_and_a_longer_memory_is_another_path() -> None:
    def losses(**options: Any) -> list[float]:
        net = curved()
        return fit_lbfgs(net, X, Y, MeanSquaredError(), max_iterations=100, **options)["loss"]

    assert len(losses(tolerance=0.05)) < len(losses(tolerance=1e-4))
    assert losses(memory=1)[:10] != losses(memory=10)[:10]


def test_a_float32_network_comes_near() -> None:
    net, exact = linear(2, "float32"), linear(2)
    history = fit_lbfgs(net, X, Y, MeanSquaredError())
    fit_lbfgs(exact, X, Y, MeanSquaredError(), tolerance=1e-9)
    assert net.parameters()[0].value.dtype == np.float32
    np.testing.assert_allclose(found(net), found(exact), atol=2e-3)
    assert history["loss"][-1] == pytest.approx(exact.evaluate(X, Y, loss=MeanSquaredError())["loss"], rel=1e-5)


@pytest.mark.parametrize("trouble", [press, interrupt])
def test_ctrl_c_leaves_the_values_of_the_last_iteration(
    trouble: Callable[[], None],
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        net = curved()
        history = fit_lbfgs(net, X, Y, TroubledError(trouble))
    finally:
        signal.signal(signal.SIGINT, before)
    assert history.interrupted
    assert not history.converged
    assert 2 <= len(history["loss"]) <= 12
    assert history["loss"][-1] == net.evaluate(X, Y, loss=MeanSquaredError())["loss"] < history["loss"][0]


def test_an_overflow_on_the_way_raises_and_leaves_the_values_of_the_last_iteration() -> None:
    net = curved()
    start = net.evaluate(X, Y, loss=MeanSquaredError())["loss"]
    with pytest.raises(NonFiniteError, match="objective: the loss became inf"):
        fit_lbfgs(net, X, Y, TroubledError(lambda: float("inf")))
    assert net.evaluate(X, Y, loss=MeanSquaredError())["loss"] < start


@pytest.mark.parametrize("value", [0, -3, 2.5, None, "64", float("nan"), True])
@pytest.mark.parametrize("name", ["max_iterations", "memory"])
def test_counts_are_whole_numbers_of_at_least_1(name: str, value: Any) -> None:
    with pytest.raises((ArgumentTypeError, ConfigurationError)) as caught:
        fit_lbfgs(linear(2), X, Y, MeanSquaredError(), **{name: value})
    assert str(caught.value) == f"fit_lbfgs: {name}: expected a whole number of at least 1, got {value!r}"


@pytest.mark.parametrize("value", [0, -3, None, "64", float("nan"), float("inf"), True])
def test_the_tolerance_is_above_0(value: Any) -> None:
    with pytest.raises((ArgumentTypeError, ConfigurationError)) as caught:
        fit_lbfgs(linear(2), X, Y, MeanSquaredError(), tolerance=value)
    assert str(caught.value) == f"fit_lbfgs: tolerance: expected a number above 0, got {value!r}"


def test_without_scipy_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_batch, "find_spec", lambda module: None)
    with pytest.raises(ConfigurationError, match=r"^fit_lbfgs: SciPy is not installed: pip install 'deepbp\[scipy\]'$"):
        fit_lbfgs(linear(2), X, Y, MeanSquaredError())
