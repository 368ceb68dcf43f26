"""The inner graphs of composites for sequences: run node by node, they compute what the network itself does."""

from typing import Any

import numpy as np
import pytest
from attrs import define

from deepbp import Sequential
from deepbp.errors import ConfigurationError, ContractError, NonFiniteError, ShapeError
from deepbp.layers import (
    GRU,
    L2,
    LSTM,
    BatchNorm,
    Bidirectional,
    Bilinear,
    Conv1D,
    CrossAttention,
    Dense,
    EncoderDecoder,
    GlobalAveragePool,
    InnerGraph,
    Layer,
    Masked,
    Node,
    Penalized,
    PerStep,
    ReLU,
    Residual,
    SelfAttention,
    SliceSteps,
    Tanh,
)
from deepbp.layers.observed_pass import ObservedPass
from deepbp.losses import MeanSquaredError, SoftmaxCrossEntropy
from deepbp.optimizers import SGD
from deepbp.plots import network_diagram
from deepbp.training import SignalMonitor

X = np.random.default_rng(0).normal(size=(4, 7, 3))
X[0, 4:], X[1, :2], X[2] = 0, 0, 0  # padding behind, before, and alone

NETWORKS: dict[str, Any] = {
    "masked": lambda: [
        Masked(
            [
                Bidirectional(GRU(4, return_sequences=True)),
                Residual([SelfAttention(2), Tanh()]),
                Dense(4),
                GlobalAveragePool(),
                BatchNorm(),  # which knows no mask, behind the steps, where the mask ends
                Dense(2),
            ]
        ),
    ],
    "decoder": lambda: [
        Dense(3),
        EncoderDecoder(
            [Dense(4), Bidirectional(LSTM(2, return_sequences=True))],
            [GRU(6, return_sequences=True), Residual(CrossAttention(2)), Tanh(), CrossAttention(3)],
            source_steps=3,
        ),
    ],
    "masked decoder": lambda: [
        EncoderDecoder(LSTM(2, return_sequences=True), [Dense(4), CrossAttention(2), GRU(2)], source_steps=3, padding=0)
    ],
    "per step": lambda: [
        PerStep([Dense(4), Penalized(Bilinear(3), weights=L2(0.1), outputs=L2(0.1)), ReLU()]),
        GRU(2, return_sequences=True),
    ],
    "steps of steps": lambda: [PerStep(PerStep([Dense(3), Tanh()]))],
}


def network(name: str) -> Sequential:
    shape: tuple[int | None, ...] = (7, 3) if name == "decoder" else (None, 3)
    shape = (2, *shape) if name == "steps of steps" else shape
    return Sequential(NETWORKS[name](), input_shape=shape, rng=0, dtype="float64")


@pytest.mark.parametrize("name", NETWORKS)
def test_nodes_compute_what_the_network_does(name: str, rng: np.random.Generator) -> None:
    net = network(name)
    x = np.stack([X, X[:, ::-1]], axis=1) if name == "steps of steps" else X
    run = ObservedPass.of(net)
    y, saved = net.forward(x)
    np.testing.assert_array_equal(run.forward(x), y)
    delta = rng.normal(size=y.shape)
    moved, gradients = run.backward(delta), run.parameter_gradients()
    for parameter in net.parameters():
        parameter.clear_grad()
    np.testing.assert_allclose(moved, net.backward(saved, delta), rtol=1e-13, atol=1e-15)
    for parameter in net.parameters():
        np.testing.assert_allclose(gradients[id(parameter)], parameter.grad, rtol=1e-13, atol=1e-15)
    assert np.isclose(run.penalty(), net.penalty(saved), rtol=1e-14)
    np.testing.assert_array_equal(run.predict(x), net.predict(x))
    for record in run.records:
        if record.node.is_signal:
            shape = record.node.output_shape
            assert record.output.shape[:1] == (len(x),), record.node.place
            assert record.output.ndim == 1 + len(shape), record.node.place


