"""Composite layers: sublayers in parallel, repeated, or bypassed by a skip connection."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import accumulate
from typing import Any

import numpy as np
from attrs import define, field

from deepbp._validation import as_shape
from deepbp.errors import ArgumentTypeError, ConfigurationError, ShapeError, shown
from deepbp.errors.validators import boolean, positive_int
from deepbp.layers.chain import AnyLayer, Chain, LayerLike
from deepbp.layers.inner_graph import InnerGraph, MergeBy, Node, SliceColumns
from deepbp.layers.layer import Builder, Layer
from deepbp.layers.masking import Context
from deepbp.layers.merging import Merge, merge_outputs, merged_shape, split_delta, sum_arrays, validate_merge
from deepbp.layers.sublayers import Sublayer, as_layer, require_built_sublayers
from deepbp.program.program import Program, Slot
from deepbp.typing import Array, Shape, ShapeLike

__all__ = ["Parallel", "Repeat", "Residual", "Split"]


def _sum(parts: Sequence[Any], total: Array, width: int) -> list[tuple[Any, ...]]:
    """The instructions of ``sum_arrays``."""
    rows = zip([parts[0], *[total] * len(parts)], parts[1:], strict=False)
    return [("add", one, other, total, width) for one, other in rows]


@define(eq=False)
class ParallelContainer(Layer[tuple[list[Any], list[Array]]]):
    """Base class of parallel branches: y = merge(f₁(x₁), f₂(x₂), …), each on the input or on its own columns.

    Backpropagated gradient: the merge rule splits δ between the branches. If the branches share x, it affects the loss
    through each of them, so their gradients add up; if x is split into columns, they are concatenated.

    Saves what the branches save, and their outputs if the merge rule is a product.
    """

    any_length = True
    _locates_errors = True

    inner: tuple[Sublayer, ...] = field(default=(), init=False)
    columns: tuple[slice, ...] = field(default=(), init=False)  # of the input, one for each branch; none where copied

    @abstractmethod
    def named_branches(self) -> "dict[str, Layer[Any] | None]":
        """The branches by their paths; None for the identity."""

    @abstractmethod
    def merging(self) -> Merge:
        """The name of the merge rule."""

    def cut(self, input_shape: Shape) -> tuple[slice, ...]:
        """The input's columns for each branch; none if every branch takes the whole input."""
        return ()

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        branches = self.named_branches()
        columns = self.cut(input_shape)
        shapes = [(*input_shape[:-1], one.stop - one.start) for one in columns] or [input_shape] * len(branches)
        inner = [Sublayer.built(*named, shape, builder) for named, shape in zip(branches.items(), shapes, strict=True)]
        output_shape = self.output_shape([one.output_shape for one in inner])
        self.inner, self.columns = tuple(inner), columns
        return output_shape

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """The sample shape of the merged output. Raises ShapeError if the branches' shapes do not fit."""
        return merged_shape(self.merging(), shapes)

    def forward(self, x: Array) -> tuple[Array, tuple[list[Any], list[Array]]]:
        return self._forward(x)

    def forward_with(self, x: Array, context: Context) -> tuple[Array, tuple[list[Any], list[Array]]]:
        return self._forward(x, context)

    def _forward(self, x: Array, context: Context | None = None) -> tuple[Array, tuple[list[Any], list[Array]]]:
        outputs, memories = [], []
        for one, part in zip(self.inner, self._inputs(x), strict=True):
            output, memory = one.forward(part, context)
            outputs.append(output)
            memories.append(memory)
        return merge_outputs(self.merging(), outputs), (memories, outputs if self.merging() == "multiply" else [])

    def backward(self, saved: tuple[list[Any], list[Array]], delta: Array) -> Array:
        deltas = self._split_delta(saved, delta)
        grad_input = [one.backward(*pair) for one, *pair in zip(self.inner, saved[0], deltas, strict=True)]
        return np.concatenate(grad_input, axis=-1) if self.columns else sum_arrays(grad_input)

    def backward_parameters(self, saved: tuple[list[Any], list[Array]], delta: Array) -> None:
        deltas = self._split_delta(saved, delta)
        for one, memory, part in zip(self.inner, saved[0], deltas, strict=True):
            if one.is_trained:
                one.backward_parameters(memory, part)

    def penalty(self, saved: tuple[list[Any], list[Array]]) -> float:
        return sum((one.penalty(memory) for one, memory in zip(self.inner, saved[0], strict=True)), 0.0)

    def has_penalty(self) -> bool:
        if self.inner:
            return any(one.has_penalty for one in self.inner)
        return any(layer is not None and layer.has_penalty() for layer in self.named_branches().values())

    def predict(self, x: Array) -> Array:
        outputs = [one.predict(part) for one, part in zip(self.inner, self._inputs(x), strict=True)]
        return merge_outputs(self.merging(), outputs)

    def predict_with(self, x: Array, context: Context) -> Array:
        outputs = [one.predict(part, context) for one, part in zip(self.inner, self._inputs(x), strict=True)]
        return merge_outputs(self.merging(), outputs)

    @property
    def takes_categories(self) -> bool:
        return all(layer is not None and layer.takes_categories for layer in self.named_branches().values())

    def start(self, batch: int) -> list[Any]:
        return [one.start(batch) for one in self.inner]

    def step(self, x: Array, state: list[Any]) -> tuple[Array, list[Any]]:
        runs = zip(self.inner, self._inputs(x), state, strict=True)
        pairs = [one.step(part, before) for one, part, before in runs]
        return merge_outputs(self.merging(), [output for output, _ in pairs]), [after for _, after in pairs]

    def lower(self, program: Program, x: Slot) -> Slot:
        return self._lower(program, x, program.lower)

    def lower_predict(self, program: Program, x: Slot) -> Slot:
        return self._lower(program, x, program.lower_predict)

    def _lower(self, program: Program, x: Slot, lower: Callable[[Any, Slot], Slot]) -> Slot:
        if self.merging() != "add" or self.columns or len(self.inner) < 2:
            return program.layer(self, x)
        inputs = [Slot(x.value, None if x.delta is None else np.zeros_like(x.delta)) for _ in self.inner]
        if x.delta is not None:  # runs after the backward passes of all branches
            program.on_the_way_back(*_sum([one.delta for one in inputs], x.delta, x.width))
        outputs = [
            part if one.layer is None else lower(one.layer, part) for one, part in zip(self.inner, inputs, strict=True)
        ]
        y = program.slot(outputs[0].value.shape[1:], any(one.delta is not None for one in outputs))
        for row in _sum([one.value for one in outputs], y.value, y.width):
            program.then(*row)
        if y.delta is not None:
            deltas = (one.delta for one in outputs if one.delta is not None)
            program.on_the_way_back(*(("copy_values", y.delta, delta, y.width) for delta in deltas))
        return y

    def _require_built(self) -> None:
        require_built_sublayers(self, self.inner)

    def inner_graph(self) -> InnerGraph:
        assert self.built is not None
        nodes, ends = [], []
        for position, one in enumerate(self.inner):
            source = "x"
            if self.columns:
                source, columns = f"columns.{position}", self.columns[position]
                nodes.append(Node(source, SliceColumns(columns.start, columns.stop)))
            if one.layer is not None:
                nodes.append(Node(one.name, one.layer, source))
                source = one.name
            ends.append(source)
        nodes.append(Node("y", MergeBy(self.merging()), ends))
        return InnerGraph(self.built.input_shape, nodes, self._formula_text())

    def _formula_text(self) -> str:
        """The whole in one line, for the summary."""
        part = "fᵢ(xᵢ)" if self.columns else "fᵢ(x)"
        merge = {"concat": f"[{part}, …]", "add": f"Σ {part}", "multiply": f"Π {part}", "mean": f"Σ {part} / n"}
        return f"y = {merge[self.merging()]}"

    def _inputs(self, x: Array) -> list[Array]:
        return [x[..., one] for one in self.columns] or [x] * len(self.inner)

    def _split_delta(self, saved: tuple[list[Any], list[Array]], delta: Array) -> list[Array]:
        widths = [one.output_shape[-1] if one.output_shape else 1 for one in self.inner]
        return split_delta(self.merging(), widths, saved[1], delta)


