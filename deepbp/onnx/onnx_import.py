"""Import of ONNX files, as PyTorch and others export them: a chain of operators becomes a Sequential."""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
import onnx
from attrs import define, field
from onnx import NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from deepbp import layers as ly
from deepbp.errors import ArgumentTypeError, ConfigurationError, DeepBPError, shown
from deepbp.export.inference import sample_inputs
from deepbp.layers import Layer
from deepbp.layers.chain import restore_column_names
from deepbp.onnx.onnx_export import runner_of
from deepbp.onnx.onnx_layers import OPERATORS, RECURRENT, Imported, both_directions, flatten, recurrent
from deepbp.sequential import Sequential
from deepbp.typing import Array, Shape

ACTIVATIONS: tuple[Layer[Any], ...] = (
    *(ly.GELU(), ly.GELU("tanh"), ly.SiLU(), ly.Mish(), ly.ReLU6(), ly.ReLU(), ly.HardSwish(), ly.HardSigmoid()),
    *(ly.Softplus(), ly.Softsign(), ly.LogSigmoid(), ly.Gaussian(), ly.Sine(1.0), ly.SELU(), ly.ELU(), ly.Tanh()),
)
"""What several nodes between two points of the chain are compared with, number by number."""

SHAPING = {"Cast", "Concat", "Flatten", "Gather", "Mul", "Reshape", "Shape", "Slice", "Squeeze", "Unsqueeze"}
"""What an exporter computes a new shape with."""

POINTS = np.linspace(-6, 6, 49, dtype=np.float32)[None]


def load(source: str | os.PathLike[str] | onnx.ModelProto) -> Sequential:
    """Import a network from ONNX, of PyTorch's or deepbp's own: a multilayer perceptron or a convolutional network.

    The operators must form a chain, with skip connections x + f(x) in it. Activations that an exporter has spelled out,
    such as GELU as five nodes, are recognized by their values. Images get their channels last: the network takes
    ``x.transpose(0, 2, 3, 1)`` of what the model takes. Its predictions are compared with the model's on random inputs
    before it is returned. A tensor that is used twice becomes two parameters. Names of columns and classes are those
    that ``export`` has stored.

    >>> from deepbp import Sequential
    >>> from deepbp.layers import GELU, Dense
    >>> from deepbp.onnx import export, load
    >>> net = Sequential([Dense(4), GELU(), Dense(1)], input_shape=2, rng=0)
    >>> load(export(net, "net.onnx"))
    Sequential([Dense(4), GELU(), Dense(1)], input_shape=(2,), rng=0)

    Args:
        source: the file, or a model.

    Raises:
        ConfigurationError: for an operator, or a graph, that no layers are known for; the message names the node.
        OSError: when there is no such file.
    """
    if not isinstance(source, str | os.PathLike | onnx.ModelProto):
        raise ArgumentTypeError(f"source: expected the name of a file, or a model, got {shown(source)}")
    try:
        model = source if isinstance(source, onnx.ModelProto) else onnx.load(os.fspath(source))
        onnx.checker.check_model(model)
        model = onnx.shape_inference.infer_shapes(model)
    except OSError:
        raise
    except Exception as error:
        raise ConfigurationError(f"expected a valid model of ONNX, got an invalid one: {error}") from None
    return _Reader.of(model).network()


