"""An observed pass: a forward and a backward pass along the inner graphs of a network, with a record of every array."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any, Self, TypeAlias

import numpy as np
from attrs import define, evolve, field, frozen

from deepbp.errors import ContractError, DeepBPError, NotBuiltError, shown
from deepbp.layers.boundary import place_of, unwrapped
from deepbp.layers.inner_graph import InnerGraph, Node, Operation, PenaltyTerm
from deepbp.layers.layer import Layer
from deepbp.layers.masking import Context, real_steps
from deepbp.layers.merging import sum_arrays
from deepbp.parameters import Parameter
from deepbp.typing import Array, Shape


def stated_graph(layer: Layer[Any]) -> InnerGraph | None:
    """The inner graph of a built layer; None for a black box. Raises ContractError for a graph that does not fit.

    A subclass that overrides ``forward`` or ``backward``, and inherits ``inner_graph``, may compute something else than
    the graph states, so it is a black box, too.
    """
    cls = type(layer)
    owner: Any = next(one for one in cls.__mro__ if "inner_graph" in vars(one))
    overridden = any(
        unwrapped(getattr(cls, name)) is not unwrapped(getattr(owner, name)) for name in ("forward", "backward")
    )
    built = layer.built
    if built is None or overridden or owner is Layer:
        return None
    try:
        graph: Any = layer.inner_graph()
        if graph is None:
            return None
        if not isinstance(graph, InnerGraph):
            raise ContractError(f"inner_graph: expected an InnerGraph or None, returned {shown(graph)}")
        shapes = graph.input_shape, graph.shapes[graph.output.name]
        if shapes != (built.input_shape, built.output_shape):
            expected = f"{built.input_shape} to {built.output_shape}"
            raise ContractError(f"inner_graph: expected a graph from samples of shape {expected}, got {shapes}")
    except DeepBPError as error:
        raise error.placed(repr(layer)) from None
    return graph


@frozen
class FlatContext:
    """Where the ``Context`` of a layer comes from, by the positions of signals.

    Attributes:
        mask: the signal whose steps are real or padding, and the number that marks padding.
        memory: the signal that the layer may look at.
        memory_shape: of its samples.
        memory_mask: as ``mask``, for the memory.
        before: the inputs and outputs of the layers before it in chains, at which the axis of steps may have ended.
    """

    mask: tuple[int, float] | None
    memory: int | None = None
    memory_shape: Shape = ()
    memory_mask: tuple[int, float] | None = None
    before: tuple[tuple[int, int], ...] = ()

    def behind(self, x: int, y: int) -> Self:
        """The context of the next layer in a chain."""
        return evolve(self, before=(*self.before, (x, y)))

    def made(self, signals: Sequence[Array], memory: Parameter | None) -> Context:
        """The context itself."""
        mask, seen = (one and real_steps(signals[one[0]], one[1]) for one in (self.mask, self.memory_mask))
        context = Context(mask, memory, seen)
        for x, y in self.before:
            context = context.after(signals[x], signals[y])
        return context


@frozen(eq=False)
class FlatNode:
    """One computation of a network whose composites are taken apart.

    Attributes:
        place: the path from the network, as in ``named_layers()``; of a merged output and a penalty, the composite's.
        whole: the path of the composite that states the node.
        layer: the layer that runs; of an operation or a penalty, the composite that states it.
        operation: None where the layer runs.
        inputs: positions of the signals that go in: 0 is the network's input, i + 1 the output of node i.
        labels: the names of the composites around it, and its own, with the layers, from the outside in.
        context: of a layer that gets one. A layer that looks at its memory has that as its second input.
        steps: the axes of steps, the first of its shapes, along which it runs on each step alone, as in ``PerStep``.
    """

    place: str
    whole: str
    layer: Layer[Any]
    operation: Operation | PenaltyTerm | None
    inputs: tuple[int, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    labels: tuple[tuple[str, Layer[Any]], ...]
    context: FlatContext | None = None
    steps: Shape = ()

    @property
    def is_signal(self) -> bool:
        """Whether it computes a signal, and not a penalty."""
        return not isinstance(self.operation, PenaltyTerm)

    def merged(self, array: Array) -> Array:
        """The array as the node itself sees it: of a node that runs on each step alone, steps are samples."""
        count = len(self.steps) + 1
        return array.reshape(prod(array.shape[:count]), *array.shape[count:]) if self.steps else array

    def description(self) -> str:
        """``layer 1, Residual > body, Dense(3)``: where the node is, for error messages."""
        return " > ".join(place_of(label, layer) for label, layer in self.labels)


def flattened(network: Layer[Any]) -> tuple[FlatNode, ...]:
    """Every computation of a built network in forward order. The last node that is no penalty gives the output.

    Raises:
        NotBuiltError: when the network's sizes are not known yet.
    """
    if network.built is None:
        raise NotBuiltError(f"{type(network).__name__}: its sizes are not known yet: give input_shape=...")
    nodes: list[FlatNode] = []
    shapes = network.built.input_shape, network.built.output_shape
    _flatten(FlatNode("", "", network, None, (0,), shapes[:1], shapes[1], (("layer 0", network),)), nodes, ())
    return tuple(nodes)


def _flatten(whole: FlatNode, nodes: list[FlatNode], around: tuple[tuple[str, Layer[Any]], ...]) -> int:
    """Append what a layer computes; returns the position of its output among the signals."""
    graph, context = stated_graph(whole.layer), whole.context
    if graph is None:
        if context is not None and context.memory is not None and whole.layer.takes_memory:
            shapes = (*whole.input_shapes, context.memory_shape)
            whole = evolve(whole, inputs=(*whole.inputs, context.memory), input_shapes=shapes)
        nodes.append(whole)
        output = len(nodes)
        if whole.layer.has_penalty():  # which the layer adds to the loss itself
            shapes = (whole.output_shape,)
            nodes.append(
                FlatNode(whole.place, whole.place, whole.layer, PenaltyTerm(None), (output,), shapes, (), whole.labels)
            )
        return output
    if type(whole.layer).forward_with is Layer.forward_with:  # it hands no context on
        context = None
    signals, masks = {"x": whole.inputs[0]}, dict[str, tuple[int, float] | None]()
    for node in graph.nodes:
        name, own = graph.path(node), context
        if node.padding is not None or node.memory:
            masks[node.name] = None if node.padding is None else (signals[node.inputs[0]], node.padding)
            own = FlatContext(masks[node.name])
            if node.memory:
                own = evolve(
                    own,
                    memory=signals[node.memory],
                    memory_shape=graph.shapes[node.memory],
                    memory_mask=masks.get(node.memory),
                )
        flat = FlatNode(
            place=f"{whole.place}.{name}".strip("."),
            whole=whole.place,
            layer=whole.layer if node.layer is None else node.layer,
            operation=node.operation if node.layer is None else None,
            inputs=tuple(signals[one] for one in node.inputs),
            input_shapes=tuple((*whole.steps, *graph.shapes[one]) for one in node.inputs),
            output_shape=(*whole.steps, *graph.shapes[node.name]) if node.is_signal else (),
            labels=whole.labels if node.layer is None else (*around, (_label(node), node.layer)),
            context=own,
            steps=(*whole.steps, *graph.input_shape[: node.per_step]),
        )
        if node.layer is None:
            nodes.append(flat)
            signals[node.name] = len(nodes)
        else:
            signals[node.name] = _flatten(flat, nodes, flat.labels)
            if graph.is_chain and context is not None:
                context = context.behind(flat.inputs[0], signals[node.name])
    return signals[graph.output.name]


def _label(node: Node) -> str:
    return f"layer {node.name}" if node.name.isdigit() else node.name


@define(eq=False)
class NodeRecord:
    """What one node computed.

    Attributes:
        saved: what its backward step needs; of a penalty, its value and gradient.
        memory: the second input of a layer that looks at it, which collects ∂L/∂memory.
        delta: ∂L/∂output.
        passed_back: for each input, ∂L/∂input, or a share of it where other nodes take that input, too.
        gradients: ∂L/∂parameter by field, this use's share of it.
    """

    node: FlatNode
    inputs: tuple[Array, ...]
    output: Array
    saved: Any
    memory: Parameter | None = None
    delta: Array | None = None
    passed_back: tuple[Array, ...] = ()
    gradients: dict[str, Array] = field(factory=dict)

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The parameters of ``gradients``, by the same names; the parameter of a penalty is called "w"."""
        term = self.node.operation
        if term is None:
            return self.node.layer.named_parameters()
        return {"w": term.parameter} if isinstance(term, PenaltyTerm) and term.parameter is not None else {}


