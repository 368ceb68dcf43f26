"""Weights of recurrent layers and attention from PyTorch and Keras: several arrays there are one here."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ConfigurationError
from deepbp.files import weights_for
from deepbp.files.foreign_arrays import gates_of_keras
from deepbp.layers import (
    GRU,
    LSTM,
    BatchNorm,
    Bidirectional,
    Dense,
    Embedding,
    LayerNorm,
    Maxout,
    SelfAttention,
    SimpleRNN,
)
from deepbp.typing import Array


def file_of(arrays: dict[str, Array]) -> bytes:
    """A safetensors file."""
    header: dict[str, Any] = {}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(array.tobytes() for array in arrays.values())


def draw(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def recurrent(gates: int, units: int, features: int, suffix: str = "_l0") -> dict[str, Array]:
    return {
        f"weight_ih{suffix}": draw(gates * units, features),
        f"weight_hh{suffix}": draw(gates * units, units),
        f"bias_ih{suffix}": draw(gates * units),
        f"bias_hh{suffix}": 2 * draw(gates * units),
    }


def inside(module: str, arrays: dict[str, Array]) -> dict[str, Array]:
    return {f"{module}.{name}": array for name, array in arrays.items()}


def test_two_biases_of_pytorch_are_one() -> None:
    theirs = recurrent(4, 3, 2)
    net = Sequential([LSTM(3)], input_shape=(5, 2))
    assert net.load_weights(file_of(inside("0", theirs)), convention="pytorch").complete
    (lstm,) = net.layers
    np.testing.assert_array_equal(lstm.weight.value, theirs["weight_ih_l0"].T)
    np.testing.assert_array_equal(lstm.recurrent_weight.value, theirs["weight_hh_l0"].T)
    np.testing.assert_array_equal(lstm.bias.value, theirs["bias_ih_l0"] + theirs["bias_hh_l0"])


def test_the_candidate_of_a_gru_keeps_its_second_bias() -> None:
    theirs = recurrent(3, 4, 2)
    net = Sequential([GRU(4)], input_shape=(5, 2))
    net.load_weights(file_of(inside("gru", theirs)), convention="pytorch", names={"gru": "0"})
    (gru,) = net.layers
    one, other = theirs["bias_ih_l0"], theirs["bias_hh_l0"]
    np.testing.assert_array_equal(gru.bias.value, [*(one + other)[:8], *one[8:]])
    np.testing.assert_array_equal(gru.hidden_bias.value, other[8:])


def test_directions_and_layers_of_one_module() -> None:
    theirs = {**recurrent(1, 2, 3), **recurrent(1, 2, 3, "_l0_reverse")}
    theirs |= {**recurrent(1, 2, 4, "_l1"), **recurrent(1, 2, 4, "_l1_reverse")}
    layers = [Bidirectional(SimpleRNN(2, return_sequences=True)) for _ in range(2)]
    net = Sequential(layers, input_shape=(5, 3))
    report = net.load_weights(file_of(inside("rnn", theirs)), convention="pytorch", names={"rnn.0": "0", "rnn.1": "1"})
    assert report.complete
    np.testing.assert_array_equal(layers[0].layer.weight.value, theirs["weight_ih_l0"].T)
    np.testing.assert_array_equal(layers[1].reversed_layer.recurrent_weight.value, theirs["weight_hh_l1_reverse"].T)


def test_attention_of_pytorch() -> None:
    theirs = {"in_proj_weight": draw(12, 4), "in_proj_bias": draw(12)}
    theirs |= {"out_proj.weight": draw(4, 4), "out_proj.bias": draw(4)}
    net = Sequential([SelfAttention(2)], input_shape=(5, 4))
    assert net.load_weights(file_of(inside("0", theirs)), convention="pytorch").complete
    (attention,) = net.layers
    np.testing.assert_array_equal(attention.weight.value, theirs["in_proj_weight"].T)
    np.testing.assert_array_equal(attention.output_weight.value, theirs["out_proj.weight"].T)


def test_arrays_of_other_shapes_are_reported() -> None:
    theirs = recurrent(4, 3, 2)
    net = Sequential([LSTM(4)], input_shape=(5, 2))
    with pytest.raises(ConfigurationError, match=r"of another shape: 0\.weight"):
        net.load_weights(file_of(inside("0", theirs)), convention="pytorch")
    theirs["bias_hh_l0"] = draw(5)
    with pytest.raises(ConfigurationError, match="unexpected: "):
        net.load_weights(file_of(inside("0", theirs)), convention="pytorch")


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_outputs_are_those_of_pytorch(kind: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    save = pytest.importorskip("safetensors.torch").save_file
    peer = torch.nn.Sequential(getattr(torch.nn, kind)(3, 5, batch_first=True, bidirectional=True))
    save(peer.state_dict(), tmp_path / "peer.safetensors")
    own: Any = {"RNN": SimpleRNN, "GRU": GRU, "LSTM": LSTM}[kind]
    net = Sequential([Bidirectional(own(5, return_sequences=True))], input_shape=(None, 3))
    net.load_weights(tmp_path / "peer.safetensors", convention="pytorch", names={"0": "0"})
    x = draw(2, 6, 3)
    with torch.no_grad():
        expected = peer[0](torch.from_numpy(x))[0].numpy()
    np.testing.assert_allclose(net.predict(x), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("convention", ["pytorch", "keras"])
def test_weights_for_other_libraries_can_be_loaded_again(convention: Any) -> None:
    def network(seed: int) -> Sequential:
        own = [Embedding(7, 4), Bidirectional(GRU(3, return_sequences=True)), LayerNorm(), SelfAttention(2)]
        return Sequential([*own, LSTM(4, return_sequences=True), SimpleRNN(2), Dense(3)], input_shape=(5,), rng=seed)

    net, other = network(0), network(1)
    for parameter in net.parameters():
        parameter.value = parameter.value + draw(*parameter.value.shape)
    arrays = weights_for(net, convention)
    assert other.load_weights(file_of(arrays), convention=convention).complete
    for name, parameter in net.named_parameters().items():
        np.testing.assert_array_equal(other.named_parameters()[name].value, parameter.value)
    with pytest.raises(ConfigurationError, match="PyTorch has no module for Maxout"):
        weights_for(Sequential([Maxout(2)], input_shape=3), "pytorch")


def test_arrays_of_keras_in_the_order_of_the_layers() -> None:
    theirs = [draw(2, 12), draw(4, 12), draw(2, 12), *(draw(4, i)[:, 0] for i in range(1, 5)), draw(4, 3), draw(3)]
    file = file_of({f"arr_{i}": array for i, array in enumerate(theirs)})
    net = Sequential([GRU(4), BatchNorm(), Dense(3)], input_shape=(5, 2))
    assert net.load_weights(file, convention="keras").complete
    gru, norm, dense = net.layers
    np.testing.assert_array_equal(gru.weight.value, gates_of_keras(theirs[0]))
    np.testing.assert_array_equal(gru.weight.value[:, :4], theirs[0][:, 4:8])  # z, r, h becomes r, u, n
    one, other = gates_of_keras(theirs[2])
    np.testing.assert_array_equal(gru.bias.value, [*(one + other)[:8], *one[8:]])
    np.testing.assert_array_equal(gru.hidden_bias.value, other[8:])
    np.testing.assert_array_equal(norm.running_mean.value, theirs[5])
    np.testing.assert_array_equal(dense.weight.value, theirs[7])
    short = Sequential([Dense(3)], input_shape=2)
    with pytest.raises(ConfigurationError, match="expected 2 arrays of a Keras model, arr_0, arr_1"):
        short.load_weights(file, convention="keras")