def as_branches(branches: Sequence[LayerLike | None]) -> tuple[AnyLayer | None, ...]:
    """Convert branches: each a layer, a list of layers, or None for the identity."""
    if not isinstance(branches, list | tuple):
        raise ArgumentTypeError(f"branches: expected a list of layers, got {shown(branches)}: write [Dense(4), ...]")
    if not branches:
        raise ConfigurationError("branches: expected at least one branch, got an empty list")
    return tuple(None if one is None else as_layer(one, f"branches.{i}") for i, one in enumerate(branches))


@define(eq=False)
class Parallel(ParallelContainer):
    """Parallel branches on the same input: y = merge(f₁(x), f₂(x), …).

    Backpropagated gradient: ∂L/∂x = Σ fᵢ.backward(δᵢ), because all branches take x. The merge rule gives δᵢ: with
    "concat" its columns of δ, with "add" δ, with "mean" δ / n, and with "multiply" δ · Π of the other branches'
    outputs.

    A network with several outputs ends with a ``Parallel``, whose columns are the outputs; see ``Split`` for several
    inputs.

    Args:
        branches: each a layer, a list of layers, or None, the identity.
        merge: "concat" along the last axis, "add", "multiply", or "mean".

    Raises:
        ShapeError: by ``build``, if the branches' outputs do not fit together.

    >>> import numpy as np
    >>> from deepbp.layers import Builder, Parallel, ReLU
    >>> layer = Parallel([ReLU(), None])
    >>> Builder().build(layer, (2,))
    (4,)
    >>> layer.predict(np.array([[-1.0, 2.0]]))
    array([[ 0.,  2., -1.,  2.]])

    Source: Szegedy et al. 2015; Srivastava, Greff & Schmidhuber 2015 for products, as gates.
    """

    branches: tuple[AnyLayer | None, ...] = field(converter=as_branches)
    merge: Merge = field(default="concat", kw_only=True, validator=validate_merge)

    def named_branches(self) -> "dict[str, Layer[Any] | None]":
        return {f"branches.{i}": layer for i, layer in enumerate(self.branches)}

    def merging(self) -> Merge:
        return self.merge


