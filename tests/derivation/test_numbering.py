"""Each layer of a network gets its letters, and no letter stands for two things."""

import numpy as np
import pytest
from branched import NAMES, branched_nets, data
from nets import StatedGain, notes_net, rich_net

from deepbp import Sequential
from deepbp.derivation.steps import steps
from deepbp.errors import NotBuiltError
from deepbp.formulas.printer import Symbol, TextPrinter
from deepbp.layers import L1, L2, Dense, Flatten, Penalized, Sigmoid, Softmax
from deepbp.losses import MeanSquaredError, SoftmaxCrossEntropy, SumSquaredError


def text(symbol: Symbol) -> str:
    return TextPrinter().symbol(symbol)


def test_notes_net_has_the_notes_letters() -> None:
    found = steps(notes_net())
    assert [text(step.input) for step in found] == ["x", "z⁰", "a¹", "z²"]
    assert [text(step.output) for step in found] == ["z⁰", "a¹", "z²", "a³"]
    assert [text(step.delta) for step in found] == ["δ⁰", "∂L/∂a¹", "δ²", "∂L/∂a³"]
    assert [text(step.delta_input) for step in found] == ["∂L/∂x", "δ⁰", "∂L/∂a¹", "δ²"]
    assert [{name: text(letter) for name, letter in step.parameters.items()} for step in found] == [
        {"weight": "W⁰"},
        {},
        {"weight": "W²"},
        {},
    ]


def test_nested_and_shared_layers() -> None:
    found = steps(rich_net())
    assert [step.place for step in found] == ["0", "1", "2", "3.0", "3.1", "3.2", "4", "5", "6", "7"]
    assert [text(step.output) for step in found] == [
        *("a⁰", "z¹", "a²", "z³·⁰", "a³·¹", "a³·²", "a⁴", "z⁵", "a⁶", "z⁷")
    ]
    weights = [text(step.parameters["weight"]) for step in found if "weight" in step.parameters]
    assert weights == ["W¹", "W¹", "W⁵", "W⁷"]  # the layer that is used twice keeps its letter
    assert found[1].layer is found[3].layer
    assert text(found[6].parameters["gain"]) == "gain⁴"


@pytest.mark.parametrize("name", NAMES)
def test_the_number_above_a_letter_is_the_index_of_the_layer(name: str) -> None:
    """In the steps, and in what a trace has at this index; within layers of layers it begins with it."""
    net = branched_nets()[name]
    trace = net.trace(*data(), SumSquaredError())
    for step in steps(net):
        index, *inner = step.output.number.partition("(")[0].split(".")
        assert step.place.split(".")[0] == index
        path = iter(part[0] for part in step.place.split(".")[1:])
        assert all(part in path for part in inner)  # in this order, and nothing else
    assert [trace[i].step.output for i in range(len(net))] == [trace[i - len(net)].step.output for i in range(len(net))]
    assert [trace[i].step.output.number.partition(".")[0] for i in range(len(net))] == list(map(str, range(len(net))))
    signal = trace[0].input
    for i, layer in enumerate(net):
        signal = layer.predict(signal) if i else layer.predict(data()[0])
        np.testing.assert_allclose(trace[i].output, signal, rtol=1e-12)


def test_a_second_output_of_one_layer_is_counted() -> None:
    price = Penalized([Dense(2), Dense(2)], weights=L2(0.1), outputs=L1(0.1))
    found = [text(step.output) for step in steps(Sequential([price], input_shape=3))]
    assert found == ["z⁰·⁰", "z⁰·¹", "P⁰", "P⁰⁽²⁾", "P⁰⁽³⁾"]


def test_samples_are_counted_by_one_letter() -> None:
    """B, unless the numbers of a prediction or its rows are not its samples: these have letters of their own."""
    one, two = (Sequential([Dense(n)], input_shape=3, rng=0) for n in (1, 2))
    rows = Sequential([Dense(2)], input_shape=(5, 3), rng=0)
    assert "L = (Σ (ŷ − y)²) / B" in str(one.derivation(MeanSquaredError()))
    assert "L = (Σ (ŷ − y)²) / n" in (page := str(two.derivation(MeanSquaredError())))
    assert "n counts the numbers of the prediction: B · 2." in page
    assert "∂L/∂ŷ = (softmax(ŷ) − y) / B" in str(two.derivation(SoftmaxCrossEntropy()))
    assert "∂L/∂ŷ = (softmax(ŷ) − y) / R" in (page := str(rows.derivation(SoftmaxCrossEntropy())))
    assert "R counts the rows of the prediction: B · 5." in page


def test_letters_never_repeat() -> None:
    found = steps(Sequential([Dense(3), StatedGain(), StatedGain(), Sigmoid(), Softmax(), Dense(3)], input_shape=3))
    letters = [letter for step in found for letter in (step.output, *step.parameters.values())]
    assert len(set(letters)) == len(letters)
    assert text(found[1].parameters["gain"]) == "W¹"


def test_each_use_of_a_layer_without_parameters_has_its_own_shapes() -> None:
    flatten = Flatten()
    found = steps(Sequential([flatten, Dense(6), flatten], input_shape=(2, 3)))
    assert [(step.input_shape, step.output_shape) for step in found] == [((2, 3), (6,)), ((6,), (6,)), ((6,), (6,))]


def test_a_layer_alone_is_a_network() -> None:
    layer = Dense(2)
    Sequential([layer], input_shape=3)
    assert [(step.place, text(step.output)) for step in steps(layer)] == [("", "z")]


def test_sizes_must_be_known() -> None:
    with pytest.raises(NotBuiltError, match="Sequential: its sizes are not known yet"):
        steps(Sequential([Dense(3)]))
