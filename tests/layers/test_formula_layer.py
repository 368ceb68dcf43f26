"""Layers that run from a formula alone: equal to those written by hand, in files, in derivations, and with errors."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepbp
from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, ShapeError
from deepbp.initializers import Constant, GlorotUniform, Initializer, Ones, Zeros
from deepbp.layers import (
    ELU,
    GELU,
    BatchNorm,
    Dense,
    FormulaLayer,
    Layer,
    LayerNorm,
    LogSoftmax,
    Mish,
    PReLU,
    RMSNorm,
    SiLU,
    Softmax,
    Softplus,
)
from deepbp.losses import SumSquaredError
from deepbp.optimizers import SGD
from deepbp.typing import Shape

NORMAL: dict[str, Initializer | float] = {"gain": Ones(), "shift": Zeros(), "epsilon": 1e-5}
PAIRS: list[tuple[Layer[Any], FormulaLayer]] = [
    (SiLU(), FormulaLayer("x * sigmoid(x)")),
    (GELU(), FormulaLayer("x * (1 + erf(x / sqrt(2))) / 2")),
    (Mish(), FormulaLayer("x * tanh(log(1 + exp(x)))")),
    (Softplus(2.0), FormulaLayer("log(1 + exp(beta * x)) / beta", beta=2.0)),
    (ELU(0.5), FormulaLayer("maximum(x, 0) + alpha * (exp(minimum(x, 0)) - 1)", alpha=0.5)),
    (PReLU(), FormulaLayer("maximum(x, 0) + slope * minimum(x, 0)", slope=Constant(0.25))),
    (Softmax(), FormulaLayer("exp(x) / row_sum(exp(x))")),
    (LogSoftmax(), FormulaLayer("x - log(row_sum(exp(x)))")),
    (LayerNorm(), FormulaLayer("gain * (x - row_mean(x)) / sqrt(row_variance(x) + epsilon) + shift", names=NORMAL)),
    (RMSNorm(), FormulaLayer("gain * x / sqrt(row_mean(x**2) + epsilon)", gain=Ones(), epsilon=1e-6)),
    (
        BatchNorm(),
        FormulaLayer("gain * (x - feature_mean(x)) / sqrt(feature_variance(x) + epsilon) + shift", names=NORMAL),
    ),
    (
        Dense(4, bias_init=Ones()),
        FormulaLayer("x @ weight + bias", weight=GlorotUniform(), bias=Ones(), shapes={"weight": (4, 4), "bias": (4,)}),
    ),
]


@pytest.mark.parametrize("shape", [(4,), (3, 4)], ids=str)
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: type(pair[0]).__name__)
def test_a_formula_runs_like_the_layer_written_by_hand(pair: tuple[Layer[Any], FormulaLayer], shape: Shape) -> None:
    by_hand, derived = (Sequential([copy.deepcopy(layer)], input_shape=shape, rng=0, dtype="float64") for layer in pair)
    rng = np.random.default_rng(0)
    x, delta = rng.standard_normal((2, 5, *shape))
    (y, saved), (other, other_saved) = by_hand.forward(x), derived.forward(x)
    np.testing.assert_allclose(other, y, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        derived.backward(other_saved, delta), by_hand.backward(saved, delta), rtol=1e-8, atol=1e-11
    )
    expected = {name: parameter.grad for name, parameter in by_hand.named_parameters().items()}
    assert list(derived.named_parameters()) == list(expected)
    for name, parameter in derived.named_parameters().items():
        np.testing.assert_allclose(parameter.grad, expected[name], rtol=1e-9, atol=1e-12)
        parameter.clear_grad()
    derived.backward_parameters(other_saved, delta)
    for name, parameter in derived.named_parameters().items():
        np.testing.assert_allclose(parameter.grad, expected[name], rtol=1e-9, atol=1e-12)


def network() -> Sequential:
    swish = FormulaLayer("x * sigmoid(slope * x)", slope=Ones())
    return Sequential([Dense(3), swish, Dense(1)], input_shape=2, rng=0)


def test_it_is_saved_copied_and_trained(tmp_path: Path) -> None:
    net, x = network(), np.random.default_rng(0).standard_normal((6, 2))
    net.fit(x, x[:, :1], loss=SumSquaredError(), optimizer=SGD(0.01), epochs=2)
    swish = net.layers[1]
    assert isinstance(swish, FormulaLayer)
    assert not (swish.slope.value == 1).all()
    loaded = deepbp.load(net.save(tmp_path / "net.npz"))
    for other in (loaded, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(other.predict(x), net.predict(x))
        assert repr(other.layers[1]) == "FormulaLayer('x * sigmoid(slope * x)', slope=Ones())"
    assert list(net.named_parameters())[2] == "1.slope"


def test_a_derivation_shows_the_derived_gradients() -> None:
    text = str(network().derivation(SumSquaredError()))
    assert "a¹ = z⁰ · σ(s¹ · z⁰)" in text
    assert "∂L/∂s¹ = Σᵢ ∂L/∂a¹ · z⁰ · (1 − σ(s¹ · z⁰)) · a¹" in text
    x = np.random.default_rng(0).standard_normal((4, 2))
    explanation = network().trace(x, x[:, :1], SumSquaredError()).explain("0.weight", (1, 2))
    assert abs(explanation.gradient - explanation.numeric) < 1e-5


@pytest.mark.parametrize(
    ("formula", "names", "kind", "message", "caret"),
    [
        ("x * tanh(slop * x)", {"slope": 1.0}, ConfigurationError, "'slop' is not defined: did you mean slope", "slop"),
        ("x * beta", {}, ConfigurationError, "a parameter, such as beta=Ones(), or as a number, beta=1.0", "beta"),
        ("x * sigmod(x)", {}, ConfigurationError, "no function 'sigmod': did you mean sigmoid?", "sigmod"),
        ("x ^ 2", {}, ConfigurationError, "write **", "x ^ 2"),
        ("(x", {}, ConfigurationError, "never closed", "("),
        ("x + x @ x", {}, ShapeError, "@ does not fit shapes (3, 4) and (3, 4)", "x @ x"),
        ("sign(x) + 1", {}, ConfigurationError, "x enters only where the derivative is 0", "x"),
        ("total(x)", {}, ShapeError, "samples along axis 0, got shape ()", "total(x)"),
        ("maximum(x)", {}, ConfigurationError, "maximum does not take 1 arguments", "maximum(x)"),
        ("x.shape", {}, ConfigurationError, "expected numbers, names, operators", "x.shape"),
        ("x * np.tanh(x)", {}, ConfigurationError, "functions stand alone: write tanh(...)", "np.tanh"),
    ],
)  # fmt: skip
def test_an_error_shows_the_place(
    formula: str, names: dict[str, float], kind: type[Exception], message: str, caret: str
) -> None:
    with pytest.raises(kind) as caught:
        Sequential([FormulaLayer(formula, names=names)], input_shape=4)
    first, line, below = str(caught.value).split("\n")
    assert message in first
    assert line.strip() == formula
    assert below.strip() == "^" * len(caret)
    assert line[below.index("^") :].startswith(caret)


def test_names_are_validated() -> None:
    with pytest.raises(ConfigurationError, match="'delta' has a meaning of its own"):
        FormulaLayer("x * delta", delta=1.0)
    with pytest.raises(ArgumentTypeError, match="beta: expected an initializer"):
        FormulaLayer("x * beta", beta="one")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="'slope' is no parameter"):
        FormulaLayer("x", shapes={"slope": (2,)})
    with pytest.raises(ConfigurationError, match="does not use slope"):
        Sequential([FormulaLayer("x", slope=Ones())], input_shape=2)


def test_a_name_of_a_code_word_is_a_name_like_others() -> None:
    layer = FormulaLayer("x * u1 + y_ * saved", names={"u1": 2.0, "y_": 1.0, "saved": 3.0})
    np.testing.assert_allclose(layer.predict(np.array([[1.0]])), [[5.0]])
