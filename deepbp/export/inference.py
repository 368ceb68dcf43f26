"""The inference pass of a network in another library of arrays, from the stated graphs and formulas of its layers."""

import math
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib import import_module
from types import CodeType
from typing import Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar

import attrs
import numpy as np
from attrs import define, field

from deepbp._validation import require_built
from deepbp.errors import ArgumentTypeError, ConfigurationError, DeepBPError, ShapeError, shown
from deepbp.export.array_library import BEHIND, GRADIENTS_ONLY, ArrayLibrary
from deepbp.formulas.formula_text import read, written
from deepbp.formulas.identities import recognized
from deepbp.formulas.language import Formula, in_time
from deepbp.layers import (
    CrossAttention,
    EncoderDecoder,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    Masked,
    MergeBy,
    Operation,
    SelfAttention,
    SliceColumns,
    SliceSteps,
)
from deepbp.layers.boundary import Built, place_of
from deepbp.layers.inner_graph import InnerGraph
from deepbp.layers.observed_pass import stated_graph
from deepbp.layers.recurrent import Recurrent
from deepbp.parameters import Buffer, Parameter
from deepbp.typing import AnySize, Array, Shape


class Signal(NamedTuple):
    """An array on its way through the network: the shape of its samples, and the mask (B, T) of its real steps."""

    value: Any
    shape: Shape
    mask: Any = None

    def followed_by(self, value: Any, shape: Shape) -> "Signal":
        """The signal behind a layer, whose mask ends with the axis of steps."""
        keeps = len(shape) >= len(self.shape) and shape[:1] == self.shape[:1]
        return Signal(value, shape, self.mask if keeps else None)


Operator: TypeAlias = Callable[[Any, Any, Signal, Shape], Any]
"""A layer in a library's own operator: (inference, layer, x, output shape) to y; None where the formula has to do."""


@lru_cache(maxsize=512)
def _stable(expression: str) -> CodeType:
    """An expression in the form that neither overflows nor loses digits, compiled."""
    with suppress(DeepBPError):  # for what is outside of the algebra, such as a list of numbers
        expression = written(recognized(read(expression)))
    return compile(expression, expression, "eval")


Library = TypeVar("Library", bound=ArrayLibrary)


