"""Every optimizer finds what it is there to find: known minima, and digits."""

from collections.abc import Callable

import numpy as np
import pytest

from deepbp import Sequential, optimizers
from deepbp.layers import Dense, ReLU
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AMSGrad,
    Grouped,
    Lion,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)
from deepbp.optimizers.schedules import Cosine
from deepbp.parameters import Parameter, ParameterVector
from deepbp.training import Accuracy
from deepbp.typing import Array


def bowl(p: Array) -> Array:
    """The gradient of a quadratic whose minimum is (1, −2)."""
    x, y = p - [1, -2]
    return np.array([3 * x + y, x + 2 * y])


def banana(p: Array) -> Array:
    """The gradient of Rosenbrock's (1 − x)² + 100 (y − x²)², whose minimum is (1, 1)."""
    x, y = p
    return np.array([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)])


def end(optimizer: Optimizer, gradient: Callable[[Array], Array], start: tuple[float, float], steps: int) -> Array:
    vector = ParameterVector({"p": Parameter(np.array(start, np.float64))})
    state = optimizer.start(vector)
    for _ in range(steps):
        vector.grads[:] = gradient(vector.values)
        optimizer.step(vector, state)
    return vector.values


def kind(case: object) -> str:
    return type(case).__name__


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(0.3),
        SGD(0.1, momentum=0.9),
        Adam(Cosine(0.3, 400)),
        AdamW(Cosine(0.3, 400)),
        AMSGrad(Cosine(0.3, 400)),
        NAdam(Cosine(0.3, 400)),
        RAdam(Cosine(0.3, 400)),
        RMSprop(Cosine(0.3, 400)),
        RMSprop(Cosine(0.3, 400), momentum=0.5, centered=True, epsilon=0.1),
        Adagrad(1.0),
        Adadelta(Cosine(1, 400), rho=0.9, epsilon=1e-3),
        Lion(Cosine(0.1, 400)),
        Rprop(),
        Grouped({"*": SGD(0.3)}),
    ],
    ids=kind,
)
def test_a_quadratic(optimizer: Optimizer) -> None:
    np.testing.assert_allclose(end(optimizer, bowl, (4, 4), 400), [1, -2], rtol=0, atol=5e-5)


@pytest.mark.parametrize(
    ("optimizer", "distance"),
    [
        (SGD(2e-3, momentum=0.9), 1e-7),
        (SGD(5e-4, momentum=0.98, nesterov=True), 1e-7),
        (Adam(Cosine(0.05, 2000)), 1e-7),
        (AMSGrad(Cosine(0.1, 2000)), 1e-6),
        (NAdam(Cosine(0.05, 2000), psi=1), 1e-3),
        (RAdam(Cosine(0.05, 2000)), 0.05),
        (RMSprop(Cosine(0.005, 2000), momentum=0.9), 1e-5),
        (Adagrad(0.2), 0.1),
        (Adadelta(Cosine(5, 2000), rho=0.99), 0.5),
        (Lion(Cosine(0.01, 2000)), 1e-3),
        (Rprop(), 0.05),
    ],
    ids=kind,
)
def test_rosenbrock(optimizer: Optimizer, distance: float) -> None:
    """2000 steps along a bent valley, without a batch's noise: how far they come differs, and none leaves it."""
    assert np.abs(end(optimizer, banana, (0, 0), 2000) - 1).max() < distance


DIGITS = [
    SGD(0.1),
    Adam(0.003),
    AdamW(0.003),
    AMSGrad(0.003),
    NAdam(0.003),
    RAdam(0.005),
    RMSprop(0.003),
    RMSprop(0.0003, momentum=0.9, centered=True),
    Adagrad(0.05),
    Adadelta(),
    Lion(0.001, weight_decay=0.1),
    Rprop(),
    Grouped({"*.bias": SGD(0.1), "*": AdamW(0.003)}),
]


@pytest.mark.parametrize("optimizer", DIGITS, ids=kind)
def test_digits(optimizer: Optimizer) -> None:
    """Ten epochs of a small net, or fifty full batches, get more than 93 % of digits right that it has not seen."""
    x, y = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order] / 16, y[order]
    net = Sequential([Dense(32), ReLU(), Dense(10)], input_shape=64, rng=0)
    loss, metrics = SoftmaxCrossEntropy(), [Accuracy()]
    epochs, batch_size = (50, None) if isinstance(optimizer, Rprop) else (10, 32)
    net.fit(x[:1400], y[:1400], loss=loss, optimizer=optimizer, epochs=epochs, batch_size=batch_size, progress=False)
    assert net.evaluate(x[1400:], y[1400:], loss=loss, metrics=metrics)["accuracy"] > 0.93


def test_every_optimizer_is_here() -> None:
    found = [getattr(optimizers, name) for name in optimizers.__all__]
    kinds = {it for it in found if isinstance(it, type) and issubclass(it, Optimizer) and it is not Optimizer}
    assert kinds == {type(optimizer) for optimizer in DIGITS}


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (SGD(0.0001, momentum=0.9, nesterov=True), (-1.40896232513, 2.0048145713)),
        (Adam(), (-1.48045696153, 2.01954285108)),
        (RMSprop(0.01, rho=0.99), (-1.41915365615, 2.02021437689)),
        (RMSprop(0.01, rho=0.99, centered=True, momentum=0.9), (-1.37739101358, 1.8274640077)),
        (Adagrad(), (-1.44656923513, 2.0526251138)),
        (Adadelta(rho=0.9), (-1.45385354124, 2.0457583814)),
        (AMSGrad(0.1, beta2=0.7), (-1.40336915818, 1.9737355408)),
        (NAdam(0.002), (-1.46933082977, 2.03063819915)),
        (RAdam(), (-1.46103894868, 1.99337747791)),
        (Rprop(), (-1.424142848, 2.02903435162)),
    ],
    ids=kind,
)
def test_twenty_steps_of_pytorch(optimizer: Optimizer, expected: tuple[float, float]) -> None:
    """Where PyTorch 2.13's optimizers of these settings, else its defaults, are on Rosenbrock from (−1.5, 2)."""
    np.testing.assert_allclose(end(optimizer, banana, (-1.5, 2), 20), expected, rtol=1e-9)
