"""With branches and penalties, too: the numbers are those of training, and of the equations beside them."""

import ast
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from branched import NAMES, branched_nets, data, net
from nets import Gain

from deepbp import Trainer
from deepbp.derivation.backward import error_row, gradient_rows, needed, output_signal
from deepbp.derivation.expressions import Math, tree
from deepbp.derivation.forward import forward_row, value_row
from deepbp.derivation.steps import PenaltyStep, last_signal
from deepbp.derivation.trace import Trace
from deepbp.errors import ContractError
from deepbp.formulas.language import FUNCTIONS
from deepbp.formulas.printer import Symbol
from deepbp.layers import L1, Dense, Parallel, Penalized, Residual, Tanh
from deepbp.losses import MeanSquaredError, SumSquaredError
from deepbp.optimizers import SGD
from deepbp.typing import Array


@pytest.fixture(scope="module")
def traces() -> dict[str, Trace]:
    return {name: one.trace(*data(), MeanSquaredError()) for name, one in branched_nets().items()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_and_loss_are_those_of_training(name: str, dtype: str) -> None:
    network, (x, y), loss = branched_nets(dtype)[name], data(), MeanSquaredError()
    trace = network.trace(x, y, loss)
    prediction, saved = network.forward(x.astype(dtype))
    value, loss_saved = loss.forward(prediction, y.astype(dtype))
    moved = network.backward(saved, loss.backward(loss_saved))
    close: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-14} if dtype == "float64" else {"rtol": 2e-5, "atol": 1e-6}
    assert trace.loss == pytest.approx(value + network.penalty(saved), rel=close["rtol"])
    np.testing.assert_array_equal(trace.prediction, prediction)
    np.testing.assert_allclose(trace.error_signals[Symbol("x")], moved, **close)
    assert trace.gradients.keys() == network.named_parameters().keys()
    for key, parameter in network.named_parameters().items():
        assert trace.gradients[key].dtype == dtype
        np.testing.assert_allclose(trace.gradients[key], parameter.grad, **close)


def letters_of(trace: Trace) -> dict[str, Array]:
    """Every letter on the page, and what it stands for."""
    found: dict[str, Any] = {"x": trace.data.x, "ŷ": trace.prediction, "y": trace.target, "n": trace.prediction.size}
    found |= {"B": np.array(len(trace.data.x)), "L": np.array(trace.loss)}
    sums: dict[Symbol, Array] = {}
    for one in trace.steps:
        found[text(one.step.output)] = one.output
        found |= {text(symbol): one.parameters[name] for name, symbol in one.step.parameters.items()}
        for name, symbol in one.step.parameters.items():
            sums[symbol] = sums.get(symbol, 0) + one.gradients[name]
    for signal, array in trace.error_signals.items():
        found["δ" + signal.number if signal.letter == "z" else f"∂L/∂{text(signal)}"] = array
    return found | {f"∂L/∂{text(symbol)}": array for symbol, array in sums.items()}


def text(symbol: Symbol) -> str:
    return symbol.letter + symbol.number


SLOPES: dict[str, Any] = {
    "tanh": np.tanh,
    "tanh′": lambda z: 1 - np.tanh(z) ** 2,
    "σ": lambda z: 1 / (1 + np.exp(-z)),
    "σ′": lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2,
    "ReLU": lambda z: np.maximum(z, 0),
    "ReLU′": lambda z: (z > 0).astype(float),
    "softmax": FUNCTIONS["softmax"],
    "columns": lambda u, start, stop: u[..., start:stop],
    "concat": lambda *parts: np.concatenate(parts, axis=-1),
}


def side_values(math: Math, letters: Mapping[str, Array]) -> list[Array] | None:
    """What each side of an equation comes to; None where one calls a black box."""
    values = []
    for side in math.sides:
        names: dict[str, Any] = dict(FUNCTIONS) | SLOPES
        for node in ast.walk(tree(side)):
            if isinstance(node, ast.Name) and node.id in math.symbols:
                letter = text(math.symbols[node.id])
                if letter.endswith((".backward", ".penalty")) or letter in ("Gain", "Taxed", "Wrapped"):
                    return None
                names[node.id] = letters[letter] if letter in letters else SLOPES[letter]
        values.append(np.asarray(eval(ast.unparse(tree(side)), names)))
    return values


