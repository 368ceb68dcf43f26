"""A composite that states its inner graph is transparent: everything that looks at a network sees its sublayers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from attrs import define, frozen

from deepbp import Sequential, Trainer
from deepbp.errors import ContractError, NonFiniteError, NotBuiltError, ShapeError
from deepbp.initializers import Constant
from deepbp.layers import (
    L2,
    Builder,
    Chain,
    Dense,
    Dropout,
    Expression,
    InnerGraph,
    Layer,
    MergeBy,
    Node,
    Operation,
    Parallel,
    Penalized,
    PenaltyTerm,
    Repeat,
    Residual,
    Sigmoid,
    SliceColumns,
    Softmax,
    Split,
    Tanh,
)
from deepbp.layers.observed_pass import ObservedPass, flattened, stated_graph
from deepbp.losses import CrossEntropy, SoftmaxCrossEntropy, SumSquaredError
from deepbp.optimizers import SGD
from deepbp.testing import check_layer
from deepbp.training import SignalMonitor
from deepbp.typing import Array, Shape

X = np.random.default_rng(1).normal(size=(6, 3))
Y = np.random.default_rng(2).normal(size=(6, 2))
LARGE = Constant(1e30)


@define(eq=False)
class Gated(Layer[Any]):
    """y = body(x) · gate(x), a user's composite of two branches; a black box."""

    body: Layer[Any]
    gate: Layer[Any]

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        builder.build(self.gate, input_shape)
        return builder.build(self.body, input_shape)

    def forward(self, x: Array) -> tuple[Array, Any]:
        (y, saved), (gate, gate_saved) = self.body.forward(x), self.gate.forward(x)
        return y * gate, (y, gate, saved, gate_saved)

    def backward(self, saved: Any, delta: Array) -> Array:
        y, gate, body_saved, gate_saved = saved
        return self.body.backward(body_saved, delta * gate) + self.gate.backward(gate_saved, delta * y)


@define(eq=False)
class OpenGated(Gated):
    """The same, transparent."""

    def forward(self, x: Array) -> tuple[Array, Any]:
        return super().forward(x)

    def backward(self, saved: Any, delta: Array) -> Array:
        return super().backward(saved, delta)

    def inner_graph(self) -> InnerGraph:
        assert self.built is not None
        nodes = [
            Node("body", self.body),
            Node("gate", self.gate),
            Node("y", MergeBy("multiply"), ["body", "gate"]),
        ]
        return InnerGraph(self.built.input_shape, nodes, "y = body(x) · gate(x)")


@define(eq=False)
class Highway(Layer[Any]):
    """y = t h(x) + (1 − t) x with t = gate(x)."""

    body: Layer[Any]
    gate: Layer[Any]

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        builder.build(self.body, input_shape)
        return builder.build(self.gate, input_shape)

    def forward(self, x: Array) -> tuple[Array, Any]:
        (h, saved), (t, gate_saved) = self.body.forward(x), self.gate.forward(x)
        return t * h + (1 - t) * x, (x, h, t, saved, gate_saved)

    def backward(self, saved: Any, delta: Array) -> Array:
        x, h, t, body_saved, gate_saved = saved
        through_gate = self.gate.backward(gate_saved, delta * (h - x))
        through_body = self.body.backward(body_saved, delta * t)
        moved: Array = through_body + through_gate + delta * (1 - t)
        return moved

    def inner_graph(self) -> InnerGraph:
        assert self.built is not None
        combined = Expression("t * h + (1 - t) * x", {"h": "t", "t": "h - x", "x": "1 - t"})
        nodes = [Node("body", self.body), Node("gate", self.gate), Node("y", combined, ["body", "gate", "x"])]
        return InnerGraph(self.built.input_shape, nodes)


def gated() -> list[Layer[Any]]:
    return [Chain([Dense(4), Tanh()]), Chain([Dense(4), Sigmoid()])]


def net(block: Layer[Any], *after: Layer[Any], dtype: str = "float64") -> Sequential:
    return Sequential([block, *(after or [Dense(2)])], input_shape=3, rng=3, dtype=dtype)


INSIDE = ["0.body.0", "0.body.1", "0.gate.0", "0.gate.1", "0", "1"]


