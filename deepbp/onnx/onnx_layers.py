"""Operators of ONNX as layers, each with its arrays in the layout of deepbp."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from attrs import define
from onnx import NodeProto, helper

from deepbp import layers
from deepbp.errors import ConfigurationError, shown
from deepbp.files.weights import in_order_of, kernels_last
from deepbp.layers import Dense, Layer
from deepbp.onnx.onnx_operators import RECURRENT as KINDS
from deepbp.typing import Array, Shape


@define
class Imported:
    """A node whose only tensor that depends on the input is the one that the chain has arrived at.

    Attributes:
        reader: what has been read so far, with ``state``, ``channels_first`` and ``flattened``.
        options: the attributes.
        given: its inputs, None for the one that is no constant.
        shape: of that one, as far as it is known; sizes below 1 are not.
        place: the path of the layer to be made.
        before: the layers before it in its chain.
    """

    reader: Any
    kind: str
    options: Mapping[str, Any]
    given: list[Array | None]
    shape: Shape
    place: str
    before: list[Layer[Any]]

    def constant(self, index: int) -> Array:
        """An input that has to be a constant."""
        array = self.given[index] if index < len(self.given) else None
        if array is None:
            raise ConfigurationError(f"input {index}: expected a constant, got a tensor that depends on the input")
        return array

    def number(self, name: str, default: float) -> float:
        """An attribute, which ONNX has in float32, with as many digits as it has."""
        return float(f"{float(self.options.get(name, default)):.7g}")

    def other(self) -> Array:
        """The constant of two inputs."""
        return self.constant(0 if self.given[1] is None else 1)

    def require(self, **expected: Any) -> None:
        """Refuse attributes with other values than these, which are the defaults."""
        for name, value in expected.items():
            if (got := self.options.get(name, value)) != value:
                raise ConfigurationError(f"{name}: expected {value!r}, got {shown(got)}")

    def set(self, place: str | None = None, **arrays: Array | None) -> None:
        """Set arrays of a layer's parameters."""
        for name, array in arrays.items():
            if array is not None:
                self.reader.state[f"{self.place if place is None else place}.{name}"] = array

    def along_features(self, array: Array) -> Array:
        """One number for each feature or channel, in the order that features have here."""
        axis = 1 - len(self.shape) if self.reader.channels_first and not self.reader.flattened else -1
        sizes = [n for i, n in enumerate(array.shape, -array.ndim) if i != axis and n != 1]
        if array.ndim < -axis or sizes:
            raise ConfigurationError(f"expected one number for each feature, got an array of shape {array.shape}")
        return self._in_order(array.reshape(-1))

    def _in_order(self, array: Array) -> Array:
        """The rows of an array for a flattened image, which PyTorch has in the order (C, H, W)."""
        shape = self.reader.flattened
        return in_order_of(shape, np.asarray)(array) if shape else array


def flatten(node: Imported) -> Layer[Any] | None:
    """A Flatten, or nothing for samples that are flat."""
    node.require(axis=1)
    *_, last = shape = node.shape[1:]
    if len([n for n in shape if n != 1]) <= 1 and isinstance(
        next(iter(node.before[::-1]), None), layers.GlobalAveragePool | layers.GlobalMaxPool
    ):
        node.reader.channels_first = False
        return None
    if node.reader.channels_first:
        if min(shape) < 1:
            raise ConfigurationError(f"expected an image of known size, got {shape}")
        node.reader.flattened = (*shape[1:], shape[0])
        node.reader.channels_first = False
    return layers.Flatten() if len(shape) > 1 or last < 1 else None


def _dense(node: Imported) -> Layer[Any]:
    node.require(alpha=1.0, beta=1.0, transA=0)
    weight = node.constant(1)
    weight = weight.T if node.options.get("transB") else weight
    if node.given[0] is not None or weight.ndim != 2 or node.reader.channels_first:
        raise ConfigurationError("expected x W with a constant matrix W")
    bias = node.constant(2) if len(node.given) > 2 else None
    node.set(weight=node._in_order(weight), bias=None if bias is None else bias.reshape(-1))
    node.reader.flattened = ()
    return Dense(weight.shape[1], use_bias=bias is not None)


def _add(node: Imported) -> Layer[Any] | None:
    """A bias of the layer before, if that has none; or else a Shift."""
    shift, before = node.other(), node.before[-1] if node.before else None
    if isinstance(before, Dense | layers.Conv1D | layers.Conv2D) and not before.use_bias:
        place = f"{node.place.rpartition('.')[0]}.{len(node.before) - 1}".lstrip(".")
        node.set(place, bias=node.along_features(shift))
        before.use_bias = True
        return None
    node.set(shift=node.along_features(shift))
    return layers.Shift()


