"""The inner graph of a composite layer: its sublayers, the signals that they take, and how their outputs are merged."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import field, frozen

from deepbp.errors import ConfigurationError, ContractError, ShapeError
from deepbp.formulas.language import evaluate
from deepbp.layers.merging import Merge, merge_outputs, merged_shape, split_delta, validate_merge
from deepbp.parameters import Parameter
from deepbp.typing import Array, Shape


class Operation(ABC):
    """Base class of operations without parameters in an inner graph: one array from the arrays of the inputs.

    A subclass is a ``@frozen`` attrs class. The formulas are optional: without them, derivations show a black box.

    >>> from attrs import frozen
    >>> import numpy as np
    >>> from deepbp.layers import Operation
    >>> @frozen
    ... class Reversed(Operation):
    ...     def output_shape(self, shapes):
    ...         return shapes[0]
    ...     def forward(self, inputs):
    ...         return inputs[0][:, ::-1]
    ...     def backward(self, inputs, delta):
    ...         return [delta[:, ::-1]]
    >>> Reversed().forward([np.array([[1.0, 2.0, 3.0]])])
    array([[3., 2., 1.]])
    """

    __slots__ = ()

    @property
    def is_elementwise(self) -> bool:
        """Whether each number of the output depends on the numbers at the same place of the inputs alone."""
        return False

    @abstractmethod
    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """The output's sample shape. Raises ShapeError where the inputs' shapes do not fit together."""

    @abstractmethod
    def forward(self, inputs: Sequence[Array]) -> Array:
        """The output."""

    @abstractmethod
    def backward(self, inputs: Sequence[Array], delta: Array) -> list[Array]:
        """The gradient ∂L/∂input for each input, from ``delta`` = ∂L/∂output."""

    def label(self) -> str:
        """The operation in a word or two, for diagrams."""
        return type(self).__name__

    def names(self, count: int) -> list[str]:
        """The names by which the formulas call the inputs."""
        return [f"x{i}" for i in range(count)]

    def forward_formula(self, shapes: Sequence[Shape]) -> str:
        """The output as an expression of the inputs' names."""
        return ""

    def backward_formula(self, index: int, shapes: Sequence[Shape]) -> str:
        """∂L/∂input as an expression of ``delta`` and the inputs' names."""
        return ""

    def forward_remark(self) -> str:
        """The forward step in a few words, for the derivation."""
        return type(self).__name__

    def backward_remark(self, index: int, shapes: Sequence[Shape]) -> str:
        """The backward step to one input in a few words."""
        return type(self).__name__

    def output_column(self, index: int, column: int, shapes: Sequence[Shape]) -> int | None:
        """The output's column that a column of an input acts on, if it is a single one."""
        return column if self.is_elementwise else None


@frozen
class MergeBy(Operation):
    """Merging of branches: ``"concat"`` along the last axis, ``"add"``, ``"multiply"``, or ``"mean"``.

    >>> import numpy as np
    >>> from deepbp.layers import MergeBy
    >>> one, other = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])
    >>> MergeBy("multiply").forward([one, other])
    array([[3., 8.]])
    >>> MergeBy("multiply").backward([one, other], np.array([[1.0, 10.0]]))
    [array([[ 3., 40.]]), array([[ 1., 20.]])]
    """

    merge: Merge = field(validator=validate_merge)

    @property
    def is_elementwise(self) -> bool:
        return self.merge != "concat"

    def label(self) -> str:
        return self.merge

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return merged_shape(self.merge, shapes)

    def forward(self, inputs: Sequence[Array]) -> Array:
        return merge_outputs(self.merge, inputs)

    def backward(self, inputs: Sequence[Array], delta: Array) -> list[Array]:
        return split_delta(self.merge, [one.shape[-1] for one in inputs], inputs, delta)

    def forward_formula(self, shapes: Sequence[Shape]) -> str:
        names = self.names(len(shapes))
        if self.merge == "concat":
            return f"concat({', '.join(names)})"
        if self.merge == "multiply":
            return " * ".join(names)
        return " + ".join(names) if self.merge == "add" else f"({' + '.join(names)}) / {len(names)}"

    def backward_formula(self, index: int, shapes: Sequence[Shape]) -> str:
        if self.merge == "concat":
            return f"columns(delta, {_start(index, shapes)}, {_start(index + 1, shapes)})"
        if self.merge == "multiply":
            return " * ".join(["delta", *(name for i, name in enumerate(self.names(len(shapes))) if i != index)])
        return "delta" if self.merge == "add" else f"delta / {len(shapes)}"

    def forward_remark(self) -> str:
        words = {"concat": "side by side", "multiply": "multiplied", "add": "added", "mean": "their mean"}
        return f"its branches, {words[self.merge]}"

    def backward_remark(self, index: int, shapes: Sequence[Shape]) -> str:
        words = {
            "concat": columns_text(_start(index, shapes), _start(index + 1, shapes)),
            "multiply": "times the other factors",
            "add": "a sum hands it on to each of its terms",
            "mean": "to each its share of the mean",
        }
        return words[self.merge]

    def output_column(self, index: int, column: int, shapes: Sequence[Shape]) -> int | None:
        return column + _start(index, shapes) if self.merge == "concat" else column


