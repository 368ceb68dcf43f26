"""SymPy writes the same network as expressions, differentiates the loss, and agrees with every number of the trace."""

from typing import Any

import numpy as np
import pytest
from attrs import define, field

from deepbp import Sequential
from deepbp.layers import Dense, Layer, ReLU, Sigmoid, Softmax, Tanh
from deepbp.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy, SumSquaredError
from deepbp.typing import Array

sympy = pytest.importorskip("sympy", reason="no SymPy to differentiate by symbols: pip install sympy")

X = np.array([[0.5, -1.25], [0.75, 0.125]])
ONE_HOT = np.array([[1.0, 0.0], [0.0, 1.0]])
VALUES = np.array([[0.25, -0.5], [1.0, 0.75]])


def softmax(z: Any) -> Any:
    rows = [[sympy.exp(z[i, j]) for j in range(z.cols)] for i in range(z.rows)]
    return sympy.Matrix([[entry / sum(row) for entry in row] for row in rows])


ACTIVATIONS: dict[type[Layer[Any]], Any] = {
    Sigmoid: lambda z: z.applyfunc(lambda entry: 1 / (1 + sympy.exp(-entry))),
    Tanh: lambda z: z.applyfunc(sympy.tanh),
    ReLU: lambda z: z.applyfunc(lambda entry: sympy.Piecewise((entry, entry > 0), (0, True))),
    Softmax: softmax,
}
LOSSES: dict[type[Loss[Any]], Any] = {
    SumSquaredError: lambda p, y: sum((p - y).applyfunc(lambda e: e**2)),
    MeanSquaredError: lambda p, y: sum((p - y).applyfunc(lambda e: e**2)) / len(p),
    BinaryCrossEntropy: lambda p, y: (
        -sum(t * sympy.log(q) + (1 - t) * sympy.log(1 - q) for q, t in zip(p, y, strict=True)) / len(p)
    ),
    CrossEntropy: lambda p, y: -sum(t * sympy.log(q) for q, t in zip(p, y, strict=True)) / p.rows,
    SoftmaxCrossEntropy: lambda p, y: -sum(t * sympy.log(q) for q, t in zip(softmax(p), y, strict=True)) / p.rows,
}


@define
class Symbolic:
    """The network once more, all of symbols: one for each number that goes in, and one, worth 0, beside each output."""

    values: dict[Any, float] = field(factory=dict)
    arrays: dict[str, Any] = field(factory=dict)

    def given(self, name: str, value: Array) -> Any:
        """An array of symbols that stand for these numbers."""
        rows = np.atleast_2d(value)
        symbols = sympy.Matrix(*rows.shape, lambda i, j: sympy.Symbol(f"{name}_{i}_{j}".replace(".", "_")))
        self.arrays[name] = symbols
        self.values |= dict(zip(symbols, rows.ravel().tolist(), strict=True))
        return symbols

    def marked(self, name: str, made: Any) -> Any:
        """What a layer made, plus symbols by which the loss can be differentiated."""
        return made + self.given(name, np.zeros(made.shape))

    def value(self, expressions: Any) -> Array:
        function = sympy.lambdify(list(self.values), expressions, "numpy", cse=True)
        return np.array(function(*self.values.values()), dtype=float)

    def derivative(self, loss: Any, name: str) -> Array:
        return self.value(self.arrays[name].applyfunc(lambda symbol: sympy.diff(loss, symbol)))


@pytest.mark.parametrize(
    ("layers", "loss", "y"),
    [
        ([Dense(2), Sigmoid(), Dense(2), Sigmoid()], SumSquaredError(), ONE_HOT),
        ([Dense(2), Tanh(), Dense(2)], MeanSquaredError(), VALUES),
        ([Dense(2), ReLU(), Dense(2), Sigmoid()], BinaryCrossEntropy(), ONE_HOT),
        ([Dense(2), Tanh(), Dense(2), Softmax()], CrossEntropy(), ONE_HOT),
        ([Dense(2), Sigmoid(), Dense(2)], SoftmaxCrossEntropy(), ONE_HOT),
        ([shared := Dense(2), Tanh(), shared, Sigmoid()], SumSquaredError(), VALUES),
    ],
    ids=lambda case: type(case).__name__ if isinstance(case, Loss) else None,
)
def test_symbolic_derivatives_are_the_traced_numbers(layers: list[Layer[Any]], loss: Loss[Any], y: Array) -> None:
    net = Sequential(layers, input_shape=2, rng=4, dtype="float64")
    for bias in (p for name, p in net.named_parameters().items() if name.endswith("bias")):
        bias.value = 0.125 * np.arange(1, bias.value.size + 1)
    trace = net.trace(X, y, loss)
    symbolic = Symbolic()
    parameters = {name: symbolic.given(name, p.value) for name, p in net.named_parameters().items()}
    names = {id(p): name for name, p in net.named_parameters().items()}
    signal = symbolic.given("x", X)
    for position, layer in enumerate(net.layers):
        if isinstance(layer, Dense):
            assert layer.bias is not None
            weight, bias = parameters[names[id(layer.weight)]], parameters[names[id(layer.bias)]]
            made = signal * weight + sympy.ones(len(X), 1) * bias
        else:
            made = ACTIVATIONS[type(layer)](signal)
        signal = symbolic.marked(f"output{position}", made)
    value = LOSSES[type(loss)](signal, symbolic.given("y", y))
    assert trace.loss == pytest.approx(float(symbolic.value(value)), rel=1e-14)
    assert_same(trace[0].delta_input, symbolic.derivative(value, "x"))
    for position, step in enumerate(trace.steps):
        assert_same(step.delta, symbolic.derivative(value, f"output{position}"))
    for name, gradient in trace.gradients.items():
        assert_same(np.atleast_2d(gradient), symbolic.derivative(value, name))


def assert_same(traced: Array, symbolic: Array) -> None:
    assert np.any(symbolic)
    np.testing.assert_allclose(traced, symbolic, rtol=1e-12, atol=1e-15)
