"""Files that PyTorch has written, the node tests of the ONNX project, and what export writes, as networks."""

import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.layers import (
    GELU,
    BatchNorm,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Embedding,
    Flatten,
    GlobalAveragePool,
    Layer,
    LayerNorm,
    MaxPool2D,
    PReLU,
    ReLU,
    Reshape,
    Residual,
    Scale,
    Shift,
    SiLU,
    Softmax,
    Tanh,
)
from deepbp.typing import Array, Shape

onnx = pytest.importorskip("onnx")
deepbp_onnx = pytest.importorskip("deepbp.onnx")
export, load = deepbp_onnx.export, deepbp_onnx.load
runner_of = pytest.importorskip("deepbp.onnx.onnx_export").runner_of
DATA = Path(__file__).parent / "data"

WRITTEN = {
    "mlp": "[Dense(16), GELU(), LayerNorm(), Dense(16), ReLU(), BatchNorm(), SiLU(), Dense(3, use_bias=False), "
    "Softmax()]",
    "acts": "[Dense(6), LeakyReLU(slope=0.2), Mish(), HardSwish(), ELU(), SELU(), CELU(alpha=0.5), Softplus(), Tanh(), "
    "Sigmoid(), ReLU6(), PReLU(shared=True), LogSigmoid(), HardSigmoid(), Softsign(), GELU(approximate='tanh'), "
    "LogSoftmax()]",
    "cnn": "[Conv2D(4, 3, padding=1), ReLU(), MaxPool2D(), Conv2D(4, 3, stride=2, groups=2), GELU(), Flatten(), "
    "Dense(5)]",
    "cnn2": "[Conv2D(2, 3, padding=1), ReLU(), AveragePool2D(), ConvTranspose2D(3, 2, stride=2), GlobalAveragePool(), "
    "Dense(2)]",
    "conv1d": "[Conv1D(4, 3, padding=1), ReLU(), MaxPool1D(), Flatten(), Dense(5)]",
    "res": "[Dense(8), Residual(Chain([Dense(8), ReLU(), Dense(8)])), ReLU(), "
    "Residual(Chain([Dense(8), ReLU(), Dense(8)]))]",
}


@pytest.mark.parametrize("path", sorted(DATA.glob("*.onnx")), ids=lambda path: path.stem)
def test_what_pytorch_exports(path: Path) -> None:
    """By both of its exporters; the outputs are PyTorch's own."""
    name = path.stem.partition("_")[0]
    with np.load(DATA / "outputs.npz") as arrays:
        x, y = arrays[f"{name}_x"], arrays[f"{name}_y"]
    net = load(path)
    assert repr(net).startswith(f"Sequential({WRITTEN[name]}, input_shape=")
    np.testing.assert_allclose(net.predict(np.moveaxis(x, 1, -1) if x.ndim > 2 else x), y, rtol=1e-5, atol=1e-6)


OF_KERAS = {
    "mlp": "[Dense(8), ReLU(), Shift(), Scale(), Shift(), Dense(3), Softmax()]",
    "cnn": "[Conv2D(4, 3, padding=1), ReLU(), MaxPool2D(), Conv2D(4, 3), Flatten(), Dense(3)]",
    "gap": "[Conv2D(4, 3), ReLU(), GlobalAveragePool(), Dense(3)]",
}
"""By ``model.export`` on PyTorch; "mlp" has a batch normalization, written out."""


