"""Formulas that are in no layer, with their parameters and constants."""

from typing import Any

from deepbp.initializers import Constant, GlorotUniform, Initializer, Ones, Uniform, Zeros
from deepbp.typing import Shape

Case = tuple[str, dict[str, Initializer | float], dict[str, Shape]]


def case(formula: str, shapes: dict[str, Shape] | None = None, **names: Any) -> Case:
    return formula, names, shapes or {}


CASES: list[Case] = [
    case("x * sigmoid(slope * x)", slope=Ones()),
    case("1 / (1 + exp(-slope * x))", slope=Ones()),
    case("exp(-x) / (1 + exp(-x))**2"),
    case("x * sigmoid(x) * sigmoid(x)"),
    case("(1 - exp(-2 * x)) / (1 + exp(-2 * x))"),
    case("x**2 / (1 + x**2)"),
    case("x / sqrt(1 + x**2)"),
    case("x / (1 + x**2)"),
    case("sin(x) + x"),
    case("x * sin(slope * x) + cos(x)", slope=Ones()),
    case("x + sin(slope * x)**2 / slope", slope=Ones()),
    case("log(1 + x**2)"),
    case("log(1 + exp(x)) - log(1 + exp(-x))"),
    case("sqrt(x**2 + epsilon)", epsilon=0.1),
    case("abs(x) * x"),
    case("maximum(x, 0)**2"),
    case("maximum(x, 0) - slope * maximum(-x, 0)", slope=Constant(0.3)),
    case("maximum(minimum(x, 1), -1)"),
    case("x * maximum(minimum(x + 3, 6), 0) / 6"),
    case("erf(x) * gain + shift", gain=Ones(), shift=Zeros()),
    case("x * erf(slope * x)", slope=Ones()),
    case("exp(-gain * x**2)", gain=Uniform(0.5, 1.5)),
    case("tanh(x) * sigmoid(gain * x)", gain=Ones()),
    case("tanh(tanh(tanh(x)))"),
    case("x - tanh(x)"),
    case("log(cosh(x))"),
    case("x * tanh(exp(minimum(x, 4)))"),
    case("x - row_mean(x)"),
    case("x / row_sum(abs(x) + 1)"),
    case("x / sqrt(row_sum(x**2) + epsilon)", epsilon=0.01),
    case("gain * (x - row_mean(x))", gain=Ones()),
    case("(x - row_mean(x))**2 / (row_variance(x) + 1)"),
    case("x * row_max(x)"),
    case("row_sum(x**2)"),
    case("row_mean(x) * gain", gain=Ones()),
    case("softmax(temperature * x)", {"temperature": ()}, temperature=Constant(0.7)),
    case("x * softmax(x)"),
    case("softmax(x) @ weight", {"weight": (4, 3)}, weight=GlorotUniform()),
    case("x - log(row_sum(exp(x))) + shift", shift=Zeros()),
    case("log(row_sum(exp(x)))"),
    case("x @ weight + bias", {"weight": (4, 3), "bias": (3,)}, weight=GlorotUniform(), bias=Zeros()),
    case("tanh(x @ weight)", {"weight": (4, 2)}, weight=GlorotUniform()),
    case("x + tanh(x @ down) @ up", {"down": (4, 2), "up": (2, 4)}, down=GlorotUniform(), up=GlorotUniform()),
    case(
        "(x @ weight) * sigmoid(x @ gate)",
        {"weight": (4, 3), "gate": (4, 3)},
        weight=GlorotUniform(),
        gate=GlorotUniform(),
    ),
    case("maximum(x @ one, x @ other)", {"one": (4, 3), "other": (4, 3)}, one=GlorotUniform(), other=GlorotUniform()),
    case("x @ weight.T", {"weight": (3, 4)}, weight=GlorotUniform()),
    case("gain**2 * x", gain=Ones()),
    case("(x**2 + 1)**power", power=1.5),
    case("2 * x / (3 + slope**2) - 0.25 * x", slope=Ones()),
    case("x**3 / 3 - x"),
    case("maximum(x, slope * x)", slope=0.3),
    case("maximum(x, 0) + slope * minimum(x, 0)", slope=0.2),
]