@frozen
class SliceColumns(Operation):
    """Slice of the last axis, x[..., start:stop]; the backpropagated gradient is 0 in the other columns.

    >>> import numpy as np
    >>> from deepbp.layers import SliceColumns
    >>> SliceColumns(1, 3).forward([np.array([[1.0, 2.0, 3.0, 4.0]])])
    array([[2., 3.]])
    """

    start: int
    stop: int

    def label(self) -> str:
        return columns_text(self.start, self.stop)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        if not shape or not 0 <= self.start < self.stop <= shape[-1]:
            raise ShapeError(f"{self}: expected samples with these columns, got shape {shape}")
        return (*shape[:-1], self.stop - self.start)

    def forward(self, inputs: Sequence[Array]) -> Array:
        return inputs[0][..., self.start : self.stop]

    def backward(self, inputs: Sequence[Array], delta: Array) -> list[Array]:
        whole = np.zeros_like(inputs[0])
        whole[..., self.start : self.stop] = delta
        return [whole]

    def forward_formula(self, shapes: Sequence[Shape]) -> str:
        return f"columns(x0, {self.start}, {self.stop})"

    def backward_formula(self, index: int, shapes: Sequence[Shape]) -> str:
        return "delta"

    def forward_remark(self) -> str:
        return columns_text(self.start, self.stop)

    def backward_remark(self, index: int, shapes: Sequence[Shape]) -> str:
        return f"{columns_text(self.start, self.stop)} of it"

    def output_column(self, index: int, column: int, shapes: Sequence[Shape]) -> int | None:
        return column - self.start if self.start <= column < self.stop else None


@frozen
class Expression(Operation):
    """Elementwise formula of several inputs, with its derivative by each of them: δ · ∂y/∂input goes to each input.

    >>> import numpy as np
    >>> from deepbp.layers import Expression
    >>> mix = Expression("t * h + (1 - t) * x", {"t": "h - x", "h": "t", "x": "1 - t"})
    >>> t, h, x = (np.array([[value]]) for value in (0.25, 8.0, 4.0))
    >>> mix.forward([t, h, x]).item(), [gradient.item() for gradient in mix.backward([t, h, x], np.array([[1.0]]))]
    (5.0, [4.0, 0.25, 0.75])

    Args:
        formula: the output, such as ``"gate * body + (1 - gate) * x"``.
        derivatives: ∂output/∂input by the name in the formula, in the order of the node's inputs:
            ``{"gate": "body - x", "body": "gate", "x": "1 - gate"}``.
    """

    formula: str
    derivatives: Mapping[str, str]

    @property
    def is_elementwise(self) -> bool:
        return True

    def label(self) -> str:
        return self.formula

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if len(shapes) != len(self.derivatives) or len(set(shapes)) != 1:
            listed = " and ".join(map(str, shapes))
            raise ShapeError(f"{self}: expected {len(self.derivatives)} inputs of one shape, got {listed}")
        return shapes[0]

    def forward(self, inputs: Sequence[Array]) -> Array:
        return np.asarray(evaluate(self.formula, self._values(inputs)), dtype=inputs[0].dtype)

    def backward(self, inputs: Sequence[Array], delta: Array) -> list[Array]:
        values = self._values(inputs)
        slopes = (evaluate(derivative, values) for derivative in self.derivatives.values())
        return [np.asarray(delta * slope, dtype=delta.dtype) for slope in slopes]

    def names(self, count: int) -> list[str]:
        return list(self.derivatives)

    def forward_formula(self, shapes: Sequence[Shape]) -> str:
        return self.formula

    def backward_formula(self, index: int, shapes: Sequence[Shape]) -> str:
        return f"delta * ({list(self.derivatives.values())[index]})"

    def forward_remark(self) -> str:
        return "its branches, combined"

    def backward_remark(self, index: int, shapes: Sequence[Shape]) -> str:
        return f"times the derivative by {self.names(len(shapes))[index]}"

    def _values(self, inputs: Sequence[Array]) -> dict[str, Array]:
        return dict(zip(self.derivatives, inputs, strict=True))


