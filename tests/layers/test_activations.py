"""The activations' values, derivatives and conventions, with both forms of the kernels."""

from typing import Any

import numpy as np
import pytest

from deepbp.layers import Layer, ReLU, Sigmoid, Softmax, Tanh
from deepbp.typing import Array

pytestmark = pytest.mark.usefixtures("kernel_form")
DTYPES = [np.float32, np.float64]
ACTIVATIONS: tuple[type[Layer[Any]], ...] = (Sigmoid, Tanh, ReLU, Softmax)


def relative_error(got: Array, truth: Array) -> float:
    return float(np.max(np.abs(got.astype(np.longdouble) - truth) / np.abs(truth)))


def derivative(layer: Layer[Any], z: Array) -> Array:
    return layer.backward(layer.forward(z)[1], np.ones_like(z))


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid_keeps_its_digits_on_both_sides(dtype: Any) -> None:
    """ln σ(z) = −ln(1 + e⁻ᶻ); on the left σ is tiny, on the right 1 − σ is, and only σ itself can be stored."""
    lowest = float(np.log(np.finfo(dtype).tiny))
    z = np.linspace(lowest, -lowest, 4001).astype(dtype)[:, None]
    truth = np.exp(-np.logaddexp(np.longdouble(0), -z.astype(np.longdouble)))
    assert relative_error(Sigmoid().predict(z), truth) < 4 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid_has_a_finite_log_wherever_it_can_be_stored(dtype: Any) -> None:
    z = np.linspace(float(np.log(np.finfo(dtype).tiny)), 0, 1001).astype(dtype)[:, None]
    logs = np.log(Sigmoid().predict(z).astype(np.float64))
    np.testing.assert_allclose(logs, -np.logaddexp(0, -z.astype(np.float64)), rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid_derivative_keeps_its_digits_on_the_left(dtype: Any) -> None:
    z = np.linspace(float(np.log(np.finfo(dtype).tiny)) / 2, 2, 1001).astype(dtype)[:, None]
    e = np.exp(z.astype(np.longdouble))
    assert relative_error(derivative(Sigmoid(), z), e / (1 + e) ** 2) < 20 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_extremes_give_neither_warning_nor_nan(activation: type[Layer[Any]], dtype: Any) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    z = np.array([[-1e4, 1e4], [1e4, -1e4], [0.0, -0.0], [tiny, -tiny]], dtype)
    layer = activation()
    y, saved = layer.forward(z)
    delta = layer.backward(saved, np.array([[1.0, -2.0]] * 4, dtype))
    assert y.dtype == delta.dtype == dtype
    assert np.isfinite(y).all()
    assert np.isfinite(delta).all()
    np.testing.assert_array_equal(y[:2], {Sigmoid: [[0, 1], [1, 0]], Tanh: [[-1, 1], [1, -1]]}.get(activation, y[:2]))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_propagates(activation: type[Layer[Any]]) -> None:
    z = np.array([[0.5, np.nan, -0.5], [1.0, 2.0, 3.0]])
    with np.errstate(invalid="ignore"):
        y = activation().predict(z)
    assert np.isnan(y[0, 1])
    assert np.isfinite(y[1]).all()


def test_tanh_and_its_derivative() -> None:
    z = np.linspace(-5, 5, 101)[:, None]
    e = np.exp(2 * z)
    np.testing.assert_allclose(Tanh().predict(z), (e - 1) / (e + 1), rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(derivative(Tanh(), z), 4 * e / (e + 1) ** 2, rtol=1e-11)


def test_relu_and_its_derivative_which_is_0_at_the_kink() -> None:
    z = np.array([[-2.0, -1e-300, -0.0, 0.0, 1e-300, 3.0]])
    np.testing.assert_array_equal(ReLU().predict(z), [[0, 0, 0, 0, 1e-300, 3]])
    np.testing.assert_array_equal(derivative(ReLU(), z), [[0, 0, 0, 0, 1, 1]])


def test_relu_blocks_and_scales_the_error_signal() -> None:
    _, saved = ReLU().forward(np.array([[-1.0, 2.0, 3.0]]))
    np.testing.assert_array_equal(ReLU().backward(saved, np.array([[5.0, -7.0, 0.5]])), [[0, -7, 0.5]])


@pytest.mark.parametrize("shape", [(5,), (3, 4)], ids=["rows", "last axis"])
def test_softmax_is_the_definition(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    z = rng.normal(size=(6, *shape))
    y = Softmax().predict(z)
    np.testing.assert_allclose(y, np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True), rtol=1e-14)
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-14)
    np.testing.assert_allclose(Softmax().predict(z + 1000), y, rtol=1e-12)


@pytest.mark.parametrize("classes", [1, 2, 3, 7])
def test_softmax_applies_its_whole_jacobian(classes: int, rng: np.random.Generator) -> None:
    """∂yᵢ/∂zⱼ = yᵢ(𝟙ᵢⱼ − yⱼ), built as a matrix for each sample."""
    z, delta = rng.normal(size=(2, 5, classes))
    y, saved = Softmax().forward(z)
    moved = Softmax().backward(saved, delta)
    for row in range(5):
        jacobian = np.diag(y[row]) - np.outer(y[row], y[row])
        np.testing.assert_allclose(moved[row], jacobian @ delta[row], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_arrays_received_are_not_written(activation: type[Layer[Any]], rng: np.random.Generator) -> None:
    z, delta = rng.normal(size=(2, 3, 4))
    z.flags.writeable = delta.flags.writeable = False
    y, saved = activation().forward(z)
    before = y.copy()
    y.flags.writeable = False
    first = activation().backward(saved, delta)
    np.testing.assert_array_equal(activation().backward(saved, delta), first)
    np.testing.assert_array_equal(y, before)
