"""NumPy's handling of floating-point errors, and context variables, which a program may set at any time."""

from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import define

import deepbp
from deepbp import Sequential, Trainer
from deepbp.layers import BatchNorm, Dense, GaussianNoise, Layer, Sigmoid, Softmax, Tanh
from deepbp.losses import MeanSquaredError, SoftmaxCrossEntropy
from deepbp.optimizers import SGD, Adam
from deepbp.training import fit_lbfgs, fit_levenberg_marquardt
from deepbp.typing import Array

LOSS = MeanSquaredError()
X = np.linspace(-1e-25, 2e-25, 24).reshape(8, 3)  # the square of such a number underflows in float32
Y = np.full((8, 2), 1e-30)
TINY, TINY_TARGETS = X[:, :1] * 1e-140, np.full((8, 1), 1e-290)


def everything(folder: Path) -> list[Any]:
    """The results of all ways to use a network, with data that underflow."""
    net = Sequential([Dense(4), BatchNorm(), Tanh(), GaussianNoise(1e-30), Dense(2), Sigmoid()], input_shape=3, rng=0)
    history = net.fit(X, Y, loss=LOSS, optimizer=Adam(), epochs=3, batch_size=4, validation_split=0.5, clip_norm=1.0)
    trainer = Trainer(net, LOSS, SGD(1e-20, momentum=0.5), accumulate=2)
    results = [dict(history), trainer.step(X, Y), trainer.step(X * 1e-30, Y), dict(trainer.fit(X, Y))]
    trainer.save(folder / "training.npz")
    trainer.load(folder / "training.npz")
    loaded = deepbp.load(net.save(folder / "net.npz"))
    results += [net.evaluate(X, Y, loss=LOSS), *(one.predict(X).tobytes() for one in (net, loaded))]
    results += [net.predict(X, batch_size=3).tobytes(), str(net.trace(X[:2], Y[:2], LOSS))]
    results += [str(Sequential([Softmax()], input_shape=2).predict([[0.0, 1e5]]))]
    linear = Sequential([Dense(2)], input_shape=3, rng=0)
    results += [
        str(dict(linear.fit(X, Y, loss=LOSS, optimizer=Adam(), epochs=2, batch_size=3))),
        str(linear.derivation(LOSS)),
    ]
    labels = Sequential([Dense(2)], input_shape=3, rng=0, dtype="float64")
    results += [
        str(dict(labels.fit(np.repeat(TINY, 3, axis=1), [0, 1] * 4, loss=SoftmaxCrossEntropy(), optimizer=Adam())))
    ]
    for fit in (fit_lbfgs, fit_levenberg_marquardt):
        small = Sequential([Dense(1), Tanh(), Dense(1)], input_shape=1, rng=0, dtype="float64")
        # How many iterations SciPy makes among numbers whose squares are 0 has differed between two calls.
        results.append(fit(small, TINY, TINY_TARGETS, LOSS, max_iterations=3)["loss"][-1])
    return results


@pytest.mark.parametrize("how", ["raise", "warn"])  # warnings are errors in these tests
def test_numpys_setting_changes_nothing(how: Any, tmp_path: Path) -> None:
    expected = everything(tmp_path)
    with np.errstate(all=how):
        assert everything(tmp_path) == expected


def test_a_prediction_that_overflows_still_warns() -> None:
    net = Sequential([Dense(2), Dense(2)], input_shape=2, rng=0)
    for layer in net.layers:
        layer.weight.value = np.full((2, 2), 1e30)
    with np.errstate(all="raise"), pytest.warns(RuntimeWarning, match="overflow"):
        assert np.isinf(net.predict([[1.0, 1.0]])).all()


def test_a_step_sees_context_variables_that_were_set_after_the_trainer_was_made() -> None:
    factor = ContextVar("factor", default=1.0)
    calls = ContextVar("calls", default=0)

    @define(eq=False)
    class Scaled(Layer[None]):
        def forward(self, x: Array) -> tuple[Array, None]:
            calls.set(calls.get() + 1)
            return x * np.float32(factor.get()), None

        def backward(self, saved: None, delta: Array) -> Array:
            return delta * np.float32(factor.get())

    net = Sequential([Scaled(), Dense(1, use_bias=False)], input_shape=1, rng=0)
    net.layers[1].weight.value = [[1.0]]
    trainer = Trainer(net, LOSS, SGD(0.0))
    x, y = np.ones((1, 1)), np.zeros((1, 1))
    assert trainer.step(x, y) == 1
    factor.set(3.0)
    assert trainer.step(x, y) == 9
    assert trainer.fit(x, y)["loss"] == [9]
    assert calls.get() == 3


@pytest.fixture(autouse=True)
def unchanged_setting() -> Iterator[None]:
    before = np.geterr()
    yield
    assert np.geterr() == before