@frozen(eq=False)
class PenaltyTerm:
    """A regularization term that a composite adds to the loss: a penalty of a parameter, or of the node's input.

    >>> import numpy as np
    >>> from deepbp.layers import L2, PenaltyTerm
    >>> PenaltyTerm(L2(0.5)).value_and_gradient([np.array([[1.0], [3.0]])])  # the mean over two samples
    (2.5, array([[0.5],
           [1.5]]))

    Args:
        penalty: such as ``L2(1e-4)``; None for what a layer adds to the loss in its own ``penalty`` method.
        parameter: None for a penalty of the node's input, whose sum is divided by the number of samples.
    """

    penalty: Any
    parameter: Parameter | None = None

    def value_and_gradient(self, inputs: Sequence[Array]) -> tuple[float, Array]:
        """The number, and its derivative by the parameter or by the input."""
        if self.parameter is not None:
            value, gradient = self.penalty(self.parameter.value)
            return value, gradient
        samples = max(len(inputs[0]), 1)
        value, gradient = self.penalty(inputs[0])
        return value / samples, gradient / samples


def _as_names(inputs: str | Sequence[str]) -> tuple[str, ...]:
    return (inputs,) if isinstance(inputs, str) else tuple(inputs)


@frozen(eq=False)
class Node:
    """One node of an inner graph: a sublayer, an operation, or a penalty term.

    >>> from deepbp.layers import MergeBy, Node
    >>> Node("y", MergeBy("add"), ["body", "x"]).inputs
    ('body', 'x')

    Args:
        name: of a sublayer, the path of its field, such as ``"body"`` or ``"branches.1"``.
        operation: the sublayer, an ``Operation`` such as ``MergeBy("add")``, or a ``PenaltyTerm``.
        inputs: the names of the nodes whose outputs it takes; ``"x"`` is the composite's own input.
        padding: of a sublayer that runs with a mask, the number that marks padding in its input, as in ``Masked``.
        memory: of a sublayer that looks at a memory, as in ``EncoderDecoder``, the name of the node that computes it.
        per_step: whether the sublayer runs on each step of the composite's input alone, as in ``PerStep``.
    """

    name: str
    operation: Any
    inputs: tuple[str, ...] = field(default="x", converter=_as_names)  # pyright: ignore[reportAssignmentType]
    padding: float | None = field(default=None, kw_only=True)
    memory: str = field(default="", kw_only=True)
    per_step: bool = field(default=False, kw_only=True)

    @property
    def sources(self) -> tuple[str, ...]:
        """The inputs, and the memory if there is one."""
        return (*self.inputs, self.memory) if self.memory else self.inputs

    @property
    def layer(self) -> Any:
        """The sublayer; None for an operation and for a penalty term."""
        return None if isinstance(self.operation, Operation | PenaltyTerm) else self.operation

    @property
    def is_signal(self) -> bool:
        """Whether other nodes can take its output: a penalty term goes to the loss instead."""
        return not isinstance(self.operation, PenaltyTerm)

    def shape_from(self, shapes: Sequence[Shape]) -> Shape:
        """The output's sample shape for inputs of these shapes."""
        if not self.is_signal:
            return ()
        if isinstance(self.operation, Operation):
            return self.operation.output_shape(shapes)
        built, steps = self.operation.built, shapes[0][:1] if self.per_step and shapes else ()
        output: Shape | None = None
        if built is not None and len(shapes) == 1:
            output = built.output_shapes.get(shapes[0][len(steps) :])
        if output is None:
            known = "not built" if built is None else f"built for samples of shape {built.input_shape}"
            got = " and ".join(map(str, shapes)) or "no input"
            raise ContractError(f"inner_graph: node {self.name!r} gets {got}, and {self.operation} is {known}")
        return (*steps, *output)