Observer: TypeAlias = Callable[[NodeRecord], None]


@define(eq=False)
class ObservedPass:
    """Runs a network node by node, with the same layers and in the same order as the network itself.

    The passes accumulate parameter gradients and draw random numbers as training does: run them on a copy.

    Attributes:
        records: one for each node, in forward order.
    """

    nodes: Sequence[FlatNode]
    records: list[NodeRecord] = field(factory=list, init=False)

    @classmethod
    def of(cls, network: Layer[Any]) -> Self:
        return cls(flattened(network))

    def forward(self, x: Array, observe: Observer | None = None) -> Array:
        """The training pass; ``observe`` gets the record of each node as soon as its output is known."""
        return self._run(x, observe, _forward)

    def predict(self, x: Array, observe: Observer | None = None) -> Array:
        """The inference pass, without penalties."""
        return self._run(x, observe, _predict)

    def penalty(self) -> float:
        """The sum of all penalties of the last forward pass."""
        return sum((record.saved[0] for record in self.records if not record.node.is_signal), 0.0)

    def parameter_gradients(self) -> dict[int, Array]:
        """∂L/∂parameter of the last backward pass by the parameter's ``id``: the sum over all uses, and its penalty."""
        totals: dict[int, Array] = {}
        for record in reversed(self.records):
            for name, gradient in record.gradients.items():
                key = id(record.parameters[name])
                totals[key] = totals[key] + gradient if key in totals else gradient
        return totals

    def backward(self, delta: Array) -> Array:
        """Fills the records' gradients, from ``delta`` = ∂L/∂output, and returns ∂L/∂x; clears parameter gradients."""
        last = max(i for i, record in enumerate(self.records, start=1) if record.node.is_signal)
        shares: dict[int, list[Array]] = {last: [delta]}
        for position, record in reversed(list(enumerate(self.records, start=1))):
            node = record.node
            record.delta = sum_arrays(shares[position]) if node.is_signal else np.ones_like(record.output)
            with _placed(node):
                shares_back, record.gradients = _backward(record, node.merged(record.delta))
            pairs = zip(shares_back, record.inputs, strict=True)
            record.passed_back = tuple(share.reshape(one.shape) for share, one in pairs)
            # Shares are added in forward order and those of penalties last, which is the order of training.
            for source, share in reversed(list(zip(node.inputs, record.passed_back, strict=True))):
                found = shares.setdefault(source, [])
                found.insert(0 if node.is_signal else len(found), share)
        return sum_arrays(shares[0])

    def _run(self, x: Array, observe: Observer | None, run: Callable[..., tuple[Array, Any]]) -> Array:
        self.records = []
        signals = [x]
        for node in self.nodes:
            inputs = tuple(signals[one] for one in node.inputs)
            memory = Parameter(inputs[1]) if node.operation is None and len(inputs) == 2 else None
            with _placed(node):
                context = None if node.context is None else node.context.made(signals, memory)
                output, saved = run(node, tuple(map(node.merged, inputs)), self.records, context)
            if node.steps and node.is_signal:
                output = output.reshape(*inputs[0].shape[: len(node.steps) + 1], *output.shape[1:])
            signals.append(output)
            self.records.append(NodeRecord(node, inputs, output, saved, memory))
            if observe is not None:
                observe(self.records[-1])
        return next(record.output for record in reversed(self.records) if record.node.is_signal)