@define(eq=False)
class _Reader:
    """What has been read so far.

    Attributes:
        constants: tensors that do not depend on the input.
        shapes: those of the other tensors, as far as they are known.
        state: arrays by the names of the network's parameters.
        channels_first: whether images have the layout of PyTorch where the chain has arrived.
        steps_first: whether sequences are (steps, samples, …) where the chain has arrived.
        initial: the first states (D, states, U) of recurrent operators, by the name of their first output.
        flattened: the shape (H, W, C) of an image whose numbers, in PyTorch's order, are a row now.
    """

    model: onnx.ModelProto
    nodes: list[NodeProto]
    constants: dict[str, Array]
    shapes: dict[str, Shape]
    state: dict[str, Array] = field(factory=dict)
    channels_first: bool = False
    steps_first: bool = False
    flattened: Shape = ()
    initial: dict[str, Array] = field(factory=dict)

    @classmethod
    def of(cls, model: onnx.ModelProto) -> "_Reader":
        graph = model.graph
        constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        shapes = {}
        for value in (*graph.input, *graph.value_info, *graph.output):
            sizes = value.type.tensor_type.shape.dim
            shapes[value.name] = tuple(n.dim_value if n.HasField("dim_value") else -1 for n in sizes)
        nodes = []
        for node in graph.node:
            if all(name in constants or not name for name in node.input):  # a constant, perhaps computed from others
                made: Any = ReferenceEvaluator(_part(model, [node], constants, [], list(node.output))).run(None, {})
                constants |= dict(zip(node.output, made, strict=True))
            else:
                nodes.append(node)
        return cls(model, nodes, constants, shapes)

    def network(self) -> Sequential:
        """The network, whose predictions are those of the model."""
        graph = self.model.graph
        given = [value for value in graph.input if value.name not in self.constants]
        if len(given) != 1 or len(graph.output) != 1:
            raise ConfigurationError(f"expected one input and one output, got {len(given)} and {len(graph.output)}")
        (x,), (y,) = given, graph.output
        self.nodes = self._without_first_states(x)
        self.steps_first = steps_first = self._begins_with_steps(x.name)
        sizes = self.shapes[x.name]
        shape = tuple(None if n < 1 else n for n in (sizes[:1] + sizes[2:] if steps_first else sizes[1:]))
        kinds = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "BatchNormalization")
        first = next((node.op_type for node in self.nodes if node.op_type not in ("Cast", "Identity")), "")
        reads_steps = any(node.op_type in RECURRENT for node in self.nodes)
        images = len(shape) == 3 and first != "Transpose" and not reads_steps
        self.channels_first = images or (len(shape) == 2 and first in kinds)
        turned = self.channels_first
        layers = self._chain(self.nodes, x.name, y.name, "")
        if self.flattened:
            raise ConfigurationError(
                "expected a Gemm behind a flattened image, whose numbers are in another order here"
            )
        dtype = helper.tensor_dtype_to_np_dtype(x.type.tensor_type.elem_type)
        try:
            network = Sequential(
                layers or [ly.Dropout(0.0)],
                input_shape=(*shape[1:], shape[0]) if turned else shape,
                rng=0,
                dtype="float64" if dtype == np.float64 else None,
            )
            network.load_weights(self.state)
            known = {one.key: one.value.split("\n") for one in self.model.metadata_props}
            restore_column_names(network, {name.removeprefix("deepbp."): names for name, names in known.items()})
        except DeepBPError as error:
            raise ConfigurationError(f"the layers that were found do not fit together: {error}") from error
        self._check(network, x.name, dtype, turned, steps_first)
        return network

    def _check(self, network: Sequential, name: str, dtype: Any, turned: bool, steps_first: bool) -> None:
        run, allowed = runner_of(self.model, name), 1e-10 if network.dtype == np.float64 else 1e-4
        batch = self.shapes[name][int(steps_first)]
        for x in sample_inputs(network, 2):
            x = x if batch < 1 else np.resize(x, (batch, *x.shape[1:]))  # of a model for one size of batches
            theirs = np.moveaxis(x, -1, 1) if turned else np.swapaxes(x, 0, 1) if steps_first else x
            expected, y = run(theirs.astype(dtype))[0], network.predict(x)
            expected = np.moveaxis(expected, 1, -1) if self.channels_first and expected.ndim > 2 else expected
            expected = np.swapaxes(expected, 0, 1) if self.steps_first else expected
            if (
                y.shape == expected.shape[:2] and expected.size == y.size
            ):  # places that are pooled have sizes of 1 there
                expected = expected.reshape(y.shape)
            if y.shape != expected.shape or not np.allclose(y, expected, rtol=0, atol=allowed * (1 + np.abs(y).max())):
                raise ConfigurationError("the layers that were found give other numbers than the model")

    def _chain(self, nodes: Sequence[NodeProto], start: str, end: str, place: str) -> list[Layer[Any]]:
        """The layers for the nodes between two tensors."""
        made: list[Layer[Any]] = []
        parts = [*_cut(nodes, start, end)]
        while parts:
            if (read := self._recurrent(parts, place, len(made))) is not None:
                several, taken = read
                made, parts = made + several, parts[taken:]
                continue
            (part, source, target), *parts = parts
            try:
                found, taken = self._several(part, source, target, parts)
                if found is None:
                    found = self._layer(part, source, target, f"{place}{len(made)}", made)
            except ConfigurationError as error:
                if str(error).startswith("node "):
                    raise
                raise ConfigurationError(f"node {part[-1].op_type} {part[-1].name!r}: {error}") from None
            made += [] if found is None else [found]
            parts = parts[taken:]
        return made

    def _without_first_states(self, x: onnx.ValueInfoProto) -> list[NodeProto]:
        """The nodes, with constant first states of recurrent operators, which exporters compute, in ``initial``."""
        nodes = [NodeProto.FromString(node.SerializeToString()) for node in self.nodes]
        sizes = [n if n > 0 else 3 for n in self.shapes[x.name]]
        kind = helper.tensor_dtype_to_np_dtype(x.type.tensor_type.elem_type)
        for node in nodes:
            if node.op_type not in RECURRENT or not any(node.input[5:]):
                continue
            states = []
            for name in filter(None, node.input[5:]):
                try:
                    made = (
                        self.constants[name]
                        if name in self.constants
                        else self._run(_needed(nodes, {name}), x.name, name, np.ones(sizes, kind))
                    )
                except Exception:  # it depends on other tensors
                    break
                states.append(made)
            else:
                every = np.stack(states)  # (states, D, samples, U)
                if (every == every[:, :, :1]).all():
                    del node.input[5:]
                    if every.any():
                        self.initial[_name_of(node)] = np.moveaxis(every[:, :, 0], 1, 0)
        return _needed(nodes, {one.name for one in self.model.graph.output})

    def _begins_with_steps(self, start: str) -> bool:
        """Whether the input of the model is (steps, samples, …), as recurrent operators have theirs."""
        reached = {start}
        for node in self.nodes:
            if node.op_type == "Transpose" or node.input[0] not in reached:
                continue
            if node.op_type in RECURRENT:
                return True
            reached.update(node.output)
        return False

    def _recurrent(
        self, parts: Sequence[tuple[list[NodeProto], str, str]], place: str, count: int
    ) -> tuple[list[Layer[Any]], int] | None:
        """Recurrent layers at the start of these parts, and how many parts they are; None if there are none.

        What the exporters put around the operators, to change the order of axes and to select the last step, is
        recognized by its values: that of the most parts that have those of some layers.
        """
        reads = [any(node.op_type in RECURRENT for node in part) for part, _, _ in parts]
        first = 0 if reads[0] else 1
        if not any(reads[:2]) or (first and [node.op_type for node in parts[0][0]] != ["Transpose"]):
            return None
        (_, source, _), behind = parts[0], [*reads[first + 1 :], True].index(True)
        operators = [node for part, _, _ in parts[: first + 1] for node in part if node.op_type in RECURRENT]
        for last in range(first + min(behind, 5), first - 1, -1):
            nodes = [node for part, _, _ in parts[: last + 1] for node in part]
            for sequences, both in product((True, False), (False, True)[: len(operators)]):
                made = self._same_numbers(nodes, operators, source, parts[last][2], sequences, both)
                if made is not None:
                    for i, (_, arrays) in enumerate(made):
                        self.state |= {f"{place}{count + i}.{name}": array for name, array in arrays.items()}
                    return [layer for layer, _ in made], last + 1
        listed = ", ".join(node.op_type for part, _, _ in parts[: first + 1] for node in part)
        raise ConfigurationError(f"node {operators[-1].op_type} {operators[-1].name!r}: no layer is known for {listed}")

    def _same_numbers(
        self, nodes: list[NodeProto], operators: list[NodeProto], source: str, target: str, sequences: bool, both: bool
    ) -> list[tuple[Layer[Any], dict[str, Array]]] | None:
        """The layers for recurrent operators, if they give the numbers of these nodes.

        They stand one after another, or ``both`` are the directions of one layer.
        """

        def layers(initial: Mapping[str, Array]) -> list[tuple[Layer[Any], dict[str, Array]]]:
            found = []
            for node in operators:
                given, first = [self.constants.get(name) for name in node.input], initial.get(_name_of(node))
                found.append(recurrent(node, given, first, sequences or not (both or node is operators[-1])))
            return [both_directions(*found)] if both else found

        try:
            made = layers({})  # as the nodes are without their first states
        except ConfigurationError as error:
            if both:
                return None
            raise ConfigurationError(f"node {operators[-1].op_type} {operators[-1].name!r}: {error}") from None
        sizes = self.shapes.get(source, ())
        known = sizes if len(sizes) == 3 else (-1, -1, -1)
        samples, steps = known[1::-1] if self.steps_first else known[:2]
        weight = made[0][1]["layer.weight" if isinstance(made[0][0], ly.Bidirectional) else "weight"]
        shape = (steps if steps > 0 else 4, len(weight))
        x = np.random.default_rng(0).normal(size=(samples if samples > 0 else 3, *shape)).astype(weight.dtype)
        try:
            network = Sequential([layer for layer, _ in made], input_shape=shape, rng=0, dtype=weight.dtype)
            named = [(f"{i}.{name}", array) for i, (_, arrays) in enumerate(made) for name, array in arrays.items()]
            network.load_weights(dict(named))
            y, p = self._run(nodes, source, target, np.swapaxes(x, 0, 1) if self.steps_first else x), network.predict(x)
        except Exception:  # such as for other shapes
            return None
        for turned in (False, True)[: p.ndim - 1]:
            expected = np.swapaxes(p, 0, 1) if turned else p
            if y.shape == expected.shape and np.allclose(y, expected, rtol=1e-4, atol=1e-5):
                self.steps_first = turned
                return layers(self.initial)
        return None

    def _several(
        self, part: list[NodeProto], source: str, target: str, behind: list[tuple[list[NodeProto], str, str]]
    ) -> tuple[Layer[Any] | None, int]:
        """The activation that these nodes are, with up to two parts behind them; and how many of those."""
        if len(part) == 1 and part[0].op_type in OPERATORS and part[0].op_type not in ("Mul", "Sub"):
            return None, 0
        for count in range(min(3, len(behind) + 1)):
            nodes = [*part, *(node for one, _, _ in behind[:count] for node in one)]
            found = self._recognized(nodes, source, behind[count - 1][2] if count else target)
            if found is not None:
                return found, count
        return None, 0

    def _layer(
        self, part: list[NodeProto], source: str, target: str, place: str, before: list[Layer[Any]]
    ) -> Layer[Any] | None:
        """The layer for nodes that only the last one's output leaves; None where it is the identity, or is done."""
        (*_, node), kind = part, part[-1].op_type
        if len(part) == 1 and kind in OPERATORS:
            options = {one.name: helper.get_attribute_value(one) for one in node.attribute}
            given = [self.constants.get(name) for name in node.input]
            shape = self.shapes.get(source, ())
            return OPERATORS[kind](Imported(self, kind, options, given, shape, place, before))
        if kind == "Add" and len(part) > 1 and not any(name in self.constants for name in node.input):
            return self._residual(part, source, place)
        if self._flattens(part, source, target):
            return flatten(Imported(self, kind, {}, [], self.shapes[source], place, before))
        listed = ", ".join(one.op_type for one in part[:12]) + ", …" * (len(part) > 12)
        raise ConfigurationError(f"no layer is known for {listed}")

    def _residual(self, part: list[NodeProto], source: str, place: str) -> Layer[Any]:
        bodies = []
        for name in part[-1].input:
            needed, kept = {name}, list[NodeProto]()
            for node in reversed(part[:-1]):
                if not needed.isdisjoint(node.output):
                    kept.insert(0, node)
                    needed.update(one for one in node.input if one != source)
            bodies.append((name, kept))
        bodies.sort(key=lambda one: -len(one[1]))  # the body is the longer of the two
        (name, body), (other, short) = bodies
        layers = self._chain(body, source, name, f"{place}.body.")
        if other == source:
            return ly.Residual(layers)
        return ly.Residual(layers, self._chain(short, source, other, f"{place}.shortcut."))

    def _run(self, part: list[NodeProto], source: str, target: str, x: Array) -> Array:
        model = _part(self.model, part, self.constants, [(source, x)], [target])
        if any(node.op_type in RECURRENT for node in part):  # the evaluator has no bidirectional ones
            return runner_of(model, source)(x)[0]
        outputs: Any = ReferenceEvaluator(model).run(None, {source: x})
        return np.asarray(outputs[0])

    def _recognized(self, part: list[NodeProto], source: str, target: str) -> Layer[Any] | None:
        """The activation that gives the same numbers."""
        try:
            y = self._run(part, source, target, POINTS)
        except Exception:  # other shapes, or operators that the evaluator does not have
            return None
        same = (one for one in ACTIVATIONS if np.allclose(one.predict(POINTS), y, rtol=1e-5, atol=1e-6))
        return next(same, None) if y.shape == POINTS.shape else None

    def _flattens(self, part: list[NodeProto], source: str, target: str) -> bool:
        if not {node.op_type for node in part} <= SHAPING:
            return False
        shape = tuple(2 if n < 1 else n for n in self.shapes.get(source, ()))
        x = np.arange(prod(shape), dtype=np.float32).reshape(shape)
        try:
            y = self._run(part, source, target, x)
        except Exception:
            return False
        return y.shape == (len(x), x.size // len(x)) and bool((y.ravel() == x.ravel()).all())


def _part(
    model: onnx.ModelProto,
    nodes: Sequence[NodeProto],
    constants: Mapping[str, Array],
    given: Sequence[tuple[str, Array]],
    outputs: Sequence[str],
) -> onnx.ModelProto:
    """Some nodes as a model."""
    used = dict.fromkeys(name for node in nodes for name in node.input if name in constants)
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for name, x in given
    ]
    made = [helper.make_empty_tensor_value_info(name) for name in outputs]
    stored = [numpy_helper.from_array(np.array(constants[name], order="C"), name) for name in used]
    graph = helper.make_graph(nodes, "part", inputs, made, stored)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _needed(nodes: Sequence[NodeProto], names: set[str]) -> list[NodeProto]:
    """The nodes that these tensors are computed with."""
    names, found = set(names), list[NodeProto]()
    for node in reversed(nodes):
        if not names.isdisjoint(node.output):
            found.insert(0, node)
            names.update(node.input)
    return found


def _name_of(node: NodeProto) -> str:
    """A name that no other node has: that of its first output."""
    return str(next(name for name in node.output if name))


def _cut(nodes: Sequence[NodeProto], start: str, end: str) -> Iterator[tuple[list[NodeProto], str, str]]:
    """Cut nodes where a single tensor connects those before with those behind: (nodes, first tensor, last tensor)."""
    last_use = {name: i for i, node in enumerate(nodes) for name in node.input}
    part, names, open_until = list[NodeProto](), {start}, -1
    for i, node in enumerate(nodes):
        part.append(node)
        names.update(node.output)
        target = node.output[0]
        open_until = max((last_use.get(name, -1) for name in names - {target}), default=-1)
        if open_until <= i and (target == end or last_use.get(target, -1) > i):
            yield part, start, target
            part, start, names = [], target, {target}
    if part or start != end:
        raise ConfigurationError("expected a chain of operators, got a graph that does not end in its output")