@define(eq=False)
class Inference(Generic[Library]):
    """The inference pass of a built network, in the arrays of a library.

    Each layer is run by its operator, if the library has one for exactly this class, or else by its stated formula; a
    composite by its inner graph. A layer with neither is refused by name.
    """

    library: Library
    names: dict[int, str] = field(factory=dict, init=False)
    place: str = field(default="", init=False)
    _memory: "Signal | None" = field(default=None, init=False)
    operators: ClassVar[Mapping[type[Layer[Any]], Operator]] = {}
    why_not: ClassVar[str] = "state its formula"

    @abstractmethod
    def held(self, part: Parameter | Buffer) -> Any:
        """The library's array of a parameter or buffer."""
        raise NotImplementedError

    def run(self, network: Layer[Any], x: Any) -> Any:
        """The output of the network.

        Raises:
            ConfigurationError: for a layer that the library cannot run; the message names it.
            NotBuiltError: if the network is not built.
        """
        built = built_of(network)
        self.names = {id(part): name for name, part in parts_of(network).items()}
        return self._layer(network, "", Signal(x, built.input_shape), built.output_shape).value

    def _layer(self, layer: Layer[Any], place: str, x: Signal, output_shape: Shape) -> Signal:
        graph = None if type(layer) in self.operators else stated_graph(layer)
        if graph is not None:
            return self._graph(layer, graph, place, x)
        outside, self.place = self.place, place
        with self._located(layer):
            y = x.followed_by(self._leaf(layer, x, output_shape), output_shape)
        self.place = outside
        return y

    def _graph(self, layer: Layer[Any], graph: InnerGraph, place: str, x: Signal) -> Signal:
        hands_on = type(layer).forward_with is not Layer.forward_with
        signals, masks = {"x": x if hands_on else x._replace(mask=None)}, dict[str, Any]()
        for node in graph.nodes:
            if not node.is_signal:
                continue  # penalties belong to the training
            inputs, shape = [signals[name] for name in node.inputs], graph.shapes[node.name]
            if node.layer is None:
                signals[node.name] = inputs[0].followed_by(self._operation(node.operation, inputs), shape)
                continue
            outside, source = self._memory, inputs[0]
            if node.padding is not None or node.memory:
                mask = None if node.padding is None else self._real_steps(source.value, node.padding)
                source, masks[node.name] = source._replace(mask=mask), mask
            if node.memory:
                self._memory = signals[node.memory]._replace(mask=masks.get(node.memory))
            path = f"{place}.{node.name}".lstrip(".")
            run = self._each_step if node.per_step else self._layer
            signals[node.name] = run(node.layer, path, source, shape)
            self._memory = outside
        return x.followed_by(signals[graph.output.name].value, graph.shapes[graph.output.name])

    def _each_step(self, layer: Layer[Any], place: str, x: Signal, output_shape: Shape) -> Signal:
        """The layer on each step alone: steps are samples."""
        library = self.library
        every = library.sizes(x.value)
        merged = Signal(library.reshape(x.value, (-1, *every[2:])), x.shape[1:])
        y = self._layer(layer, place, merged, output_shape[1:]).value
        return x.followed_by(library.reshape(y, (*every[:2], *library.sizes(y)[1:])), output_shape)

    def _operation(self, operation: Operation, inputs: Sequence[Signal]) -> Any:
        values, functions = [one.value for one in inputs], self.library.functions
        if isinstance(operation, SliceSteps):
            stop = BEHIND if operation.stop is None else operation.stop
            return self.library.sliced(values[0], 1, operation.start, stop)
        if isinstance(operation, SliceColumns):
            return self.library.columns(values[0], operation.start, operation.stop)
        if isinstance(operation, MergeBy) and operation.merge == "concat":
            return values[0] if len(values) == 1 else self.library.joined(values, -1)
        text = operation.forward_formula([one.shape for one in inputs])
        if not text:
            raise ConfigurationError(f"{operation} cannot be exported: it states no forward_formula")
        names = dict(zip(operation.names(len(values)), values, strict=True))
        return eval(_stable(text), {"__builtins__": {}, "pi": math.pi, **functions}, names)

    def _leaf(self, layer: Layer[Any], x: Signal, output_shape: Shape) -> Any:
        kind = type(layer)
        if kind is SelfAttention or kind is CrossAttention:
            return self._attention(layer, x)
        if x.mask is not None and not isinstance(layer, Recurrent) and not layer.stepwise:
            if kind is GlobalAveragePool or kind is GlobalMaxPool:
                return self._pooled_real_steps(layer, x)
            raise ConfigurationError("it knows no mask: leave it out of Masked")
        operator = self.operators.get(kind)
        y = None if operator is None else operator(self, layer, x, output_shape)
        return self._formula(layer, x, output_shape) if y is None else y

    # What a formula says.

    def _formula(self, layer: Layer[Any], x: Signal, output_shape: Shape) -> Any:
        stated = layer.formula if isinstance(layer, Recurrent) else layer.stated_formula()
        if stated is None:
            raise ConfigurationError(f"it states no formula: {self.why_not}")
        names = self._fields(layer)
        names |= {"x": x.value, "input_shape": (-1, *x.shape), "output_shape": (-1, *output_shape)}
        if in_time(stated.where.values()):
            return self._in_time(layer, stated, names, x, output_shape)
        for name, expression in stated.where.items():
            names[name] = self._value(expression, names)
        return self._value(self._text(layer, stated), names)

    def _text(self, layer: Layer[Any], stated: Formula) -> str:
        return stated.inference or stated.forward

    def _fields(self, layer: Layer[Any]) -> dict[str, Any]:
        """The names in a formula: fields, with arrays for parameters and buffers."""
        held: dict[str, Any] = {a.name: getattr(layer, a.name, None) for a in attrs.fields(type(layer))}
        held |= held.get("names") or {} if isinstance(held.get("names"), Mapping) else {}
        held |= {name: part for name, part in layer.named_members() if name.isidentifier()}
        return {n: self.held(one) if isinstance(one, Parameter | Buffer) else one for n, one in held.items()}

    def _value(self, expression: str, names: Mapping[str, Any]) -> Any:
        namespace = {"__builtins__": {}, "pi": math.pi, **self.library.functions}
        try:
            return eval(_stable(expression), namespace, dict(names))
        except NameError as error:
            if error.name in GRADIENTS_ONLY:
                raise ConfigurationError(
                    f"its formula {expression!r} uses {error.name}, which is for gradients"
                ) from None
            raise ConfigurationError(f"its formula {expression!r} cannot be evaluated: {error}") from None

    def _in_time(self, layer: Layer[Any], stated: Formula, names: dict[str, Any], x: Signal, shape: Shape) -> Any:
        """Solve equations in time from step to step: ``before(h)`` is the state h of the step before.

        A step that is padding leaves all states as they are, and puts out zeros.
        """
        library = self.library
        steps = {name: re.sub(r"\bbefore\((\w+)\)", r"before_\1", text) for name, text in stated.where.items()}
        carried = [*dict.fromkeys(re.findall(r"\bbefore\((\w+)\)", " ".join(stated.where.values())))]
        batch, units = library.size(x.value, 0), getattr(layer, "units", shape[-1])
        initial, sequences = names.get("initial"), getattr(layer, "return_sequences", True)
        firsts = [library.constant(np.zeros((1, units), library.dtype)) for _ in carried]
        if initial is not None:
            firsts = [library.sliced(initial, 0, i, i + 1) for i in range(len(carried))]
        mask = [] if x.mask is None else [library.reshape(x.mask, (*library.sizes(x.mask), 1))]

        def step(inputs: Any, states: list[Any]) -> tuple[list[Any], list[Any]]:
            known = {**names, "x": inputs[0], **{f"before_{n}": one for n, one in zip(carried, states, strict=True)}}
            for name, text in steps.items():
                known[name] = self._value(text, known)
            after, output = [known[name] for name in carried], known[stated.forward]
            if mask:
                after = [library.where(inputs[1], new, old) for new, old in zip(after, states, strict=True)]
                output = library.where(inputs[1], output, 0.0)
            return after, [output] if sequences else []

        states = [library.expanded(one, (batch, units)) for one in firsts]
        after, outputs = library.scan(step, states, [x.value, *mask], bool(getattr(layer, "reverse", False)))
        return outputs[0] if sequences else after[carried.index(stated.forward)]

    # Layers on sequences that look at a mask or a memory.

    def _real_steps(self, x: Any, padding: float) -> Any:
        different = self.library.where(x == padding, 0.0, 1.0)
        rest = tuple(range(2, self.library.axes(different)))
        return (self.library.reduced("max", different, rest, False) if rest else different) > 0

    def _pooled_real_steps(self, layer: Layer[Any], x: Signal) -> Any:
        library = self.library
        real = library.where(x.mask, library.constant(np.ones((), library.dtype)), 0.0)
        real = library.reshape(real, (*library.sizes(real), 1))
        if type(layer) is GlobalMaxPool:
            lowest = float(np.finfo(library.dtype).min)
            return library.reduced("max", library.where(real > 0, x.value, lowest), (1,), False)
        counts = library.maximum(library.reduced("sum", real, (1,), False), 1.0)
        return library.reduced(
            "sum", library.where(real > 0, x.value, 0.0) / library.reshape(counts, (-1, 1, 1)), (1,), False
        )

    def _attention(self, layer: Any, x: Signal) -> Any:
        """softmax(q kᵀ / √D) v for each head, as the formula says, with positions, masks and memory."""
        library, held = self.library, self._fields(layer)
        heads, z = layer.heads, x.value @ held["weight"] + held["bias"]
        if type(layer) is SelfAttention:
            seen, (q, k, v) = x.mask, (library.part(z, i, 3) for i in range(3))
        elif self._memory is None:
            raise ConfigurationError("there is no memory: export the EncoderDecoder around it")
        else:
            memory = self._memory.value @ held["memory_weight"] + held["memory_bias"]
            seen, (q, k, v) = self._memory.mask, (z, library.part(memory, 0, 2), library.part(memory, 1, 2))
        q, k, v = (library.split_heads(one, heads) for one in (q, k, v))
        size = len(layer.output_weight.value) // heads
        if getattr(layer, "rotary", False):
            q, k = self._rotated(q, size // 2), self._rotated(k, size // 2)
        scores = q @ library.turned(k) / math.sqrt(size)
        if getattr(layer, "causal", False):
            scores = library.not_later(scores)
        if seen is not None:
            batch, steps = library.sizes(seen)
            seen = library.reshape(seen, (batch, 1, 1, steps))
            scores = library.where(seen, scores, -math.inf)
        weights = library.softmax(scores)
        if seen is not None:
            weights = library.where(seen, weights, 0.0)  # also where there is nothing to see
        y = library.join_heads(weights @ v) @ held["output_weight"] + held["output_bias"]
        return y if x.mask is None else library.where(library.reshape(x.mask, (*library.sizes(x.mask), 1)), y, 0.0)

    def _rotated(self, e: Any, half: int) -> Any:
        """Heads (B, H, T, D) whose numbers i and i + D/2 are turned as a pair by the angle of their position."""
        library, frequencies = self.library, 1 / 10000.0 ** (np.arange(half) / half)
        cosines, sines = (library.table_of(name, frequencies, library.size(e, 2)) for name in ("cos", "sin"))
        a, b = library.sliced(e, -1, 0, half), library.sliced(e, -1, half, 2 * half)
        return library.joined((a * cosines - b * sines, a * sines + b * cosines), -1)

    @contextmanager
    def _located(self, layer: Layer[Any]) -> Iterator[None]:
        """Say in each error which layer cannot be exported."""
        name = place_of(f"layer {self.place}" if self.place[:1].isdigit() else self.place, layer) or repr(layer)
        try:
            yield
        except DeepBPError as error:
            if " cannot be exported: " in str(error):
                raise
            raise ConfigurationError(f"{name} cannot be exported: {error}") from error
        except Exception as error:
            error.add_note(f"in {name}, which was to be exported")
            raise


def sample_inputs(network: Layer[Any], count: int = 3, seed: int = 0) -> list[Array]:
    """Random inputs that the network takes, with 1, 2, 3, … samples, to compare an export with ``predict``.

    Sizes that may differ do. Networks with an ``Embedding`` get categories, and those with a mask some padding.
    """
    built = require_built(network, network.built)
    layers: list[Any] = [*network.named_layers().values(), network]
    rng = np.random.default_rng(seed)
    categories = min((layer.categories for layer in layers if hasattr(layer, "categories")), default=0)
    source = max((layer.source_steps for layer in layers if isinstance(layer, EncoderDecoder)), default=0)
    marks = [one.padding for one in layers if isinstance(one, Masked | EncoderDecoder) and one.padding is not None]
    made: list[Array] = []
    for samples in range(1, count + 1):
        for size in (source + 2 + samples, source + 10 + samples, source + 60 + samples):  # that windows fit in
            shape = tuple(size if type(n) is AnySize else n for n in built.input_shape)
            x = rng.integers(0, categories, (samples, *shape)) if categories else rng.normal(size=(samples, *shape))
            if marks and samples > 1:
                x[0, 1::2] = marks[0]
            with suppress(ShapeError):
                network.predict(x.astype(built.dtype))
                made.append(x.astype(built.dtype))
                break
    return made


def built_of(network: Layer[Any]) -> Built:
    """What a network was built for. Raises ArgumentTypeError for something else, and NotBuiltError."""
    if not isinstance(network, Layer):
        raise ArgumentTypeError(f"network: expected a Sequential, or another layer, got {shown(network)}")
    return require_built(network, network.built)


def parts_of(network: Layer[Any]) -> dict[str, Parameter | Buffer]:
    """The parameters and buffers of a built network by their paths, each once."""
    built_of(network)
    return {name: part for name, part in network.named_members() if isinstance(part, Parameter | Buffer)}


def optional_package(name: str, title: str) -> Any:
    """Import a package that an export needs. Raises ConfigurationError, with the command to install it."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ConfigurationError(f"{title} is not installed: pip install {name}") from None


def check_export(network: Layer[Any], title: str, run: Callable[[Array], Array]) -> None:
    """Compare an export with ``predict`` on random inputs. Raises ConfigurationError where they differ.

    Numbers may differ by 10⁻⁵ of their scale in float32, and by 10⁻¹² in float64.
    """
    for x in sample_inputs(network):
        expected, got = network.predict(x), run(x)
        if got.shape != expected.shape:
            raise ConfigurationError(f"{title}: expected an output of shape {expected.shape}, got {got.shape}")
        scale = 1 + float(np.abs(expected).max(initial=0))
        difference = float(np.abs(got - expected).max(initial=0)) / scale
        allowed = 1e-5 if expected.dtype == np.float32 else 1e-12
        if not difference <= allowed:
            raise ConfigurationError(
                f"{title}: the export gives other numbers than predict, by {difference:.1e} of their scale, where "
                f"{allowed} is allowed: check_layer compares a layer's formula with its predict"
            )
