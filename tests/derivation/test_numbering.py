"""Each layer of a network gets its letters, and no letter stands for two things."""

import pytest
from nets import StatedGain, notes_net, rich_net

from deepbp import Sequential
from deepbp.derivation.steps import steps
from deepbp.errors import NotBuiltError
from deepbp.formulas.printer import Symbol, TextPrinter
from deepbp.layers import Dense, Flatten, Sigmoid, Softmax


def text(symbol: Symbol) -> str:
    return TextPrinter().symbol(symbol)


def test_notes_net_has_the_notes_letters() -> None:
    found = steps(notes_net())
    assert [text(step.input) for step in found] == ["x", "z¹", "a¹", "z²"]
    assert [text(step.output) for step in found] == ["z¹", "a¹", "z²", "a²"]
    assert [text(step.delta) for step in found] == ["δ¹", "∂L/∂a¹", "δ²", "∂L/∂a²"]
    assert [text(step.delta_input) for step in found] == ["∂L/∂x", "δ¹", "∂L/∂a¹", "δ²"]
    assert [{name: text(letter) for name, letter in step.parameters.items()} for step in found] == [
        {"weight": "W¹"},
        {},
        {"weight": "W²"},
        {},
    ]


def test_nested_and_shared_layers() -> None:
    found = steps(rich_net())
    assert [step.place for step in found] == ["0", "1", "2", "3.0", "3.1", "3.2", "4", "5", "6", "7"]
    assert [text(step.output) for step in found] == ["a⁰", "z¹", "a¹", "z²", "a²", "a³", "a⁴", "z⁵", "a⁵", "z⁶"]
    weights = [text(step.parameters["weight"]) for step in found if "weight" in step.parameters]
    assert weights == ["W¹", "W¹", "W⁵", "W⁶"]  # the layer that is used twice keeps its letter
    assert found[1].layer is found[3].layer
    assert text(found[6].parameters["gain"]) == "gain⁴"


def test_letters_never_repeat() -> None:
    found = steps(Sequential([Dense(3), StatedGain(), StatedGain(), Sigmoid(), Softmax(), Dense(3)], input_shape=3))
    letters = [letter for step in found for letter in (step.output, *step.parameters.values())]
    assert len(set(letters)) == len(letters)
    assert text(found[1].parameters["gain"]) == "W²"  # W¹ is the first layer's


def test_each_use_of_a_layer_without_parameters_has_its_own_shapes() -> None:
    flatten = Flatten()
    found = steps(Sequential([flatten, Dense(6), flatten], input_shape=(2, 3)))
    assert [(step.input_shape, step.output_shape) for step in found] == [((2, 3), (6,)), ((6,), (6,)), ((6,), (6,))]


def test_a_layer_alone_is_a_network() -> None:
    layer = Dense(2)
    Sequential([layer], input_shape=3)
    assert [(step.place, text(step.output)) for step in steps(layer)] == [("", "z¹")]


def test_sizes_must_be_known() -> None:
    with pytest.raises(NotBuiltError, match="Sequential: its sizes are not known yet"):
        steps(Sequential([Dense(3)]))
