"""Networks as files of ONNX: shared weights, names, losses, layers of users, refusals."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import define, field

from deepbp import Parameter, Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, NotBuiltError
from deepbp.export.array_library import GRADIENTS_ONLY
from deepbp.formulas.language import FUNCTIONS
from deepbp.formulas.values import STABLE
from deepbp.initializers import Ones
from deepbp.layers import (
    GRU,
    LSTM,
    Activation,
    AveragePool2D,
    BatchNorm,
    Bidirectional,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    CrossAttention,
    Dense,
    Dropout,
    EncoderDecoder,
    Expression,
    Formula,
    FormulaLayer,
    GlobalAveragePool,
    GlobalMaxPool,
    InnerGraph,
    Layer,
    Masked,
    MaxPool2D,
    Node,
    Parallel,
    Repeat,
    Residual,
    SelfAttention,
    Sigmoid,
    Tanh,
    TiedDense,
    UpSample2D,
    ZeroPad2D,
)
from deepbp.losses import BinaryCrossEntropy, Hinge, LogPoisson, SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy
from deepbp.typing import Array, Shape

onnx = pytest.importorskip("onnx")
reference = pytest.importorskip("onnx.reference")
deepbp_onnx = pytest.importorskip("deepbp.onnx")
onnx_export = pytest.importorskip("deepbp.onnx.onnx_export")
onnx_graph = pytest.importorskip("deepbp.onnx.onnx_graph")
export = deepbp_onnx.export


def operators(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_shared_weights_are_stored_once() -> None:
    encoder = Dense(5)
    net = Sequential([encoder, Sigmoid(), TiedDense(encoder)], input_shape=4, rng=0)
    model = export(net)
    assert [one.name for one in model.graph.initializer] == ["0.weight", "0.bias", "2.bias"]
    assert operators(model) == ["Gemm", "Sigmoid", "Gemm"]
    repeated = export(Sequential([Repeat([Dense(4), Tanh()], 3, share=True)], input_shape=4, rng=0))
    assert len(repeated.graph.initializer) == 2
    assert operators(repeated) == ["Gemm", "Tanh"] * 3


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    net = Sequential([Parallel([Dense(3), None]), BatchNorm(), Residual([Dense(7), Dropout()])], input_shape=4, rng=0)
    one, other = (export(net, tmp_path / name).read_bytes() for name in ("one.onnx", "other.onnx"))
    assert one == other == export(deepcopy(net)).SerializeToString(deterministic=True)


def test_the_model_says_what_it_is() -> None:
    net = Sequential([Dense(3)], input_shape=2, rng=0)
    net.columns = ["a", "b"]
    model = export(net)
    assert (model.producer_name, model.ir_version) == ("deepbp", 8)
    found = {one.key: one.value for one in model.metadata_props}
    assert found == {"deepbp.architecture": repr(net), "deepbp.columns": "a\nb"}
    dims = [one.dim_param or one.dim_value for one in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["batch", 2]


def test_sizes_that_differ_have_names() -> None:
    net = Sequential([Dense(3)], input_shape=(None, 2), rng=0)
    for side in (export(net).graph.input, export(net).graph.output):
        dims = [one.dim_param or one.dim_value for one in side[0].type.tensor_type.shape.dim]
        assert dims[:2] == ["batch", "size_1"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_images_of_any_size(dtype: str) -> None:
    convolutions = [Conv2D(3, 3, padding="same"), MaxPool2D(2), Conv2D(4, 3, stride=2, dilation=2, padding=((2, 1), 1))]
    resized = [UpSample2D(2), ZeroPad2D(1), AveragePool2D(3, stride=2, padding=1), ConvTranspose2D(2, 3, stride=2)]
    last: list[Layer[Any]] = [BatchNorm(), GlobalAveragePool(), Dense(2)]
    net = Sequential([*convolutions, *resized, *last], input_shape=(None, None, 1), rng=0, dtype=dtype)
    run = onnx_export.runner_of(export(net))
    for shape in ((2, 14, 19, 1), (1, 31, 12, 1)):
        x = np.random.default_rng(0).normal(size=shape).astype(dtype)
        np.testing.assert_allclose(run(x)[0], net.predict(x), rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-7)


def attending() -> list[Layer[Any]]:
    return [SelfAttention(2, causal=True, rotary=True), SelfAttention(1)]


MASKED: dict[str, Callable[[], Layer[Any]]] = {
    "sequences": lambda: Masked([Bidirectional(GRU(2, return_sequences=True)), *attending()]),
    "states": lambda: Masked(GRU(2, return_sequences=True)),
    "last states": lambda: Masked([LSTM(4, return_sequences=True, initial_state="learned"), GRU(3, reverse=True)]),
    "means": lambda: Masked([Dense(3), Parallel([GlobalAveragePool(), GlobalMaxPool()])]),
    "memory": lambda: EncoderDecoder(
        GRU(4, return_sequences=True), [GRU(4, return_sequences=True), CrossAttention(2)], source_steps=3, padding=0
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MASKED)
def test_padding_anywhere(name: str, dtype: str) -> None:
    """Also a sequence of nothing else, and one without any."""
    net = Sequential([MASKED[name]()], input_shape=(None, 4), rng=0, dtype=dtype)
    for parameter in net.parameters():
        parameter.value = np.random.default_rng(1).normal(size=parameter.value.shape)
    x = np.random.default_rng(0).normal(size=(4, 7, 4)).astype(dtype)
    x[0, [1, 2, 6]] = 0
    x[1] = 0
    x[2, :3] = 0
    y = onnx_export.runner_of(export(net))(x)[0]
    np.testing.assert_allclose(y, net.predict(x), rtol=0, atol=1e-5 if dtype == "float32" else 1e-12)


def test_padding_that_depends_on_an_unknown_size() -> None:
    for dtype in ("float32", "float64"):
        net = Sequential([Conv1D(2, 3, stride=2, padding="same")], input_shape=(None, 1), rng=0, dtype=dtype)
        if dtype == "float32":  # for which the operator finds it out
            assert onnx_export.runner_of(export(net))(np.ones((1, 7, 1), np.float32))[0].shape == (1, 4, 2)
        else:
            with pytest.raises(ConfigurationError, match="padding='same' with a stride depends on the size"):
                export(net)


@pytest.mark.parametrize(
    ("loss", "last"),
    [
        (SoftmaxCrossEntropy(), "Softmax"),
        (SigmoidBinaryCrossEntropy(), "Sigmoid"),
        (BinaryCrossEntropy(), "Identity"),
        (LogPoisson(), "Exp"),
    ],
    ids=str,
)
def test_a_loss_adds_its_probabilities(loss: Any, last: str) -> None:
    net = Sequential([Dense(3)], input_shape=2, rng=0)
    model = export(net, loss=loss)
    assert operators(model) == ["Gemm", last]
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    y, probabilities = onnx_export.runner_of(model)(x)
    np.testing.assert_allclose(probabilities, loss.probabilities(y), rtol=1e-5)


def test_a_loss_without_probabilities_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Hinge.* has no probabilities: export without it"):
        export(Sequential([Dense(1)], input_shape=2, rng=0), loss=Hinge())


@define(eq=False)
class Swish(Layer[Any]):
    """A layer of a user, with its formula."""

    formula = Formula("x * sigmoid(slope * x)")
    slope: Parameter = field(init=False)

    def build(self, input_shape: Shape, builder: Any) -> Shape:
        self.slope = builder.parameter(input_shape, Ones())
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Any]:
        return x / (1 + np.exp(-self.slope.value * x)), x

    def backward(self, saved: Any, delta: Array) -> Array:
        raise NotImplementedError


@define(eq=False)
class Wrong(Swish):
    """Inherits a formula that is not its own."""

    def forward(self, x: Array) -> tuple[Array, Any]:
        return 2 * x, x


@define(eq=False)
class Unstated(Swish):
    """Has no formula."""

    formula = None  # type: ignore[assignment]


@define(eq=False)
class Doubled(Swish):
    """Writes its own nodes."""

    def forward(self, x: Array) -> tuple[Array, Any]:
        return 2 * x, x

    def to_onnx(self, graph: Any, x: Any) -> Any:
        return graph.op("Add", [x, x], x.sizes)


def test_a_layer_needs_no_more_than_its_formula() -> None:
    assert operators(export(Sequential([Swish()], input_shape=3, rng=0))) == ["Mul", "Sigmoid", "Mul"]
    assert operators(export(Sequential([Doubled()], input_shape=3, rng=0))) == ["Add"]


def test_other_numbers_than_those_of_predict_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the export gives other numbers than predict"):
        export(Sequential([Wrong()], input_shape=3, rng=0), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_a_layer_without_formula_is_refused_by_name() -> None:
    net = Sequential([Dense(2), Residual(Activation(np.arctan, np.cos))], input_shape=3, rng=0)
    expected = r"^layer 1\.body, Activation\(arctan, cos\) cannot be exported: its function arctan is not for arrays"
    with pytest.raises(ConfigurationError, match=expected):
        export(net)
    expected = r"^layer 0, Unstated\(\) cannot be exported: it states no formula: use a FormulaLayer"
    with pytest.raises(ConfigurationError, match=expected):
        export(Sequential([Unstated()], input_shape=3, rng=0))


def test_functions_of_gradients_are_refused() -> None:
    net = Sequential([Swish()], input_shape=3, rng=0)
    net.layers[0].__class__.formula = Formula("step_products(x, x) * slope")
    try:
        with pytest.raises(ConfigurationError, match="uses step_products, which is for gradients"):
            export(net)
    finally:
        net.layers[0].__class__.formula = Formula("x * sigmoid(slope * x)")


def test_an_unbuilt_network_and_unknown_operators_are_refused() -> None:
    with pytest.raises(NotBuiltError):
        export(Sequential([Dense(2)]))
    with pytest.raises(ArgumentTypeError, match="network: expected a Sequential, or another layer, got 3"):
        export(3)
    with pytest.raises(ConfigurationError, match="opset: expected 17 to "):
        export(Sequential([Dense(2)], input_shape=3), opset=16)


@define(eq=False)
class Highway(Layer[Any]):
    """A composite of a user, which states its graph."""

    body: Layer[Any]
    gate: Layer[Any]

    def build(self, input_shape: Shape, builder: Any) -> Shape:
        builder.build(self.body, input_shape)
        return builder.build(self.gate, input_shape)  # type: ignore[no-any-return]

    def forward(self, x: Array) -> tuple[Array, Any]:
        h, t = self.body.predict(x), self.gate.predict(x)
        return t * h + (1 - t) * x, None

    def backward(self, saved: Any, delta: Array) -> Array:
        raise NotImplementedError

    def inner_graph(self) -> InnerGraph:
        assert self.built is not None
        mix = Expression("t * h + (1 - t) * x", {"t": "h - x", "h": "t", "x": "1 - t"})
        nodes = [Node("body", self.body), Node("gate", self.gate), Node("y", mix, ["gate", "body", "x"])]
        return InnerGraph(self.built.input_shape, nodes)


def test_a_composite_needs_no_more_than_its_graph() -> None:
    net = Sequential([Highway(Dense(3), Residual(Dense(3)))], input_shape=3, rng=0, dtype="float64")
    assert set(operators(export(net))) == {"Gemm", "Add", "Mul", "Sub"}


def test_every_function_of_the_language_is_there_but_those_of_gradients() -> None:
    own = onnx_graph.OnnxGraph(np.dtype("float32"), 17).functions
    assert set(FUNCTIONS) - set(own) == GRADIENTS_ONLY | {"before", "nth", "rotate"}  # recurrences, attention
    assert set(STABLE) <= set(own)


FORMULAS = [
    *("batch_mean(x) * slope + x", "x / batch_sum(abs(x) + slope)", "x * cosh(slope) + sinh(x / 4)"),
    *("(x - feature_mean(x)) / sqrt(feature_variance(x) + slope**2)", "x / feature_sum(exp(x)) * slope"),
    *(
        "log(cosh(x)) * slope",
        "x - log(row_sum(exp(x))) * slope",
        "spread(slope, x) * x * sign(x)",
        "x * slope * (x > slope)",
    ),
    *("erf(x) + sin(x) * cos(slope)", "x / total(abs(slope))", "x / row_size(x) * slope", "x * slope * (x > slope)"),
    *("(x - row_max(x)) * slope", "pi * x / sqrt(slope) + tanh(x)", "2.0**x * slope", "slope**2 + x**3"),
    *("minimum(x, slope) - (x <= 0) * (x >= -1)", "x * slope + (x < 0) - (x == 0) * (x != 1)"),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("text", FORMULAS)
def test_the_language_of_formulas(text: str, dtype: str) -> None:
    net = Sequential([FormulaLayer(text, slope=Ones())], input_shape=4, rng=0, dtype=dtype)
    net.parameters()[0].value = np.array([0.5, 0.75, 1.25, 2.0])
    export(net)


def test_names_of_columns_and_classes_come_back() -> None:
    net = Sequential([Dense(3)], input_shape=2, rng=0)
    net.columns, net.classes = ("height", "width"), ("ash", "birch", "cedar")
    again = deepbp_onnx.load(export(net))
    assert (again.columns, again.classes, again.target_columns) == (net.columns, net.classes, None)


def test_the_bytes_do_not_depend_on_the_process() -> None:
    """A generator's usual text has its address, which differs from process to process."""
    net = Sequential([Dense(3)], input_shape=2, rng=np.random.default_rng(0))
    assert " at 0x" not in repr(net)
    assert b" at 0x" not in export(net).SerializeToString(deterministic=True)
