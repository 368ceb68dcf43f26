"""Weights from files of deepbp and of PyTorch, whole or in part, with a report of what became of each array."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_tensors import file_of
from networks import X, small, values

import deepbp
from deepbp import Sequential, Trainer
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, FileFormatError, NotBuiltError
from deepbp.files import WeightsReport, weights_for
from deepbp.layers import (
    BatchNorm,
    Bilinear,
    Conv1D,
    Conv2D,
    ConvTranspose1D,
    ConvTranspose2D,
    Dense,
    DepthwiseConv2D,
    Embedding,
    Flatten,
    GroupNorm,
    LayerNorm,
    MaxPool1D,
    MaxPool2D,
    PReLU,
    ReLU,
    RMSNorm,
    Sigmoid,
    Tanh,
)
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD

DATA = Path(__file__).parent / "data"
OUTPUTS = json.loads((DATA / "torch_outputs.json").read_text())
SEQUENTIAL = [
    *(Dense(6), BatchNorm(), PReLU(), Dense(6), LayerNorm(), Tanh(), GroupNorm(2)),
    *(Dense(6, use_bias=False), RMSNorm(), PReLU(shared=True), Dense(6), Sigmoid(), Dense(3)),
]
IMAGES = [
    *(Conv2D(4, 3, padding=1), BatchNorm(), ReLU(), MaxPool2D(2)),
    Sequential([Conv2D(6, (2, 3), stride=(1, 2), groups=2, use_bias=False)]),
    ConvTranspose2D(4, 3, stride=2, padding=1, groups=2),
    *(DepthwiseConv2D(2, multiplier=2), Flatten(), BatchNorm(), Tanh(), Dense(32), Dense(2)),
]
SEQUENCES = [
    *(Conv1D(3, 3, dilation=2), MaxPool1D(2), ConvTranspose1D(2, 2, stride=2), Flatten(), Dense(3)),
]


def torch_named() -> Sequential:
    return Sequential([Dense(4), Sequential([Tanh(), Dense(4)]), Dense(4)], input_shape=4)


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("sequential", Sequential(SEQUENTIAL, input_shape=4)),
        ("embedding", Sequential([Embedding(5, 3), Flatten(), Dense(6), ReLU(), Dense(2)], input_shape=2)),
        ("bilinear", Sequential([Bilinear(4, sizes=(3, 2))], input_shape=5)),
        ("images", Sequential(IMAGES, input_shape=(6, 10, 3))),
        ("sequences", Sequential(SEQUENCES, input_shape=(9, 2))),
    ],
)
def test_pytorchs_numbers_come_out(name: str, network: Sequential) -> None:
    names = {"weight": "0.weight", "bias": "0.bias"} if name == "bilinear" else None
    report = network.load_weights(DATA / f"torch_{name}.safetensors", convention="pytorch", names=names)
    assert report.complete
    assert set(report.loaded) == {*network.named_parameters(), *network.named_buffers()}
    expected = OUTPUTS[name]
    np.testing.assert_allclose(network.predict(expected["x"]), expected["y"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "names",
    [
        {"encoder": "0", "body": "1", "decoder": "2"},
        {"encoder": "0", "body.1": "1.1", "decoder.weight": "2.weight", "decoder.bias": "2.bias"},
    ],
    ids=["layers", "arrays"],
)
def test_named_modules_are_told_which_layers_they_are(names: dict[str, str]) -> None:
    network = torch_named()
    network.load_weights(DATA / "torch_named.safetensors", convention="pytorch", names=names)
    np.testing.assert_allclose(network.predict(OUTPUTS["named"]["x"]), OUTPUTS["named"]["y"], rtol=1e-5, atol=1e-6)


def test_an_order_that_cannot_be_known_is_asked_for() -> None:
    network = torch_named()
    before = values(network)
    with pytest.raises(ConfigurationError) as caught:
        network.load_weights(DATA / "torch_named.safetensors", convention="pytorch")
    assert str(caught.value) == (
        "names: which of the modules ['body.1', 'decoder', 'encoder'] is which of the layers ['0', '1.1', '2'] cannot "
        "be told: say it, with names={'body.1': '0', ...}"
    )
    assert values(network) == before


def test_modules_are_taken_in_the_order_of_their_numbers() -> None:
    """Not of their letters, in which 10 comes before 2; and where the numbers here are others."""
    layers = [layer for layer in SEQUENTIAL if not isinstance(layer, Tanh | Sigmoid)]
    moved = Sequential([Sequential([Flatten(), *layers])], input_shape=4)
    moved.load_weights(DATA / "torch_sequential.safetensors", convention="pytorch")
    straight = Sequential(SEQUENTIAL, input_shape=4)
    straight.load_weights(DATA / "torch_sequential.safetensors", convention="pytorch")
    assert values(moved) == values(straight)


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_weights_of_a_network_of_the_same_layers(ending: str, tmp_path: Path) -> None:
    network, other = small(rng=1), small(rng=2, dtype="float64")
    report = other.load_weights(network.save(tmp_path / f"network{ending}"))
    assert report == WeightsReport(tuple(network.named_parameters()), (), (), {})
    assert repr(report) == "6 loaded"
    for ours, theirs in zip(network.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(theirs.value, ours.value)
        assert theirs.value.dtype == np.float64


def test_a_part_is_loaded_and_reported(tmp_path: Path) -> None:
    path = Sequential([Dense(4), Tanh(), Dense(5), BatchNorm()], input_shape=3, rng=0).save(tmp_path / "network.npz")
    network = Sequential([Dense(4), Tanh(), Dense(2), Dense(2)], input_shape=3, rng=1)
    before = values(network)
    with pytest.raises(ConfigurationError) as caught:
        network.load_weights(path)
    assert str(caught.value) == (
        f"{path}: expected what this network has: 2 loaded; 2 missing: 3.weight, 3.bias; 4 unexpected: 3.gain, "
        "3.shift, 3.running_mean, 3.running_variance; 2 of another shape: 2.weight (4, 5) for (4, 2), 2.bias (5,) for "
        "(2,): strict=False takes what fits"
    )
    assert values(network) == before
    report = network.load_weights(path, strict=False)
    assert report.loaded == ("0.weight", "0.bias")
    assert report.missing == ("3.weight", "3.bias")
    assert report.unexpected == ("3.gain", "3.shift", "3.running_mean", "3.running_variance")
    assert report.other_shapes == {"2.weight": ((4, 5), (4, 2)), "2.bias": ((5,), (2,))}
    assert not report.complete
    first: Any = deepbp.load(path)
    np.testing.assert_array_equal(network.named_parameters()["0.weight"].value, first[0].weight.value)
    report = network.load_weights(path, strict=False, names={"2": "3"})
    assert report.other_shapes == {"3.weight": ((4, 5), (2, 2)), "3.bias": ((5,), (2,))}


def test_a_training_goes_on_with_them(tmp_path: Path) -> None:
    path = small(rng=1).save(tmp_path / "network.npz")
    network = small(rng=2)
    trainer = Trainer(network, MeanSquaredError(), SGD(0.1))
    trainer.step(X, X[:, :2])
    network.load_weights(path)
    trainer.step(X, X[:, :2])
    other: Any = deepbp.load(path)
    Trainer(other, MeanSquaredError(), SGD(0.1)).step(X, X[:, :2])
    assert values(network) == values(other)


def test_numbers_that_a_dtype_cannot_hold_change_nothing(tmp_path: Path) -> None:
    large: Any = Sequential([Dense(2), Dense(2)], input_shape=2, dtype="float64", rng=0)
    large[1].weight.value[0, 0] = 1e300
    path = large.save(tmp_path / "network.npz")
    network = Sequential([Dense(2), Dense(2)], input_shape=2, rng=1)
    before = values(network)
    with pytest.raises(DataError, match=r"array '1.weight': expected numbers that float32 can hold, got 1e\+300"):
        network.load_weights(path)
    assert values(network) == before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"strict": 1}, ArgumentTypeError, "strict: expected True or False, got 1"),
        ({"convention": "tf"}, ConfigurationError, "convention: expected 'deepbp', 'keras' or 'pytorch', got 'tf'"),
        ({"names": ["0"]}, ArgumentTypeError, r"names: expected the file's names to the network's, got \['0'\]"),
        ({"names": {"0": 1}}, ArgumentTypeError, "names: expected the file's names to the network's, got {'0': 1}"),
        ({"names": {"fc": "0"}}, ConfigurationError, "names: the file has no 'fc', only 0.weight, 0.bias, "),
        ({"names": {"0": "9"}}, ConfigurationError, "names: the network has no '9', only 0.weight, 0.bias, "),
        ({"names": {"0.weight": "0"}}, ConfigurationError, "names: the network has no '0', only 0.weight, 0.bias, "),
        ({"names": {"0": "3"}}, ConfigurationError, "names: 2 arrays would go to '3.weight'"),
        ({"limit": 10}, FileFormatError, "expected at most 10 bytes, got "),
    ],
    ids=str,
)
def test_options_that_make_no_sense(
    options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    network = small()
    path = network.save(tmp_path / "network.npz")
    with pytest.raises(error, match=message):
        network.load_weights(path, **options)


def test_networks_and_files_that_make_no_sense(tmp_path: Path) -> None:
    path = small().save(tmp_path / "network.npz")
    with pytest.raises(NotBuiltError, match="its sizes are not known yet"):
        Sequential([Dense(2)]).load_weights(path)
    with pytest.raises(
        FileFormatError, match=r"expected a network, got arrays .* net.load_weights\(path, convention='py"
    ):
        deepbp.load(DATA / "torch_named.safetensors")
    with pytest.raises(ConfigurationError, match=r"path: expected a name that ends in .npz or .safetensors"):
        small().load_weights(tmp_path / "weights.pt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("9" * 5000 + ".weight", "expected a name of at most 1000 printable characters"),
        ("\x1b[2J.weight", r"tensor '\\x1b\[2J\.weight': expected a name of at most 1000 printable characters"),
    ],
    ids=["5000 digits", "terminal codes"],
)
def test_names_of_other_programs(name: str, message: str, tmp_path: Path) -> None:
    header = {name: {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}}
    (tmp_path / "a.safetensors").write_bytes(file_of(header, bytes(8)))
    linear = Sequential([Dense(1, use_bias=False)], input_shape=2)
    with pytest.raises(FileFormatError, match=message) as caught:
        linear.load_weights(tmp_path / "a.safetensors", convention="pytorch")
    assert len(str(caught.value)) < 1500


def test_modules_with_long_numbers_are_in_their_order(tmp_path: Path) -> None:
    names = ["2" + "0" * 900, "1" + "0" * 900, "0" * 900 + "3"]
    header = {
        f"{name}.weight": {"dtype": "F32", "shape": [1, 1], "data_offsets": [4 * i, 4 * i + 4]}
        for i, name in enumerate(names)
    }
    (tmp_path / "a.safetensors").write_bytes(file_of(header, np.array([2, 1, 0], "<f4").tobytes()))
    network = Sequential([Dense(1, use_bias=False) for _ in names], input_shape=1)
    network.load_weights(tmp_path / "a.safetensors", convention="pytorch")
    assert [float(layer.weight.value[0, 0]) for layer in network.layers] == [0, 1, 2]


@pytest.mark.parametrize("name", ["images", "sequences"])
def test_weights_of_images_as_pytorch_has_them(name: str) -> None:
    """What ``load_weights`` has read comes out as it was in the file, for a Dense behind Flatten, too."""
    load_file = pytest.importorskip("safetensors.numpy").load_file
    network = {
        "images": Sequential(IMAGES, input_shape=(6, 10, 3)),
        "sequences": Sequential(SEQUENCES, input_shape=(9, 2)),
    }[name]
    path = DATA / f"torch_{name}.safetensors"
    network.load_weights(path, convention="pytorch")
    file = {key: value for key, value in load_file(path).items() if not key.endswith("num_batches_tracked")}
    made = weights_for(network, "pytorch")
    assert len(made) == len(file)
    for one, other in zip(made.values(), sorted(file.items(), key=lambda item: _place(item[0])), strict=True):
        np.testing.assert_array_equal(one, other[1])


def _place(name: str) -> tuple[int, int]:
    kinds = ("weight", "bias", "running_mean", "running_var")
    return int(name.split(".")[0]), kinds.index(name.split(".")[1])


def test_depthwise_kernels_of_keras(tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.numpy").save_file
    network = Sequential([DepthwiseConv2D(2, multiplier=3), Flatten(), Dense(2)], input_shape=(4, 4, 2), rng=0)
    arrays = weights_for(network, "keras")
    kernel = arrays["arr_0"]
    assert kernel.shape == (2, 2, 2, 3)
    np.testing.assert_array_equal(kernel[:, :, 1, 2], network[0].weight.value[:, :, 0, 5])
    other = Sequential([DepthwiseConv2D(2, multiplier=3), Flatten(), Dense(2)], input_shape=(4, 4, 2), rng=1)
    save_file(arrays, tmp_path / "keras.safetensors")
    assert other.load_weights(tmp_path / "keras.safetensors", convention="keras").complete
    for one, same in zip(network.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(one.value, same.value)