@pytest.mark.parametrize("name", OF_KERAS)
def test_what_keras_exports(name: str) -> None:
    """Images have their channels last there, too; the outputs are Keras's own."""
    with np.load(DATA / "keras" / "outputs.npz") as arrays:
        x, y = arrays[f"{name}_x"], arrays[f"{name}_y"]
    net = load(DATA / "keras" / f"{name}.onnx")
    assert repr(net).startswith(f"Sequential({OF_KERAS[name]}, input_shape=")
    np.testing.assert_allclose(net.predict(x), y, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # of Keras
def test_a_model_of_keras_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Keras computes with PyTorch, which writes its files."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    for package in ("torch", "onnxscript"):
        pytest.importorskip(package)
    keras: Any = pytest.importorskip("keras")
    if keras.config.backend() != "torch":
        pytest.skip("Keras has begun to compute with another library")
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((7, 6, 2)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    x = np.random.default_rng(0).normal(size=(3, 7, 6, 2)).astype(np.float32)
    y = keras.ops.convert_to_numpy(model(x))
    model.export(str(tmp_path / "model.onnx"), format="onnx", verbose=False)
    np.testing.assert_allclose(load(tmp_path / "model.onnx").predict(x), y, rtol=1e-5, atol=1e-5)


AND_BACK: list[tuple[list[Layer[Any]], Shape, str]] = [
    ([Dense(4), Tanh(), Residual([Dense(4), SiLU()], Dense(4)), Dense(2, use_bias=False)], (3,), "float64"),
    ([Scale(), Shift(), PReLU(), BatchNorm(), LayerNorm(), Softmax()], (3,), "float32"),
    ([Conv2D(4, 3, padding="same"), BatchNorm(), ReLU(), MaxPool2D(2), GlobalAveragePool()], (12, 12, 1), "float32"),
    ([Conv2D(4, 3, stride=2, groups=2), GELU(), Flatten(), Dense(3), Softmax()], (5, 6, 2), "float32"),
    ([ConvTranspose2D(4, 3, stride=2, padding=1), PReLU(), Flatten(), Dense(1)], (3, 2, 2), "float32"),
    ([Conv1D(4, 3, padding="causal"), ReLU(), Flatten(), Reshape((4, 5)), Dense(2)], (5, 2), "float32"),
    ([Embedding(5, 3), Flatten(), Dense(2)], (4,), "float32"),
]  # fmt: skip


@pytest.mark.parametrize(("layers", "shape", "dtype"), AND_BACK, ids=lambda one: str(one)[:60])
def test_there_and_back(layers: list[Layer[Any]], shape: Shape, dtype: str) -> None:
    net = Sequential(layers, input_shape=shape, rng=0, dtype=dtype)
    for parameter in net.parameters():
        parameter.value = np.random.default_rng(1).normal(size=parameter.value.shape)
    again = load(export(net))
    assert [type(one) for one in again.layers] == [type(one) for one in net.layers]
    for (name, one), other in zip(again.named_parameters().items(), net.parameters(), strict=True):
        np.testing.assert_array_equal(one.value, other.value, err_msg=name)


def cases(module: str) -> list[Any]:
    """The node tests in one of ONNX's modules, which makes them when it is imported."""
    if tuple(map(int, onnx.__version__.split(".")[:2])) < (1, 23):
        pytest.skip("older versions have other modules")
    from onnx.backend.test.case import node

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        known = len(node._NodeTestCases)
        import_module(f"onnx.backend.test.case.node.{module}")
        return [*node._NodeTestCases[known:]]


def prepared(case: Any) -> tuple[Any, Array, Array] | None:
    """The model of a case, whose further inputs become constants, an input, and the output; None for other kinds."""
    (inputs, outputs), *_ = case.data_sets
    graph = case.model.graph
    if len(graph.node) != 1 or len(outputs) != 1 or not all(isinstance(one, np.ndarray) for one in (*inputs, *outputs)):
        return None
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for value, array in zip(list(model.graph.input)[1:], inputs[1:], strict=True):
        model.graph.input.remove(value)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
    x = inputs[0]
    return (model, x, outputs[0]) if x.dtype == np.float32 and x.ndim > 1 else None


AGREE = {
    "add": 1,
    "averagepool": 8,
    "batch_normalization": 2,
    "celu": 1,
    "conv": 5,
    "convtranspose": 6,
    "dropout": 2,
    "elu": 2,
    "gelu": 2,
    "gemm": 4,
    "globalaveragepool": 1,
    "globalmaxpool": 1,
    "hardswish": 1,
    "identity": 1,
    "leakyrelu": 2,
    "logsoftmax": 5,
    "matmul": 1,
    "maxpool": 8,
    "mul": 1,
    "prelu": 1,
    "reducemax": 2,
    "reducemean": 2,
    "relu": 1,
    "reshape": 1,
    "sigmoid": 1,
    "softmax": 5,
    "softplus": 1,
    "softsign": 1,
    "tanh": 1,
}
"""The modules of node tests, and how many of each are of one layer, whose numbers are ours; the others are refused."""

SLOW = ("averagepool", "maxpool")
MODULES = [pytest.param(name, marks=[pytest.mark.long] if name in SLOW else []) for name in AGREE]


@pytest.mark.parametrize("module", MODULES)
def test_the_node_tests_of_onnx(module: str) -> None:
    """A case is refused in words, or gives the numbers that ONNX states; and so does what is exported again."""
    agree = 0
    for case in cases(module):
        if (found := prepared(case)) is None:
            continue
        model, x, y = found
        kind = model.graph.node[0].op_type
        try:
            net = load(model)
        except ConfigurationError:
            continue
        images = x.ndim == 4 or (x.ndim == 3 and kind in ("Conv", "ConvTranspose", "MaxPool", "AveragePool"))
        given = np.moveaxis(x, 1, -1) if images else x
        expected = np.moveaxis(y, 1, -1) if images and y.ndim == x.ndim else y
        for predict in (net.predict, runner_of(export(net))):
            made = np.asarray(predict(given)).reshape(expected.shape)
            np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-6, err_msg=case.name)
        agree += 1
    assert agree >= AGREE[module]  # newer versions of onnx may have more


def test_other_graphs_are_refused_by_their_node() -> None:
    make = onnx.helper
    x, y = (make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 3]) for name in "xy")
    nodes = [make.make_node("Tanh", ["x"], ["h"], name="first"), make.make_node("Round", ["h"], ["y"], name="second")]
    model = make.make_model(make.make_graph(nodes, "graph", [x], [y]), opset_imports=[make.make_opsetid("", 17)])
    with pytest.raises(ConfigurationError, match=r"^node Round 'second': no layer is known for Round$"):
        load(model)
    nodes[1] = make.make_node("Add", ["h", "z"], ["y"])
    z = make.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["batch", 3])
    two = make.make_model(make.make_graph(nodes, "graph", [x, z], [y]), opset_imports=[make.make_opsetid("", 17)])
    with pytest.raises(ConfigurationError, match="expected one input and one output, got 2 and 1"):
        load(two)


def test_invalid_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ConfigurationError, match="expected a valid model of ONNX"):
        load(path)
    with pytest.raises(ArgumentTypeError, match="source: expected the name of a file"):
        load(3)
