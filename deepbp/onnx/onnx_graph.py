"""ONNX as a library of arrays: operations on its values write the nodes of a graph."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from attrs import define, field
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from deepbp.errors import ConfigurationError
from deepbp.export.array_library import BEHIND, ArrayLibrary, Step
from deepbp.kernels.numpy_erf import LIMIT, LONG, NEAR_ZERO
from deepbp.layers.windows import UNKNOWN, Windows
from deepbp.onnx.onnx_values import Value, broadcast
from deepbp.typing import Array


@define(eq=False)
class OnnxGraph(ArrayLibrary):
    """The graph that is being written. Constants that are equal are stored once.

    Attributes:
        opset: the version of ONNX's operators.
        place: of the layer whose nodes are being written, which begins their names.
    """

    dtype: "np.dtype[Any]"
    opset: int
    nodes: list[NodeProto] = field(factory=list)
    initializers: dict[str, TensorProto] = field(factory=dict)
    place: str = ""
    _constants: dict[Any, Value] = field(factory=dict)
    _written: dict[Any, NodeProto] = field(factory=dict)
    _count: int = 0
    _loop: int = 0  # the number of the loop whose body is being written; 0 outside

    def input(self, name: str, sizes: Sequence[Any], dtype: Any) -> Value:
        """A tensor that the graph is given."""
        return Value(self, name, tuple(sizes), np.dtype(dtype))

    def op(self, kind: str, inputs: Sequence[Any], sizes: Sequence[Any], dtype: Any = None, **options: Any) -> Value:
        """Write a node, and return its output of this shape; an input may be None, or a number."""
        made = self.several(kind, inputs, [sizes], **options)[0]
        made.dtype = np.dtype(dtype or self.dtype)
        return made

    def several(
        self, kind: str, inputs: Sequence[Any], outputs: Sequence[Sequence[Any]], **options: Any
    ) -> list[Value]:
        """Write a node with outputs of these shapes; the same node is written once."""
        names = ["" if one is None else self.lifted(one).name for one in inputs]
        key = kind, *names, repr(options), self._loop
        if key not in self._written:
            made = [self._name(kind) for _ in outputs]
            self._written[key] = helper.make_node(kind, names, made, name=made[0], **options)
            self.nodes.append(self._written[key])
        node = self._written[key]
        return [Value(self, n, tuple(sizes), self.dtype, node) for n, sizes in zip(node.output, outputs, strict=True)]

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{self.place}/{kind}_{self._count}".lstrip("/")

    def lifted(self, number: Any, dtype: Any = None) -> Value:
        """A number as a constant; a value stays as it is."""
        if isinstance(number, Value):
            return number
        return self.constant(np.asarray(number, dtype or self.dtype))

    def constant(self, array: Any) -> Value:
        array = np.ascontiguousarray(array) if np.ndim(array) else np.asarray(array)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            self._constants[key] = self.stored(f"constant_{len(self._constants)}", array)
        return self._constants[key]

    def stored(self, name: str, array: Array) -> Value:
        """An array in the file, by its name."""
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.array(array, order="C"), name)
        return Value(self, name, array.shape, array.dtype)

    def numbers(self, *whole: int) -> Value:
        """A constant of whole numbers, (n,)."""
        return self.constant(np.array(whole, dtype=np.int64))

    def cast(self, value: Value, dtype: Any) -> Value:
        """The same numbers in another dtype."""
        to = np.dtype(dtype)
        if value.dtype == to:
            return value
        return self.op("Cast", [value], value.sizes, to, to=helper.np_dtype_to_tensor_dtype(to))

    def one(self, kind: str, e: Value, **options: Any) -> Value:
        """A function of each number."""
        e = e if kind == "Not" else self._number(e)
        return self.op(kind, [e], e.sizes, e.dtype, **options)

    def two(self, kind: str, one: Any, other: Any, dtype: Any = None) -> Value:
        """A function of pairs of numbers, repeated as NumPy repeats them; truth values count as 0 and 1."""
        sides = [self._number(side) if isinstance(side, Value) else side for side in (one, other)]
        kinds = {side.dtype for side in sides if isinstance(side, Value)}
        common = self.dtype if len(kinds) > 1 else kinds.pop()
        sides = [self.cast(s, common) if isinstance(s, Value) else self.lifted(s, common) for s in sides]
        return self.op(kind, sides, broadcast([s.sizes for s in sides]), dtype or common)

    def _number(self, value: Value) -> Value:
        return self.cast(value, self.dtype) if value.dtype == np.bool_ else value

    def elementwise(self, name: str, e: Any) -> Any:
        e, double = self._number(e), self.dtype == np.float64
        if name == "expm1":
            return self.one("Exp", e) - 1.0
        if name == "log1p":
            return self.one("Log", e + 1.0)
        if name == "softplus" and double:  # which runtimes have for float32 alone, as the others below
            return self.maximum(e, 0.0) + self.one("Log", self.one("Exp", -self.one("Abs", e)) + 1.0)
        if name in ("cosh", "sinh") and double:
            one, other = self.one("Exp", e), self.one("Exp", -e)
            return (one + other if name == "cosh" else one - other) / 2.0
        if name == "erf" and double:
            return self._erf(e)
        return self.one(name.capitalize(), e)

    def _erf(self, e: Value) -> Value:
        """By the polynomials of ``deepbp.kernels``."""
        (k, a, tail), size = LONG, self.minimum(self.one("Abs", e), float(LIMIT))
        u = 1.0 / (size + k)
        outside = 1.0 - self.one("Exp", -(size * size)) * u * _polynomial(tail, (size * a - k) * u)
        near = e * _polynomial(NEAR_ZERO, self.minimum(size, 0.5) ** 2)
        made: Value = self.where(size < 0.5, near, self.one("Sign", e) * outside)
        return made

    def maximum(self, one: Any, other: Any) -> Any:
        if isinstance(one, Value) and not isinstance(other, Value) and other == 0:
            return self.one("Relu", one)
        return self.two("Max", one, other)

    def minimum(self, one: Any, other: Any) -> Any:
        return self.two("Min", one, other)

    def where(self, condition: Any, one: Any, other: Any) -> Any:
        sides = [self.lifted(one), self.lifted(other)]
        sizes = broadcast([condition.sizes, *(side.sizes for side in sides)])
        return self.op("Where", [condition, *sides], sizes, sides[0].dtype)

    def reduced(self, kind: str, e: Any, axes: Sequence[int], keepdims: bool) -> Any:
        e, over = self._number(e), [axis % len(e.sizes) for axis in axes]
        kept: list[Any] = [1 if i in over else n for i, n in enumerate(e.sizes)]
        sizes = kept if keepdims else [n for i, n in enumerate(e.sizes) if i not in over]
        name = f"Reduce{kind.capitalize()}"
        if kind == "sum" or self.opset >= 18:  # where axes are an input
            return self.op(name, [e, self.numbers(*axes)], sizes, e.dtype, keepdims=int(keepdims))
        return self.op(name, [e], sizes, e.dtype, axes=list(axes), keepdims=int(keepdims))

    def softmax(self, e: Any, log: bool = False) -> Any:
        return self.one("LogSoftmax" if log else "Softmax", e, axis=-1)

    def sizes(self, e: Any) -> tuple[Any, ...]:
        """Known sizes are whole numbers; the others values of shape ()."""
        return tuple([self._size(e, i) if n is None else n for i, n in enumerate(e.sizes)])

    def _size(self, e: Value, axis: int) -> Value:
        shape = self.op("Shape", [e], (len(e.sizes),), np.int64)
        return self.op("Gather", [shape, self.constant(np.int64(axis))], (), np.int64, axis=0)

    def _shape(self, sizes: Sequence[Any]) -> Value:
        """Sizes as a tensor."""
        if all(isinstance(n, int) for n in sizes):
            return self.numbers(*sizes)
        one = self.numbers(1)
        parts = [
            self.op("Reshape", [n, one], (1,), np.int64) if isinstance(n, Value) else self.numbers(n) for n in sizes
        ]
        return self.op("Concat", parts, (len(parts),), np.int64, axis=0)

    def reshape(self, e: Any, sizes: Sequence[Any]) -> Any:
        unknown = [i for i, n in enumerate(sizes) if isinstance(n, Value)]
        if len(unknown) == 1 and -1 not in [n for n in sizes if isinstance(n, int)]:
            sizes = [-1 if i in unknown else n for i, n in enumerate(sizes)]  # the only one: it follows from the rest
        known = tuple(None if isinstance(n, Value) or n == -1 else n for n in sizes)
        if known == e.sizes and known.count(None) <= 1:
            return e
        return self.op("Reshape", [e, self._shape(sizes)], known, e.dtype)

    def expanded(self, e: Any, sizes: Sequence[Any]) -> Any:
        known = tuple(None if isinstance(n, Value) else n for n in sizes)
        return self.op("Expand", [e, self._shape(sizes)], known, e.dtype)

    def transposed(self, e: Any, axes: Sequence[int]) -> Any:
        made, source = e.made_by, e
        if made is not None and made.op_type == "Transpose":  # two in a row are one, or none
            before = helper.get_attribute_value(made.attribute[0])
            axes = [before[axis] for axis in axes]
            sizes = [None] * len(axes)
            for axis, n in zip(before, e.sizes, strict=True):
                sizes[axis] = n
            source = Value(self, made.input[0], tuple(sizes), e.dtype)
        if list(axes) == sorted(axes):
            return source
        return self.op("Transpose", [source], [source.sizes[axis] for axis in axes], e.dtype, perm=list(axes))

    def sliced(self, e: Any, axis: int, start: int, stop: int) -> Any:
        sizes, axis = list(e.sizes), axis % len(e.sizes)
        if sizes[axis] is not None:
            sizes[axis] = len(range(sizes[axis])[start:stop])
        else:
            sizes[axis] = stop - start if 0 <= start < stop < BEHIND else 1 if start == -1 else None
        ends = (self.numbers(start), self.numbers(min(stop, BEHIND)), self.numbers(axis))
        return self.op("Slice", [e, *ends], sizes, e.dtype)

    def joined(self, parts: Sequence[Any], axis: int) -> Any:
        sizes = list(parts[0].sizes)
        widths = [part.sizes[axis] for part in parts]
        sizes[axis] = None if None in widths else sum(widths)
        return self.op("Concat", parts, sizes, parts[0].dtype, axis=axis)

    def take(self, table: Any, x: Any) -> Any:
        return self.op("Gather", [table, self.cast(x, np.int64)], (*x.sizes, *table.sizes[1:]), axis=0)

    def table_of(self, function: str, frequencies: Array, steps: Any) -> Any:
        if not isinstance(steps, Value):
            return super().table_of(function, frequencies, steps)
        zero, one = self.constant(np.int64(0)), self.constant(np.int64(1))
        places = self.cast(self.op("Range", [zero, steps, one], (None,), np.int64), np.float64)
        column = self.op("Reshape", [places, self.numbers(-1, 1)], (None, 1), np.float64)
        angles = self.two("Mul", column, self.constant(frequencies.astype(np.float64)[None]))
        return self.cast(self.one(function.capitalize(), angles), self.dtype)

    def padded(self, e: Any, pads: Sequence[tuple[int, int]]) -> Any:
        sizes = [None if n is None else n + sum(pair) for n, pair in zip(e.sizes, pads, strict=True)]
        for axis, (before, behind) in enumerate(pads):
            if before < 0 or behind < 0:
                e = self.sliced(e, axis, max(-before, 0), behind if behind < 0 else BEHIND)
        ends = [max(n, 0) for pair in zip(*pads, strict=True) for n in pair]
        return self.op("Pad", [e, self.numbers(*ends)], sizes, e.dtype) if any(ends) else e

    # Images, whose channels ONNX has first. Runtimes have convolutions for float32 alone; in float64 each number of a
    # kernel is a matrix product.

    def channels_first(self, e: Any) -> Any:
        """(B, …, C) as (B, C, …)."""
        axes = len(e.sizes)
        return self.transposed(e, (0, axes - 1, *range(1, axes - 1)))

    def channels_last(self, e: Any) -> Any:
        """(B, C, …) as (B, …, C)."""
        return self.transposed(e, (0, *range(2, len(e.sizes)), 1))

    def size_of(self, x: Value) -> tuple[int, ...]:
        """Height and width of images, or of sequences as images; a large number where they are not known."""
        return tuple([UNKNOWN if n is None else n for n in (1, *x.sizes[1:-1])[-2:]])

    def known_places(self, x: Value, places: Sequence[int]) -> list[Any]:
        """The numbers of places along the axes of x, with None where they are not known."""
        axes = x.sizes[1:-1]
        return [None if n is None else count for n, count in zip(axes, places[-len(axes) :], strict=True)]

    def correlate(self, images: Any, weight: Any, windows: Windows, groups: int) -> Any:
        whole, outputs = self._with_border(images, windows), weight.sizes[-1]
        per_group, total = outputs // groups, None
        places = self.known_places(images, windows.places(self.size_of(images)))
        for taps, part in self._places(whole, windows, places):
            kernel = self._tap(weight, taps)
            if per_group == weight.sizes[2] == 1:
                product = part * self.reshape(kernel, (outputs,))
            elif groups == 1:
                product = part @ kernel
            else:
                width = weight.sizes[2]
                made = [
                    self.sliced(part, 3, g * width, (g + 1) * width)
                    @ self.sliced(kernel, 1, g * per_group, (g + 1) * per_group)
                    for g in range(groups)
                ]
                product = self.joined(made, -1)
            total = product if total is None else total + product
        return total

    def _tap(self, weight: Any, taps: tuple[int, int]) -> Any:
        row = self.sliced(self.sliced(weight, 0, taps[0], taps[0] + 1), 1, taps[1], taps[1] + 1)
        return self.reshape(row, weight.sizes[2:])

    def _with_border(self, images: Value, windows: Windows) -> Value:
        self._refuse_unknown(images, windows)
        made: Value = self.padded(images, ((0, 0), *windows.pads(self.size_of(images)), (0, 0)))
        return made

    def _refuse_unknown(self, x: Value, windows: Windows) -> None:
        along = zip((1, *x.sizes[1:-1])[-2:], windows.padding, windows.stride, strict=True)
        if any(n is None and word == "same" and stride > 1 for n, word, stride in along):
            raise ConfigurationError(
                "padding='same' with a stride depends on the size: give input_shape=... a size, or the padding a number"
            )

    def _places(self, whole: Any, windows: Windows, places: Sequence[Any]) -> Any:
        """For each number of a window, what lies there at all places."""
        reach = [(k - 1) * d for k, d in zip(windows.size, windows.dilation, strict=True)]
        for taps in product(*map(range, windows.size)):
            starts = [t * d for t, d in zip(taps, windows.dilation, strict=True)]
            stops = [i - r or BEHIND for i, r in zip(starts, reach, strict=True)]
            ends = (self.numbers(*starts), self.numbers(*stops), self.numbers(1, 2), self.numbers(*windows.stride))
            yield taps, self.op("Slice", [whole, *ends], (whole.sizes[0], *places, whole.sizes[3]), whole.dtype)

    def convolve(self, images: Any, weight: Any, shape: tuple[int, int], windows: Windows, groups: int) -> Any:
        """A correlation of the images with s − 1 zeros between their numbers, and kernels turned round."""
        batch, rows, columns, inputs = self.sizes(images)
        (down, across), outputs = windows.stride, weight.sizes[2] * groups
        apart = self.reshape(images, (batch, rows, 1, columns, 1, inputs))
        apart = self.padded(apart, ((0, 0), (0, 0), (0, down - 1), (0, 0), (0, across - 1), (0, 0)))
        apart = self.reshape(apart, (batch, rows * down, columns * across, inputs))
        turned = []
        for g in range(groups):
            kernel = self.sliced(weight, 3, g * inputs // groups, (g + 1) * inputs // groups)
            ends = (self.numbers(-1, -1), self.numbers(-BEHIND, -BEHIND), self.numbers(0, 1), self.numbers(-1, -1))
            kernel = self.op("Slice", [kernel, *ends], kernel.sizes)
            turned.append(self.transposed(kernel, (0, 1, 3, 2)))
        kernels, pads = turned[0] if groups == 1 else self.joined(turned, -1), []
        size = self.size_of(images)
        shape = windows.moved_shape(size)  # whose differences from the size are known, if it is not
        along = zip(shape, size, windows.size, windows.stride, windows.dilation, strict=True)
        for (n, places, kernel, stride, dilation), (before, _) in zip(along, windows.pads(shape), strict=True):
            first = (kernel - 1) * dilation - before
            pads.append((first, n - first - places * stride + (kernel - 1) * dilation))
        assert kernels.sizes[-1] == outputs
        return self.correlate(self.padded(apart, ((0, 0), *pads, (0, 0))), kernels, _once(windows), groups)

    def largest_in_windows(self, images: Any, windows: Windows) -> Any:
        return self._pooled("MaxPool", images, windows)

    def window_max(self, x: Any, size: Any, stride: Any = None, padding: Any = "valid") -> Any:
        return self._pooled("MaxPool", x, self._pooling(x, size, stride, padding))

    def summed_windows(self, images: Any, windows: Windows) -> Any:
        places, total = self.known_places(images, windows.places(self.size_of(images))), None
        for _, part in self._places(self._with_border(images, windows), windows, places):
            total = part if total is None else total + part
        return total

    def window_mean(self, x: Any, size: Any, stride: Any = None, padding: Any = "valid") -> Any:
        windows = self._pooling(x, size, stride, padding)
        if self.dtype == np.float32:
            return self._pooled("AveragePool", x, windows)
        images = self._as_images(x)
        one = self.constant(np.ones((1, 1, 1, 1), self.dtype))
        counts = self.summed_windows(self.expanded(one, (1, *self.sizes(images)[1:3], 1)), windows)
        return self._as_samples(self.summed_windows(images, windows) / counts, self.axes(x))

    def _pooled(self, kind: str, x: Any, windows: Windows) -> Any:
        size = self.size_of(x)
        sizes = (x.sizes[0], x.sizes[-1], *self.known_places(x, windows.places(size)))
        made = self.op(kind, [self.channels_first(x)], sizes, **self.windows_of(windows, x, windows.pads(size)))
        return self.channels_last(made)

    def windows_of(self, windows: Windows, x: Value, pads: Any, is_moved: bool = False) -> dict[str, Any]:
        """Attributes of an operator with windows on x; a sequence has one axis."""
        axes = len(x.sizes) - 2
        pairs = [*pads][-axes:]
        made = {
            "kernel_shape": list(windows.size[-axes:]),
            "strides": list(windows.stride[-axes:]),
            "pads": [before for before, _ in pairs] + [behind for _, behind in pairs],
        }
        if not is_moved and {*windows.padding[-axes:]} == {"same"}:
            del made["pads"]
            return {**made, "auto_pad": "SAME_UPPER"}  # for images of any size
        if not is_moved:
            self._refuse_unknown(x, windows)
        return made

    # Steps of a sequence.

    def scan(self, step: Step, states: list[Any], inputs: list[Any], reverse: bool) -> tuple[list[Any], list[Any]]:
        """Along axis 0 and forwards, which every runtime has."""
        along = [self._turned(self._steps_first(one), reverse) for one in inputs]
        outside, self.nodes = (self.nodes, self._loop), []
        self._loop = self._count + 1
        given = [self.input(self._name("state"), one.sizes, one.dtype) for one in states]
        parts = [self.input(self._name("step"), one.sizes[1:], one.dtype) for one in along]
        after, outputs = step(parts, given)
        made = [self._again(self._number(one)) for one in (*after, *outputs)]
        body = self.graph_of("step", [*given, *parts], made)
        self.nodes, self._loop = outside
        shapes = [one.sizes for one in states] + [(along[0].sizes[0], *one.sizes) for one in made[len(states) :]]
        found = self.several("Scan", [*states, *along], shapes, body=body, num_scan_inputs=len(inputs))
        sequences = found[len(states) :]
        return found[: len(states)], [self._steps_first(self._turned(one, reverse)) for one in sequences]

    def _again(self, value: Value) -> Value:
        """The value by a name of its own: a loop may put out a state twice."""
        name = self._name("Identity")
        node = helper.make_node("Identity", [value.name], [name], name=name)
        self.nodes.append(node)
        return Value(self, name, value.sizes, value.dtype, node)

    def _steps_first(self, e: Value) -> Value:
        """(B, T, …) as (T, B, …), or back."""
        return self.transposed(e, (1, 0, *range(2, len(e.sizes))))  # type: ignore[no-any-return]

    def _turned(self, e: Value, reverse: bool) -> Value:
        """With axis 0 from its end to its beginning."""
        if not reverse:
            return e
        ends = (self.numbers(-1), self.numbers(-BEHIND), self.numbers(0), self.numbers(-1))
        return self.op("Slice", [e, *ends], e.sizes, e.dtype)

    def output(self, value: Value, name: str) -> Value:
        """The value under another name, as an output of the graph."""
        if value.made_by is None:
            value = self.one("Identity", value)
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [name if one == value.name else one for one in names]
        return Value(self, name, value.sizes, value.dtype, value.made_by)

    def graph_of(self, name: str, inputs: Sequence[Value], outputs: Sequence[Value]) -> GraphProto:
        """The nodes since the beginning of this graph, or of the body of a loop, as far as the outputs need them."""
        needed, kept = {value.name for value in outputs}, list[NodeProto]()
        for node in reversed(self.nodes):
            if not needed.isdisjoint(node.output):
                kept.insert(0, node)
                bodies = [part.g.node for part in node.attribute if part.HasField("g")]
                needed.update(node.input, *(inside.input for body in bodies for inside in body))
        given, made = ([_described(one) for one in side] for side in (inputs, outputs))
        stored = [] if self._loop else [one for key, one in self.initializers.items() if key in needed]
        return helper.make_graph(kept, name, given, made, stored)

    def feature_size(self, e: Any) -> Any:
        if any(n is None for n in e.sizes[:-1]):
            raise ConfigurationError("feature_size of an unknown number of samples has no ONNX operator here")
        return math.prod(e.sizes[:-1])


def _polynomial(coefficients: Sequence[float], t: Value) -> Any:
    total: Any = coefficients[-1]
    for one in coefficients[-2::-1]:
        total = t * total + one
    return total


def _once(windows: Windows) -> Windows:
    return Windows(windows.size, (1, 1), windows.dilation, ("valid", "valid"))


def _described(value: Value) -> Any:
    """The name, dtype and shape of an input or output; a size may have a name instead of a number."""
    kind = TensorProto.STRING if value.dtype == object else helper.np_dtype_to_tensor_dtype(value.dtype)
    return helper.make_tensor_value_info(value.name, kind, value.sizes)
