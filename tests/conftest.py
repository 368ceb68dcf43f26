"""What many tests need: a random generator, both forms of the kernels, and gradients held against their definition."""

import re
import signal
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
import pytest

from deepbp import kernels
from deepbp.errors import ConfigurationError
from deepbp.layers import Layer
from deepbp.testing import compare_gradients, numeric_gradient
from deepbp.typing import Array

Head: TypeAlias = Callable[[Array], tuple[float, Array]]
"""What stands on top of a network: gives a number for its output, and the error signal that enters there."""


def pytest_sessionstart() -> None:
    """Make Ctrl-C an exception, as tests of it expect: a shell starts what runs in the background without it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """Skip a test that needs SciPy where that extra is not installed."""
    try:
        yield
    except ConfigurationError as error:
        extra = re.search(r"is not installed: pip install 'deepbp\[(scipy)\]'", str(error))
        if extra is None or find_spec(extra[1]):
            raise
        pytest.skip(f"could not import {extra[1]!r}")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="the fused kernels need Numba")


@pytest.fixture(params=["numpy", pytest.param("numba", marks=needs_numba)])
def kernel_form(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs once with each form of the kernels."""
    before = kernels.current()
    yield kernels.use(request.param)
    kernels.use("numba" if before == "numba" else "numpy")


def precise_gradient(f: Callable[[Array], float], x: Array, magnitude: float) -> tuple[Array, Array]:
    """Central differences with steps of 1.8e-4 and of twice that, combined so that their h² errors cancel.

    A deep net's small gradients drown in the rounding of smaller steps. Also returns the resolution, that of both
    differences added up: 12 ε · magnitude / h for the smaller step h. Source: Richardson 1911.
    """

    def differences(scale: float) -> tuple[Array, Array]:
        gradient, resolution = numeric_gradient(
            lambda u: f(x + scale * u), np.zeros_like(x), magnitude=magnitude, return_resolution=True
        )
        return gradient / scale, resolution / scale

    (near, near_resolution), (far, far_resolution) = differences(30), differences(60)
    return (4 * near - far) / 3, (4 * near_resolution + far_resolution) / 3


@pytest.fixture
def assert_gradients() -> Callable[..., None]:
    """Hold the gradients of a layer's input and parameters against central differences.

    The terms that the head adds up are found in its gradient: |δ · y| summed, or its value where that is larger.
    """

    def check(layer: Layer[Any], x: Array, head: Head, tolerance: float = 1e-7) -> None:
        def loss(moved: Array) -> float:
            return head(layer.forward(moved)[0])[0]

        for parameter in layer.parameters():
            parameter.clear_grad()
        output, saved = layer.forward(x)
        value_at_x, delta = head(output)
        magnitude = max(abs(value_at_x), float(np.abs(delta * output).sum()))
        analytic = {"x": layer.backward(saved, delta)}
        measured = {"x": precise_gradient(loss, x, magnitude)}
        for name, parameter in layer.named_parameters().items():
            value = parameter.value.copy()

            def loss_with(moved: Array, parameter: Any = parameter) -> float:
                parameter.value = moved
                return loss(x)

            analytic[name] = parameter.grad.copy()
            measured[name] = precise_gradient(loss_with, value, magnitude)
            parameter.value = value
        numeric, resolution = ({name: pair[i] for name, pair in measured.items()} for i in (0, 1))
        report = compare_gradients(analytic, numeric, resolution=resolution)
        assert report.relative < tolerance, str(report)

    return check


@pytest.fixture
def upstream(rng: np.random.Generator) -> Callable[[Array], Head]:
    """A head that is Σ δ·output with a random δ: ones would hide mistakes, softmax outputs for one sum to 1."""

    def random_head(output: Array) -> Head:
        delta = rng.normal(size=output.shape)
        return lambda prediction: (float(np.vdot(delta, prediction)), delta)

    return random_head


@pytest.fixture
def no_screen() -> Iterator[None]:
    """Pictures are drawn without a screen, and no figure outlives its test."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")
