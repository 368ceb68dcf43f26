"""Far from zero the activations are accurate relative to their true values, and nothing overflows."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest

from deepbp.layers import (
    CELU,
    ELU,
    GELU,
    SELU,
    Activation,
    Gaussian,
    HardSigmoid,
    HardSwish,
    Layer,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    ReLU6,
    SiLU,
    Sine,
    Softplus,
    Softsign,
)
from deepbp.typing import Array

mpmath = pytest.importorskip("mpmath", reason="no mpmath to count with 400 digits: pip install sympy")
pytestmark = pytest.mark.usefixtures("kernel_form")
DTYPES = [np.float32, np.float64]
Truth: TypeAlias = Callable[[Any], Any]


def exp(z: Any) -> Any:
    return mpmath.exp(z)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + exp(-z))


def cdf(z: Any) -> Any:
    return mpmath.erfc(-z / mpmath.sqrt(2)) / 2


def mish_gate(z: Any) -> Any:
    return mpmath.tanh(mpmath.log1p(exp(z)))


TRUTHS: list[tuple[Layer[Any], Truth, Truth]] = [
    (Softplus(), lambda z: mpmath.log1p(exp(z)), sigmoid),
    (Softplus(2.0), lambda z: mpmath.log1p(exp(2 * z)) / 2, lambda z: sigmoid(2 * z)),
    (LogSigmoid(), lambda z: -mpmath.log1p(exp(-z)), lambda z: sigmoid(-z)),
    (SiLU(), lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1 + z * sigmoid(-z))),
    (Mish(), lambda z: z * mish_gate(z), lambda z: mish_gate(z) + z * (1 - mish_gate(z) ** 2) * sigmoid(z)),
    (Gaussian(), lambda z: exp(-z * z), lambda z: -2 * z * exp(-z * z)),
    (GELU(), lambda z: z * cdf(z), lambda z: cdf(z) + z * mpmath.npdf(z)),
    (Softsign(), lambda z: z / (1 + abs(z)), lambda z: 1 / (1 + abs(z)) ** 2),
]


def far_points(layer: Layer[Any], dtype: Any) -> Array:
    """On both sides, from where no derivative is zero to where results are no longer normal numbers."""
    last = -float(np.log(np.finfo(dtype).tiny)) - 8
    if isinstance(layer, Gaussian | GELU):
        last = np.sqrt(last)
    if isinstance(layer, Softplus):
        last /= layer.beta
    side = np.geomspace(2.5, last, 60)
    return np.concatenate([-side, side]).astype(dtype)[:, None]


def relative(got: Array, truth: list[Any]) -> float:
    """The largest relative error, in units of the dtype's ε."""
    errors = (abs((mpmath.mpf(float(g)) - t) / t) for g, t in zip(got[:, 0], truth, strict=True))
    return float(max(errors)) / float(np.finfo(got.dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("layer", "f", "prime"), TRUTHS, ids=[repr(layer) for layer, _, _ in TRUTHS])
def test_tails_keep_their_digits(layer: Layer[Any], f: Truth, prime: Truth, dtype: Any) -> None:
    z = far_points(layer, dtype)
    y, saved = layer.forward(z)
    slope = layer.backward(saved, np.ones_like(z))
    with mpmath.workdps(400):
        wide = [mpmath.mpf(float(v)) for v in z[:, 0]]
        assert relative(y, [f(v) for v in wide]) < 8
        assert relative(slope, [prime(v) for v in wide]) < 16


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("layer", "f", "prime"), TRUTHS, ids=[repr(layer) for layer, _, _ in TRUTHS])
def test_digits_near_zero_are_kept(layer: Layer[Any], f: Truth, prime: Truth, dtype: Any) -> None:
    tiny = float(np.finfo(dtype).tiny)
    z = np.array([[-tiny], [tiny]], dtype)
    y, saved = layer.forward(z)
    slope = layer.backward(saved, np.ones_like(z))
    with mpmath.workdps(400):
        wide = [mpmath.mpf(float(v)) for v in z[:, 0]]
        assert relative(y, [f(v) for v in wide]) < 4
        assert relative(slope, [prime(v) for v in wide]) < 4


@pytest.mark.parametrize("layer", [ELU(0.5), CELU(0.5), SELU()], ids=repr)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_little_left_of_zero_an_exponential_is_a_line(layer: Layer[Any], dtype: Any) -> None:
    """eᶻ − 1 computed as it stands would be 0."""
    z = np.full((1, 1), -1e-20, dtype)
    slope = {"ELU": 0.5, "CELU": 1, "SELU": 1.7580993408473766}[type(layer).__name__]
    np.testing.assert_allclose(layer.predict(z), slope * z, rtol=1e-6)


ALL: list[Layer[Any]] = [
    *(layer for layer, _, _ in TRUTHS),
    *(LeakyReLU(), ELU(), SELU(), CELU(0.5), GELU("tanh"), HardSigmoid(), HardSwish(), ReLU6(), LogSoftmax(), Sine()),
    Activation(np.sin, np.cos),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layer", ALL, ids=repr)
def test_nothing_overflows(layer: Layer[Any], dtype: Any) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    z = np.array([[-1e30, 1e30], [1e4, -1e4], [-100, 1e4], [0.0, -0.0], [tiny, -tiny]], dtype)
    with np.errstate(all="raise", under="ignore"):
        y, saved = layer.forward(z)
        moved = layer.backward(saved, np.array([[1.0, -2.0]] * 5, dtype))
    assert y.dtype == moved.dtype == dtype
    assert np.isfinite(y).all()
    assert np.isfinite(moved).all()


@pytest.mark.parametrize("layer", ALL, ids=repr)
def test_nan_stays_nan(layer: Layer[Any]) -> None:
    with np.errstate(invalid="ignore"):
        y = layer.predict(np.array([[np.nan], [1.0]]))
    np.testing.assert_array_equal(np.isnan(y), [[True], [False]])