@pytest.mark.parametrize("name", NAMES)
def test_every_equation_holds_for_the_numbers_beside_it(name: str, traces: dict[str, Trace]) -> None:
    trace = traces[name]
    steps, letters = [one.step for one in trace.steps], letters_of(trace)
    rows = [
        *map(forward_row, steps),
        value_row(steps, trace.loss_function),
        output_signal(steps, trace.loss_function),
        *(error_row(steps, signal) for signal in needed(steps)),
        *gradient_rows(steps).values(),
    ]
    held = 0
    for row in rows:
        values = side_values(row.math, letters)
        if values is not None:
            held += 1
            for value in values[1:]:
                np.testing.assert_allclose(value, values[0], rtol=1e-12, atol=1e-14)
    assert held == (12 if name == "black boxes" else len(rows))


@pytest.mark.parametrize("name", NAMES)
def test_every_gradient_is_confirmed_by_its_difference(name: str, traces: dict[str, Trace]) -> None:
    trace = traces[name]
    for key, gradient in trace.gradients.items():
        size = max(float(np.abs(gradient).max()), 1e-3)
        for index in list(np.ndindex(gradient.shape))[::3]:
            explanation = trace.explain(key, index)
            assert explanation.gradient == gradient[index]
            assert abs(explanation.numeric - gradient[index]) <= 1e-7 * size, (key, index)
            assert str(explanation)


def test_signals_that_are_used_once_are_handed_on_as_they_are(traces: dict[str, Trace]) -> None:
    trace = traces["residual"]
    assert trace[0].step.place == "0"
    assert trace["1"].inputs[0] is trace["1.body.1"].output
    assert trace["1"].inputs[1] is trace["0"].output
    assert trace["1.body.1"].delta is trace["1"].passed_back[0]
    np.testing.assert_array_equal(trace["0"].delta, trace["1.body.0"].delta_input + trace["1"].passed_back[1])


def test_a_frozen_parameter_shows_the_gradient_that_it_does_not_follow() -> None:
    x, y = data()
    frozen, free = net(Residual([Dense(3), Tanh()]), Dense(2)), net(Residual([Dense(3), Tanh()]), Dense(2))
    frozen.layers[0].freeze()
    one, other = (network.trace(x, y, SumSquaredError()) for network in (frozen, free))
    for name, gradient in other.gradients.items():
        np.testing.assert_array_equal(one.gradients[name], gradient)
    assert all(parameter.frozen for parameter in frozen.layers[0].parameters())
    page = str(frozen.derivation(SumSquaredError()))
    assert page.count("frozen: it stays as it is") == 2


def test_frozen_weights_are_not_paid_for_on_paper_either() -> None:
    network = net(Penalized([Dense(3), Dense(2)], weights=L1(0.1)))
    network.layers[0].layer.layers[0].freeze()
    trace = network.trace(*data(), SumSquaredError())
    prices = [one for one in trace.steps if isinstance(one.step, PenaltyStep)]
    assert [text(one.step.penalized_signal) for one in prices if isinstance(one.step, PenaltyStep)] == ["W0.1"]
    assert trace.loss - float(prices[0].output) == pytest.approx(float(((trace.prediction - data()[1]) ** 2).sum()))


def test_last_signal_is_the_prediction_though_penalties_follow(traces: dict[str, Trace]) -> None:
    trace = traces["penalties"]
    assert isinstance(trace.steps[-1].step, PenaltyStep)
    assert text(last_signal([one.step for one in trace.steps])) == "z1"


def test_errors_inside_branches_name_the_place() -> None:
    class Broken(Gain):
        def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
            return delta.T

    from attrs import define

    network = net(Parallel([Dense(3), [Dense(3), define(Broken, eq=False)()]], merge="add"), Dense(2))
    with pytest.raises(
        ContractError, match=r"layer 0\.branches\.1\.1, Broken\(\): backward: expected the error signal"
    ):
        network.trace(*data(), SumSquaredError())


@pytest.mark.parametrize("name", ["penalties", "paid twice", "black boxes", "deep"])
def test_the_loss_is_what_the_trainer_reports(name: str) -> None:
    network, (x, y) = branched_nets()[name], data()
    trace = network.trace(x, y, MeanSquaredError())
    trainer = Trainer(network, MeanSquaredError(), SGD(learning_rate=0.0))
    assert trainer.step(x, y) == pytest.approx(trace.loss, rel=1e-14)
    for key, parameter in network.named_parameters().items():
        np.testing.assert_allclose(trace.gradients[key], parameter.grad, rtol=1e-12, atol=1e-14)
