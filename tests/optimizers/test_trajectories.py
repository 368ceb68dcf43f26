"""Each optimizer follows its paper's formulas, written out here number by number, step by step."""

from math import sqrt
from typing import Any

import numpy as np
import pytest
from trajectories import Case, Path, assert_follows, falling, name_of

from deepbp.optimizers import SGD, Adam, AdamW, Optimizer
from deepbp.parameters import Parameter, ParameterVector
from deepbp.typing import Array

pytestmark = pytest.mark.usefixtures("kernel_form")


def sgd(w: float, gradients: Array, rates: Array, decay: float = 0.0) -> Path:
    """W ← w − η (g + λ w)."""
    for g, rate in zip(gradients, rates, strict=True):
        w = w - rate * (g + decay * w)
        yield w


def momentum(w: float, gradients: Array, rates: Array, mu: float, decay: float = 0.0) -> Path:
    """Polyak's heavy ball: v ← μ v + g, w ← w − η v."""
    v = 0.0
    for g, rate in zip(gradients, rates, strict=True):
        v = mu * v + (g + decay * w)
        w = w - rate * v
        yield w


def nesterov(w: float, gradients: Array, rates: Array, mu: float, decay: float = 0.0) -> Path:
    """The same with a look ahead: w ← w − η (g + μ v)."""
    v = 0.0
    for g, rate in zip(gradients, rates, strict=True):
        g = g + decay * w
        v = mu * v + g
        w = w - rate * (g + mu * v)
        yield w


def adam(
    w: float, gradients: Array, rates: Array, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> Path:
    """Kingma & Ba 2015, algorithm 1."""
    m = v = 0.0
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        w = w - rate * m_hat / (sqrt(v_hat) + epsilon)
        yield w


def adamw(w: float, gradients: Array, rates: Array, decay: float = 0.0) -> Path:
    """Loshchilov & Hutter 2019, algorithm 2: the decay of the old w is taken beside the step, not through m and v."""
    m = v = 0.0
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        w = w - rate * (m / (1 - 0.9**t) / (sqrt(v / (1 - 0.999**t)) + 1e-8) + decay * w)
        yield w


CASES: list[Case] = [
    (SGD(0.1), sgd, {}, 0.0),
    (SGD(0.1, weight_decay=0.3), sgd, {}, 0.3),
    (SGD(falling), sgd, {}, 0.0),
    (SGD(0.1, momentum=0.9), momentum, {"mu": 0.9}, 0.0),
    (SGD(falling, momentum=0.9, weight_decay=0.3), momentum, {"mu": 0.9}, 0.3),
    (SGD(0.1, momentum=0.8, nesterov=True), nesterov, {"mu": 0.8}, 0.0),
    (SGD(falling, momentum=0.8, nesterov=True, weight_decay=0.3), nesterov, {"mu": 0.8}, 0.3),
    (Adam(), adam, {}, 0.0),
    (Adam(falling, beta1=0.5, beta2=0.9, epsilon=0.1), adam, {"beta1": 0.5, "beta2": 0.9, "epsilon": 0.1}, 0.0),
    (AdamW(0.1, weight_decay=0.3), adamw, {}, 0.3),
    (AdamW(falling), adamw, {}, 0.01),
]


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_trajectory(case: Case, rng: np.random.Generator) -> None:
    assert_follows(case, rng)


@pytest.mark.parametrize("optimizer", [case[0] for case in CASES], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_state_is_flat_arrays_and_a_counter(optimizer: Optimizer, dtype: Any) -> None:
    vector = ParameterVector([Parameter(np.ones((2, 3), dtype)), Parameter(np.ones(3, dtype))])
    state = optimizer.start(vector)
    for steps in range(3):
        assert state["step"] == steps
        for name, array in state.items():
            if name != "step":
                assert array.shape == vector.values.shape
                assert array.dtype == vector.values.dtype
        vector.grads[:] = 1
        optimizer.step(vector, state)
    assert vector.values.dtype == dtype
    assert vector.parameters[0].value.max() < 1  # in place


def test_names_of_the_state() -> None:
    vector = ParameterVector([Parameter(np.ones(3))])
    assert list(SGD(0.1).start(vector)) == ["step"]
    assert list(SGD(0.1, momentum=0.5).start(vector)) == ["step", "velocity"]
    assert list(Adam().start(vector)) == list(AdamW().start(vector)) == ["step", "mean", "square"]


def test_one_optimizer_serves_two_networks() -> None:
    """It is configuration only: what it remembers lies in each state."""
    optimizer = Adam(0.1)
    one, other = (ParameterVector([Parameter(np.ones(2))]) for _ in range(2))
    states = [optimizer.start(one), optimizer.start(other)]
    one.grads[:], other.grads[:] = 1, -1
    for _ in range(3):
        optimizer.step(one, states[0])
    optimizer.step(other, states[1])
    np.testing.assert_allclose(one.values, 0.7, rtol=1e-6)
    np.testing.assert_allclose(other.values, 1.1, rtol=1e-6)