class TestTransparent:
    """A user's composite with a graph of three lines."""

    def test_the_layer_is_right(self) -> None:
        check_layer(OpenGated(*gated()), 3)
        check_layer(Highway(Dense(3), Chain([Dense(3), Sigmoid()])), 3)

    def test_summary(self) -> None:
        rows = net(OpenGated(*gated())).summary().rows
        assert [(row[0], row[1]) for row in rows] == [
            ("0 OpenGated", "(4,)"),
            ("0.body Chain", ""),
            ("0.body.0 Dense", "(4,)"),
            ("0.body.1 Tanh", "(4,)"),
            ("0.gate Chain", ""),
            ("0.gate.0 Dense", "(4,)"),
            ("0.gate.1 Sigmoid", "(4,)"),
            ("1 Dense", "(2,)"),
        ]
        assert rows[0][3] == "y = body(x) · gate(x)"

    def test_trace_and_explanation(self) -> None:
        one, other = (net(kind(*gated())).trace(X, Y, SumSquaredError()) for kind in (OpenGated, Gated))
        assert [step.step.place for step in one.steps] == INSIDE
        assert [step.step.place for step in other.steps] == ["0", "1"]  # a black box
        assert one.loss == other.loss
        for name, gradient in one.gradients.items():
            np.testing.assert_allclose(gradient, other.gradients[name], rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(one["0"].output, one["0.body.1"].output * one["0.gate.1"].output)
        np.testing.assert_array_equal(one["0"].passed_back[1], one["0"].delta * one["0.body.1"].output)
        explanation = one.explain("0.gate.0.weight", (1, 2))
        assert explanation.gradient == pytest.approx(explanation.numeric, rel=1e-7)
        assert "back through layer 0, OpenGated: times the other factors" in str(explanation)

    def test_derivation(self) -> None:
        page = str(net(OpenGated(*gated())).derivation(SumSquaredError()))
        assert "black box" not in page
        assert "layer 0, OpenGated: its branches, multiplied" in page
        assert "black box" in str(net(Gated(*gated())).derivation(SumSquaredError()))

    def test_derivation_of_an_expression(self) -> None:
        network = net(Highway(Dense(3), Chain([Dense(3), Sigmoid()])))
        page = str(network.derivation(SumSquaredError()))
        assert "layer 0, Highway: its branches, combined" in page
        assert "back through layer 0, Highway: times the derivative by t" in page
        trace = network.trace(X, Y, SumSquaredError())
        t, h = trace["0.gate.1"].output, trace["0.body"].output
        np.testing.assert_allclose(trace["0"].output, t * h + (1 - t) * X)
        assert "<math" in network.derivation(SumSquaredError()).to_html()
        explanation = trace.explain("0.body.weight", (0, 1))
        assert explanation.gradient == pytest.approx(explanation.numeric, rel=1e-7)

    def test_signals(self) -> None:
        network = net(OpenGated(*gated()))
        monitor = SignalMonitor(X, Y)
        signals = monitor.look(Trainer(network, SumSquaredError(), SGD(0.1)))
        places = ["0.body.0 Dense", "0.body.1 Tanh", "0.gate.0 Dense", "0.gate.1 Sigmoid", "0 OpenGated", "1 Dense"]
        assert monitor.layers == tuple(places)
        trace = network.trace(X, Y, SumSquaredError())
        sizes = [np.sqrt(np.mean(trace[place].output ** 2)) for place in INSIDE]
        np.testing.assert_allclose(signals.activations, sizes)
        deltas = [np.sqrt(np.mean(trace[place].delta ** 2)) for place in INSIDE]
        np.testing.assert_allclose(signals.error_signals, deltas)
        np.testing.assert_array_equal(np.isnan(signals.gradients), [False, True, False, True, True, False])

    def test_signals_inside_composites_of_deepbp(self) -> None:
        split, penalized = Split([Dense(2), None], sizes=(2, 1)), Penalized(Dense(2), weights=L2(1))
        network = net(Residual([Dense(3), Tanh()]), split, penalized)
        monitor = SignalMonitor(X, Y)
        monitor.look(Trainer(network, SumSquaredError(), SGD(0.1)))
        inside = ("0.body.0 Dense", "0.body.1 Tanh", "0 Residual", "1.branches.0 Dense", "1 Split", "2.layer Dense")
        assert monitor.layers == inside

    @pytest.mark.parametrize(
        ("block", "place"),
        [
            (
                OpenGated(Dense(4), Chain([Dense(4), Dense(4, weight_init=LARGE)])),
                "gate, Chain > layer 1",
            ),
            (Residual([Dense(3, weight_init=LARGE), Tanh()]), "body, Chain > layer 0"),
            (Gated(Dense(4, weight_init=LARGE), Dense(4)), None),
        ],
    )
    def test_the_first_overflow_is_found_inside(self, block: Layer[Any], place: str | None) -> None:
        network = net(Dense(3, weight_init=LARGE), block, dtype="float32")
        y = np.ones((6, 3 if isinstance(block, Residual) else 4))
        with pytest.raises(NonFiniteError) as caught:
            network.fit(np.abs(X), y, loss=SumSquaredError(), optimizer=SGD(0.1))
        found = f"layer 1, {type(block).__name__}" + (f" > {place}, Dense(" if place else ". The update")
        assert f"the first place that is not finite: {found}" in str(caught.value)

    def test_a_softmax_at_its_end_is_noticed(self) -> None:
        @define(eq=False)
        class Wrapped(Chain):
            """A chain."""

        with pytest.warns(UserWarning, match=r"the network ends with Softmax\(\)"):
            Trainer(net(Dense(2), Wrapped([Softmax()])), SoftmaxCrossEntropy(), SGD(0.1))
        Trainer(net(Dense(2), Residual(Softmax())), SoftmaxCrossEntropy(), SGD(0.1))
        Trainer(net(Dense(2), Wrapped([Softmax()])), CrossEntropy(), SGD(0.1))


def test_a_subclass_that_computes_something_else_is_a_black_box() -> None:
    @define(eq=False)
    class Doubled(OpenGated):
        def forward(self, x: Array) -> tuple[Array, Any]:
            output, saved = super().forward(x)
            return 2 * output, saved

        def backward(self, saved: Any, delta: Array) -> Array:
            return super().backward(saved, 2 * delta)

    @define(eq=False)
    class Stopped(Residual):
        def backward(self, saved: Any, delta: Array) -> Array:
            return np.zeros_like(delta)

    for block in (Doubled(*gated()), Stopped(Dense(3))):
        trace = net(block).trace(X, Y, SumSquaredError())
        assert [one.step.place for one in trace.steps] == ["0", "1"]
        assert stated_graph(block) is None
    assert stated_graph(net(Dense(3))) is not None  # Sequential, which inherits forward from Chain


def networks() -> dict[str, Sequential]:
    shared = Dense(3)
    blocks: dict[str, list[Layer[Any]]] = {
        "nested": [Residual([Dense(3), Residual(Tanh())]), Dense(2)],
        "split": [Split([[Dense(2), Dropout(0.5)], None], sizes=(2, 1)), Dense(2)],
        "shared": [Repeat(Residual([shared, Tanh()]), 3, share=True), shared, Dense(2)],
        "penalties": [Penalized(Parallel([Dense(2), Dense(3)]), weights=L2(0.1), outputs=L2(0.2)), Dense(2)],
        "gated": [OpenGated(*gated()), Highway(Dense(4), Sigmoid()), Dense(2)],
    }
    return {name: Sequential(layers, input_shape=3, rng=4, dtype="float64") for name, layers in blocks.items()}


@pytest.mark.parametrize("name", networks())
def test_an_observed_pass_computes_what_the_network_computes(name: str) -> None:
    one, other = networks()[name], networks()[name]
    seen: list[str] = []
    run = ObservedPass.of(one)
    output = run.forward(X, lambda record: seen.append(record.node.place))
    expected, saved = other.forward(X)
    np.testing.assert_array_equal(output, expected)
    assert seen == [node.place for node in flattened(one)]
    assert run.penalty() == pytest.approx(other.penalty(saved), rel=1e-14)
    delta = np.random.default_rng(5).normal(size=output.shape)
    np.testing.assert_allclose(run.backward(delta), other.backward(saved, delta), rtol=1e-13, atol=1e-15)
    gradients = run.parameter_gradients()
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(gradients[id(first)], second.grad, rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(run.predict(X), other.predict(X))


@frozen
class Reversed(Operation):
    """The steps of each sample in reverse order: an operation of a user's, which states no formulas."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]

    def forward(self, inputs: Sequence[Array]) -> Array:
        return inputs[0][:, ::-1]

    def backward(self, inputs: Sequence[Array], delta: Array) -> list[Array]:
        return [delta[:, ::-1]]


@define(eq=False)
class RunningSum(Layer[None]):
    """yₜ = Σ xₛ over s ≤ t: the simplest layer that passes something from step to step."""

    def forward(self, x: Array) -> tuple[Array, None]:
        return np.cumsum(x, axis=1), None

    def backward(self, saved: None, delta: Array) -> Array:
        return np.cumsum(delta[:, ::-1], axis=1)[:, ::-1].copy()


@define(eq=False)
class Bidirectional(Layer[Any]):
    """One layer over the steps in both orders, its outputs side by side."""

    ahead: Layer[Any]
    back: Layer[Any]

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        steps, width = builder.build(self.ahead, input_shape)
        return steps, width + builder.build(self.back, input_shape)[-1]

    def forward(self, x: Array) -> tuple[Array, Any]:
        (one, saved), (other, back_saved) = self.ahead.forward(x), self.back.forward(x[:, ::-1])
        return np.concatenate([one, other[:, ::-1]], axis=-1), (saved, back_saved, one.shape[-1])

    def backward(self, saved: Any, delta: Array) -> Array:
        ahead = self.ahead.backward(saved[0], delta[..., : saved[2]])
        return ahead + self.back.backward(saved[1], delta[:, ::-1, saved[2] :])[:, ::-1]

    def inner_graph(self) -> InnerGraph:
        assert self.built is not None
        nodes = [
            Node("ahead", self.ahead),
            Node("reversed", Reversed()),
            Node("back", self.back, "reversed"),
            Node("restored", Reversed(), "back"),
            Node("y", MergeBy("concat"), ["ahead", "restored"]),
        ]
        return InnerGraph(self.built.input_shape, nodes)


@frozen
class FoldSteps(Operation):
    """(B, T, F) to (B T, F): each step becomes a sample."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return shapes[0][1:]

    def forward(self, inputs: Sequence[Array]) -> Array:
        return inputs[0].reshape(-1, *inputs[0].shape[2:])

    def backward(self, inputs: Sequence[Array], delta: Array) -> list[Array]:
        return [delta.reshape(inputs[0].shape)]


@frozen
class UnfoldSteps(Operation):
    """(B T, F) to (B, T, F)."""

    steps: int

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return (self.steps, *shapes[0])

    def forward(self, inputs: Sequence[Array]) -> Array:
        return inputs[0].reshape(-1, self.steps, *inputs[0].shape[1:])

    def backward(self, inputs: Sequence[Array], delta: Array) -> list[Array]:
        return [delta.reshape(inputs[0].shape)]


@define(eq=False)
class PerStep(Layer[Any]):
    """One layer for each step of a sequence."""

    layer: Layer[Any]

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        return (input_shape[0], *builder.build(self.layer, input_shape[1:]))

    def forward(self, x: Array) -> tuple[Array, Any]:
        output, saved = self.layer.forward(x.reshape(-1, *x.shape[2:]))
        return output.reshape(*x.shape[:2], *output.shape[1:]), (saved, x.shape)

    def backward(self, saved: Any, delta: Array) -> Array:
        return self.layer.backward(saved[0], delta.reshape(-1, *delta.shape[2:])).reshape(saved[1])

    def inner_graph(self) -> InnerGraph:
        assert self.built is not None
        shape = self.built.input_shape
        nodes = (
            Node("folded", FoldSteps()),
            Node("layer", self.layer, "folded"),
            Node("y", UnfoldSteps(shape[0]), "layer"),
        )
        return InnerGraph(shape, nodes)


def test_a_layer_for_each_step() -> None:
    check_layer(PerStep(Chain([Dense(3), Tanh()])), (4, 2))
    network = Sequential([PerStep(Dense(3))], input_shape=(4, 2), rng=0, dtype="float64")
    x, y = np.random.default_rng(0).normal(size=(5, 4, 2)), np.zeros((5, 4, 3))
    trace = network.trace(x, y, SumSquaredError())
    assert [one.output.shape for one in trace.steps] == [(20, 2), (20, 3), (5, 4, 3)]
    assert [row[0] for row in network.summary().rows] == ["0 PerStep", "0.layer Dense"]


def test_a_sequence_composite_with_an_operation_of_its_own() -> None:
    check_layer(Bidirectional(RunningSum(), RunningSum()), (4, 2))
    network = Sequential([Bidirectional(RunningSum(), RunningSum())], input_shape=(4, 2), rng=0, dtype="float64")
    x, y = np.random.default_rng(0).normal(size=(3, 4, 2)), np.zeros((3, 4, 4))
    trace = network.trace(x, y, SumSquaredError())
    assert [one.step.place for one in trace.steps] == ["0.ahead", "0.reversed", "0.back", "0.restored", "0"]
    assert "Reversed(x)" in str(trace)
    assert "layer 0, Bidirectional: Reversed" in str(network.derivation(SumSquaredError()))


@define(eq=False)
class Ends(Layer[Any]):
    """y = x₀ · x₂."""

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        return (1,)

    def forward(self, x: Array) -> tuple[Array, Array]:
        return x[:, :1] * x[:, 2:3], x

    def backward(self, x: Array, delta: Array) -> Array:
        return np.concatenate([delta * x[:, 2:3], np.zeros_like(delta), delta * x[:, :1]], axis=-1)

    def inner_graph(self) -> InnerGraph:
        nodes = [
            Node("first", SliceColumns(0, 1)),
            Node("last", SliceColumns(2, 3)),
            Node("y", MergeBy("multiply"), ["first", "last"]),
        ]
        return InnerGraph((3,), nodes)


def test_slices_that_leave_columns_out_are_shares() -> None:
    check_layer(Ends(), 3)
    network = net(Dense(3), Ends())
    page = str(network.derivation(SumSquaredError()))
    assert "2 ways lead on from here: their shares add" in page
    trace = network.trace(X, Y[:, :1], SumSquaredError())
    for column in range(3):
        explanation = trace.explain("0.weight", (0, column))
        assert explanation.gradient == pytest.approx(explanation.numeric, rel=1e-7, abs=1e-9)
        assert str(explanation)


class TestGraphs:
    """What InnerGraph refuses."""

    @pytest.mark.parametrize(
        ("nodes", "error", "message"),
        [
            ([], ContractError, "expected one output"),
            ([Node("y", MergeBy("add"), ["body", "x"])], ContractError, "node 'y' takes 'body', which is not among"),
            ([Node("x", MergeBy("add"))], ContractError, "node 'x' has the name of one of those before it"),
            (
                [Node("a", SliceColumns(0, 1)), Node("y", SliceColumns(1, 2))],
                ContractError,
                "no node takes: 'a', 'y'",
            ),
            ([Node("a", SliceColumns(0, 4))], ShapeError, "expected samples with these columns, got shape"),
            ([Node("a", Expression("u + v", {"u": "1", "v": "1"}))], ShapeError, "expected 2 inputs of one shape"),
            ([Node("body", Dense(2))], ContractError, r"node 'body' gets \(3,\), and Dense\(2\) is not built"),
            ([Node("p", PenaltyTerm(L2(1.0)), "x")], ContractError, "expected one output"),
        ],
    )
    def test_mistakes(self, nodes: list[Node], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            InnerGraph((3,), nodes)

    def test_a_shared_layer_without_parameters_has_several_shapes(self) -> None:
        tanh = Tanh()
        Builder(0, "float64").build(tanh, (5,))
        with pytest.raises(ContractError, match=r"gets \(3,\), and Tanh\(\) is built for samples of shape \(5,\)"):
            InnerGraph((3,), [Node("tanh", tanh)])
        Builder(0, "float64").build(tanh, (3,))
        Builder(0, "float64").build(tanh, (5,))
        assert InnerGraph((3,), [Node("tanh", tanh)]).shapes["tanh"] == (3,)

    def test_chains(self) -> None:
        block = Residual(Dense(3))
        for layer, is_chain in (net(block), True), (block, False):
            graph = stated_graph(layer)
            assert graph is not None
            assert graph.is_chain == is_chain

    @pytest.mark.parametrize(
        ("graph", "message"),
        [
            ([], r"Odd\(\): inner_graph: expected an InnerGraph or None, returned \[\]"),
            (InnerGraph((4,), [Node("y", SliceColumns(0, 3))]), r"shape \(3,\) to \(3,\), got \(\(4,\), \(3,\)\)"),
            (
                InnerGraph((3,), [Node("y", SliceColumns(0, 2))]),
                r"shape \(3,\) to \(3,\), got \(\(3,\), \(2,\)\)",
            ),
        ],
    )
    def test_a_graph_must_fit_its_layer(self, graph: Any, message: str) -> None:
        @define(eq=False)
        class Odd(Tanh):
            def inner_graph(self) -> Any:
                return graph

        with pytest.raises(ContractError, match=message):
            net(Odd()).summary()

    def test_sizes_must_be_known(self) -> None:
        with pytest.raises(NotBuiltError, match="Sequential: its sizes are not known yet"):
            flattened(Sequential([Dense(3)]))