def test_everything_that_looks_at_a_network_looks_inside() -> None:
    net = network("decoder")
    y = np.zeros((4, 4, 6))
    rows = [row[0] for row in net.summary().rows]
    assert rows[1:5] == ["1 EncoderDecoder", "1.encoder Chain", "1.encoder.0 Dense", "1.encoder.1 Bidirectional"]
    assert rows[-1] == "1.decoder.3 CrossAttention"
    derivation = str(net.derivation(MeanSquaredError()))
    assert "a¹·ˢ = steps(z⁰, 0, 3)" in derivation
    assert "layer 1, EncoderDecoder: steps from 3 on" in derivation
    memory = "a¹·ᵉ·¹"
    assert "q¹·ᵈ·¹·ᵇ = a¹·ᵈ·⁰ W¹·ᵈ·¹·ᵇ + b¹·ᵈ·¹·ᵇ\n" in derivation  # the decoder's own signal
    assert f"z¹·ᵈ·¹·ᵇ = {memory} M¹·ᵈ·¹·ᵇ + c¹·ᵈ·¹·ᵇ\n" in derivation  # and the memory
    assert f"∂L/∂{memory} = ∂L/∂z¹·ᵈ·¹·ᵇ M¹·ᵈ·¹·ᵇᵀ + ∂L/∂z¹·ᵈ·³ M¹·ᵈ·³ᵀ " in derivation
    assert "δ⁰ = [∂L/∂a¹·ˢ, ∂L/∂a¹·ᵗ]" in derivation  # the steps of both, put together again
    trace = net.trace(X, y, MeanSquaredError())
    seen = trace["1.decoder.3"].inputs[1]
    np.testing.assert_array_equal(seen, trace["1.encoder.1"].output)
    assert trace["1.decoder.3"].passed_back[1].shape == seen.shape
    monitor = SignalMonitor(X, y)
    net.fit(X, y, loss=MeanSquaredError(), optimizer=SGD(0.1), callbacks=[monitor])
    assert "1.source" not in str(monitor.report())
    assert len(monitor.layers) == len(trace) - 2


def test_conditions_of_formulas_stand_beside_the_layers() -> None:
    masked = str(network("masked").derivation(SoftmaxCrossEntropy()))
    assert "layer 0.body.1.body.0, SelfAttention(2), without the padding" in masked
    assert "layer 0.body.2, Dense(4)\n" in masked  # a mask does not concern it
    assert "Dense(4), each step alone" in str(network("per step").derivation(MeanSquaredError()))
    net = Sequential([Masked([GlobalAveragePool()]), Dense(2)], input_shape=(4, 3), rng=0)
    with pytest.raises(ConfigurationError, match=r"script: layer 0.body.0, GlobalAveragePool"):
        net.script(MeanSquaredError(), SGD(0.1))


def test_the_diagram_shows_the_memory() -> None:
    pytest.importorskip("matplotlib")
    axes = network_diagram(network("decoder"))
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    assert heights["1.encoder.0 Dense"] > heights["1.encoder.1.layer LSTM"] > heights["1.decoder.0 GRU"]  # downwards
    assert {"steps 0 to 2", "steps from 3 on", "1.decoder.3 CrossAttention"} <= heights.keys()


def test_an_overflow_is_placed_inside() -> None:
    net = network("masked")
    weight = net.named_parameters()["0.body.2.weight"]
    weight.value = np.full(weight.value.shape, np.inf)
    with pytest.raises(NonFiniteError, match=r"layer 0, Masked > body, Chain > layer 2, Dense\(4\)"):
        net.fit(X, np.zeros((4, 2)), loss=MeanSquaredError(), optimizer=SGD(0.1))


def test_layers_that_know_no_mask_are_refused_there_too() -> None:
    net = Sequential([Masked([Dense(3), Conv1D(2, 3)])], input_shape=(7, 3), rng=0, dtype="float64")
    with pytest.raises(ConfigurationError, match=r"layer 0.body.1, Conv1D.* knows no mask"):
        ObservedPass.of(net).forward(X)


def test_slices_of_steps(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 5, 3))
    np.testing.assert_array_equal(SliceSteps(1, 4).forward([x]), x[:, 1:4])
    (moved,) = SliceSteps(3, None).backward([x], x[:, 3:])
    np.testing.assert_array_equal(moved[:, 3:], x[:, 3:])
    assert not moved[:, :3].any()
    assert SliceSteps(1, None).output_shape([(5, 3)]) == (4, 3)
    for start, stop in ((2, 6), (5, None), (2, 2), (-1, 2)):
        with pytest.raises(ShapeError, match="expected samples with these steps"):
            SliceSteps(start, stop).output_shape([(5, 3)])


@define(eq=False)
class Attending(Layer[Any]):
    """A composite whose graph names a memory that there is not."""

    layer: Layer[Any]

    def build(self, input_shape: Any, builder: Any) -> Any:
        return builder.build(self.layer, input_shape)

    def forward(self, x: Any) -> tuple[Any, Any]:
        return self.layer.forward(x)

    def backward(self, saved: Any, delta: Any) -> Any:
        return self.layer.backward(saved, delta)

    def inner_graph(self) -> InnerGraph:
        assert self.built is not None
        return InnerGraph(self.built.input_shape, [Node("layer", self.layer, memory="nothing")])


def test_a_memory_must_be_a_node_before() -> None:
    net = Sequential([Attending(Dense(2))], input_shape=3, rng=0)
    with pytest.raises(ContractError, match="node 'layer' takes 'nothing', which is not among those before it: 'x'"):
        net.summary()
