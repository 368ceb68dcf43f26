"""What many tests need: a random generator, both forms of the kernels, and gradients held against their definition."""

import re
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """Skip a test that needs SciPy or safetensors where that extra is not installed."""
    try:
        yield
    except ConfigurationError as error:
        extra = re.search(r"is not installed: pip install 'deepbp\[(scipy|safetensors)\]'", str(error))
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


def precise_gradient(f: Callable[[Array], float], x: Array) -> Array:
    """Central differences with steps of 1.8e-4 and of twice that, combined so that their h² errors cancel.

    A deep net's small gradients drown in the rounding of smaller steps. Source: Richardson 1911.
    """

    def differences(scale: float) -> Array:
        return numeric_gradient(lambda u: f(x + scale * u), np.zeros_like(x)) / scale

    return (4 * differences(30) - differences(60)) / 3


@pytest.fixture
def assert_gradients() -> Callable[..., None]:
    """Hold the gradients of a layer's input and parameters against central differences."""

    def check(layer: Layer[Any], x: Array, head: Head, tolerance: float = 1e-7) -> None:
        def loss(moved: Array) -> float:
            return head(layer.forward(moved)[0])[0]

        for parameter in layer.parameters():
            parameter.clear_grad()
        output, saved = layer.forward(x)
        analytic = {"x": layer.backward(saved, head(output)[1])}
        numeric = {"x": precise_gradient(loss, x)}
        for name, parameter in layer.named_parameters().items():
            value = parameter.value.copy()

            def loss_with(moved: Array, parameter: Any = parameter) -> float:
                parameter.value = moved
                return loss(x)

            analytic[name] = parameter.grad.copy()
            numeric[name] = precise_gradient(loss_with, value)
            parameter.value = value
        report = compare_gradients(analytic, numeric)
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
