"""Layers that violate the contract in one way each, other than by wrong gradients."""

import math
from typing import Any, Self

import numpy as np
from attrs import define, field
from planting import Planted, planter
from right_layers import Centre, Dropout, Scale, Square

from deepbp.initializers import Initializer, Ones
from deepbp.layers import (
    L2,
    Builder,
    Dense,
    Expression,
    InnerGraph,
    Layer,
    MergeBy,
    Node,
    Penalized,
    Softmax,
    Tanh,
)
from deepbp.parameters import Parameter
from deepbp.typing import Array, Shape

BEHAVIOUR: list[Planted] = []
planted = planter(BEHAVIOUR)


@planted("class_keeps_the_rules", r"write @define\(eq=False\)")
@define
class ForgottenEq(Square):
    pass


@planted("class_keeps_the_rules", r"put @define\(eq=False\)")
class ForgottenDefine(Square):
    pass


@planted("forward_runs", r"expected the pair \(output, saved\), returned an array.*return y, saved")
@define(eq=False)
class BareOutput(Square):
    def forward(self, x: Array) -> Any:
        return x * x


@planted("forward_runs", r"forward raised ValueError.*\nin planted_behaviour.py, line \d+: return x @ x, x")
@define(eq=False)
class ForwardRaises(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        return x @ x, x


@planted("forward_runs", r"build raised AttributeError.*\nin planted_behaviour.py")
@define(eq=False)
class BuildRaises(Square):
    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        return builder.shape  # type: ignore[attr-defined,no-any-return]


@planted("forward_runs", r"expected finite numbers for ordinary inputs, got nan")
@define(eq=False)
class RootOfNegatives(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        with np.errstate(invalid="ignore"):
            return np.sqrt(x), x


@planted("output_shape_as_built", r"build promised samples of shape \(3,\).*returned shape \(5, 1\)")
@define(eq=False)
class WrongPromise(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        return x.sum(axis=1, keepdims=True), x


@planted("backward_runs", r"returned None: is a return missing\?")
@define(eq=False)
class MissingReturn(Scale):
    def backward(self, x: Array, delta: Array) -> Array:
        super().backward(x, delta)
        return None  # type: ignore[return-value]


@planted("backward_runs", r"the input's shape \(5, 3\), returned \(3, 5\): it is transposed")
@define(eq=False)
class TransposedSignal(Square):
    def backward(self, x: Array, delta: Array) -> Array:
        return (2 * x * delta).T


@planted("every_parameter_is_found", r"the field `pairs` of HiddenParameter holds a Parameter that a network does not")
@define(eq=False)
class HiddenParameter(Square):
    pairs: list[tuple[str, Parameter]] = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.pairs = [("gain", builder.parameter(input_shape, Ones()))]
        return input_shape


@planted("every_parameter_is_found", r"the field `blocks` of HiddenInNestedLists holds a Parameter")
@define(eq=False)
class HiddenInNestedLists(Square):
    blocks: list[list[list[Parameter]]] = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.blocks = [[[builder.parameter(input_shape, Ones())]]]
        return input_shape


@planted("input_stays", r"forward wrote into its input")
@define(eq=False)
class WritesItsInput(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        saved = x.copy()
        x *= x
        return x, saved


@planted("input_stays", r"forward writes into its input.*\nin planted_behaviour.py")
@define(eq=False)
class WritesWhatIsThere(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        x[np.isnan(x)] = 0
        return x * x, x


@planted("delta_stays", r"backward wrote into delta")
@define(eq=False)
class BackwardInPlace(Square):
    def backward(self, x: Array, delta: Array) -> Array:
        delta *= 2 * x
        return delta


@planted("saved_stays", r"backward wrote into saved")
@define(eq=False)
class WritesSaved(Square):
    def backward(self, x: Array, delta: Array) -> Array:
        x *= 2 * delta
        return x


@planted("saved_stays", r"a second forward overwrote what the first one saved")
@define(eq=False)
class ReusedMemory(Square):
    kept: Array = field(init=False, factory=lambda: np.zeros((200, 3)))

    def forward(self, x: Array) -> tuple[Array, Array]:
        saved = self.kept[: len(x)]
        saved[...] = x
        return x * x, saved


@planted("results_stay", r"a later pass wrote into an output that forward had handed out")
@define(eq=False)
class ReusedOutput(Square):
    result: Array = field(init=False, factory=lambda: np.zeros((200, 3)))

    def forward(self, x: Array) -> tuple[Array, Array]:
        output = self.result[: len(x)]
        np.multiply(x, x, out=output)
        return output, x


@planted("results_are_not_parameters", r"the output shares its memory with the parameter `gain`")
@define(eq=False)
class HandsOutItsParameter(Scale):
    def forward(self, x: Array) -> tuple[Array, Array]:
        return np.broadcast_to(self.gain.value, x.shape), x


@planted("predict_equals_forward", r"predict gives something else than forward, and nothing in the layer is random")
@define(eq=False)
class PredictDiffers(Square):
    def predict(self, x: Array) -> Array:
        return x * np.abs(x)


@planted("predict_is_repeatable", r"inference must not be random")
@define(eq=False)
class DropsInInference(Dropout):
    def predict(self, x: Array) -> Array:
        return self.forward(x)[0]


@planted("predict_is_repeatable", r"predict changed the buffer `mean`")
@define(eq=False)
class LearnsInInference(Centre):
    def predict(self, x: Array) -> Array:
        y = x - self.mean.value
        if not self.mean.value.any():
            self.mean.value = 1e-300 * x.mean(axis=0)
        return y


@planted("batch_of_one", r"forward: a batch of 1 gave shape \(3,\), expected \(1, 3\)|operands|shape")
@define(eq=False)
class Squeezes(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        return (x * x).squeeze(), x


@planted("batch_of_many", r"raised (OverflowError|ValueError|IndexError)")
@define(eq=False)
class CountsInBytes(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        rows = np.array([len(x) - 1], dtype=np.int8)
        return x * x + 0 * rows.astype(x.dtype)[0], x


@planted("batch_of_one", r"forward: a batch of 1 gave numbers that are not finite")
@define(eq=False)
class UndefinedForOneSample(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        return np.full_like(x, np.nan) if len(x) == 1 else x * x, x


@planted("batched_equals_one_by_one", r"predict: a batch gives something else than its samples one by one.*axis")
@define(eq=False)
class SoftmaxOverTheBatch(Softmax):
    def forward(self, z: Array) -> tuple[Array, Array]:
        return super().forward(z.T)[0].T, z

    def backward(self, z: Array, delta: Array) -> Array:
        return super().backward(super().forward(z.T)[0], delta.T).T


@planted("any_memory_layout", r"the output changes for Fortran-ordered arrays")
@define(eq=False)
class AssumesALayout(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        return (x * x).ravel(order="K").reshape(x.shape), x


@planted("dtype_is_kept", r"forward's output is float64 in a float32 network: a float64 array or NumPy scalar got in")
@define(eq=False)
class Float64Leak(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        return x * x * np.float64(1), x


@planted("dtype_is_kept", r"parameter `gain` is float32 in a float64 network: is float32 written into the code")
@define(eq=False)
class Float32Parameter(Scale):
    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        super().build(input_shape, builder)
        self.gain = Parameter(np.ones(input_shape, np.float32))
        return input_shape


@planted("float32_agrees_with_float64", r"the output in float32 is another number than in float64")
@define(eq=False)
class LosesDigits(Square):
    def forward(self, x: Array) -> tuple[Array, Array]:
        return (x * x + 1e5) - 1e5, x


@planted("extreme_inputs", r"inputs of -10000, float32: overflow encountered in exp: rewrite the formula")
@define(eq=False)
class NaiveSigmoid(Layer[Array]):
    def forward(self, z: Array) -> tuple[Array, Array]:
        y = 1 / (1 + np.exp(-z))
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        moved: Array = delta * y * (1 - y)
        return moved


@planted("extreme_inputs", r"inputs of 10000, float32, give NaN")
@define(eq=False)
class NaiveSoftmax(Softmax):
    def forward(self, z: Array) -> tuple[Array, Array]:
        with np.errstate(all="ignore"):
            e = np.exp(z)
            y = e / e.sum(axis=-1, keepdims=True)
        return y, y


class Unseeded(Initializer):
    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        return np.random.default_rng().normal(size=shape).astype(dtype)


@planted("same_seed_same_parameters", r"parameter `gain` starts differently in two networks of the same seed")
@define(eq=False)
class UnseededParameter(Scale):
    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        super().build(input_shape, builder)
        self.gain = builder.parameter(input_shape, Unseeded())
        return input_shape


@planted("same_seed_same_passes", r"forward gives something else in two networks of the same seed")
@define(eq=False)
class OwnGenerator(Dropout):
    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.rng = np.random.default_rng()
        return input_shape


@planted("same_seed_same_passes", r"forward is random, and the same for every seed of the network")
@define(eq=False)
class FixedSeed(Dropout):
    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.rng = np.random.default_rng(0)
        return input_shape


@planted("no_global_randomness", r"numpy.random's global generator was used")
@define(eq=False)
class HiddenGlobalRandomness(Dropout):
    def forward(self, x: Array) -> tuple[Array, Array]:
        mask = (np.random.random(x.shape) >= self.rate).astype(x.dtype)  # noqa: NPY002
        return x * mask, mask


@planted("repr_can_be_pasted_back", r"repr cannot be pasted back: <a square>")
@define(eq=False, repr=False)
class PrettyRepr(Square):
    def __repr__(self) -> str:
        return "<a square>"


@planted("repr_can_be_pasted_back", r"repr, pasted back, makes something else: .*got ForgetfulRepr\(power=1")
@define(eq=False, repr=False)
class ForgetfulRepr(Square):
    power: float = 3.0

    def __repr__(self) -> str:
        return f"ForgetfulRepr(power={self.power - 1})"


@planted("configuration_rebuilds", r"the constructor, given what the fields hold, makes something else")
@define(eq=False)
class ConvertsTwice(Square):
    degrees: float = field(default=90.0, converter=math.radians)


@planted("configuration_rebuilds", r"build changed the configuration")
@define(eq=False)
class BuildChangesTheConfiguration(Square):
    units: int = 0

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.units = input_shape[0]
        return input_shape


@planted("deep_copy", r"a deep copy shares `gain` with the original")
@define(eq=False)
class CopiesNothing(Scale):
    def __deepcopy__(self, memo: Any) -> Self:
        made = type(self)()
        if hasattr(self, "gain"):
            made.gain, made.shift, made.built = self.gain, self.shift, self.built
        return made


@planted("pickling", r"pickle raises .*lambda.*: classes and functions must stand at the top level")
@define(eq=False)
class HoldsALambda(Square):
    power: Any = field(init=False, factory=lambda: lambda x: x * x)


@planted("forward_runs", r"forward: expected an array as output, returned 1\.0")
@define(eq=False)
class OutputIsNoArray(Square):
    def forward(self, x: Array) -> Any:
        return 1.0, x


@planted("nothing_kept_on_the_layer", r"backward or predict changed the layer's field `last`")
@define(eq=False)
class KeepsTheSignal(Square):
    last: Any = field(init=False, default=None)

    def backward(self, x: Array, delta: Array) -> Array:
        self.last = delta
        return super().backward(x, delta)


@planted("every_parameter_is_found", r"the field `inside` of HiddenInAnObject holds a Parameter")
@define(eq=False)
class HiddenInAnObject(Square):
    @define
    class Box:
        content: dict[str, Parameter]

    inside: Box = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.inside = self.Box({"gain": builder.parameter(input_shape, Ones())})
        return input_shape


@planted("deep_copy", r"copy.deepcopy raises TypeError: not today")
@define(eq=False)
class RefusesToBeCopiedBuilt(Scale):
    def __deepcopy__(self, memo: Any) -> Self:
        if self.built is not None:
            raise TypeError("not today")
        return type(self)()


@planted("saved_stays", r"backward writes into saved.*\nin planted_behaviour.py")
@define(eq=False)
class WritesSavedInTuples(Layer[Any]):
    def forward(self, x: Array) -> tuple[Array, Any]:
        return x * x, ([x.copy()], {"none": (None, 3)})

    def backward(self, saved: Any, delta: Array) -> Array:
        x: Array = saved[0][0]
        x[np.isnan(x)] = 0
        return 2 * x * delta


@define(eq=False)
class Bypassed(Layer[Any]):
    """y = x + b(a(x)): a right composite of two layers, whose subclasses state a wrong inner graph."""

    first: Layer[Any] = field(factory=lambda: Dense(3))
    second: Layer[Any] = field(factory=Tanh)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        return builder.build(self.second, builder.build(self.first, input_shape))

    def forward(self, x: Array) -> tuple[Array, Any]:
        inner, saved = self.first.forward(x)
        output, second_saved = self.second.forward(inner)
        return x + output, (saved, second_saved)

    def backward(self, saved: Any, delta: Array) -> Array:
        return delta + self.first.backward(saved[0], self.second.backward(saved[1], delta))

    def graph(self, *nodes: Node) -> InnerGraph:
        assert self.built is not None
        return InnerGraph(self.built.input_shape, nodes)


@planted("inner_graph", r"inner_graph: its nodes, run one after another, give another output than forward")
@define(eq=False)
class GraphInTheWrongOrder(Bypassed):
    def inner_graph(self) -> InnerGraph:
        nodes = Node("second", self.second), Node("first", self.first, "second")
        return self.graph(*nodes, Node("y", MergeBy("add"), ["first", "x"]))


@planted("inner_graph", r"inner_graph: its nodes, run one after another, give another output than forward")
@define(eq=False)
class GraphWithoutTheBypass(Bypassed):
    def inner_graph(self) -> InnerGraph:
        return self.graph(Node("first", self.first), Node("second", self.second, "first"))


@planted("inner_graph", r"inner_graph: expected one output, that of the last node; no node takes: 'second', 'y'")
@define(eq=False)
class GraphWithAnOpenEnd(Bypassed):
    def inner_graph(self) -> InnerGraph:
        nodes = Node("first", self.first), Node("second", self.second, "first")
        return self.graph(*nodes, Node("y", MergeBy("add"), ["first", "x"]))


@planted("inner_graph", r"inner_graph: node 'second' takes 'first', which is not among those before it: 'x'")
@define(eq=False)
class GraphWithANodeTooEarly(Bypassed):
    def inner_graph(self) -> InnerGraph:
        return self.graph(Node("second", self.second, "first"), Node("first", self.first))


@planted("inner_graph", r"inner_graph: its nodes, run one after another, give another penalty")
@define(eq=False)
class GraphWithoutThePenalty(Penalized):
    layer: Any = field(factory=lambda: Dense(3))
    weights: Any = field(factory=lambda: L2(0.1), kw_only=True)

    def inner_graph(self) -> InnerGraph:
        assert self.built is not None
        return InnerGraph(self.built.input_shape, [Node("layer", self.layer)])


@planted("inner_graph", r"inner_graph: its nodes, run one after another, give another ∂L/∂x than backward")
@define(eq=False)
class GraphWithAWrongDerivative(Bypassed):
    def inner_graph(self) -> InnerGraph:
        doubled = Expression("u + x", {"u": "1", "x": "2"})
        nodes = Node("first", self.first), Node("second", self.second, "first")
        return self.graph(*nodes, Node("y", doubled, ["second", "x"]))


@planted("inner_graph", r"inner_graph: its nodes, run one after another, give another ∂L/∂gain than backward")
@define(eq=False)
class GraphWithoutAParameter(Bypassed):
    gain: Parameter = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = builder.parameter((), Ones())
        return super().build(input_shape, builder)

    def forward(self, x: Array) -> tuple[Array, Any]:
        output, saved = super().forward(x)
        return output + 0 * self.gain.value, saved

    def backward(self, saved: Any, delta: Array) -> Array:
        self.gain.accumulate(np.asarray(1e-3 + 0 * delta.sum()))
        return super().backward(saved, delta)

    def inner_graph(self) -> InnerGraph:
        nodes = Node("first", self.first), Node("second", self.second, "first")
        return self.graph(*nodes, Node("y", MergeBy("add"), ["second", "x"]))


@planted("inner_graph", r"inner_graph: its nodes, run one after another, give other predictions than predict")
@define(eq=False)
class GraphOfTheTrainingPassOnly(Bypassed):
    def predict(self, x: Array) -> Array:
        return x + self.first.predict(x)

    def inner_graph(self) -> InnerGraph:
        nodes = Node("first", self.first), Node("second", self.second, "first")
        return self.graph(*nodes, Node("y", MergeBy("add"), ["second", "x"]))