def _forward(
    node: FlatNode, inputs: tuple[Array, ...], records: list[NodeRecord], context: Context | None
) -> tuple[Array, Any]:
    match node.operation:
        case None:
            pair: tuple[Array, Any]
            if context is None:
                pair = node.layer._run_forward(inputs[0])
            else:
                pair = node.layer.forward_with(inputs[0], context)
            return pair
        case Operation() as operation:
            return operation.forward(inputs), None
        case PenaltyTerm(None):  # of the layer that ran just before
            value, gradient = node.layer.penalty(records[-1].saved), np.zeros_like(inputs[0])
        case PenaltyTerm() as term:
            value, gradient = term.value_and_gradient(inputs)
    return np.asarray(value, dtype=gradient.dtype), (value, gradient)


def _predict(
    node: FlatNode, inputs: tuple[Array, ...], records: list[NodeRecord], context: Context | None
) -> tuple[Array, Any]:
    if node.operation is None:
        if context is None:
            return node.layer._run_predict(inputs[0]), None
        return node.layer.predict_with(inputs[0], context), None
    if isinstance(node.operation, Operation):
        return node.operation.forward(inputs), None
    return np.zeros(()), (0.0, None)


def _backward(record: NodeRecord, delta: Array) -> tuple[tuple[Array, ...], dict[str, Array]]:
    """The gradients for the inputs, and those of the parameters."""
    node = record.node
    if isinstance(node.operation, Operation):
        return tuple(node.operation.backward(tuple(map(node.merged, record.inputs)), delta)), {}
    if isinstance(node.operation, PenaltyTerm):
        gradient = record.saved[1]
        return ((gradient,), {}) if node.inputs else ((), {"w": gradient})
    held = record.parameters
    for parameter in held.values():
        parameter.clear_grad()
    if record.memory is not None:
        record.memory.clear_grad()
    grad_input = node.layer._run_backward(record.saved, delta)
    grad_inputs = (grad_input,) if record.memory is None else (grad_input, record.memory.grad)
    return grad_inputs, {name: parameter.grad.copy() for name, parameter in held.items()}


@contextmanager
def _placed(node: FlatNode) -> Iterator[None]:
    """Adds the node's place to an error raised inside."""
    place = f"layer {node.place}, {node.layer}"
    try:
        yield
    except DeepBPError as error:
        raise error.placed(place) from error.__cause__
    except Exception as error:
        error.add_note(f"in {place}")
        raise