def _subtract(node: Imported) -> Layer[Any]:
    node.set(shift=node.along_features(-node.constant(1)))
    return layers.Shift()


def _scale(node: Imported) -> Layer[Any]:
    node.set(gain=node.along_features(node.other()))
    return layers.Scale()


def _windows(node: Imported, size: Shape) -> dict[str, Any]:
    """Strides and padding as arguments of a layer."""
    axes = len(size)
    word = node.options.get("auto_pad", b"NOTSET").decode()
    if word not in ("NOTSET", "VALID", "SAME_UPPER"):
        raise ConfigurationError(f"auto_pad: expected SAME_UPPER, VALID or NOTSET, got {word}")
    if not node.reader.channels_first:
        raise ConfigurationError("expected images or sequences with their channels first")
    if axes not in (1, 2):
        raise ConfigurationError(f"expected windows with one or two axes, got {axes}")
    pads = node.options.get("pads", [0] * 2 * axes)
    pairs = tuple(zip(pads[:axes], pads[axes:], strict=True))
    padding = "same" if word == "SAME_UPPER" else _padding(pairs)
    return {"stride": _side(node.options.get("strides", [1] * axes)), "padding": padding}


def _padding(pairs: tuple[tuple[int, int], ...]) -> Any:
    """Zeros before and behind along each axis, in the shortest form."""
    every = {n for pair in pairs for n in pair}
    if len(every) == 1:
        return every.pop() or "valid"
    return pairs if len(pairs) == 2 else pairs[0]


def _side(sizes: Any) -> Any:
    """Equal numbers as one."""
    return int(sizes[0]) if len(set(sizes)) == 1 else tuple(map(int, sizes))


def _convolution(node: Imported) -> Layer[Any]:
    weight, transposed = node.constant(1), node.kind == "ConvTranspose"
    size, groups = weight.shape[2:], int(node.options.get("group", 1))
    arguments = _windows(node, size)
    if transposed:
        arguments["padding"] = _cut_by(node, len(size))
    axes = len(size)
    kind: Any = {
        (1, False): layers.Conv1D,
        (2, False): layers.Conv2D,
        (1, True): layers.ConvTranspose1D,
        (2, True): layers.ConvTranspose2D,
    }[axes, transposed]
    bias = node.constant(2) if len(node.given) > 2 else None
    node.set(weight=kernels_last(weight), bias=bias)
    return kind(  # type: ignore[no-any-return]
        weight.shape[1] * groups if transposed else weight.shape[0],
        _side(size),
        **arguments,
        dilation=_side(node.options.get("dilations", [1] * axes)),
        groups=groups,
        use_bias=bias is not None,
    )


def _cut_by(node: Imported, axes: int) -> Any:
    """The padding of a transposed convolution, which cuts less where there is an output_padding."""
    node.require(auto_pad=b"NOTSET", output_shape=None)
    pads = node.options.get("pads", [0] * 2 * axes)
    more = node.options.get("output_padding", [0] * axes)
    pairs = tuple((before, behind - n) for before, behind, n in zip(pads[:axes], pads[axes:], more, strict=True))
    if min(map(min, pairs)) < 0:
        raise ConfigurationError(f"output_padding: expected at most the padding, got {more}")
    return _padding(pairs)


def _pool(node: Imported) -> Layer[Any]:
    node.require(ceil_mode=0, dilations=[1] * len(node.options["kernel_shape"]), storage_order=0)
    size = node.options["kernel_shape"]
    arguments = _windows(node, tuple(size))
    if node.kind == "AveragePool" and arguments["padding"] != "valid":
        node.require(count_include_pad=0)
    kind: Any = getattr(layers, f"{node.kind}{len(size)}D")
    if arguments["stride"] == _side(size):
        del arguments["stride"]
    return kind(_side(size), **arguments)  # type: ignore[no-any-return]


def _global_pool(node: Imported) -> Layer[Any] | None:
    """A pooling over all places; ReduceMean and ReduceMax over their axes."""
    first, every = node.reader.channels_first, len(node.shape)
    if node.kind.startswith("Reduce"):
        axes = node.options["axes"] if "axes" in node.options else node.constant(1).tolist()
        if sorted(axis % every for axis in axes) != list(range(2, every) if first else range(1, every - 1)):
            raise ConfigurationError(f"axes: expected all but samples and channels, got {axes}")
        if not node.options.get("keepdims", 1):
            node.reader.channels_first = False
        elif not first:
            raise ConfigurationError("keepdims: expected 0, got 1")
    elif not first:
        raise ConfigurationError("expected images or sequences with their channels first")
    return layers.GlobalMaxPool() if "Max" in node.kind else layers.GlobalAveragePool()


