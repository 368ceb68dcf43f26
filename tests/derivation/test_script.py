"""Networks written out as scripts: no deepbp in them, and the numbers of ``fit``, to the last bit where they can be."""

from typing import Any

import numpy as np
import pytest
from nets import X, Y, notes_net

from deepbp import Sequential, kernels
from deepbp.errors import ConfigurationError
from deepbp.initializers import Ones
from deepbp.layers import GELU, Dense, Dropout, FormulaLayer, LayerNorm, ReLU, Residual, Sigmoid, Softmax, Tanh
from deepbp.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy, SumSquaredError
from deepbp.optimizers import SGD, Adam, Optimizer

RNG = np.random.default_rng(4)
INPUTS, TARGETS = RNG.standard_normal((6, 4)), RNG.standard_normal((6, 2))


@pytest.fixture(autouse=True)
def numpys_kernels() -> Any:
    before = kernels.current()
    kernels.use("numpy")
    yield
    kernels.use(before)  # type: ignore[arg-type]


def run(source: str) -> dict[str, Any]:
    assert "deepbp" not in source
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return namespace


def trained(
    net: Sequential, loss: Loss[Any], optimizer: Optimizer, x: Any, y: Any
) -> tuple[dict[str, Any], list[float]]:
    source = run(net.script(loss, optimizer))
    history = net.fit(x, y, loss=loss, optimizer=optimizer, epochs=4, batch_size=None, shuffle=False)
    losses = [source["step"](x, y) for _ in range(4)]
    np.testing.assert_allclose(losses, history["loss"], rtol=1e-5)
    return source, losses


def test_the_notes_net_is_the_notes_script() -> None:
    net = notes_net()
    source = net.script(SumSquaredError(), SGD(1.0))
    lines = [line.strip().partition("  #")[0] for line in source.splitlines()]
    for line in (
        "layer1 = sigmoid(np.dot(layer0, weights1))",
        "layer2 = sigmoid(np.dot(layer1, weights2))",
        "error2 = 2 * (y - layer2) * layer2 * (1 - layer2)",
        "error1 = np.dot(error2, weights2.T) * layer1 * (1 - layer1)",
        "d2 = np.dot(layer1.T, error2)",
        "d1 = np.dot(layer0.T, error1)",
        "weights2 = weights2 + d2",
        "weights1 = weights1 + d1",
    ):
        assert line in lines
    assert lines.index("d2 = np.dot(layer1.T, error2)") < lines.index("weights2 = weights2 + d2")
    found, _ = trained(net, SumSquaredError(), SGD(1.0), X, Y)
    np.testing.assert_array_equal(found["weights1"], net.layers[0].weight.value)
    np.testing.assert_array_equal(found["weights2"], net.layers[2].weight.value)
    np.testing.assert_array_equal(found["predict"](X), net.predict(X))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [SGD(0.01), SGD(0.01, 0.9), SGD(0.01, weight_decay=0.1)], ids=str)
def test_a_script_has_the_bytes_of_fit(dtype: str, optimizer: Optimizer) -> None:
    swish = FormulaLayer("x * sigmoid(slope * x)", slope=Ones())
    layers = [Dense(5), Tanh(), Dense(3, use_bias=False), swish, Dense(3), ReLU(), Dense(2), Sigmoid()]
    net = Sequential(layers, input_shape=4, rng=0, dtype=dtype)
    found, _ = trained(net, MeanSquaredError(), optimizer, INPUTS, TARGETS)
    for name, place in {"weight0": 0, "bias0": 0, "weight2": 2, "slope3": 3, "weight4": 4, "weight6": 6}.items():
        held = getattr(net.layers[place], name[:-1]).value
        np.testing.assert_array_equal(found[name], held)
        assert found[name].dtype == dtype
    np.testing.assert_array_equal(found["predict"](INPUTS), net.predict(INPUTS))


@pytest.mark.parametrize(
    ("layers", "loss", "optimizer", "targets"),
    [
        ([Dense(3), LayerNorm(), GELU(), Dense(3)], SoftmaxCrossEntropy(), Adam(0.01), np.array([0, 1, 2, 0, 1, 2])),
        ([Dense(3), Softmax(), Dense(2)], SumSquaredError(0.5), SGD(0.01, 0.5, nesterov=True), TARGETS),
    ],
    ids=["classes", "softmax"],
)
def test_other_layers_losses_and_optimizers_are_equal_to_rounding(
    layers: list[Any], loss: Loss[Any], optimizer: Optimizer, targets: Any
) -> None:
    net = Sequential(layers, input_shape=4, rng=0, dtype="float64")
    found, _ = trained(net, loss, optimizer, INPUTS, targets)
    np.testing.assert_allclose(found["predict"](INPUTS), net.predict(INPUTS), rtol=1e-7)


def test_a_shared_layer_adds_its_gradients() -> None:
    shared = Dense(4)
    net = Sequential([shared, Tanh(), shared], input_shape=4, rng=0, dtype="float64")
    found, _ = trained(net, SumSquaredError(), SGD(0.01), INPUTS, INPUTS)
    np.testing.assert_allclose(found["weight0"], shared.weight.value, rtol=1e-12)


def test_large_weights_are_read_from_a_file() -> None:
    source = Sequential([Dense(30)], input_shape=40, rng=0).script(SumSquaredError(), SGD(0.1))
    assert "weight0 = np.load('weights.npz')['0.weight']  # (40, 30)" in source


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Dropout(), r"the same in each pass .*: write .*, net\[1:\]"),
        (Residual(Dense(4)), "a chain of layers"),
    ],
    ids=["random", "branches"],
)
def test_what_cannot_be_written_is_named(layer: Any, message: str) -> None:
    net = Sequential([layer], input_shape=4, rng=0)
    with pytest.raises(ConfigurationError, match=message):
        net.script(SumSquaredError(), SGD(0.1))
    with pytest.raises(ConfigurationError, match="not a schedule"):
        Sequential([Dense(1)], input_shape=4, rng=0).script(MeanSquaredError(), SGD(lambda step: 0.1))
