"""Recurrent networks that PyTorch has exported, with its outputs: gates, directions, first states and layouts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ConfigurationError
from deepbp.layers import GRU, LSTM, Bidirectional, Dense, Embedding, Layer, SimpleRNN, Tanh

onnx = pytest.importorskip("onnx")
deepbp_onnx = pytest.importorskip("deepbp.onnx")
export, load = deepbp_onnx.export, deepbp_onnx.load
DATA = Path(__file__).parent / "data" / "recurrent"

WRITTEN = {
    "gru_dynamo": "[GRU(4), Dense(2)], input_shape=(5, 3)",
    "gru_script": "[Bidirectional(GRU(4, return_sequences=True)), Bidirectional(GRU(4, return_sequences=True)), "
    "Dense(2)], input_shape=(None, 3)",
    "lstm_dynamo": "[Bidirectional(LSTM(4)), Dense(2)], input_shape=(5, 3)",
    "lstm_script": "[LSTM(4, return_sequences=True), LSTM(4), Dense(2)], input_shape=(None, 3)",
    "rnn_script": "[SimpleRNN(4, return_sequences=True), GlobalAveragePool(), Dense(2)], input_shape=(5, 3)",
    "started_script": "[LSTM(4, initial_state='learned'), Dense(2)], input_shape=(5, 3)",
    "steps_dynamo": "[GRU(4, return_sequences=True), Dense(2)], input_shape=(5, 3)",
    "steps_script": "[LSTM(4, return_sequences=True), LSTM(4, return_sequences=True), Dense(2)], input_shape=(None, 3)",
    "words_dynamo": "[Embedding(7, 3), GRU(4), Dense(2)], input_shape=(5,)",
}
"""By both exporters of PyTorch; the steps come first in "steps", as they do without ``batch_first``."""


@pytest.mark.parametrize("name", WRITTEN)
def test_what_pytorch_exports(name: str) -> None:
    """The weights are random, so that another order of gates, or of directions, gives other numbers."""
    with np.load(DATA / "outputs.npz") as arrays:
        x, y = arrays[f"{name}_x"], arrays[f"{name}_y"]
    net = load(DATA / f"{name}.onnx")
    assert repr(net).startswith(f"Sequential({WRITTEN[name]}")
    if name.startswith("steps"):
        x, y = np.swapaxes(x, 0, 1), np.swapaxes(y, 0, 1)
    np.testing.assert_allclose(net.predict(x), y, rtol=1e-5, atol=1e-6)


AND_BACK: list[tuple[list[Layer[Any]], Any]] = [
    ([GRU(4, return_sequences=True), LSTM(3), Dense(2)], (5, 3)),
    ([SimpleRNN(4, reverse=True, initial_state="learned", return_sequences=True), Tanh(), GRU(2)], (None, 3)),
    ([Bidirectional(LSTM(3, return_sequences=True)), Bidirectional(GRU(3)), Dense(2)], (4, 3)),
    ([Embedding(6, 3), LSTM(4, return_sequences=True, reverse=True), Dense(2)], (5,)),
]


@pytest.mark.parametrize(("layers", "shape"), AND_BACK, ids=lambda one: str(one)[:60])
def test_there_and_back(layers: list[Layer[Any]], shape: Any) -> None:
    net = Sequential(layers, input_shape=shape, rng=0)
    for parameter in net.parameters():
        parameter.value = np.random.default_rng(1).normal(size=parameter.value.shape)
    again = load(export(net))
    assert repr(again) == repr(net)
    for (name, one), other in zip(again.named_parameters().items(), net.parameters(), strict=True):
        np.testing.assert_array_equal(one.value, other.value, err_msg=name)


def refusal(change: Any) -> str:
    model = export(Sequential([GRU(4, return_sequences=True)], input_shape=(5, 3), rng=0))
    (node,) = (node for node in model.graph.node if node.op_type == "GRU")
    change(node)
    with pytest.raises(ConfigurationError) as caught:
        load(model)
    return str(caught.value)


def test_other_operators_are_refused_by_their_attribute() -> None:
    def words(*activations: str) -> Any:
        return lambda node: node.attribute.append(onnx.helper.make_attribute("activations", activations))

    place = "node GRU '0/GRU_2': "
    assert refusal(words("Sigmoid", "Relu")) == f"{place}activations: expected Sigmoid, Tanh, got Sigmoid, Relu"
    [limit] = [onnx.helper.make_attribute("clip", 2.0)]
    assert refusal(lambda node: node.attribute.append(limit)) == f"{place}clip: expected 0.0, got 2.0"

    def before_the_product(node: Any) -> None:
        (place,) = (i for i, one in enumerate(node.attribute) if one.name == "linear_before_reset")
        del node.attribute[place]

    assert refusal(before_the_product) == f"{place}linear_before_reset: expected 1, got 0"
