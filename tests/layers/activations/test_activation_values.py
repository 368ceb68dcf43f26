"""Each activation and its derivative against its formula in Python's own numbers, and against PyTorch's results."""

import math
from collections.abc import Callable
from copy import deepcopy
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
import pytest

from deepbp.layers import (
    CELU,
    ELU,
    GELU,
    SELU,
    Activation,
    Builder,
    Gaussian,
    HardSigmoid,
    HardSwish,
    Layer,
    LeakyReLU,
    LogSigmoid,
    Mish,
    PReLU,
    ReLU6,
    SiLU,
    Sine,
    Softplus,
    Softsign,
    Swish,
)
from deepbp.layers.activations.rectifiers import ALPHA, SCALE
from deepbp.typing import Array

exp, tanh = math.exp, math.tanh
normal = NormalDist()
Function: TypeAlias = Callable[[float], float]

pytestmark = pytest.mark.usefixtures("kernel_form")


def tanh_gelu(z: float) -> float:
    return 0.5 * z * (1 + tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def tanh_gelu_prime(z: float) -> float:
    t = tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))
    return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z * z)


def mish_prime(z: float) -> float:
    """As the paper states it: eᶻ ω / δ²."""
    omega = 4 * (z + 1) + 4 * exp(2 * z) + exp(3 * z) + exp(z) * (4 * z + 6)
    return exp(z) * omega / (2 * exp(z) + exp(2 * z) + 2) ** 2


def hard_swish_prime(z: float) -> float:
    return 0.0 if z <= -3 else 1.0 if z >= 3 else (2 * z + 3) / 6


FORMULAS: list[tuple[Layer[Any], Function, Function]] = [
    (LeakyReLU(), lambda z: z if z > 0 else 0.01 * z, lambda z: 1 if z > 0 else 0.01),
    (LeakyReLU(0.3), lambda z: z if z > 0 else 0.3 * z, lambda z: 1 if z > 0 else 0.3),
    (LeakyReLU(0.0), lambda z: z if z > 0 else 0, lambda z: 1 if z > 0 else 0),
    (PReLU(), lambda z: z if z > 0 else 0.25 * z, lambda z: 1 if z > 0 else 0.25),
    (PReLU(shared=True), lambda z: z if z > 0 else 0.25 * z, lambda z: 1 if z > 0 else 0.25),
    (ELU(), lambda z: z if z > 0 else exp(z) - 1, lambda z: 1 if z > 0 else exp(z)),
    (ELU(0.7), lambda z: z if z > 0 else 0.7 * (exp(z) - 1), lambda z: 1 if z > 0 else 0.7 * exp(z)),
    (
        SELU(),
        lambda z: 1.0507009873554805 * (z if z > 0 else 1.6732632423543772 * (exp(z) - 1)),
        lambda z: 1.0507009873554805 * (1 if z > 0 else 1.6732632423543772 * exp(z)),
    ),
    (CELU(), lambda z: z if z > 0 else exp(z) - 1, lambda z: 1 if z > 0 else exp(z)),
    (CELU(0.7), lambda z: z if z > 0 else 0.7 * (exp(z / 0.7) - 1), lambda z: 1 if z > 0 else exp(z / 0.7)),
    (GELU(), lambda z: z * normal.cdf(z), lambda z: normal.cdf(z) + z * normal.pdf(z)),
    (GELU("tanh"), tanh_gelu, tanh_gelu_prime),
    (SiLU(), lambda z: z / (1 + exp(-z)), lambda z: (1 + exp(-z) + z * exp(-z)) / (1 + exp(-z)) ** 2),
    (Mish(), lambda z: z * tanh(math.log(1 + exp(z))), mish_prime),
    (Softplus(), lambda z: math.log(1 + exp(z)), lambda z: 1 / (1 + exp(-z))),
    (Softplus(3.0), lambda z: math.log(1 + exp(3 * z)) / 3, lambda z: 1 / (1 + exp(-3 * z))),
    (Softsign(), lambda z: z / (1 + abs(z)), lambda z: 1 / (1 + abs(z)) ** 2),
    (HardSigmoid(), lambda z: min(max(z + 3, 0), 6) / 6, lambda z: 1 / 6 if -3 < z < 3 else 0),
    (HardSwish(), lambda z: z * min(max(z + 3, 0), 6) / 6, hard_swish_prime),
    (ReLU6(), lambda z: min(max(z, 0), 6), lambda z: 1 if 0 < z < 6 else 0),
    (LogSigmoid(), lambda z: math.log(1 / (1 + exp(-z))), lambda z: 1 / (1 + exp(z))),
    (Sine(), lambda z: math.sin(30 * z), lambda z: 30 * math.cos(30 * z)),
    (Sine(0.5), lambda z: math.sin(z / 2), lambda z: math.cos(z / 2) / 2),
    (Gaussian(), lambda z: exp(-z * z), lambda z: -2 * z * exp(-z * z)),
    (Activation(np.sin, np.cos), math.sin, math.cos),
]
Z = np.linspace(-7, 7, 57)  # in steps of ¼: with 0, ±3 and 6, where kinks are
UPSTREAM = np.cos(np.arange(57.0)) + 2