def _batch_norm(node: Imported) -> Layer[Any]:
    node.require(training_mode=0)
    if len(node.shape) > 2 and not node.reader.channels_first:
        raise ConfigurationError("expected features along the last axis")
    names = ("gain", "shift", "running_mean", "running_variance")
    for i, name in enumerate(names, 1):
        node.set(None, **{name: node._in_order(node.constant(i))})
    return layers.BatchNorm(momentum=node.number("momentum", 0.9), epsilon=node.number("epsilon", 1e-5))


def _layer_norm(node: Imported) -> Layer[Any]:
    if node.options.get("axis", -1) not in (-1, len(node.shape) - 1) or node.reader.channels_first:
        raise ConfigurationError("axis: expected the last one, that of the features")
    gain = node.constant(1)
    shift = node.constant(2) if len(node.given) > 2 else np.zeros_like(gain)
    node.set(gain=node._in_order(gain), shift=node._in_order(shift))
    return layers.LayerNorm(epsilon=node.number("epsilon", 1e-5))


def _prelu(node: Imported) -> Layer[Any]:
    slope = node.constant(1)
    node.set(slope=slope.reshape(-1) if slope.size == 1 else node.along_features(slope))
    return layers.PReLU(shared=slope.size == 1)


def _softmax(node: Imported) -> Layer[Any]:
    if node.options.get("axis", -1) not in (-1, len(node.shape) - 1) or node.reader.channels_first:
        raise ConfigurationError("axis: expected the last one, that of the features")
    if node.reader.flattened:
        raise ConfigurationError("expected a Gemm between a flattened image and it")
    return layers.Softmax() if node.kind == "Softmax" else layers.LogSoftmax()


def _embedding(node: Imported) -> Layer[Any]:
    node.require(axis=0)
    if node.given[1] is not None:
        raise ConfigurationError("expected a constant table, got constant places")
    table = node.constant(0)
    node.set(table=table)
    return layers.Embedding(*table.shape)


def _transpose(node: Imported) -> None:
    """From images with their channels last to PyTorch's, and back."""
    order, axes = node.options.get("perm"), len(node.shape)
    to_first, to_last = [0, axes - 1, *range(1, axes - 1)], [0, *range(2, axes), 1]
    if order == to_first and not node.reader.channels_first:
        node.reader.channels_first = True
    elif order == to_last and node.reader.channels_first:
        node.reader.channels_first = False
    else:
        raise ConfigurationError(f"perm: expected one that moves the axis of channels, got {order}")


def _log(node: Imported) -> None:
    """The logarithm of a sigmoid or softmax, which is a layer of its own."""
    if isinstance(node.before[-1] if node.before else None, layers.Sigmoid):
        node.before[-1] = layers.LogSigmoid()
    elif isinstance(node.before[-1] if node.before else None, layers.Softmax):
        node.before[-1] = layers.LogSoftmax()
    else:
        raise ConfigurationError("no layer is known for a logarithm")


def _activation(make: Callable[..., Layer[Any]], **names: tuple[str, float]) -> Callable[[Imported], Layer[Any]]:
    """A layer whose arguments are attributes, with ONNX's default values."""

    def made(node: Imported) -> Layer[Any]:
        return make(**{own: node.number(*theirs) for own, theirs in names.items()})

    return made


def _hard_sigmoid(node: Imported) -> Layer[Any]:
    if not np.allclose([node.options.get("alpha", 0.2), node.options.get("beta", 0.5)], [1 / 6, 0.5], rtol=1e-6):
        raise ConfigurationError("expected alpha=1/6 and beta=0.5")
    return layers.HardSigmoid()


def _gelu(node: Imported) -> Layer[Any]:
    return layers.GELU("tanh" if node.options.get("approximate", b"none") == b"tanh" else None)


def _nothing(node: Imported) -> None:
    return None


def _reshape(node: Imported) -> Layer[Any] | None:
    shape = node.constant(1).tolist()
    if len(shape) == 2 and shape[1] != 0 and (shape[0] < 1 or shape[1] == prod(node.shape[1:])):
        return flatten(node)
    if node.reader.channels_first or node.reader.flattened or shape[0] not in (0, -1) or min(shape[1:]) < 1:
        raise ConfigurationError(f"shape: expected (-1, …), got {shape}")
    return layers.Reshape(tuple(shape[1:]))


