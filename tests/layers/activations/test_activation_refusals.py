"""Activations refuse arguments and arrays that make no sense, in words."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deepbp.errors import ArgumentTypeError, ConfigurationError, ShapeError
from deepbp.initializers import Zeros
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
    LogSoftmax,
    Mish,
    PReLU,
    ReLU6,
    SiLU,
    Sine,
    Softplus,
    Softsign,
)

pytestmark = pytest.mark.usefixtures("kernel_form")
Z = np.linspace(-1, 1, 10).reshape(5, 2)
LAYERS: list[Layer[Any]] = [
    *(LeakyReLU(), PReLU(), PReLU(shared=True), ELU(), SELU(), CELU(), GELU(), GELU("tanh"), SiLU(), Mish()),
    *(Softplus(), Softsign(), HardSigmoid(), HardSwish(), ReLU6(), LogSoftmax(), LogSigmoid(), Sine(), Gaussian()),
    Activation(np.sin, np.cos),
]
for layer in LAYERS:
    Builder(0, "float64").build(layer, (2,))
every_layer = pytest.mark.parametrize("layer", LAYERS, ids=repr)


@pytest.mark.parametrize(
    ("make", "argument", "expected"),
    [
        (ELU, "alpha", "a number above 0"),
        (CELU, "alpha", "a number above 0"),
        (Softplus, "beta", "a number above 0"),
        (Sine, "w0", "a number above 0"),
        (LeakyReLU, "slope", "a number of at least 0 and below 1"),
    ],
)
@pytest.mark.parametrize("bad", [-3, None, "64", np.nan, np.inf, True, [1.0]])
def test_a_number_that_makes_no_sense(make: Callable[..., Any], argument: str, expected: str, bad: Any) -> None:
    kind = ConfigurationError if isinstance(bad, int | float) and bad is not True else ArgumentTypeError
    message = f"{make.__name__}: {argument}: expected {expected}, got {bad!r}"
    with pytest.raises(kind, match=re.escape(message)):
        make(bad)


@pytest.mark.parametrize(("make", "bad"), [(ELU, 0), (CELU, 0.0), (Softplus, 0), (Sine, 0), (LeakyReLU, 1.0)])
def test_the_bounds_themselves(make: Callable[..., Any], bad: float) -> None:
    with pytest.raises(ConfigurationError, match=f"{make.__name__}: .*got {bad}"):
        make(bad)


@pytest.mark.parametrize("bad", ["none", "erf", True, False, 0, 2.5, ("tanh",)])
def test_gelu_knows_one_approximation(bad: Any) -> None:
    message = f"GELU: approximate: expected None, for the exact function, or 'tanh', got {bad!r}"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        GELU(bad)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shared": 1}, "PReLU: shared: expected bool, got 1"),
        ({"shared": None}, "PReLU: shared: expected bool, got None"),
        ({"slope_init": 0.25}, "PReLU: slope_init: expected Initializer, got 0.25"),
        ({"slope_init": Zeros}, "PReLU: slope_init: .*, an instance rather than the class: Zeros()"),
    ],
)
def test_prelu_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentTypeError, match=message.replace("()", r"\(\)")):
        PReLU(**arguments)


@pytest.mark.parametrize("bad", [None, 3, "sin", np.zeros(3), np.float32], ids=repr)
@pytest.mark.parametrize("name", ["f", "f_prime"])
def test_an_own_activation_takes_functions(name: str, bad: Any) -> None:
    functions = {"f": np.sin, "f_prime": np.cos} | {name: bad}
    with pytest.raises(ArgumentTypeError, match=f"Activation: {name}: expected a function of an array"):
        Activation(**functions)


@every_layer
@pytest.mark.parametrize("shape", [(5, 1), (1, 2), (4, 2), (5, 3), (2,)])
def test_an_error_signal_never_broadcasts(layer: Layer[Any], shape: tuple[int, ...]) -> None:
    _, saved = layer.forward(Z)
    message = f"backward: expected a delta of the output's shape (5, 2), got {shape}"
    with pytest.raises(ShapeError, match=re.escape(message)):
        layer.backward(saved, np.ones(shape))