def _as_sizes(sizes: ShapeLike | None) -> Shape | None:
    return None if sizes is None else as_shape(sizes, "Split: sizes", most_axes=2**63)


@define(eq=False)
class Split(Parallel):
    """Branches on separate columns: y = merge(f₁(x₁), f₂(x₂), …), where x = [x₁, x₂, …] is split along its last axis.

    Backpropagated gradient: ∂L/∂x = [f₁.backward(δ₁), f₂.backward(δ₂), …], with δᵢ as in ``Parallel``.

    This is how a network takes several inputs: as columns of one array, with a branch for each. Flatten inputs of
    several axes before; a ``Reshape`` at the start of a branch restores their shape. With a ``Parallel`` at the end,
    the network also has several outputs::

        net = Sequential([Split([Dense(8), Dense(8)], sizes=(3, 5)), Parallel([Dense(2), Dense(1)])], input_shape=8)
        net.fit(np.hstack([people, things]), np.hstack([scores, prices]), loss=MeanSquaredError(), optimizer=Adam())
        scores, prices = np.split(net.predict(np.hstack([people, things])), [2], axis=1)

    Args:
        branches: as in ``Parallel``.
        sizes: the number of columns of each branch; None splits the input into equal parts.
        merge: as in ``Parallel``.

    Raises:
        ShapeError: by ``build``, if the sizes do not add up to the last axis, and as in ``Parallel``.

    >>> import numpy as np
    >>> from deepbp.layers import Builder, ReLU, Split
    >>> layer = Split([ReLU(), None], sizes=(1, 2))
    >>> Builder().build(layer, (3,))
    (3,)
    >>> layer.predict(np.array([[-1.0, -2.0, -3.0]]))
    array([[ 0., -2., -3.]])
    """

    sizes: Shape | None = field(default=None, kw_only=True, converter=_as_sizes)

    def __attrs_post_init__(self) -> None:
        if self.sizes is not None and len(self.sizes) != len(self.branches):
            raise ConfigurationError(
                f"Split: sizes: expected one for each of the {len(self.branches)} branches, got {self.sizes}"
            )

    def cut(self, input_shape: Shape) -> tuple[slice, ...]:
        if not input_shape:
            raise ShapeError("expects samples with an axis to cut, got (): single numbers have none")
        width, count = input_shape[-1], len(self.branches)
        if self.sizes is None and width % count:
            raise ShapeError(f"cannot cut {width} columns into {count} equal parts, got {input_shape}: give sizes=...")
        sizes = self.sizes or (width // count,) * count
        if sum(sizes) != width:
            listed = " + ".join(map(str, sizes))
            raise ShapeError(f"expects {listed} = {sum(sizes)} columns, got {input_shape}")
        return tuple(slice(end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True))


def _as_body(body: LayerLike) -> AnyLayer:
    return as_layer(body, "body")


def _as_shortcut(shortcut: LayerLike | None) -> AnyLayer | None:
    return None if shortcut is None else as_layer(shortcut, "shortcut")


@define(eq=False)
class Residual(ParallelContainer):
    """Residual (skip) connection: y = body(x) + shortcut(x).

    Backpropagated gradient: body.backward(δ) + shortcut.backward(δ). With the identity as shortcut that is
    body.backward(δ) + δ, which does not vanish where the body's gradient does, so that deep stacks still learn.

    Args:
        body: a layer, or a list of layers.
        shortcut: a layer that gives x the shape of the body's output, such as ``Dense(n)``; None is the identity.

    Raises:
        ShapeError: by ``build``, if the two outputs have different shapes.

    >>> import numpy as np
    >>> from deepbp.layers import Builder, ReLU, Residual
    >>> layer = Residual(ReLU())
    >>> Builder().build(layer, (2,))
    (2,)
    >>> layer.predict(np.array([[-1.0, 2.0]]))
    array([[-1.,  4.]])

    Source: He, Zhang, Ren & Sun 2016.
    """

    body: AnyLayer = field(converter=_as_body)
    shortcut: AnyLayer | None = field(default=None, converter=_as_shortcut)

    def named_branches(self) -> "dict[str, Layer[Any] | None]":
        return {"body": self.body, "shortcut": self.shortcut}

    def merging(self) -> Merge:
        return "add"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        body, shortcut = shapes
        if body != shortcut:
            fix = "give the body an output of that shape, or shortcut= a layer that makes the body's"
            if len(body) == len(shortcut) == 1:
                fix = f"end the body with Dense({shortcut[0]}), or give shortcut=Dense({body[0]})"
            name = "the input itself" if self.shortcut is None else "the shortcut"
            raise ShapeError(
                f"the body gives samples of shape {body}, {name}, of shape {shortcut}, is to be added to it: {fix}"
            )
        return body

    def _formula_text(self) -> str:
        return f"y = body(x) + {'x' if self.shortcut is None else 'shortcut(x)'}"


@define(eq=False)
class Repeat(Chain):
    """Repeated layer: y = fₙ(… f₂(f₁(x))), with n copies of one layer, or with one shared layer n times.

    Backpropagated gradient: as in a chain. The gradients of shared weights add up over all uses: backpropagation
    through a recurrent network that is unrolled over n steps.

    ``build`` creates the copies, each with initial values of its own; a layer that is built already is copied with its
    values.

    Args:
        layer: a layer, or a list of layers, which is repeated as a whole.
        times: n.
        share: whether all uses share the weights (weight sharing). The output then needs the shape of the input.

    Raises:
        ShapeError: by ``build``, if weights are shared and the output does not have the shape of the input.

    >>> from deepbp.layers import Builder, Dense, Repeat
    >>> layer = Repeat(Dense(3), times=4)
    >>> Builder(rng=0).build(layer, (3,))
    (3,)
    >>> len(layer.parameters())  # W and b of each copy
    8

    Source: Vaswani et al. 2017 for stacks of equal layers; Rumelhart, Hinton & Williams 1986 for unrolled networks.
    """

    layers: tuple[AnyLayer, ...] = field(default=(), init=False)  # when it is built: what runs
    layer: AnyLayer = field(converter=as_layer)
    times: int = field(validator=positive_int)
    share: bool = field(default=False, kw_only=True, validator=boolean)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        copies = [self.layer if self.share else deepcopy(self.layer) for _ in range(self.times - 1)]
        if self.share and self.times > 1:
            output_shape = builder.build(self.layer, input_shape)
            if output_shape != input_shape:
                raise ShapeError(
                    f"a layer that is used again needs the shape of its input as output, {input_shape}, got "
                    f"{output_shape}: share=False makes copies, each for the shape it meets"
                )
        self.layers = (self.layer, *copies)  # pyright: ignore[reportIncompatibleVariableOverride]
        return super().build(input_shape, builder)

    def has_penalty(self) -> bool:
        return self.layer.has_penalty()