def recurrent(
    node: NodeProto, given: Sequence[Array | None], initial: Array | None, sequences: bool
) -> tuple[Layer[Any], dict[str, Array]]:
    """A recurrent layer, or both directions of one, and its arrays by name.

    Args:
        given: the node's inputs, None for those that are no constants.
        initial: the first state (D, states, U), None for zeros.
        sequences: whether the layer returns the states of all steps.
    """
    kind, (gates, usual) = RECURRENT[node.op_type]
    options = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    word = options.get("direction", b"forward").decode()
    weight, recurrent_weight, *rest = given[1:4]
    if weight is None or recurrent_weight is None or (rest and rest[0] is None and node.input[3]):
        raise ConfigurationError("expected constant weights")
    directions, units = len(weight), recurrent_weight.shape[-1]
    for name, expected in (
        ("activations", [one.encode() for one in usual] * directions),
        ("clip", 0.0),
        ("layout", 0),
        ("input_forget", 0),
        *([("linear_before_reset", 1)] if node.op_type == "GRU" else []),
    ):
        default = 0 if name == "linear_before_reset" else expected
        if (got := options.get(name, default)) != expected:
            raise ConfigurationError(f"{name}: expected {_words(expected)}, got {_words(got)}")
    biases = rest[0] if rest and rest[0] is not None else np.zeros((directions, 2 * len(weight[0])), weight.dtype)

    def ordered(array: Array) -> Array:
        parts = np.split(array, len(gates))
        return np.concatenate([parts[gates.index(gate)] for gate in range(len(gates))])

    arrays = dict[str, Array]()
    for i in range(directions):
        place = "" if directions == 1 else ("layer.", "reversed_layer.")[i]
        outer, inner = (ordered(part) for part in np.split(biases[i], 2))
        if kind is layers.GRU:
            arrays[f"{place}hidden_bias"] = inner[2 * units :].copy()
            inner[2 * units :] = 0
        arrays[f"{place}bias"] = outer + inner
        arrays[f"{place}weight"] = ordered(weight[i]).T
        arrays[f"{place}recurrent_weight"] = ordered(recurrent_weight[i]).T
        if initial is not None:
            arrays[f"{place}initial"] = initial[i]
    start: Any = "zeros" if initial is None else "learned"
    layer = kind(units, return_sequences=sequences, reverse=word == "reverse", initial_state=start)
    return (layer if directions == 1 else layers.Bidirectional(layer)), arrays


def both_directions(
    forward: tuple[Any, dict[str, Array]], backward: tuple[Any, dict[str, Array]], *others: Any
) -> tuple[Layer[Any], dict[str, Array]]:
    """Two operators side by side as one layer. Raises ConfigurationError for others than the directions of one."""
    (layer, arrays), (other, further) = forward, backward
    one_way = not others and type(layer) is type(other) is not layers.Bidirectional
    if not one_way or layer.units != other.units or layer.reverse or not other.reverse:
        raise ConfigurationError("expected both directions of a recurrent operator")
    named = {f"layer.{name}": array for name, array in arrays.items()}
    return layers.Bidirectional(layer), named | {f"reversed_layer.{name}": array for name, array in further.items()}


def _words(value: Any) -> str:
    """An attribute as text: several words, of which ONNX has the bytes, with commas."""
    return ", ".join(one.decode() for one in value) if isinstance(value, list) else str(value)


RECURRENT: dict[str, tuple[Any, tuple[tuple[int, ...], tuple[str, ...]]]] = {
    # The layer, its gates by their places here in the operator's order, and the activations.
    name: (layer, (gates, {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh")}.get(name, ("Sigmoid", "Tanh", "Tanh"))))
    for layer, (name, gates, _) in KINDS.items()
}


OPERATORS: dict[str, Callable[[Imported], Layer[Any] | None]] = {
    "Add": _add,
    "AveragePool": _pool,
    "BatchNormalization": _batch_norm,
    "Cast": _nothing,
    "Celu": _activation(layers.CELU, alpha=("alpha", 1.0)),
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Dropout": _nothing,
    "Elu": _activation(layers.ELU, alpha=("alpha", 1.0)),
    "Flatten": flatten,
    "Gather": _embedding,
    "Gelu": _gelu,
    "Gemm": _dense,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _activation(layers.HardSwish),
    "Identity": _nothing,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _activation(layers.LeakyReLU, slope=("alpha", 0.01)),
    "Log": _log,
    "LogSoftmax": _softmax,
    "MatMul": _dense,
    "MaxPool": _pool,
    "Mish": _activation(layers.Mish),
    "Mul": _scale,
    "PRelu": _prelu,
    "ReduceMax": _global_pool,
    "ReduceMean": _global_pool,
    "Relu": _activation(layers.ReLU),
    "Reshape": _reshape,
    "Sigmoid": _activation(layers.Sigmoid),
    "Softmax": _softmax,
    "Softplus": _activation(layers.Softplus),
    "Softsign": _activation(layers.Softsign),
    "Sub": _subtract,
    "Tanh": _activation(layers.Tanh),
    "Transpose": _transpose,
}