def _as_nodes(nodes: Iterable[Node]) -> tuple[Node, ...]:
    return tuple(nodes)


@frozen(eq=False)
class InnerGraph:
    """What a composite layer computes: nodes in forward order, of which the last one gives the output.

    Args:
        input_shape: of one sample of the composite's input, which the nodes call ``"x"``.
        nodes: each after those whose outputs it takes. Call the last one ``"y"`` where it is no sublayer.
        formula: the whole in one line, which ``summary`` prints, such as ``"y = body(x) · gate(x)"``.

    Raises:
        ContractError: for a name that is missing or that occurs twice, and for an output that no node takes.
        ShapeError: where shapes do not fit together.

    >>> from deepbp.layers import InnerGraph, MergeBy, Node, SliceColumns
    >>> first, last = Node("first", SliceColumns(0, 2)), Node("last", SliceColumns(2, 4))
    >>> InnerGraph((4,), [first, last, Node("y", MergeBy("multiply"), ["first", "last"])]).shapes
    {'x': (4,), 'first': (2,), 'last': (2,), 'y': (2,)}
    """

    input_shape: Shape
    nodes: tuple[Node, ...] = field(converter=_as_nodes)
    formula: str = ""
    shapes: dict[str, Shape] = field(init=False)

    def __attrs_post_init__(self) -> None:
        shapes, unused = {"x": self.input_shape}, set[str]()
        for node in self.nodes:
            missing = [name for name in node.sources if name not in shapes]
            if missing or node.name in shapes:
                wrong = f"takes {missing[0]!r}, which is not among" if missing else "has the name of one of"
                known = ", ".join(map(repr, shapes))
                raise ContractError(f"inner_graph: node {node.name!r} {wrong} those before it: {known}")
            shapes[node.name] = node.shape_from([shapes[name] for name in node.inputs])
            if node.is_signal:
                unused = unused - set(node.sources) | {node.name}
        object.__setattr__(self, "shapes", shapes)
        if len(unused) != 1 or self.output.name not in unused:
            listed = ", ".join(map(repr, sorted(unused))) or "none"
            raise ContractError(f"inner_graph: expected one output, that of the last node; no node takes: {listed}")

    @property
    def output(self) -> Node:
        """The node that gives the composite's output."""
        return next(node for node in reversed(self.nodes) if node.is_signal)

    @property
    def is_chain(self) -> bool:
        """Whether it is nothing but sublayers, each of which takes the output of the one before."""
        before = ("x", *(node.name for node in self.nodes[:-1]))
        return all(
            node.layer is not None and node.sources == (source,) and node.padding is None and not node.per_step
            for node, source in zip(self.nodes, before, strict=True)
        )

    def path(self, node: Node) -> str:
        """The node's path in the composite: empty, the composite's own, for a merged output and for penalties."""
        return node.name if node.layer is not None or (node.is_signal and node is not self.output) else ""


def columns_text(start: int, stop: int) -> str:
    """Columns in words, counted from 0."""
    return f"column {start}" if stop == start + 1 else f"columns {start} to {stop - 1}"


def _start(index: int, shapes: Sequence[Shape]) -> int:
    """The first column of concatenated branches that comes from this branch."""
    return sum(shape[-1] for shape in shapes[:index])


MOST_NESTED = 90
"""How deep layers may contain layers: some passes are recursive, and Python limits that."""


def refuse_nesting(inside: Mapping[Any, Sequence[Any]]) -> None:
    """Raise unless layers, each after those inside it, are nested no deeper than all parts of deepbp can follow."""
    depth, depths, layer = 0, dict[Any, int](), None
    for layer, sublayers in inside.items():
        if any(one not in depths for one in sublayers):
            name = type(layer).__name__
            raise ContractError(f"{name}: expected layers inside it, got one that it is inside of itself")
        depths[layer] = depth = 1 + max((depths[one] for one in sublayers), default=0)
    if depth > MOST_NESTED:
        raise ConfigurationError(
            f"{type(layer).__name__}: expected layers within layers to a depth of at most {MOST_NESTED}, got {depth}: "
            "put layers one after another in a list, Sequential([...]), which may have any length"
        )