def passes(layer: Layer[Any], z: Array, delta: Array) -> tuple[Array, Array]:
    """Value and error signal for samples of one number."""
    layer = deepcopy(layer)
    Builder(0, z.dtype).build(layer, (1,))
    y, saved = layer.forward(z[:, None])
    return y[:, 0], layer.backward(saved, delta[:, None])[:, 0]


@pytest.mark.parametrize(("layer", "f", "prime"), FORMULAS, ids=[repr(layer) for layer, _, _ in FORMULAS])
def test_values_and_derivatives_are_those_of_the_formula(layer: Layer[Any], f: Function, prime: Function) -> None:
    y, moved = passes(layer, Z, UPSTREAM)
    np.testing.assert_allclose(y, [f(z) for z in Z], rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(moved, UPSTREAM * [prime(z) for z in Z], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("layer", "f", "prime"), FORMULAS, ids=[repr(layer) for layer, _, _ in FORMULAS])
def test_float32_stays_float32(layer: Layer[Any], f: Function, prime: Function) -> None:
    y, moved = passes(layer, Z.astype(np.float32), UPSTREAM.astype(np.float32))
    assert y.dtype == moved.dtype == np.float32
    np.testing.assert_allclose(y, [f(z) for z in Z], rtol=2e-6, atol=2e-7)
    np.testing.assert_allclose(moved, UPSTREAM * [prime(z) for z in Z], rtol=5e-6, atol=1e-6)


PYTORCH: list[tuple[Layer[Any], list[float], list[float]]] = [
    # PyTorch 2.13, float64, at z = −3, −¼, 0, 2, 6: values, and what its autograd says of their sum
    (LeakyReLU(), [-0.03, -0.0025, 0, 2, 6], [0.01, 0.01, 0.01, 1, 1]),
    (PReLU(), [-0.75, -0.0625, 0, 2, 6], [0.25, 0.25, 0.25, 1, 1]),
    (
        ELU(0.5),
        [-0.475106465816068, -0.11059960846429756, 0, 2, 6],
        [0.024893534183931972, 0.38940039153570244, 0.5, 1, 1],
    ),
    (
        SELU(),
        [-1.6705687287671118, -0.388890197478119, 0, 2.101401974710961, 6.304205924132883],
        [0.08753061208026487, 1.3692091433692577, 1.7580993408473766, 1.0507009873554805, 1.0507009873554805],
    ),
    (
        CELU(0.5),
        [-0.4987606239116668, -0.1967346701436833, 0, 2, 6],
        [0.0024787521766663585, 0.6065306597126334, 1, 1, 1],
    ),
    (
        GELU(),
        [-0.00404969409489031, -0.10032341857926907, 0, 1.9544997361036416, 5.999999994080474],
        [-0.01194564720418392, 0.304626645116364, 0.5, 1.085231801078197, 1.0000000354687093],
    ),
    (
        GELU("tanh"),
        [-0.0036373920817729943, -0.100324649298315, 0, 1.954597694087775, 5.9999999999156035],
        [-0.011584166630969648, 0.30464590484893955, 0.5, 1.0860992566236183, 1.0000000007709977],
    ),
    (
        SiLU(),
        [-0.14227761953270035, -0.10945587477855048, 0, 1.7615941559557646, 5.985164261060192],
        [-0.08810410601516962, 0.37628997842980233, 0.5, 1.0907842487848955, 1.0123264325915249],
    ),
    (
        Mish(),
        [-0.1456474612756246, -0.129926963679141, 0, 1.9439589595339946, 5.999926634065252],
        [-0.09339311453232084, 0.43981560172180506, 0.6, 1.0693179342794896, 1.00013414050621],
    ),
    (
        Softplus(),
        [0.04858735157374206, 0.5759394198788436, 0.6931471805599453, 2.1269280110429727, 6.00247568513773],
        [0.04742587317756679, 0.4378234991142019, 0.5, 0.8807970779778824, 0.9975273768433652],
    ),
    (Softsign(), [-0.75, -0.2, 0, 0.6666666666666666, 0.8571428571428571], [1 / 16, 0.64, 1, 1 / 9, 1 / 49]),
    (HardSigmoid(), [0, 0.4583333333333333, 0.5, 0.8333333333333334, 1], [0, 1 / 6, 1 / 6, 1 / 6, 0]),
    (HardSwish(), [0, -0.11458333333333333, 0, 1.6666666666666667, 6], [0, 0.4166666666666667, 0.5, 7 / 6, 1]),
    (ReLU6(), [0, 0, 0, 2, 6], [0, 0, 0, 1, 0]),
    (
        LogSigmoid(),
        [-3.048587351573742, -0.8259394198788436, -0.6931471805599453, -0.1269280110429725, -0.0024756851377304495],
        [0.9525741268224333, 0.5621765008857982, 0.5, 0.11920292202211755, 0.0024726231566347748],
    ),
]


@pytest.mark.parametrize(("layer", "values", "slopes"), PYTORCH, ids=[repr(layer) for layer, _, _ in PYTORCH])
def test_values_and_kinks_are_pytorchs(layer: Layer[Any], values: list[float], slopes: list[float]) -> None:
    y, moved = passes(layer, np.array([-3, -0.25, 0, 2, 6]), np.ones(5))
    np.testing.assert_allclose(y, values, rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(moved, slopes, rtol=1e-13, atol=1e-16)


def test_selu_has_the_published_constants_which_keep_mean_0_and_variance_1() -> None:
    assert SCALE == 1.0507009873554804934193349852946  # Klambauer et al. 2017
    assert ALPHA == 1.6732632423543772848170429916717
    z = np.linspace(-12, 12, 200_001)
    density = np.array([normal.pdf(v) for v in z]) * (z[1] - z[0])
    y = SELU().predict(z[:, None])[:, 0]
    assert density @ y == pytest.approx(0, abs=1e-8)
    assert density @ (y * y) == pytest.approx(1, abs=1e-8)


def test_swish_is_another_name() -> None:
    assert Swish is SiLU
    assert repr(Swish()) == "SiLU()"


@pytest.mark.parametrize(
    "layer",
    [LeakyReLU(), ELU(), SELU(), CELU(), Softplus(), LogSigmoid(), HardSigmoid(), ReLU6()],
    ids=repr,
)
def test_the_output_is_all_that_is_remembered(layer: Layer[Any]) -> None:
    y, saved = layer.forward(Z[:, None])
    assert saved is y


@pytest.mark.parametrize("layer", [GELU(), GELU("tanh"), Softsign(), HardSwish(), Sine(), PReLU(shared=True)], ids=repr)
def test_one_array_is_all_that_is_remembered(layer: Layer[Any]) -> None:
    layer = deepcopy(layer)
    Builder(0, "float64").build(layer, (1,))
    assert isinstance(layer.forward(Z[:, None])[1], np.ndarray)
